"""Files that are complete or absent, their fingerprints and names."""

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from urllib.parse import quote, unquote

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.segments import split_segment

# What Git leaves in place of a large file where Git LFS is not installed.
LFS_POINTER = b"version https://git-lfs"
END = 64 * 1024  # bytes at each end of a file that the fingerprint covers
# Seconds until a file that nobody locks is left over: a process may be about to
# lock it. Longer where a file system has no locks.
MIN_AGE, MAX_AGE = 1, 600
CURES = {
    errno.EACCES: "grant yourself access, or choose another folder",
    errno.EPERM: "grant yourself access, or choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENOSPC: "make room, or choose another folder",
    errno.EDQUOT: "make room, or choose another folder",
    errno.EFBIG: "raise the limit (ulimit -f)",
    errno.EMFILE: "raise the limit (ulimit -n)",
    errno.EISDIR: "move the folder away",
    errno.EIO: "check the disk, or its connection",
}


@contextmanager
def atomic_write(path, mode="w"):
    """Opens a file for writing that takes its name when it is complete.

    A program that is killed, or fails, leaves what was there before; what it
    has written so far is cleared by `clear_temporaries`.

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
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            # Without this, a power cut could leave an empty file.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(temporary)


def clear_temporaries(folder):
    """Removes what `atomic_write` left in a folder where it was killed.

    A process locks the file that it writes, and its end releases the lock, on
    whatever machine: files of processes that still write are left alone.

    Arguments
    ---------
    folder : pathlib.Path
        The folder, which need not exist.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> left = folder / "votes.txt.99.tmp"
    >>> _ = left.write_text("ang")
    >>> os.utime(left, (0, 0))
    >>> clear_temporaries(folder)
    >>> left.exists()
    False
    """
    for path in folder.glob("*.tmp"):
        if not re.search(r"\.\d+\.tmp$", path.name):
            continue  # somebody's own
        # Gone a moment later, or not ours to remove: nothing depends on it.
        with suppress(OSError):
            if _is_left_over(path):
                path.unlink()


def _is_left_over(path):
    age = time.time() - path.stat().st_mtime
    if age < MIN_AGE:
        return False
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return age > MAX_AGE


def reason_of(error):
    """What the system says, and a cure where it is not obvious.

    Arguments
    ---------
    error : OSError
        The error.

    Returns
    -------
    str

    Example
    -------
    >>> reason_of(FileNotFoundError(errno.ENOENT, "open: no 'x.h5'"))
    'No such file or directory'
    >>> reason_of(OSError(errno.ENOSPC, ""))
    'No space left on device: make room, or choose another folder'
    """
    if not error.errno:
        return " ".join(str(error).split()) or type(error).__name__
    # Not `strerror`, where libraries put sentences of their own.
    reason = os.strerror(error.errno)
    cure = CURES.get(error.errno)
    return f"{reason}: {cure}" if cure else reason


@contextmanager
def one_line_os_errors(folder):
    """Turns what the system raises into one line, with file and cure.

    Arguments
    ---------
    folder : str or Path
        Named where the error has no file.

    Raises
    ------
    UserError
        With the reason.

    Example
    -------
    >>> with one_line_os_errors("run"):
    ...     open("run/none/log.txt")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: run/none/log.txt: No such file or \
directory
    """
    try:
        yield
    except OSError as error:
        # Of a file that takes the place of another one, this is the other one.
        name = error.filename2 or error.filename or folder
        raise UserError(f"{name}: {reason_of(error)}")


def is_lfs_pointer(path):
    """Whether a file is a pointer of Git LFS in place of its content.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    bool

    Example
    -------
    >>> path = getfixture("tmp_path") / "clip.wav"
    >>> _ = path.write_text("version https://git-lfs.github.com/spec/v1")
    >>> is_lfs_pointer(path)
    True
    """
    with open(path, "rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def fingerprint(path):
    """Fingerprint of a file; a changed one invalidates stored features.

    Arguments
    ---------
    path : str
        Any file, or a segment of one, or None.

    Returns
    -------
    int
        63 bits of its size and its first and last 64 KiB (wav files of the same
        length have the same size), and the times of a segment; -1 if there is
        no such file, or it is a folder, pipe or device.

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
        path, *times = split_segment(path)
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
    segment = b"" if times == [None, None] else repr(times).encode()
    return _number(b"%d," % size + b"".join([*ends, segment]))


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
