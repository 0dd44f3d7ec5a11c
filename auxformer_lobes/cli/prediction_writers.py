"""Predictions as CSV, JSON or a table; CSV and JSON are written as they come.

Whatever ends the command, the rows that are written stay, and `resume` finds
them. A last row that was cut is dropped.
"""

import csv
import io
import json
import os
import re

from auxformer_lobes.cli.output import print_emotions
from auxformer_lobes.inference.rows import csv_header, csv_row
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.text import printable

# Spreadsheets compute such a cell; a "'" in front keeps it text (OWASP, "CSV
# Injection").
FORMULA = re.compile(r"'*[-=+@\t\r]")


class TableWriter:
    """Prints a table at the end.

    Arguments
    ---------
    file : io.TextIOBase
        Open for writing.
    task : Task
        What the model predicts.
    """

    def __init__(self, file, task):
        self.file, self.task = file, task
        self.emotions = {}

    def start(self):
        """Writes what comes before the first file."""

    def add(self, name, emotion):
        """Takes the emotion of a file.

        Arguments
        ---------
        name : str
            The file.
        emotion : Emotion
            What was recognised.
        """
        self.emotions[name] = emotion

    def fail(self, name, error):
        """Takes the reason why a file has no emotion.

        Arguments
        ---------
        name : str
            The file.
        error : MediaError
            The reason.
        """

    def end(self):
        """Ends the output, also where the command is interrupted."""
        if self.emotions:
            print_emotions(self.emotions, self.task)

    def write(self, text):
        """Writes a text at once.

        Arguments
        ---------
        text : str
            The text.

        Raises
        ------
        UserError
            If there is no room.
        """
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:  # nobody reads any more, which is no error
            raise
        except OSError as error:
            name = getattr(self.file, "name", "output")
            raise UserError(f"{name}: cannot be written: {error.strerror}")


class CsvWriter(TableWriter):
    """Writes a row for each file, see `TableWriter`."""

    def __init__(self, file, task):
        super().__init__(file, task)
        self.header = ["file", *csv_header(task), "error"]

    def add(self, name, emotion):
        """Writes a row, see `TableWriter.add`."""
        self._write_row([as_cell(name), *csv_row(self.task, emotion), ""])

    def fail(self, name, error):
        """Writes a row without a prediction, see `TableWriter.fail`."""
        empty = [""] * (len(self.header) - 2)
        self._write_row([as_cell(name), *empty, as_cell(str(error))])

    def start(self):
        """Writes the header, see `TableWriter.start`."""
        self._write_row(self.header)

    def end(self):
        """Has nothing to write, see `TableWriter.end`."""

    def _write_row(self, row):
        self.write(_row(row))

    def parse(self, lines):
        """Finds the rows that are whole.

        Arguments
        ---------
        lines : list of str
            All of a file; no cell has a line break.

        Returns
        -------
        names : list of str
            The files that have a row, as `as_cell` writes them.
        kept : str
            What stays of the file.

        Raises
        ------
        ValueError
            If the file is of something else.
        """
        whole = [line for line in lines if line.endswith("\n")]
        header, *rows = csv.reader(whole or lines or [""])
        # A header that was cut is the beginning of this one.
        cut = not whole and _row(self.header).startswith("".join(lines))
        if header != self.header and not cut:
            raise ValueError("it has other columns")
        return [row[0] for row in rows], "".join(whole)


class JsonWriter(TableWriter):
    """Writes a list of one object for each file, see `TableWriter`."""

    before = "[\n"  # what comes before the next object

    def add(self, name, emotion):
        """Writes an object, see `TableWriter.add`."""
        self._write_entry({"file": name, **emotion.as_dict()})

    def fail(self, name, error):
        """Writes an object with an `error`, see `TableWriter.fail`."""
        self._write_entry({"file": name, "error": str(error)})

    def end(self):
        """Closes the list, see `TableWriter.end`."""
        self.write("[]\n" if self.before == "[\n" else "\n]\n")

    def _write_entry(self, entry):
        self.write(self.before + json.dumps(entry))
        self.before = ",\n"

    def parse(self, lines):
        """Finds the objects that are whole, see `CsvWriter.parse`."""
        names, kept = [], ""
        if lines[:1] not in ([], ["["], ["[\n"], ["[]\n"]):
            raise ValueError("it is no list, one object a line")
        for line in lines[1:]:
            entry = line.rstrip("\n,")
            try:
                found = json.loads(entry)
            except ValueError:
                if line.endswith("\n") and entry != "]":
                    raise
                break  # cut, or the end of the list
            names.append(as_cell(found["file"]))
            if [*found.get("outputs", self.task.names)] != [*self.task.names]:
                raise ValueError("it has other classes")
            kept += self.before + entry
            self.before = ",\n"
        if not "".join(lines).startswith(kept):
            raise ValueError("it was written otherwise")
        return names, kept


WRITERS = {"csv": CsvWriter, "json": JsonWriter}


def resume(writer, path):
    """Finds out which files have a row, and cuts off what is not whole.

    An empty file is started.

    Arguments
    ---------
    writer : CsvWriter or JsonWriter
        Its `file` is open for reading and writing.
    path : str
        The name of the file, for errors.

    Returns
    -------
    set of str
        The files, as `as_cell` writes them.

    Raises
    ------
    UserError
        If the file is not of this command, or of a model of other classes.
    """
    lines = writer.file.readlines()
    try:
        names, kept = writer.parse(lines)
    except (AttributeError, LookupError, TypeError, ValueError, csv.Error) as e:
        raise UserError(
            f"{path}: not of this command and model: {e}: name another --output"
        )
    writer.file.seek(0)
    writer.file.truncate(len(kept.encode("utf-8", "surrogateescape")))
    writer.file.seek(0, os.SEEK_END)
    if not kept:
        writer.start()
    return {*names}


def _row(cells):
    """A line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def as_cell(text):
    """A text as a cell of a table that spreadsheets do not compute.

    Arguments
    ---------
    text : str
        Any text, the name of a file for one.

    Returns
    -------
    str

    Example
    -------
    >>> print(as_cell("=1+1.wav"), as_cell("clip.wav"), as_cell("a\\x1b.wav"))
    '=1+1.wav clip.wav a\\x1b.wav
    """
    return f"'{printable(text)}" if FORMULA.match(text) else printable(text)
