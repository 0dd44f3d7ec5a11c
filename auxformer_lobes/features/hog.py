"""Histograms of oriented gradients of the face in each frame."""

import cv2
import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.features.face_base import FaceFeatures, check_rate
from auxformer_lobes.processing.faces.tracker import FaceTracker
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FACES


class HogFeatures(FaceFeatures):
    """Histograms of oriented gradients of the grey face in each frame.

    Blocks of 16×16 pixels, 8 apart, of 2×2 cells with 9 directions: 1764
    numbers for a face of 64×64.

    Arguments
    ---------
    faces : FaceTracker
        Finds the face; its `size` is a multiple of 8, at least 16. By
        default one for faces of 64×64.
    frames_per_second : float
        Constant rate of the features; by default that of the video.

    Example
    -------
    >>> HogFeatures(frames_per_second=15).dim
    1764
    """

    schema = FACES

    def __init__(self, faces=None, frames_per_second=None):
        self.faces = faces or FaceTracker(size=64)
        if self.faces.size % 8 or self.faces.size < 16:
            raise UserError(
                f"faces: size {self.faces.size}, but HOG takes a multiple of "
                "8, at least 16"
            )
        self.frames_per_second = check_rate(frames_per_second)
        super().__init__(
            dim=self._hog().getDescriptorSize(),
            faces=self.faces.settings,
            frames_per_second=self.frames_per_second,
        )

    def describe(self, faces):
        """HOG and quality of each frame, see `FaceFeatures.describe`."""
        hog = self._hog()
        grey = (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in faces.crops)
        features = np.stack([hog.compute(crop) for crop in grey])
        return ClipInput(
            torch.from_numpy(features), torch.from_numpy(faces.quality)
        )

    def _hog(self):
        # Made anew each time: it cannot be pickled.
        size = (self.faces.size, self.faces.size)
        return cv2.HOGDescriptor(size, (16, 16), (8, 8), (8, 8), 9)
