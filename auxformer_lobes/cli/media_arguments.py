"""The media files that a command is given: paths, folders, patterns, `-`."""

import glob
import os
import shutil
import sys
from collections import Counter
from contextlib import contextmanager

from auxformer_lobes.dataio.folder_tree import read_tree
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.temporary import full_disk_errors, temporary_folder
from auxformer_lobes.utils.text import printable

STDIN = "-"


def find_media(arguments):
    """Replaces folders and patterns by their files.

    Says on standard error how many files of folders are left out, as their
    suffixes are not of media. Links to folders are followed.

    Arguments
    ---------
    arguments : list of str
        Files, folders, patterns, or "-".

    Returns
    -------
    list of str
        Each file once.

    Raises
    ------
    UserError
        If a folder or a pattern has no file.
    """
    files = []
    for argument in arguments:
        if os.path.isdir(argument):
            found, left_out = _inside(argument)
            if not found:
                raise UserError(f"{argument}: contains no audio or video file")
            if left_out:
                s = "s" * (left_out.total() > 1)
                kinds = ", ".join(k for k, _ in left_out.most_common(5))
                print(
                    f"{printable(argument)}: {left_out.total()} other file{s} "
                    f"left out ({printable(kinds)})",
                    file=sys.stderr,
                )
        elif os.path.exists(argument) or not glob.has_magic(argument):
            found = [argument]
        else:
            found = sorted(
                file
                for file in glob.glob(argument, recursive=True)
                if os.path.isfile(file)
            )
            if not found:
                raise UserError(f"{argument}: no such file")
        files += found
    return list(dict.fromkeys(files))


def _inside(folder):
    """Media files in a folder and its subfolders, and others by suffix."""
    tree = read_tree(folder)
    return tree.media, Counter(
        os.path.splitext(path)[1] or "no suffix" for path in tree.others
    )


@contextmanager
def stored_stdin(files):
    """Keeps standard input in a file, where "-" is among the files.

    FFmpeg has to seek in many formats.

    Arguments
    ---------
    files : list of str
        Files, perhaps with "-".

    Yields
    ------
    dict of str
        Each file → where it is.

    Raises
    ------
    MediaError
        What is raised where it is used; names standard input.
    UserError
        If there is no room for it.
    """
    places = dict(zip(files, files))
    if STDIN not in places:
        yield places
        return
    if sys.stdin is None:
        raise UserError("-: standard input is closed")
    with temporary_folder() as folder:
        places[STDIN] = os.path.join(folder, "standard_input")
        with full_disk_errors(folder), open(places[STDIN], "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield places
        except MediaError as error:
            message = str(error).replace(places[STDIN], "standard input")
            raise MediaError(message)
