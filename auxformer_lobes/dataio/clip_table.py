"""Reads a table of clips, as people write it: in an editor, or by Excel.

A CSV file with a header and a clip a row. Commas, semicolons or tabs; UTF-8,
UTF-16 or Windows-1252; a byte order mark, a first line such as `sep=;`, decimal
commas, empty rows at the end and unnamed columns are fine.
"""

import csv
import io
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from speechbrain.utils.logger import get_logger

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import reason_of
from auxformer_lobes.utils.schema import shown

logger = get_logger(__name__)

DELIMITERS = ",;\t"
# First bytes of .xlsx and .ods files, and of .xls files.
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
EXCEL_ERRORS = ("#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!")


class Row(NamedTuple):
    """A row of a table.

    Arguments
    ---------
    line : int
        Its line in the file, from 1.
    cells : dict
        Column -> text, without space around it.
    """

    line: int
    cells: dict


class ClipTable(NamedTuple):
    """A table of clips.

    Arguments
    ---------
    path : Path
        The file.
    columns : list of str
        In lower case, without those that have no name.
    rows : list of Row
        In order, without empty ones.
    """

    path: Path
    columns: list
    rows: list

    def error(self, row, column, problem):
        """An error in a cell.

        Arguments
        ---------
        row : Row
            Its row.
        column : str
            Its column.
        problem : str
            What is wrong, and the cure.

        Returns
        -------
        UserError
            To be raised.
        """
        return UserError(
            f"{self.path}: line {row.line}, column {column}: {problem}"
        )

    def number(self, row, column):
        """The number in a cell.

        Arguments
        ---------
        row : Row
            Its row.
        column : str
            Its column.

        Returns
        -------
        float or None
            None if the cell is empty.

        Raises
        ------
        UserError
            If it is not a finite number.
        """
        text = row.cells[column]
        try:
            return as_number(text) if text else None
        except ValueError:
            raise self.error(row, column, f"{shown(text)} is not a number")


def as_number(text):
    """A number, with a decimal point or comma.

    Arguments
    ---------
    text : str
        Such as "3.5", or "3,5".

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not a finite number.

    Example
    -------
    >>> as_number("3,5")
    3.5
    """
    value = float(text.replace(",", ".") if "." not in text else text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def read_clip_table(path):
    """Reads a table of clips.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    ClipTable

    Raises
    ------
    UserError
        If it cannot be read, has no clips, two columns of one name, a row with
        more values than columns, or one of Excel's error values.

    Example
    -------
    >>> path = getfixture("tmp_path") / "clips.csv"
    >>> _ = path.write_text(
    ...     "File;Speaker\\nanna 1.wav;Anna\\n;\\n", "utf-8-sig"
    ... )
    >>> read_clip_table(path).rows
    [Row(line=2, cells={'file': 'anna 1.wav', 'speaker': 'Anna'})]
    """
    path = Path(path)
    # Not `splitlines`, which also splits at characters that cells may have.
    first, lines = 1, [*io.StringIO(_text(path), newline="")]
    delimiter = None
    if lines and lines[0].lower().startswith("sep="):  # for Excel
        delimiter, first, lines = lines[0][4:5], 2, lines[1:]
    if delimiter is None or delimiter not in DELIMITERS:
        delimiter = max(DELIMITERS, key=(lines or [""])[0].count)
    # Strict: a quote that nothing closes is an error, not one long cell.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, ())]
        columns = [name for name in header if name]
        if not columns:
            raise UserError(f"{path}: is empty")
        repeated = [name for name, n in Counter(columns).items() if n > 1]
        if repeated:
            raise UserError(
                f"{path}: has two columns {repeated[0]!r}: rename one"
            )
        rows = []
        for values in reader:
            line = reader.line_num + first - 1
            if cells := _cells(values, header, path, line):
                rows.append(Row(line, cells))
    except csv.Error as error:
        line = reader.line_num + first - 1
        raise UserError(
            f"{path}: line {line}: not CSV ({error}): is a quote missing?"
        )
    table = ClipTable(path, columns, rows)
    if not rows:
        raise UserError(f"{path}: has no clips below its header")
    for row in rows:
        for column, text in row.cells.items():
            if "\n" in text or "\r" in text:
                raise table.error(
                    row, column, "has a line break in quotes: is one missing?"
                )
            if text in EXCEL_ERRORS:
                raise table.error(
                    row, column, f"{text} of a formula in Excel: mend it"
                )
    return table


def _text(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {reason_of(error)}")
    if content.startswith(WORKBOOKS):
        raise UserError(f"{path}: is a workbook: save it as CSV")
    if content.startswith(UTF_16):  # "Unicode text" of Excel
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        logger.warning(f"{path}: not UTF-8, read as Windows-1252")
        return content.decode("cp1252", errors="replace")


def _cells(values, header, path, line):
    """Column -> text; None for an empty row."""
    values = [value.strip() for value in values]
    if any(values[len(header) :]):
        raise UserError(
            f"{path}: line {line}: has {len(values)} values, for "
            f"{len(header)} columns: quote values that contain the delimiter"
        )
    if not any(values):
        return None
    values += [""] * (len(header) - len(values))
    return {name: text for name, text in zip(header, values) if name}
