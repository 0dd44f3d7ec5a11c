"""Extracted features on disk: each clip once, safe against kills.

A store is one HDF5 file per extractor and settings. The file is never modified:
finished clips wait in a staging area, and a merge copies the file, adds them
and replaces it. Any number of processes may write into one store. Each clip has
a checksum, which is checked whenever it is read.
"""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import torch

from auxformer_lobes.dataio.failures import (
    Failure,
    format_failures,
    load_failure,
    parse_failures,
)
from auxformer_lobes.dataio.hdf5_clips import (
    ARRAYS,
    CHECKSUM,
    COVERED,
    DamagedClipError,
    checksum,
    load_staged,
    path_of,
    read_arrays,
    reading,
    write_clips,
)
from auxformer_lobes.dataio.staging import StagingArea
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import clip_of, reason_of

# Of the HDF5 file; clips in another format are extracted again. Those from
# before there were checksums are not: they are read unchecked.
FORMAT = 2
DTYPES = ("float16", "float32", "uint8")


class FeatureStore:
    """Features of clips, and the reasons why others have none.

    Other settings of the extractor, or another `dtype`, give another store. A
    clip is current unless its file has changed; a file that is gone does not
    matter. The disk needs room for twice the size of the store.
    `auxformer_lobes.dataio.extraction` fills it.

    Arguments
    ---------
    folder : str
        Folder of the stores.
    features : Extractor
        Extracts the features.
    dtype : str
        Stored dtype: "float16", "float32", or "uint8" for face crops. By
        default that of the extractor.

    Raises
    ------
    UserError
        If the dtype is unknown.

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
            {**features.settings, "dtype": dtype, "format": FORMAT},
            sort_keys=True,
        )
        digest = hashlib.sha256(self.settings.encode()).hexdigest()[:12]
        name = f"{features.settings['class']}-{digest}"
        self.path = Path(folder) / f"{name}.h5"
        self.staging = StagingArea(folder, name)
        # Identity of a file, and what was opened or read of it last.
        self._opened = None, None
        self._failures = None, None

    def __getstate__(self):
        """Excludes the open file, which belongs to this process."""
        return {**vars(self), "_opened": (None, None)}

    def __contains__(self, clip):
        """Whether a clip has features."""
        with reading(self.path):
            return self._exists() and path_of("features", clip) in self._file()

    def __iter__(self):
        """Iterates over the clips that have features."""
        with reading(self.path):
            keys = self._file()["features"] if self._exists() else ()
            return iter([unquote(key) for key in keys])

    def __getitem__(self, clip):
        """Features of a clip, `[time, channels]`, float32 or stored uint8."""
        return self.read(clip)[0]

    def frame_validity(self, clip):
        """Validity of each frame of a clip.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        torch.Tensor
            `[time]`, uint8, see `ClipInput`; None if all frames are valid.
        """
        return self.read(clip)[1]

    def read(self, clip):
        """Features and frame validity of a clip.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        features : torch.Tensor
            `[time, channels]`, float32 or stored uint8.
        frame_validity : torch.Tensor
            As that method returns it.

        Raises
        ------
        UserError
            If they are damaged.
        """
        arrays = self.arrays(clip, COVERED)
        features = torch.from_numpy(arrays["features"])
        validity = arrays.get("frame_validity")
        return (
            features if self.dtype == np.uint8 else features.float(),
            None if validity is None else torch.from_numpy(validity),
        )

    def arrays(self, clip, names=ARRAYS):
        """Stored arrays of a clip, in their stored dtypes.

        Arguments
        ---------
        clip : str
            A clip in the store.
        names : collection of str
            Which of `ARRAYS`.

        Returns
        -------
        dict of numpy.ndarray
            By name; `frame_validity` only if there is one.

        Raises
        ------
        UserError
            If they are damaged.
        """
        with reading(self.path):
            try:
                return read_arrays(self._file(), clip, names)
            except DamagedClipError:
                raise UserError(
                    f"{self.path}: the features of {clip} are damaged: start "
                    "train.py, or `auxformer extract`, again, which extracts "
                    "them again"
                )

    def is_whole(self, clip):
        """Whether the arrays of a clip are what was stored.

        Arguments
        ---------
        clip : str
            A clip in the store.

        Returns
        -------
        bool
            True, too, if it has no checksum.
        """
        with reading(self.path):
            try:
                read_arrays(self._file(), clip)
            except DamagedClipError:
                return False
            return True

    def has_current(self, clip, path):
        """Whether the features of a clip are from the current file.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its wav or video file.

        Returns
        -------
        bool
            True, too, if the file is gone.
        """
        if clip not in self:
            return False
        version = self.features.version(clip, path)
        try:
            with reading(self.path):
                stored = read_arrays(self._file(), clip, ["source"])
        except DamagedClipError:
            return False
        return version in (-1, stored["source"])

    def failures(self):
        """Why clips have no features, as far as they were tried.

        Returns
        -------
        dict
            Clip -> `Failure`.
        """
        try:
            status = self.failures_path.stat()
            identity = status.st_ino, status.st_mtime_ns
            if self._failures[0] != identity:
                text = self.failures_path.read_bytes()
                self._failures = identity, parse_failures(text)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"{self.failures_path}: {reason_of(error)}")
        return {**self._failures[1]}

    @property
    def failures_path(self):
        """The JSON file of `failures`."""
        return self.path.with_suffix(".failures.json")

    def add(self, clip, path, features, frame_validity=None, version=None):
        """Stages the features of a clip for the next `merge`.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its wav or video file.
        features : torch.Tensor
            `[time, channels]`.
        frame_validity : torch.Tensor
            `[time]`, uint8, see `ClipInput`.
        version : int
            `Extractor.version` of the file before it was read; by default its
            present one.

        Raises
        ------
        MediaError
            If there are no frames, or the features are not finite.
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
                f"{clip}: its features are {exact.dtype}, not uint8: set "
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
        if frame_validity is not None:
            arrays["frame_validity"] = frame_validity.numpy()
        self.add_arrays(clip, arrays)

    def add_arrays(self, clip, arrays):
        """Stages the arrays of a clip from another store.

        Arguments
        ---------
        clip : str
            Name of the clip.
        arrays : dict of numpy.ndarray
            As `arrays` returns them.
        """
        check = np.uint32(checksum(clip, arrays))
        with self.staging.write(clip, ".npz") as file:
            np.savez(file, **arrays, **{CHECKSUM: check})

    def fail(self, clip, path, reason):
        """Stages a failure, which also removes features of the clip.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its wav or video file.
        reason : str
            What is wrong, with or without the name of the file in front.

        Returns
        -------
        Failure
        """
        failure = Failure(str(path), reason.replace(f"{path}: ", "", 1))
        # A known failure writes nothing: the folder may be read-only.
        if clip not in self and self.failures().get(clip) == failure:
            return failure
        with self.staging.write(clip, ".json") as file:
            file.write(json.dumps(failure._asdict()).encode())
        return failure

    def merge(self):
        """Moves all staged files into the store.

        Those that are damaged are dropped: their clips are extracted again.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        if self.staging.is_empty():
            return
        with self.staging.merging():
            added = self.staging.whole_files(".npz", load_staged)
            failed = self.staging.whole_files(".json", load_failure)
            self._merge_features(added, failed)
            self._merge_failures(added, failed)
            # Last: a kill before this line repeats the merge, without harm.
            for staged in added + failed:
                staged.unlink(missing_ok=True)

    def _merge_features(self, added, failed):
        outdated = [c for c in map(clip_of, failed) if c in self]
        if not added + outdated:
            return
        old = [self.path] if self.path.exists() else []
        size = sum(file.stat().st_size for file in added + old)
        # Checked beforehand: HDF5 crashes the process when the disk is full.
        if shutil.disk_usage(self.staging.folder).free < 1.1 * size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self.staging.replacing(self.path) as new, reading(self.path):
            write_clips(new, self.path, self.settings, added, outdated)

    def _merge_failures(self, added, failed):
        before = self.failures()
        failures = {**before}
        for staged in added:
            failures.pop(clip_of(staged), None)
        for staged in failed:
            failures[clip_of(staged)] = load_failure(staged)
        if not failures:
            self.failures_path.unlink(missing_ok=True)
        elif failures != before:
            with self.staging.replacing(self.failures_path) as new:
                new.write_text(format_failures(failures), "utf-8")

    def _exists(self):
        try:
            self.path.stat()
            return True
        except FileNotFoundError:
            return False

    def _file(self):
        """The HDF5 file, opened once per process and again when replaced."""
        identity = os.getpid(), self.path.stat().st_ino
        if self._opened[0] != identity:
            # No lock: the file is never modified in place.
            file = h5py.File(self.path, "r", locking=False)
            self._opened = identity, file
        return self._opened[1]
