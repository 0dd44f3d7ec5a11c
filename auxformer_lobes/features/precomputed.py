"""Features that somebody else has extracted: NumPy files, or one HDF5 file.

They are read as they are, and checked: numbers, all finite, as many channels
as said, and as many frames as the video or the sound is long.
"""

import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.processing.media import (
    check_file,
    picture_seconds,
    read_audio,
)
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import as_number, key_of

SAMPLE_RATE = 16000


class PrecomputedFeatures(Extractor):
    """What all features of others have in common.

    A kind says in `find` where those of a clip lie.

    Arguments
    ---------
    path : str
        The folder or file of all clips.
    dim : int
        Channels.
    modality : str
        "audio" or "visual": what they were made from.
    frames_per_second : float
        Rate of the features. If given, and if the clip's sound or video file
        is there, the number of frames must fit its length.
    tolerance : float
        s, by which the features may be longer or shorter than the file.
    **settings
        What else changes the features.

    Raises
    ------
    UserError
        If there is no such folder or file.
    """

    def __init__(
        self, path, dim, modality, frames_per_second, tolerance, **settings
    ):
        if modality not in ("audio", "visual"):
            raise UserError(f"modality: {modality}: not audio or visual")
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
        """Names the files that the features of a clip are in.

        Arguments
        ---------
        clip : str
            Its name.

        Returns
        -------
        list of Path
        """
        raise NotImplementedError

    def version(self, clip, path=None):
        """Changes when the files of a clip do, see `Extractor.version`."""
        try:
            stats = [file.stat() for file in self.files(clip)]
        except OSError:
            return -1
        stats = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        return as_number(stats) if stats else -1

    def find(self, clip):
        """Finds the features of a clip.

        Arguments
        ---------
        clip : str
            Its name.

        Returns
        -------
        features : np.ndarray
            `[time, dim]`, to be checked.
        quality : np.ndarray
            `[time]`, to be checked; None if it is not known.
        where : str
            A name for them in errors.

        Raises
        ------
        MediaError
            If there are none, or they cannot be read.
        """
        raise NotImplementedError

    def read(self, clip, path=None):
        """Returns the features of a clip, checked, see `Extractor.read`."""
        features, quality, where = self.find(clip)
        features = _checked(features, ["time", self.dim], where)
        if quality is not None:
            where = f"quality of {where}"
            quality = _checked(quality, [len(features)], where).astype(np.uint8)
            quality = torch.from_numpy(quality)
        if self.frames_per_second and path and os.path.exists(path):
            self._check_length(clip, path, len(features))
        return ClipInput(torch.from_numpy(features), quality)

    def _check_length(self, clip, path, found):
        rate = self.frames_per_second
        if self.modality == "audio":
            seconds = len(read_audio(path, SAMPLE_RATE)) / SAMPLE_RATE
            expected = round(seconds * rate)
        else:  # from the first picture to the last, both included
            expected = round(picture_seconds(path) * rate) + 1
        if abs(found - expected) > self.tolerance * rate:
            raise MediaError(
                f"{path}: {clip} has {found} frames of features, but the file "
                f"is as long as {expected}, at {rate:g} a second: other "
                "features, or another frames_per_second"
            )


