"""Temporary files, and what to say where there is no room for them."""

import shutil
import tempfile
from contextlib import contextmanager

from auxformer_lobes.utils.errors import UserError

CURE = "make room there, or set TMPDIR to another folder"
LITTLE = 1 << 20  # bytes; a disk with less is full


@contextmanager
def temporary_folder():
    """Makes a folder for temporary files, which is removed at the end.

    Yields
    ------
    str
        Its path.

    Raises
    ------
    UserError
        If there is no place for it.

    Example
    -------
    >>> import os
    >>> with temporary_folder() as folder:
    ...     print(os.path.isdir(folder))
    True
    >>> os.path.exists(folder)
    False
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="auxformer")
    except OSError as error:
        raise UserError(f"temporary files: {error.strerror}: {CURE}")
    with folder as path:
        yield path


@contextmanager
def full_disk_errors(folder):
    """Turns failures to write on a full disk into one line.

    The libraries that write audio and video have errors of many types for it,
    which would else look like a damaged file.

    Arguments
    ---------
    folder : str
        Where a file is written.

    Raises
    ------
    UserError
        If writing fails, and there is no room left.
    """
    try:
        yield
    except Exception:
        if shutil.disk_usage(folder).free < LITTLE:
            raise UserError(f"{tempfile.gettempdir()}: is full: {CURE}")
        raise
