"""What an encoder is given, stored for encoders that are trained."""

from math import prod

from auxformer_lobes.features.extractor import Extractor, Reading


class Unencoded(Extractor):
    """Waveforms or face crops, as an extractor reads them for its encoder.

    An encoder that is trained runs anew in each epoch; the media files need
    to be read once all the same.

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
    ...         return Reading(torch.zeros(25, 8, 8, 3, dtype=torch.uint8))
    >>> crops = Unencoded(Colour(dim=3))
    >>> crops.dim, crops("clip", "clip.mp4").shape
    (192, torch.Size([25, 192]))
    """

    def __init__(self, features):
        self.features = features
        self.modality = features.modality
        self.dtype = "float32" if self.modality == "audio" else "uint8"
        super().__init__(
            dim=prod(features.input_shape), features=features.settings
        )

    def read(self, clip, path):
        """Returns what the encoder would be given, see `Extractor.read`."""
        return self._flat(self.features.read(clip, path))

    def read_each(self, path):
        """Returns every face, see `FaceFeatures.read_each`."""
        return [(f, self._flat(r)) for f, r in self.features.read_each(path)]

    def _flat(self, reading):
        values, quality = reading
        values = values.reshape(len(values), self.dim)
        # Windows of frames have a quality each, and are cut later.
        if quality is not None and len(quality) != len(values):
            quality = None
        return Reading(values, quality)
