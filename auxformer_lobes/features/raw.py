"""Encoder inputs, stored for encoders that are fine-tuned."""

from math import prod

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.face_base import FaceModelFeatures


class RawInputs(Extractor):
    """Waveforms or face crops, as an extractor reads them for its encoder.

    A fine-tuned encoder runs in every epoch, but the media files are decoded
    only once, for all encoders with the same input.

    Arguments
    ---------
    features : Extractor
        One with an encoder: `SpeechModelFeatures`, `ImageModelFeatures`, ...

    Example
    -------
    >>> import torch
    >>> class Colour(Extractor):
    ...     modality = "visual"
    ...     input_shape = (8, 8, 3)
    ...
    ...     def read(self, clip, path):
    ...         return ClipInput(torch.zeros(25, 8, 8, 3, dtype=torch.uint8))
    >>> crops = RawInputs(Colour(dim=3))
    >>> crops.dim, crops("clip", "clip.mp4").shape
    (192, torch.Size([25, 192]))
    """

    def __init__(self, features):
        self.features = features
        self.modality = features.modality
        self.dtype = "float32" if self.modality == "audio" else "uint8"
        super().__init__(
            dim=prod(features.input_shape), **features.read_settings
        )

    def read(self, clip, path):
        """Reads the encoder input of a clip, see `Extractor.read`."""
        if not isinstance(self.features, FaceModelFeatures):
            return self._flatten(self.features.read(clip, path))
        rate = self.features.frames_per_second
        return self._per_frame(self.features.faces(path, rate))

    def read_each(self, path):
        """Reads every face, see `FaceFeatures.read_each`."""
        if not isinstance(self.features, FaceModelFeatures):
            found = self.features.read_each(path)
            return [(faces, self._flatten(each)) for faces, each in found]
        rate = self.features.frames_per_second
        return [
            (faces, self._per_frame(faces))
            for faces in self.features.faces.all_faces(path, rate)
        ]

    def _per_frame(self, faces):
        # Not the method of the subclass: video models give one validity a
        # window.
        return self._flatten(FaceModelFeatures.clip_input(self.features, faces))

    def _flatten(self, clip_input):
        data, validity = clip_input
        # [time, size, size, 3] to [time, dim]
        return ClipInput(data.reshape(len(data), self.dim), validity)
