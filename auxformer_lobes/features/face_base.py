"""What all features of faces share: a tracker, and a model on the device."""

from functools import cached_property
from itertools import chain, islice

import numpy as np
import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.processing.faces.tracker import FaceTracker
from auxformer_lobes.utils.errors import UserError


class FaceFeatures(Extractor):
    """What describes the face that a tracker finds.

    A kind has `faces`, a `FaceTracker`, and `frames_per_second`, the constant
    rate of the frames (None for that of the video), and says in `describe`
    what is read of a face.
    """

    modality = "visual"

    def read(self, clip, path):
        """Returns what is read of the largest face, see `Extractor.read`."""
        return self.describe(self.faces(path, self.frames_per_second))

    def read_each(self, path):
        """Reads every face of a video file.

        Arguments
        ---------
        path : str
            A video file.

        Returns
        -------
        list of tuple
            The `Faces` and the `ClipInput` of each face.
        """
        return [
            (faces, self.describe(faces))
            for faces in self.faces.each(path, self.frames_per_second)
        ]

    def describe(self, faces):
        """Makes of a face what `encode` takes.

        Arguments
        ---------
        faces : Faces
            One face, in each frame.

        Returns
        -------
        ClipInput
        """
        raise NotImplementedError


class FaceModelFeatures(FaceFeatures):
    """What a model on the device makes of face crops.

    A kind says in `load` what its model is: a module that takes
    `[batch, size, size, 3]`, RGB from 0 to 255, and gives `[batch, dim]`.

    Arguments
    ---------
    dim : int
        Channels of the features.
    size : int
        Side of the crops that the model takes, pixels.
    faces : FaceTracker
        Finds the face, and makes crops of that size. By default one with no
        other choices.
    frames_per_second : float
        Constant rate of the frames; by default that of the video.
    batch_size : int
        Inputs of the model, of any clips, that are encoded together.
    device : str
        Where the model runs; by default a GPU if there is one.
    **settings
        What else changes the features.

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
        **settings,
    ):
        self.faces = faces or FaceTracker(size=size)
        self.input_shape = (size, size, 3)
        if self.faces.size != size:
            raise UserError(
                f"faces: size {self.faces.size}, but the model takes {size}: "
                f"set size: {size}"
            )
        self.frames_per_second = check_rate(frames_per_second)
        self.batch_size = batch_size
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(
            dim=dim,
            faces=self.faces.settings,
            frames_per_second=self.frames_per_second,
            **settings,
        )

    def __getstate__(self):
        """Leaves out the encoder: workers only read."""
        return {k: v for k, v in vars(self).items() if k != "encoder"}

    @property
    def read_settings(self):
        """None of the model, see `Extractor.read_settings`."""
        names = ("faces", "frames_per_second")
        return {name: self.settings[name] for name in names}

    @cached_property
    def encoder(self):
        """The model, on the device.

        It is loaded when it is first needed: most runs find their features
        in the store.
        """
        return self.load().eval().to(self.device)

    def load(self):
        """Loads the model.

        Returns
        -------
        torch.nn.Module
            Face crops to features, on the CPU.
        """
        raise NotImplementedError

    def describe(self, faces):
        """Crop and quality of each frame, see `FaceFeatures.describe`."""
        return ClipInput(
            torch.from_numpy(faces.crops), torch.from_numpy(faces.quality)
        )

    def inputs(self, crops):
        """Cuts a clip into what the model takes, one frame each.

        Arguments
        ---------
        crops : torch.Tensor
            `[time, size, size, 3]`.

        Returns
        -------
        sequence of torch.Tensor
            What gives one vector each.
        """
        return crops

    @torch.no_grad()
    def encode(self, values):
        """Returns the features of face crops, see `Extractor.encode`."""
        return self.run(values)

    def run(self, values):
        """Encodes, and keeps what the gradients need.

        Arguments
        ---------
        values : list of torch.Tensor
            Face crops of each clip.

        Returns
        -------
        features : list of torch.Tensor
            `[time, dim]` of each clip, on the device.
        """
        clips = [self.inputs(crops) for crops in values]
        inputs = chain.from_iterable(clips)
        features = []
        while batch := list(islice(inputs, self.batch_size)):
            features.append(self.encoder(torch.stack(batch).to(self.device)))
        return list(torch.cat(features).split([len(clip) for clip in clips]))


def check_rate(frames_per_second):
    """Checks a rate: at one below 0, frames would never end."""
    if frames_per_second is None:
        return None
    if not 0 < frames_per_second < np.inf:
        raise UserError(
            f"frames_per_second: {frames_per_second}: not a number above 0"
        )
    return float(frames_per_second)  # 15 and 15.0 are one and the same
