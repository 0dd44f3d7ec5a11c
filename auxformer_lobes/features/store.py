"""Extracted features on disk: each clip once, and safely.

A store is one HDF5 file an extractor and its settings. HDF5 files do not
survive a kill while they are written, so they never are: each finished clip
is a small file of its own at first, and these are merged into a copy that
takes the place of the old file. Any number of processes may extract into one
store.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import h5py
import numpy as np
import torch
from tqdm import tqdm

from auxformer_lobes.errors import MediaError, UserError


class ExtractionReport(NamedTuple):
    """What became of the clips of one extraction.

    Arguments
    ---------
    present : int
        Clips that were in the store already.
    extracted : int
        Clips that are new in it.
    failed : dict
        Why a clip is not in it: clip to reason.
    untrusted : list
        New clips of which no frame can be trusted (quality 0 throughout):
        with pictures, those in which no face was found.
    seconds : float
        How long it took.
    """

    present: int
    extracted: int
    failed: dict
    untrusted: list
    seconds: float


class FeatureStore:
    """Features of clips, extracted where they are missing.

    Features of other settings, or another `dtype`, are another store. A clip
    whose file has another size than before is extracted again. There must be
    room on the disk for twice the size of the store.

    Arguments
    ---------
    folder : str
        Where the stores lie.
    features : Extractor
        Makes the features.
    dtype : str
        What the numbers are stored as, "float16" or "float32".

    Example
    -------
    >>> import tempfile
    >>> from auxformer_lobes.features.extractor import Extractor, Reading
    >>> class Counter(Extractor):
    ...     def read(self, clip, path):
    ...         return Reading(torch.arange(6.0).view(3, 2))
    >>> store = FeatureStore(tempfile.mkdtemp(), Counter(dim=2))
    >>> report = store.extract({"one": "one.wav", "two": "two.wav"})
    >>> report.extracted, "one" in store, "three" in store
    (2, True, False)
    >>> store["one"]
    tensor([[0., 1.],
            [2., 3.],
            [4., 5.]])
    """

    def __init__(self, folder, features, dtype="float16"):
        self.features = features
        self.dtype = np.dtype(dtype)
        self.settings = json.dumps(
            {**features.settings, "dtype": dtype}, sort_keys=True
        )
        digest = hashlib.sha256(self.settings.encode()).hexdigest()[:12]
        name = f"{features.settings['class']}-{digest}"
        self.path = Path(folder) / f"{name}.h5"
        self.parts = Path(folder) / ".parts" / name
        self._opened = None, None

    def __getstate__(self):
        """Leaves out the open file, which is of this process only."""
        return {**vars(self), "_opened": (None, None)}

    def __contains__(self, clip):
        """Whether there are features of this clip."""
        return self.path.exists() and _name("features", clip) in self._file()

    def __getitem__(self, clip):
        """Returns the features of a clip, `[time, channels]`, float32."""
        features = self._file()[_name("features", clip)][()]
        return torch.from_numpy(features).float()

    def quality(self, clip):
        """Says how far each frame of a clip can be trusted.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        quality : torch.Tensor
            `[time]`, uint8, see `Reading`; None if the extractor cannot
            tell.
        """
        quality = self._file().get(_name("quality", clip))
        return None if quality is None else torch.from_numpy(quality[()])

    def extract(self, paths, num_workers=0, description="features"):
        """Extracts the features of those clips that the store does not have.

        Clips whose file cannot be used are left out, and tried again the
        next time. A run that is killed loses only the clips it was at.

        Arguments
        ---------
        paths : dict
            Clip to sound or video file.
        num_workers : int
            Processes that read files.
        description : str
            Label of the progress bar.

        Returns
        -------
        report : ExtractionReport
            What became of the clips.

        Raises
        ------
        UserError
            If the features cannot be written.
        """
        start = time.perf_counter()
        self._merge()
        missing = {
            clip: path
            for clip, path in paths.items()
            if not self._has_current(clip, path)
        }
        failed, untrusted = {}, []
        readings = torch.utils.data.DataLoader(
            _Readings(self.features, missing),
            batch_size=None,
            num_workers=min(num_workers, len(missing)),
        )
        for clip, reading, reason in tqdm(
            readings, description, unit="clip", disable=None
        ):
            if reading is not None:
                (features,) = self.features.encode([reading.values])
                source = _size(missing[clip])
                reason = self._add(clip, features, reading.quality, source)
            if reason is not None:
                failed[clip] = reason
            elif reading.quality is not None and not reading.quality.any():
                untrusted.append(clip)
        self._merge()
        return ExtractionReport(
            present=len(paths) - len(missing),
            extracted=len(missing) - len(failed),
            failed=failed,
            untrusted=untrusted,
            seconds=time.perf_counter() - start,
        )

    def _has_current(self, clip, path):
        """Whether there are features of this very file."""
        if clip not in self:
            return False
        return self._file()[_name("source", clip)][()] == _size(path)

    def _add(self, clip, features, quality, source):
        """Writes one clip as a part; returns why not if it cannot be used."""
        exact = features.cpu().numpy()
        if not np.isfinite(exact).all():
            return "its features are not finite"
        with np.errstate(over="ignore"):
            arrays = {
                "features": exact.astype(self.dtype),
                "source": np.int64(source),
            }
        if not np.isfinite(arrays["features"]).all():
            raise UserError(
                f"{clip}: its features reach {np.abs(exact).max():.3g}, too "
                f"large for {self.dtype}: set dtype of the store to float32"
            )
        if quality is not None:
            arrays["quality"] = quality.numpy()
        with self._writing():
            self.parts.mkdir(parents=True, exist_ok=True)
            part = self.parts / f"{_key(clip)}.npz"
            with self._in_place_of(part) as new, open(new, "wb") as file:
                np.savez(file, **arrays)

    def _merge(self):
        """Moves what lies in parts into the HDF5 file."""
        if not any(self.parts.glob("*.npz")):
            return
        with self._writing(), _locked(self.parts.parent / "lock"):
            self._clean()
            parts = sorted(self.parts.glob("*.npz"))
            old = [self.path] if self.path.exists() else []
            size = sum(file.stat().st_size for file in parts + old)
            # A disk that fills up while HDF5 writes makes it crash.
            if shutil.disk_usage(self.parts).free < 1.1 * size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with self._in_place_of(self.path) as new:
                if old:
                    shutil.copyfile(self.path, new)
                with h5py.File(new, "a") as target:
                    target.attrs["settings"] = self.settings
                    for part in parts:
                        _copy(part, target)
            for part in parts:
                part.unlink()

    @contextmanager
    def _in_place_of(self, path):
        """Gives a file to write, which takes its place when finished."""
        new = self.parts / f"{path.name}.{os.getpid()}.tmp"
        try:
            yield new
            with open(new, "rb") as file:
                os.fsync(file.fileno())
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)

    def _clean(self):
        """Removes what killed processes have left."""
        for left in self.parts.glob("*.tmp"):
            merged = left.name.startswith(self.path.name)
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
                f"{self.path.parent}: features cannot be written: {reason}: "
                "make room, or choose another folder"
            )

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


class _Readings(torch.utils.data.Dataset):
    """Reads clips, in workers: name, reading, and why there is none."""

    def __init__(self, features, paths):
        self.features = features
        self.paths = list(paths.items())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        clip, path = self.paths[index]
        try:
            return clip, self.features.read(clip, path), None
        except MediaError as error:
            return clip, None, str(error)


def _size(path):
    """By what a file is told from another one of the same name."""
    try:
        return os.path.getsize(path)
    except (OSError, TypeError):  # released features need no file
        return -1


def _key(clip):
    # A slash would be a folder, on disk and in HDF5.
    return quote(clip, safe="")


def _name(kind, clip):
    return f"{kind}/{_key(clip)}"


def _copy(part, target):
    with np.load(part) as arrays:
        for kind, values in arrays.items():
            # It is there already if the file was another one before.
            if f"{kind}/{part.stem}" in target:
                del target[f"{kind}/{part.stem}"]
            target[f"{kind}/{part.stem}"] = values


@contextmanager
def _locked(path):
    """Keeps other processes out; a kill ends it."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
