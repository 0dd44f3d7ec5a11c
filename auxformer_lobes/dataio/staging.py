"""Finished clips, one small file each, until they are merged into a store.

HDF5 files do not survive a kill while they are written. Results are therefore
staged first: one file per clip, complete or absent. Any number of processes
may stage files, on any machines that share the folder; from time to time one
of them merges the staged files. `fcntl` locks keep merges apart (Linux and
macOS, on file systems with such locks).
"""

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import key_of

MAX_AGE = 600  # s after which an unfinished file belongs to a killed process


class StagingArea:
    """A folder of staged files, one per clip.

    Arguments
    ---------
    folder : str
        Folder of the store; the staged files are in a subfolder.
    name : str
        Name of the store.

    Example
    -------
    >>> from auxformer_lobes.utils.files import clip_of
    >>> staging = StagingArea(getfixture("tmp_path"), "letters")
    >>> with staging.write("a/b", ".txt") as file:
    ...     _ = file.write(b"one")
    >>> with staging.merging():
    ...     for staged in staging.files(".txt"):
    ...         print(clip_of(staged), staged.read_text())
    ...         staged.unlink()
    a/b one
    """

    suffixes = (".npz", ".json")

    def __init__(self, folder, name):
        self.home = Path(folder)
        self.name = name
        self.folder = self.home / ".staging" / name

    def files(self, suffix):
        """Lists the staged files of one type.

        Arguments
        ---------
        suffix : str
            Suffix of their names.

        Returns
        -------
        list of pathlib.Path
            Sorted; `clip_of` gives their clips.
        """
        return sorted(self.folder.glob(f"*{suffix}"))

    @contextmanager
    def write(self, clip, suffix):
        """Opens a staged file that replaces any other of the same clip.

        Arguments
        ---------
        clip : str
            Name of the clip.
        suffix : str
            Suffix of the file name.

        Yields
        ------
        file
            Open for writing bytes.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        with self._write_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{key_of(clip)}{suffix}"
            with self.replacing(path) as new, open(new, "wb") as file:
                yield file
            for other in {*self.suffixes} - {suffix}:
                path.with_suffix(other).unlink(missing_ok=True)

    @contextmanager
    def merging(self):
        """Holds the lock for a merge; the end of the process releases it.

        Raises
        ------
        UserError
            If something cannot be written during the merge.
        """
        lock = self.folder.parent / "lock"
        with self._write_errors(), open(lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._clean()
            yield

    @contextmanager
    def replacing(self, path):
        """Yields a temporary path; its file replaces `path` when complete.

        Arguments
        ---------
        path : pathlib.Path
            The file to replace, on the same file system.

        Yields
        ------
        pathlib.Path
            The file to write.
        """
        new = self.folder / f"{path.name}.{os.getpid()}.tmp"
        try:
            yield new
            # Without this, a power cut could leave an empty file.
            with open(new, "rb") as file:
                os.fsync(file.fileno())
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)

    def _clean(self):
        """Removes temporary files of killed processes; needs the lock."""
        for left in self.folder.glob("*.tmp"):
            # Only merges write files with the name of the store, and no other
            # merge is running. Staged files may be in progress, and gone a
            # moment later.
            of_merge = left.name.startswith(self.name)
            with suppress(FileNotFoundError):
                if of_merge or time.time() - left.stat().st_mtime > MAX_AGE:
                    left.unlink()

    @contextmanager
    def _write_errors(self):
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error).splitlines()[0]
            raise UserError(
                f"{self.home}: features cannot be written: {reason}: make "
                "room, or choose another folder"
            )
