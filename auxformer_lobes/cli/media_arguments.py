"""The media files that a command is given: paths, folders, patterns, `-`."""

import glob
import os
import shutil
import sys
from collections import Counter
from contextlib import contextmanager

from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.temporary import full_disk_errors, temporary_folder
from auxformer_lobes.utils.text import printable

STDIN = "-"
# Files of a folder.
SUFFIXES = (
    *(".wav", ".w64", ".aif", ".aiff", ".aifc", ".au", ".caf", ".flac", ".wv"),
    *(".ape", ".mp2", ".mp3", ".m4a", ".m4b", ".aac", ".ac3", ".eac3", ".amr"),
    *(".awb", ".wma", ".ogg", ".oga", ".opus", ".spx", ".mka"),
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".ogv"),
    *(".avi", ".divx", ".flv", ".f4v", ".wmv", ".asf", ".mpg", ".mpeg", ".vob"),
    *(".ts", ".mts", ".m2ts", ".mxf", ".dv", ".rm", ".rmvb"),
)


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
    found, left_out, visited = [], Counter(), set()
    for here, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(here) in visited:  # links may form circles
            folders.clear()
            continue
        visited.add(os.path.realpath(here))
        folders[:] = sorted(x for x in folders if not x.startswith("."))
        for name in names:
            file = os.path.join(here, name)
            if name.startswith(".") or not os.path.isfile(file):
                continue
            if name.lower().endswith(SUFFIXES):
                found.append(file)
            else:
                left_out[os.path.splitext(name)[1] or "no suffix"] += 1
    return sorted(found), left_out


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
