"""Files that are complete or absent, their fingerprints and names."""

import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from urllib.parse import quote, unquote

END = 64 * 1024  # bytes at each end of a file that the fingerprint covers


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
    """Fingerprint of a file; a changed one invalidates stored features.

    Arguments
    ---------
    path : str
        Any file, or None.

    Returns
    -------
    int
        63 bits of its size and its first and last 64 KiB (wav files of the same
        length have the same size); -1 if there is no such file,
        or it is a folder, pipe or device.

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
        # Before it is opened: a named pipe would wait for a writer for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return -1
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            ends = []
            for start in (0, max(0, size - END)):
                file.seek(start)
                ends.append(file.read(END))
    except (OSError, TypeError, ValueError):  # precomputed: no file
        return -1
    # The bytes as they are, whose `repr` would take ten times as long.
    return _number(b"%d," % size + b"".join(ends))


def as_number(*parts):
    """Hashes values, the same on each machine.

    Arguments
    ---------
    *parts
        Values with a distinct `repr`.

    Returns
    -------
    int
        63 bits.
    """
    return _number(repr(parts).encode())


def _number(data):
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def key_of(clip):
    """Quotes the name of a clip for file names and HDF5 keys.

    Arguments
    ---------
    clip : str
        Any name, even with slashes.

    Returns
    -------
    str
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
