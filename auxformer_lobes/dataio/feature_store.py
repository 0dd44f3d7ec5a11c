"""Extracted features on disk: each clip once, and safely.

A store is one HDF5 file an extractor and its settings. It is never written
to: clips that are finished wait beside it as parts, and these are merged into
a copy that takes the place of the old file. Any number of processes may write
into one store.
"""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import h5py
import numpy as np
import torch

from auxformer_lobes.dataio.staging import StagingArea
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import clip_of, key_of

DTYPES = ("float16", "float32", "uint8")
# What there is of a clip; `source` is what `Extractor.version` says
# of its file.
KINDS = ("features", "quality", "source")


class Failure(NamedTuple):
    """Why a clip has no features.

    Arguments
    ---------
    file : str
        Its sound or video file.
    reason : str
        What is wrong with it.
    """

    file: str
    reason: str


class FeatureStore:
    """Features of clips, and why others have none.

    Features of other settings, or another `dtype`, are another store. A clip
    whose file is another one than before is not current; one whose file has
    gone still is. There must be room on the disk for twice the size of the
    store. `auxformer_lobes.dataio.extraction` fills it.

    Arguments
    ---------
    folder : str
        Where the stores lie.
    features : Extractor
        Makes the features.
    dtype : str
        What the numbers are stored as: "float16" or "float32", or "uint8" for
        features that are bytes (face crops). By default what the extractor
        asks for.

    Example
    -------
    >>> import tempfile
    >>> from auxformer_lobes.features.base import Extractor
    >>> store = FeatureStore(tempfile.mkdtemp(), Extractor(dim=2))
    >>> store.add("one", "one.wav", torch.arange(6.0).view(3, 2))
    >>> store.fail("two", "two.wav", "two.wav: empty file")
    Failure(file='two.wav', reason='empty file')
    >>> store.merge()
    >>> list(store), "two" in store, list(store.failures())
    (['one'], False, ['two'])
    >>> store["one"]
    tensor([[0., 1.],
            [2., 3.],
            [4., 5.]])
    """

    def __init__(self, folder, features, dtype=None):
        dtype = dtype or features.dtype
        if dtype not in DTYPES:
            raise UserError(
                f"dtype {dtype!r} of a feature store is unknown: choose one "
                f"of {', '.join(DTYPES)}"
            )
        self.features = features
        self.dtype = np.dtype(dtype)
        self.settings = json.dumps(
            {**features.settings, "dtype": dtype}, sort_keys=True
        )
        digest = hashlib.sha256(self.settings.encode()).hexdigest()[:12]
        name = f"{features.settings['class']}-{digest}"
        self.path = Path(folder) / f"{name}.h5"
        self.parts = StagingArea(folder, name)
        self._opened = None, None
        self._failed = None, None  # what was read last

    def __getstate__(self):
        """Leaves out the open file, which is of this process only."""
        return {**vars(self), "_opened": (None, None)}

    def __contains__(self, clip):
        """Whether there are features of this clip."""
        return self.path.exists() and _name("features", clip) in self._file()

    def __iter__(self):
        """Goes through the names of the clips that have features."""
        keys = self._file()["features"] if self.path.exists() else ()
        return iter([unquote(key) for key in keys])

    def __getitem__(self, clip):
        """Returns the features of a clip, `[time, channels]`.

        They are float32, or uint8 where they are stored so.
        """
        features = torch.from_numpy(self._file()[_name("features", clip)][()])
        return features if self.dtype == np.uint8 else features.float()

    def quality(self, clip):
        """Says how far each frame of a clip can be trusted.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        quality : torch.Tensor
            `[time]`, uint8, see `ClipInput`; None if the extractor cannot
            tell.
        """
        quality = self._file().get(_name("quality", clip))
        return None if quality is None else torch.from_numpy(quality[()])

    def arrays(self, clip):
        """All that is stored of a clip, as it is stored.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        dict of numpy.ndarray
            Of `KINDS`; the quality only if the extractor gives it.
        """
        stored = {kind: self._file().get(_name(kind, clip)) for kind in KINDS}
        return {k: array[()] for k, array in stored.items() if array}

    def has_current(self, clip, path):
        """Whether there are features of this very file.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its sound or video file.

        Returns
        -------
        bool
            Also true where the file has gone.
        """
        if clip not in self:
            return False
        version = self.features.version(clip, path)
        return version in (-1, self._file()[_name("source", clip)][()])

    def failures(self):
        """Why clips have no features, as far as they were tried.

        Returns
        -------
        dict
            Clip -> `Failure`.
        """
        if not self.failures_path.exists():
            return {}
        status = self.failures_path.stat()
        identity = status.st_ino, status.st_mtime_ns
        if self._failed[0] != identity:
            table = json.loads(self.failures_path.read_text("utf-8"))
            failures = {clip: Failure(**told) for clip, told in table.items()}
            self._failed = identity, failures
        return {**self._failed[1]}

    @property
    def failures_path(self):
        """The file that says why clips have no features."""
        return self.path.with_suffix(".failures.json")

    def add(self, clip, path, features, quality=None, version=None):
        """Adds the features of a clip, to be seen after the next `merge`.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its sound or video file.
        features : torch.Tensor
            `[time, channels]`.
        quality : torch.Tensor
            `[time]`, uint8, see `ClipInput`.
        version : int
            What `Extractor.version` said of the file before it was read; by
            default what it says now.

        Raises
        ------
        MediaError
            If there are none, or they are not finite.
        UserError
            If `dtype` cannot hold them, or they cannot be written.
        """
        exact = features.cpu().numpy()
        if not len(exact):
            raise MediaError(f"{path}: too short for a single frame")
        if not np.isfinite(exact).all():
            raise MediaError(f"{path}: its features are not finite")
        if self.dtype == np.uint8 and exact.dtype != np.uint8:
            raise UserError(
                f"{clip}: its features are {exact.dtype}, not bytes: set "
                "dtype of the store to float16 or float32"
            )
        with np.errstate(over="ignore"):
            stored = exact.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise UserError(
                f"{clip}: its features reach {np.abs(exact).max():.3g}, too "
                f"large for {self.dtype}: set dtype of the store to float32"
            )
        if version is None:
            version = self.features.version(clip, path)
        arrays = {"features": stored, "source": np.int64(version)}
        if quality is not None:
            arrays["quality"] = quality.numpy()
        self.add_arrays(clip, arrays)

    def add_arrays(self, clip, arrays):
        """Adds what another store has of a clip.

        Arguments
        ---------
        clip : str
            Name of the clip.
        arrays : dict of numpy.ndarray
            What `arrays` returns.
        """
        with self.parts.add(clip, ".npz") as file:
            np.savez(file, **arrays)

    def fail(self, clip, path, reason):
        """Notes that a clip cannot be used; features that it has are removed.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its sound or video file.
        reason : str
            What is wrong, with or without the name of the file before it.

        Returns
        -------
        failure : Failure
            What was noted.
        """
        failure = Failure(str(path), reason.replace(f"{path}: ", "", 1))
        # What is known is not written: the folder may be read-only.
        if clip not in self and self.failures().get(clip) == failure:
            return failure
        with self.parts.add(clip, ".json") as file:
            file.write(json.dumps(failure._asdict()).encode())
        return failure

    def merge(self):
        """Moves what waits in parts into the store.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        if not any(map(self.parts.finished, StagingArea.kinds)):
            return
        with self.parts.merging():
            added, failed = map(self.parts.finished, StagingArea.kinds)
            self._merge_features(added, failed)
            self._merge_failures(added, failed)
            for part in added + failed:
                part.unlink(missing_ok=True)

    def _merge_features(self, added, failed):
        outdated = [part for part in failed if clip_of(part) in self]
        if not added + outdated:
            return
        old = [self.path] if self.path.exists() else []
        size = sum(file.stat().st_size for file in added + old)
        # A disk that fills up while HDF5 writes makes it crash.
        if shutil.disk_usage(self.parts.folder).free < 1.1 * size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self.parts.in_place_of(self.path) as new:
            if old:
                shutil.copyfile(self.path, new)
            with h5py.File(new, "a") as target:
                target.attrs["settings"] = self.settings
                for part in added + outdated:
                    _remove(clip_of(part), target)
                for part in added:
                    _copy(part, target)

    def _merge_failures(self, added, failed):
        before = self.failures()
        failures = {**before}
        for part in added:
            failures.pop(clip_of(part), None)
        for part in failed:
            failures[clip_of(part)] = Failure(**json.loads(part.read_bytes()))
        if not failures:
            self.failures_path.unlink(missing_ok=True)
        elif failures != before:
            table = {c: failures[c]._asdict() for c in sorted(failures)}
            with self.parts.in_place_of(self.failures_path) as new:
                new.write_text(json.dumps(table, indent=1), "utf-8")

    def _file(self):
        """The HDF5 file, opened once a process and again when replaced."""
        identity = os.getpid(), self.path.stat().st_ino
        if self._opened[0] != identity:
            try:
                # No locking: a file that is in place is never written to.
                file = h5py.File(self.path, "r", locking=False)
            except OSError:
                raise UserError(
                    f"{self.path}: damaged or not readable: delete it, and "
                    "its features are extracted again"
                )
            self._opened = identity, file
        return self._opened[1]


def _name(kind, clip):
    return f"{kind}/{key_of(clip)}"


def _remove(clip, target):
    for kind in KINDS:
        if _name(kind, clip) in target:
            del target[_name(kind, clip)]


def _copy(part, target):
    with np.load(part) as arrays:
        for kind, values in arrays.items():
            target[_name(kind, clip_of(part))] = values
