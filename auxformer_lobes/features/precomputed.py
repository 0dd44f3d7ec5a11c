"""Precomputed features, from NumPy files or one HDF5 file.

They are read unchanged, and checked: finite numbers, `dim` channels, and as
many frames as the wav or video file has.
"""

import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.media import check_file
from auxformer_lobes.processing.video import video_seconds
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import as_number, key_of
from auxformer_lobes.utils.segments import split_segment

SAMPLE_RATE = 16000  # Hz
VALIDITY = "frame_validity"  # name of the optional array


class PrecomputedFeatures(Extractor):
    """Base class; a subclass implements `files` and `find`.

    Arguments
    ---------
    path : str
        The folder or file with all clips.
    dim : int
        Feature channels.
    modality : str
        "audio" or "visual".
    frames_per_second : float
        Rate of the features, frames/s. If given, the number of frames is
        checked against the wav or video file, where that exists.
    tolerance : float
        Allowed difference between features and file, s.
    **settings
        Further options that change the features.

    Raises
    ------
    UserError
        If the modality is unknown.
    """

    def __init__(
        self, path, dim, modality, frames_per_second, tolerance, **settings
    ):
        if modality not in ("audio", "visual"):
            raise UserError(f"modality must be audio or visual, not {modality}")
        self.path = Path(path).resolve()
        self.modality = modality
        self.frames_per_second = frames_per_second
        self.tolerance = tolerance
        super().__init__(
            dim,
            path=str(self.path),
            channels=dim,
            frames_per_second=frames_per_second,
            tolerance=tolerance,
            **settings,
        )

    def files(self, clip):
        """Lists the files with the features of a clip.

        Arguments
        ---------
        clip : str
            Name of the clip.

        Returns
        -------
        list of pathlib.Path
            Empty if there are none.
        """
        raise NotImplementedError

    def version(self, clip, path=None):
        """From size and time of the files, see `Extractor.version`."""
        try:
            stats = [file.stat() for file in self.files(clip)]
        except OSError:
            return -1
        stats = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        return as_number(stats) if stats else -1

    def find(self, clip):
        """Loads the arrays of a clip, not yet checked.

        Arguments
        ---------
        clip : str
            Name of the clip.

        Returns
        -------
        features : np.ndarray
            `[time, dim]`.
        validity : np.ndarray
            `[time]`, the `ClipInput.frame_validity`; None if there is none.
        where : str
            Their place, for errors.

        Raises
        ------
        MediaError
            If there are none, or they cannot be read.
        """
        raise NotImplementedError

    def read(self, clip, path=None):
        """Reads and checks the features of a clip, see `Extractor.read`."""
        features, validity, where = self.find(clip)
        features = _checked(features, ["time", self.dim], where)
        if validity is not None:
            where = f"frame_validity of {where}"
            validity = _checked(validity, [len(features)], where)
            validity = torch.from_numpy(validity.astype(np.uint8))
        file = path and split_segment(path).file
        if self.frames_per_second and file and os.path.exists(file):
            self._check_length(clip, path, len(features))
        return ClipInput(torch.from_numpy(features), validity)

    def _check_length(self, clip, path, found):
        rate = self.frames_per_second
        if self.modality == "audio":
            seconds = len(read_audio(path, SAMPLE_RATE)) / SAMPLE_RATE
            expected = round(seconds * rate)
        else:  # from the first frame to the last, both included
            expected = round(video_seconds(path) * rate) + 1
        if abs(found - expected) > self.tolerance * rate:
            raise MediaError(
                f"{path}: {clip} has {found} frames of features, but the file "
                f"has {expected} at {rate:g} frames/s: correct the features or "
                "frames_per_second"
            )


