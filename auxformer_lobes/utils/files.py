"""Files that are whole or not there, and told from others of their name."""

import hashlib
import os
from contextlib import contextmanager, suppress
from urllib.parse import quote, unquote

END = 64 * 1024  # bytes, by which files are told apart


@contextmanager
def atomic_write(path, mode="w"):
    """Opens a file for writing that takes its name when it is complete.

    A program that is killed, or fails, leaves what was there before.

    Arguments
    ---------
    path : str or Path
        The file.
    mode : str
        "w" for text in UTF-8, "wb" for bytes.

    Yields
    ------
    file
        The open file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "votes.txt"
    >>> with atomic_write(path) as file:
    ...     print("angry 3", file=file)
    ...     path.exists()
    False
    >>> path.read_text()
    'angry 3\\n'
    """
    # Named by the process, so that two of them cannot mix their halves.
    temporary = f"{path}.{os.getpid()}.tmp"
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with open(temporary, mode, **text) as file:
            yield file
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(temporary)


def fingerprint(path):
    """Tells a file from another one of the same name.

    Arguments
    ---------
    path : str
        Any file, or None.

    Returns
    -------
    int
        Of 63 bits, from its size, its beginning and its end, since sound files
        of the same length have the same size; -1 if there is no such file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "clip.wav"
    >>> fingerprint(path)
    -1
    >>> _ = path.write_bytes(bytes(9))
    >>> zeros = fingerprint(path)
    >>> _ = path.write_bytes(b"1" * 9)
    >>> fingerprint(path) == zeros
    False
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            ends = []
            for start in (0, max(0, size - END)):
                file.seek(start)
                ends.append(file.read(END))
    except (OSError, TypeError):  # released features need no file
        return -1
    return as_number(size, *ends)


def as_number(*parts):
    """Makes a number of anything, the same on each machine.

    Arguments
    ---------
    *parts
        Anything with a `repr` that tells it from others.

    Returns
    -------
    int
        Of 63 bits.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def key_of(clip):
    """Turns a clip's name into a file's, which HDF5 takes too.

    Arguments
    ---------
    clip : str
        Any name; a slash would be a folder.

    Returns
    -------
    str
        The name without special characters.
    """
    return quote(clip, safe="")


def clip_of(path):
    """Returns the clip of a staged file.

    Arguments
    ---------
    path : pathlib.Path
        One of `StagingArea.files`.

    Returns
    -------
    str
        Name of the clip.
    """
    return unquote(path.stem)
