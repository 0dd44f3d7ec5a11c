"""A folder for one process, beside the one that it is to become."""

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager, suppress

from auxformer_lobes.utils.errors import UserError

PREFIX = ".export-"  # and the name of the folder that is made
NEW, OLDER, LOCK = "new", "older", "lock"


@contextmanager
def workspace(out):
    """Makes a folder that takes its name when it is complete.

    One that was there before is replaced. What killed processes have left
    beside it is cleared first. Of several processes that make the same folder,
    one does; a killed process leaves no lock behind.

    Arguments
    ---------
    out : Path
        The folder.

    Yields
    ------
    Path
        An empty folder, on the same file system; it becomes `out`.

    Raises
    ------
    UserError
        If another process makes the same folder.

    Example
    -------
    >>> out = getfixture("tmp_path") / "model"
    >>> with workspace(out) as folder:
    ...     (folder / "config.json").touch()
    ...     out.exists()
    False
    >>> [path.name for path in out.parent.iterdir()], [*out.iterdir()]
    (['model'], [...config.json')])
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f"{PREFIX}{out.name}")
    for left in {*out.parent.glob(f"{PREFIX}*")} - {work}:
        # Somebody's own folder of such a name has other files.
        if left.is_dir() and {*os.listdir(left)} <= {NEW, OLDER, LOCK}:
            with suppress(UserError, OSError), _locked(left):
                _remove(left)
    work.mkdir(exist_ok=True)
    with _locked(work):
        _clear(work)
        try:
            (work / NEW).mkdir(parents=True)
            yield work / NEW
            if out.exists():
                os.replace(out, work / OLDER)
            os.replace(work / NEW, out)
        finally:
            _remove(work)


def _clear(work):
    """Removes all but the lock; what was to be replaced stays, if nothing did.

    A process may be killed after it has put the older folder aside.
    """
    out = work.with_name(work.name.removeprefix(PREFIX))
    if (work / OLDER).exists() and not out.exists():
        os.replace(work / OLDER, out)
    for name in (NEW, OLDER):
        with suppress(FileNotFoundError):
            shutil.rmtree(work / name)


def _remove(work):
    _clear(work)
    (work / LOCK).unlink()
    work.rmdir()


@contextmanager
def _locked(work):
    """Locks a workspace, if no other process has it."""
    with open(work / LOCK, "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.stat(work / LOCK)
            mine = os.path.samestat(os.fstat(file.fileno()), found)
        except OSError as error:
            # The last: another process has just cleared it.
            busy = (errno.EACCES, errno.EAGAIN, errno.ENOENT)
            if error.errno not in busy:
                raise
            mine = False
        if not mine:
            raise UserError(
                f"{work.parent / work.name.removeprefix(PREFIX)}: another "
                "process is exporting to it: wait for it, or name another "
                "folder"
            )
        yield
