"""Histograms of oriented gradients (HOG) of face crops."""

import cv2
import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.features.face_base import (
    FaceFeatures,
    check_rate,
    check_tracker,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FACES

NO_HOG = (
    f"OpenCV {cv2.__version__} has no HOGDescriptor: choose another encoder, "
    "or pip install 'opencv-python-headless<5'"
)


class HogFeatures(FaceFeatures):
    """HOG of the face in each frame, in grey.

    Blocks of 16×16 pixels with a stride of 8, 2×2 cells and 9 orientations:
    1764 dims for a crop of 64×64 (Dalal and Triggs, CVPR 2005).

    Arguments
    ---------
    faces : FaceTracker
        Finds the face; its `size` is a multiple of 8, at least 16. By
        default a tracker with crops of 64×64.
    frames_per_second : float
        Constant frame rate, frames/s; by default that of the video.

    Example
    -------
    >>> HogFeatures(frames_per_second=15).dim
    1764
    """

    schema = FACES

    def __init__(self, faces=None, frames_per_second=None):
        self.faces = check_tracker(faces, 64)
        if self.faces.size % 8 or self.faces.size < 16:
            raise UserError(
                f"faces: size is {self.faces.size}: HOG needs a multiple of 8, "
                "at least 16"
            )
        self.frames_per_second = check_rate(frames_per_second)
        blocks = self.faces.size // 8 - 1  # along a side, overlapping
        super().__init__(
            dim=36 * blocks**2,  # 2×2 cells of 9 orientations
            faces=self.faces.settings,
            frames_per_second=self.frames_per_second,
        )

    def clip_input(self, faces):
        """HOG of each frame, see `FaceFeatures.clip_input`."""
        hog = self._hog()
        grey = (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in faces.crops)
        features = np.stack([hog.compute(crop) for crop in grey])
        return ClipInput(
            torch.from_numpy(features), torch.from_numpy(faces.quality)
        )

    def _hog(self):
        # Created at each use: it cannot be pickled.
        if not hasattr(cv2, "HOGDescriptor"):
            raise UserError(NO_HOG)
        size = (self.faces.size, self.faces.size)
        return cv2.HOGDescriptor(size, (16, 16), (8, 8), (8, 8), 9)
