"""Finished clips, each in a small file of its own, until they are merged.

HDF5 files do not survive a kill while they are written. So what is finished
is written here first, a file a clip, whole or not at all; any number of
processes may do so, on any machines that share the folder. From time to time
one of them merges these parts. `fcntl` locks keep merges apart (Linux and
macOS, on file systems that have such locks).
"""

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import key_of


class StagingArea:
    """A folder of parts.

    Arguments
    ---------
    folder : str
        Where what they are merged into lies; the parts are beside it.
    name : str
        Tells them from the parts of others.

    Example
    -------
    >>> parts = StagingArea(getfixture("tmp_path"), "letters")
    >>> with parts.add("a/b", ".txt") as file:
    ...     _ = file.write(b"one")
    >>> with parts.merging():
    ...     for part in parts.finished(".txt"):
    ...         print(clip_of(part), part.read_text())
    ...         part.unlink()
    a/b one
    """

    kinds = (".npz", ".json")

    def __init__(self, folder, name):
        self.home = Path(folder)
        self.name = name
        self.folder = self.home / ".parts" / name

    def finished(self, kind):
        """Lists the parts that there are.

        Arguments
        ---------
        kind : str
            The ending of their names.

        Returns
        -------
        list of pathlib.Path
            Sorted; `clip_of` tells whose they are.
        """
        return sorted(self.folder.glob(f"*{kind}"))

    @contextmanager
    def add(self, clip, kind):
        """Opens the part of a clip, in place of any other part that it has.

        Arguments
        ---------
        clip : str
            Name of the clip.
        kind : str
            The ending of the file's name.

        Yields
        ------
        file
            Open for bytes.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{key_of(clip)}{kind}"
            with self.in_place_of(part) as new, open(new, "wb") as file:
                yield file
            for other in {*self.kinds} - {kind}:
                part.with_suffix(other).unlink(missing_ok=True)

    @contextmanager
    def merging(self):
        """Keeps others from merging; a kill ends it.

        Raises
        ------
        UserError
            If something cannot be written meanwhile.
        """
        with self._writing(), open(self.folder.parent / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._clean()
            yield

    @contextmanager
    def in_place_of(self, path):
        """Gives a name to write to; the file takes its place when finished.

        Arguments
        ---------
        path : pathlib.Path
            The file to be.

        Yields
        ------
        pathlib.Path
            The file to write.
        """
        new = self.folder / f"{path.name}.{os.getpid()}.tmp"
        try:
            yield new
            with open(new, "rb") as file:
                os.fsync(file.fileno())
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)

    def _clean(self):
        """Removes what killed processes have left."""
        for left in self.folder.glob("*.tmp"):
            merged = left.name.startswith(self.name)
            # Others may write parts now, which takes moments, and then the
            # file has gone.
            with suppress(FileNotFoundError):
                if merged or time.time() - left.stat().st_mtime > 600:
                    left.unlink()

    @contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error).splitlines()[0]
            raise UserError(
                f"{self.home}: features cannot be written: {reason}: make "
                "room, or choose another folder"
            )
