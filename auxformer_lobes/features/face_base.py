"""Features of the speaker's face: a tracker, and a model on the device."""

from itertools import chain, islice

import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.encoder_base import EncoderFeatures
from auxformer_lobes.processing.faces.tracker import FaceTracker
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import shown


class FaceFeatures(Extractor):
    """Features of the face that a tracker finds.

    A subclass has `faces`, a `FaceTracker`, and `frames_per_second`, a
    constant frame rate or None for that of the video; it implements
    `clip_input`.
    """

    modality = "visual"

    def read(self, clip, path):
        """Reads the largest face of a video, see `Extractor.read`."""
        return self.clip_input(self.faces(path, self.frames_per_second))

    def read_each(self, path):
        """Reads every face of a video.

        Arguments
        ---------
        path : str
            A video file.

        Returns
        -------
        list of tuple
            `Faces` and `ClipInput` of each face.
        """
        return [
            (faces, self.clip_input(faces))
            for faces in self.faces.all_faces(path, self.frames_per_second)
        ]

    def clip_input(self, faces):
        """Converts one tracked face to what `encode` takes.

        Arguments
        ---------
        faces : Faces
            One face, in each frame.

        Returns
        -------
        ClipInput
        """
        raise NotImplementedError


class FaceModelFeatures(EncoderFeatures, FaceFeatures):
    """Features of face crops by a model on the device.

    A subclass implements `load`, which returns a module from
    `[batch, size, size, 3]`, RGB from 0 to 255, to `[batch, dim]`. The module
    takes crops as they are and computes in the dtype of its weights.

    Arguments
    ---------
    dim : int
        Feature channels.
    size : int
        Side of the crops that the model takes, pixels.
    faces : FaceTracker
        Finds the face, with crops of that size; by default a tracker with
        default options.
    frames_per_second : float
        Constant frame rate, frames/s; by default that of the video.
    batch_size : int
        Model inputs per batch on the device, across clips.
    device : str
        See `EncoderFeatures`.
    precision : str
        See `EncoderFeatures`.
    **settings
        Further options that change the features.

    Example
    -------
    >>> class Colour(FaceModelFeatures):
    ...     def load(self):
    ...         class Mean(torch.nn.Module):
    ...             def forward(self, crops):
    ...                 return crops.float().mean((1, 2))
    ...
    ...         return Mean()
    >>> colour = Colour(3, 64, None, None, batch_size=16, device="cpu")
    >>> crops = torch.zeros(75, 64, 64, 3, dtype=torch.uint8)
    >>> [features.shape for features in colour.encode([crops, crops[:1]])]
    [torch.Size([75, 3]), torch.Size([1, 3])]
    """

    def __init__(
        self,
        dim,
        size,
        faces,
        frames_per_second,
        batch_size,
        device,
        precision=None,
        **settings,
    ):
        self.faces = check_tracker(faces, size)
        self.input_shape = (size, size, 3)
        if self.faces.size != size:
            raise UserError(
                f"faces: size is {self.faces.size}, but the model takes "
                f"{size}: set size: {size}"
            )
        self.frames_per_second = check_rate(frames_per_second)
        self.batch_size = batch_size
        super().__init__(
            dim,
            device,
            precision,
            faces=self.faces.settings,
            frames_per_second=self.frames_per_second,
            **settings,
        )

    @property
    def read_settings(self):
        """Those of the tracker, not of the model."""
        names = ("faces", "frames_per_second")
        return {name: self.settings[name] for name in names}

    def clip_input(self, faces):
        """Crop and face quality per frame, see `FaceFeatures.clip_input`."""
        return ClipInput(
            torch.from_numpy(faces.crops), torch.from_numpy(faces.quality)
        )

    def model_inputs(self, crops):
        """Splits a clip into model inputs: here, its frames.

        Arguments
        ---------
        crops : torch.Tensor
            `[time, size, size, 3]`.

        Returns
        -------
        sequence of torch.Tensor
            One for each feature vector.
        """
        return crops

    def forward(self, batch):
        """Encodes a batch of model inputs, see `EncoderFeatures.forward`."""
        return self.encoder(self.to_device(torch.stack(batch)))

    def limit_batches(self, batch):
        """Limits `batch_size`, see `EncoderFeatures.limit_batches`."""
        self.batch_size = len(batch)

    def encode_with_grad(self, data, to_cpu=False):
        """Encodes crops, see `EncoderFeatures.encode_with_grad`."""
        clips = [self.model_inputs(crops) for crops in data]
        features = torch.cat(self.run(self._batches(clips), to_cpu))
        return list(features.split([len(clip) for clip in clips]))

    def _batches(self, clips):
        inputs = chain.from_iterable(clips)
        while batch := list(islice(inputs, self.batch_size)):
            yield batch


def check_tracker(faces, size):
    """Returns a face tracker; by default a new one.

    Arguments
    ---------
    faces : FaceTracker
        The tracker, or None.
    size : int
        Side of the crops of a new one, pixels.

    Returns
    -------
    FaceTracker

    Raises
    ------
    UserError
        If it is something else, as YAML without `!new:` gives it.
    """
    if faces is not None and not isinstance(faces, FaceTracker):
        raise UserError(
            f"faces: {shown(faces)} is not a FaceTracker: write "
            "!new:auxformer_lobes.processing.faces.tracker.FaceTracker {...}"
        )
    return faces or FaceTracker(size=size)


def check_rate(frames_per_second):
    """Returns a frame rate as float, or None.

    Arguments
    ---------
    frames_per_second : float
        frames/s, or None for the rate of the video.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If it is not positive and finite.
    """
    if frames_per_second is None:
        return None
    if not 0 < frames_per_second < np.inf:
        raise UserError(
            "frames_per_second must be finite and greater than 0, not "
            f"{frames_per_second}"
        )
    return float(frames_per_second)  # 15 and 15.0 name the same store
