"""Visual features: HOG of the face, and released feature folders."""

import re
from pathlib import Path

import cv2
import numpy as np
import torch

from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features.extractor import Extractor, Reading
from auxformer_lobes.features.faces import FaceTracker
from auxformer_lobes.features.media import check_file


class HogFeatures(Extractor):
    """Histograms of oriented gradients of the grey face in each frame.

    Blocks of 16×16 pixels, 8 apart, of 2×2 cells with 9 directions: 1764
    numbers for a face of 64×64.

    Arguments
    ---------
    faces : FaceTracker
        Finds the face; its `size` is a multiple of 8. By default one for
        faces of 64×64.
    frames_per_second : float
        Constant rate of the features; by default that of the video.

    Example
    -------
    >>> HogFeatures(frames_per_second=15).dim
    1764
    """

    modality = "visual"

    def __init__(self, faces=None, frames_per_second=None):
        self.faces = faces or FaceTracker(size=64)
        self.frames_per_second = frames_per_second
        super().__init__(
            dim=self._hog().getDescriptorSize(),
            faces=self.faces.settings,
            frames_per_second=frames_per_second,
        )

    def read(self, clip, path):
        """Returns HOG and quality of each frame, see `Extractor.read`."""
        faces = self.faces(path, self.frames_per_second)
        hog = self._hog()
        grey = (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in faces.crops)
        features = np.stack([hog.compute(crop) for crop in grey])
        return Reading(
            torch.from_numpy(features), torch.from_numpy(faces.quality)
        )

    def _hog(self):
        # Made anew each time: it cannot be pickled.
        size = (self.faces.size, self.faces.size)
        return cv2.HOGDescriptor(size, (16, 16), (8, 8), (8, 8), 9)


class FeatureFolder(Extractor):
    """Features that somebody else has extracted, as NumPy files.

    Either `<folder>/<clip>.npy`, `[time, dim]`, or a file a frame,
    `<folder>/<clip>/<frame>.npy`, `[dim]`, in the order of the last number
    in the file's name: frame 10 comes after frame 9.

    Arguments
    ---------
    folder : str
        Where they lie.
    dim : int
        Channels.

    Example
    -------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> np.save(f"{folder}/clip.npy", np.zeros((75, 50), dtype=np.float32))
    >>> FeatureFolder(folder, dim=50)("clip", None).shape
    torch.Size([75, 50])
    """

    modality = "visual"

    def __init__(self, folder, dim):
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise UserError(f"{folder}: no such folder of features")
        super().__init__(dim=dim, folder=str(self.folder), channels=dim)

    def read(self, clip, path=None):
        """Returns the features of a clip; the media file is not looked at.

        See `Extractor.read`.
        """
        whole = self.folder / f"{clip}.npy"
        if whole.exists():
            return Reading(self._load(whole, ndim=2))
        frames = (self.folder / clip).glob("*.npy")
        frames = sorted(frames, key=_frame_number)
        if not frames:
            raise MediaError(
                f"{self.folder}: has no features of {clip}, neither "
                f"{clip}.npy nor {clip}/<frame>.npy"
            )
        return Reading(
            torch.stack([self._load(path, ndim=1) for path in frames])
        )

    def _load(self, path, ndim):
        check_file(path)
        try:
            array = np.load(path, allow_pickle=False).astype(np.float32)
        except (ValueError, EOFError):
            raise MediaError(f"{path}: not an array of numbers")
        if array.ndim != ndim or array.shape[-1] != self.dim or not len(array):
            raise MediaError(
                f"{path}: its shape is {list(array.shape)}, not "
                f"{['time', self.dim][-ndim:]}"
            )
        if not np.isfinite(array).all():
            raise MediaError(f"{path}: has values that are not finite")
        return torch.from_numpy(array)


def _frame_number(path):
    numbers = re.findall(r"\d+", path.stem)
    if not numbers:
        raise MediaError(f"{path}: no frame number in the file's name")
    return int(numbers[-1])