class NumpyFeatures(PrecomputedFeatures):
    """Precomputed features in NumPy files.

    For each clip one of `<folder>/<clip>.npy`, `[time, dim]`;
    `<folder>/<clip>.npz` with such an array and, optionally, an array
    `frame_validity`, `[time]`; or one file per frame,
    `<folder>/<clip>/<frame>.npy`, `[dim]`, in the order of the last number in
    the file name: frame 10 follows frame 9.

    Arguments
    ---------
    folder : str
        The folder.
    dim : int
        Feature channels.
    modality : str
        "audio" or "visual".
    name : str
        Name of the array in an NPZ file, needed if there are several.
    frames_per_second : float
        Rate of the features, frames/s. If given, the number of frames is
        checked against the wav or video file, where that exists.
    tolerance : float
        Allowed difference between features and file, s.

    Raises
    ------
    UserError
        If there is no such folder.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> np.save(folder / "clip.npy", np.zeros((75, 50), dtype=np.float32))
    >>> NumpyFeatures(folder, dim=50)("clip", None).shape
    torch.Size([75, 50])
    """

    def __init__(
        self,
        folder,
        dim,
        modality="visual",
        name=None,
        frames_per_second=None,
        tolerance=0.25,
    ):
        self.name = name
        super().__init__(
            folder, dim, modality, frames_per_second, tolerance, name=name
        )
        if not self.path.is_dir():
            raise UserError(f"{folder}: no such folder")

    def find(self, clip):
        """Loads the arrays of a clip, see `PrecomputedFeatures.find`."""
        files = self.files(clip)
        if not files:
            raise MediaError(
                f"{self.path}: has no features of {clip}: add {clip}.npy, "
                f"{clip}.npz or {clip}/<frame>.npy"
            )
        if files[0].parent == self.path:
            if files[0].suffix == ".npz":
                return self._from_npz(files[0])
            return _load(files[0]), None, files[0]
        frames = {}
        for path in files:
            number = _frame_number(path)
            if number in frames:
                raise MediaError(
                    f"{path}: {frames[number].name} is frame {number} too: "
                    "rename them so that the last number is that of the frame"
                )
            frames[number] = path
        arrays = [
            _checked(_load(frames[number]), [self.dim], frames[number])
            for number in sorted(frames)
        ]
        return np.stack(arrays), None, files[0].parent

    def files(self, clip):
        """Lists the files of a clip, see `PrecomputedFeatures.files`."""
        for suffix in ("npy", "npz"):
            whole = self.path / f"{clip}.{suffix}"
            if whole.exists():
                return [whole]
        return sorted((self.path / clip).glob("*.npy"))

    def _from_npz(self, path):
        arrays = _load(path)
        names = [self.name or name for name in arrays if name != VALIDITY]
        if len({*names} & {*arrays}) != 1:
            raise MediaError(
                f"{path}: has arrays {', '.join(arrays)}: set name to that of "
                "the features"
            )
        return arrays[names[0]], arrays.get(VALIDITY), path


class HDF5Features(PrecomputedFeatures):
    """Precomputed features in one HDF5 file of any size.

    Either one dataset per clip, `[time, dim]`, named after the clip; or as in
    the file of a `FeatureStore`, which can thus be shared: `features/<clip>`
    and, optionally, `frame_validity/<clip>`, `[time]`.

    Arguments
    ---------
    path : str
        The file.
    dim : int
        Feature channels.
    modality : str
        "audio" or "visual".
    frames_per_second : float
        Rate of the features, frames/s. If given, the number of frames is
        checked against the wav or video file, where that exists.
    tolerance : float
        Allowed difference between features and file, s.

    Raises
    ------
    UserError
        If there is no such file, or it is not HDF5.

    Example
    -------
    >>> path = getfixture("tmp_path") / "features.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["clip"] = np.zeros((75, 50), dtype=np.float32)
    >>> HDF5Features(path, dim=50)("clip", None).shape
    torch.Size([75, 50])
    """

    def __init__(
        self,
        path,
        dim,
        modality="visual",
        frames_per_second=None,
        tolerance=0.25,
    ):
        super().__init__(path, dim, modality, frames_per_second, tolerance)
        self._opened = None, None
        self._file()

    def files(self, clip):
        """Names the one file, see `PrecomputedFeatures.files`."""
        return [self.path]

    def __getstate__(self):
        """Excludes the open file, which belongs to this process."""
        return {**vars(self), "_opened": (None, None)}

    def find(self, clip):
        """Loads the arrays of a clip, see `PrecomputedFeatures.find`."""
        file = self._file()
        features = file.get(f"features/{key_of(clip)}", file.get(clip))
        if not isinstance(features, h5py.Dataset):
            raise MediaError(
                f"{self.path}: has no features of {clip}: add a dataset {clip} "
                f"or features/{clip}"
            )
        validity = file.get(f"{VALIDITY}/{key_of(clip)}")
        try:
            return (
                features[()],
                None if validity is None else validity[()],
                f"{self.path}: {clip}",
            )
        except OSError:
            raise MediaError(
                f"{self.path}: {clip} is damaged: copy the file again"
            )

    def _file(self):
        """The HDF5 file, opened once per process and version."""
        identity = os.getpid(), self.version(None)
        if self._opened[0] != identity:
            check_file(self.path)
            try:
                file = h5py.File(self.path, "r", locking=False)
            except OSError:
                raise UserError(f"{self.path}: not an HDF5 file, or damaged")
            self._opened = identity, file
        return self._opened[1]


def _load(path):
    """The array of an NPY file, or a dict with those of an NPZ file."""
    check_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray) != (path.suffix == ".npy"):
            raise ValueError("NPY and NPZ confused")
        return loaded if path.suffix == ".npy" else dict(loaded)
    except Exception:  # a damaged file raises errors of any type
        raise MediaError(f"{path}: not an array of numbers, or damaged")


def _checked(array, shape, where):
    """Returns an array as float32, or explains why it cannot be used."""
    if array.dtype.kind not in "fiu":
        raise MediaError(f"{where}: not an array of numbers, or damaged")
    wrong = array.ndim != len(shape) or any(
        isinstance(expected, int) and expected != found
        for expected, found in zip(shape, array.shape)
    )
    if wrong or not len(array):
        raise MediaError(
            f"{where}: its shape is {list(array.shape)}, not {shape}"
        )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise MediaError(f"{where}: has values that are not finite")
    return array


def _frame_number(path):
    numbers = re.findall(r"\d+", path.stem)
    if not numbers:
        raise MediaError(f"{path}: no frame number in the file's name")
    return int(numbers[-1])
