"""Finished clips, one small file each, until they are merged into a store.

HDF5 files do not survive a kill while they are written. Results are therefore
staged first: one file per clip, complete or absent. Any number of processes
may stage files, on any machines that share the folder; from time to time one
of them merges the staged files. `fcntl` locks keep merges apart (Linux and
macOS, on file systems with such locks).
"""

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path

from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.hdf5_clips import DamagedClipError
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import (
    atomic_write,
    clear_temporaries,
    key_of,
    reason_of,
)

logger = get_logger(__name__)


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

    def is_empty(self):
        """Whether there is nothing that could be merged, or cleared.

        Returns
        -------
        bool
            True, too, in a folder that may only be read.
        """
        with self._write_errors():
            can_write = os.access(self.folder, os.W_OK)
            return not (can_write and any(self.folder.iterdir()))

    def whole_files(self, suffix, load):
        """Lists the staged files of one type, after removing damaged ones.

        Arguments
        ---------
        suffix : str
            Suffix of their names.
        load : callable
            Loads one, or raises a `DamagedClipError`.

        Returns
        -------
        list of pathlib.Path
        """
        whole, files = [], self.files(suffix)
        for path in files:
            try:
                load(path)
                whole.append(path)
            except DamagedClipError:
                path.unlink()
        if len(whole) < len(files):
            logger.warning(
                f"{self.folder}: damaged files removed: "
                f"{len(files) - len(whole)}; their clips are extracted again"
            )
        return whole

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
            with atomic_write(path, "wb") as file:
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

        For files that a library opens itself; needs the lock.

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
        # Only merges write files with the name of the store, and no other merge
        # is running.
        for left in self.folder.glob(f"{self.name}.*.tmp"):
            left.unlink(missing_ok=True)
        clear_temporaries(self.folder)

    @contextmanager
    def _write_errors(self):
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.home}: features cannot be written: {reason_of(error)}"
            )
