"""What an encoder is given, stored for encoders that are trained."""

from math import prod

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.face_base import FaceModelFeatures


class RawInputs(Extractor):
    """Waveforms or face crops, as an extractor reads them for its encoder.

    An encoder that is trained runs anew in each epoch; the media files need
    to be read once all the same, for all encoders that are given the same.

    Arguments
    ---------
    features : Extractor
        One that encodes: `SpeechModelFeatures`, `ImageModelFeatures`.

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
        """Returns what the encoder would be given, see `Extractor.read`."""
        if not isinstance(self.features, FaceModelFeatures):
            return self._flat(self.features.read(clip, path))
        rate = self.features.frames_per_second
        return self._of_frames(self.features.faces(path, rate))

    def read_each(self, path):
        """Returns every face, see `FaceFeatures.read_each`."""
        if not isinstance(self.features, FaceModelFeatures):
            found = self.features.read_each(path)
            return [(faces, self._flat(reading)) for faces, reading in found]
        rate = self.features.frames_per_second
        return [
            (faces, self._of_frames(faces))
            for faces in self.features.faces.each(path, rate)
        ]

    def _of_frames(self, faces):
        # Video models would give a quality to each window.
        return self._flat(FaceModelFeatures.describe(self.features, faces))

    def _flat(self, reading):
        values, quality = reading
        return ClipInput(values.reshape(len(values), self.dim), quality)