class NumpyFeatures(PrecomputedFeatures):
    """Features of others in NumPy files.

    One of `<folder>/<clip>.npy`, `[time, dim]`; `<folder>/<clip>.npz` with
    such an array, and perhaps another one, `quality`, `[time]`; or a file a
    frame, `<folder>/<clip>/<frame>.npy`, `[dim]`, in the order of the last
    number in the file's name: frame 10 comes after frame 9.

    Arguments
    ---------
    folder : str
        Where they lie.
    dim : int
        Channels.
    modality : str
        "audio" or "visual": what they were made from.
    name : str
        Name of the array in an NPZ file; needed if there are several.
    frames_per_second : float
        Rate of the features. If given, and if the clip's sound or video file
        is there, the number of frames must fit its length.
    tolerance : float
        s, by which the features may be longer or shorter than the file.

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
            raise UserError(f"{folder}: no such folder of features")

    def find(self, clip):
        """Finds the features of a clip, see `PrecomputedFeatures.find`."""
        files = self.files(clip)
        if not files:
            raise MediaError(
                f"{self.path}: has no features of {clip}, neither {clip}.npy "
                f"nor {clip}.npz nor {clip}/<frame>.npy"
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
                    f"{path}: frame {number} is {frames[number].name}, too: "
                    "the last number in a name must be that of its frame"
                )
            frames[number] = path
        arrays = [
            _checked(_load(frames[number]), [self.dim], frames[number])
            for number in sorted(frames)
        ]
        return np.stack(arrays), None, files[0].parent

    def files(self, clip):
        """Names the files of a clip, see `PrecomputedFeatures.files`."""
        for suffix in ("npy", "npz"):
            whole = self.path / f"{clip}.{suffix}"
            if whole.exists():
                return [whole]
        return sorted((self.path / clip).glob("*.npy"))

    def _from_npz(self, path):
        arrays = _load(path)
        names = [self.name or name for name in arrays if name != "quality"]
        if len({*names} & {*arrays}) != 1:
            raise MediaError(
                f"{path}: has the arrays {', '.join(arrays)}: set name to "
                "that of the features"
            )
        return arrays[names[0]], arrays.get("quality"), path


class HDF5Features(PrecomputedFeatures):
    """Features of others in one HDF5 file of any size.

    A dataset a clip, `[time, dim]`, called as the clip. Or as a
    `FeatureStore` has them: `features/<clip>`, and perhaps `quality/<clip>`,
    `[time]`; so that its file can be given to somebody else.

    Arguments
    ---------
    path : str
        The file.
    dim : int
        Channels.
    modality : str
        "audio" or "visual": what they were made from.
    frames_per_second : float
        Rate of the features. If given, and if the clip's sound or video file
        is there, the number of frames must fit its length.
    tolerance : float
        s, by which the features may be longer or shorter than the file.

    Raises
    ------
    UserError
        If there is no such file, or it is none of HDF5.

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
        """Leaves out the open file, which is of this process only."""
        return {**vars(self), "_opened": (None, None)}

    def find(self, clip):
        """Finds the features of a clip, see `PrecomputedFeatures.find`."""
        file = self._file()
        features = file.get(f"features/{key_of(clip)}", file.get(clip))
        if not isinstance(features, h5py.Dataset):
            raise MediaError(
                f"{self.path}: has no features of {clip}, neither a dataset "
                f"{clip} nor features/{clip}"
            )
        quality = file.get(f"quality/{key_of(clip)}")
        try:
            return (
                features[()],
                None if quality is None else quality[()],
                f"{self.path}: {clip}",
            )
        except OSError:
            raise MediaError(f"{self.path}: {clip} is damaged")

    def _file(self):
        """The file, opened once a process."""
        identity = os.getpid(), self.version(None)
        if self._opened[0] != identity:
            check_file(self.path)
            try:
                file = h5py.File(self.path, "r", locking=False)
            except OSError:
                raise UserError(f"{self.path}: no HDF5 file, or a damaged one")
            self._opened = identity, file
        return self._opened[1]


def _load(path):
    """An array, or those of an NPZ file by their names."""
    check_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray) != (path.suffix == ".npy"):
            raise ValueError("an array in place of several, or the reverse")
        return loaded if path.suffix == ".npy" else dict(loaded)
    except Exception:  # a damaged file fails in any way
        raise MediaError(f"{path}: not an array of numbers, or damaged")


def _checked(array, shape, where):
    """Makes sure that an array can be features; as float32."""
    if array.dtype.kind not in "fiu":
        raise MediaError(f"{where}: not an array of numbers, or damaged")
    wrong = array.ndim != len(shape) or any(
        isinstance(wanted, int) and wanted != found
        for wanted, found in zip(shape, array.shape)
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
