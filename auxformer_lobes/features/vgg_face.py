"""VGG-Face, the face recognition network of Parkhi et al., BMVC 2015."""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from auxformer_lobes.features.checkpoints import (
    assign_weights,
    digest,
    read_weights,
)
from auxformer_lobes.features.encoder_base import PRECISION
from auxformer_lobes.features.face_base import FaceModelFeatures
from auxformer_lobes.utils.schema import FACES, WEIGHTS, integer

SIZE = 224
MEAN = (129.186, 104.762, 93.594)  # RGB, 0 to 255; subtracted in training
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # layers, channels


class VggFace(nn.Sequential):
    """VGG-16 up to layer fc7, after the ReLU.

    Layers have the names of `vgg_face_dag.pth`, the public PyTorch conversion
    of the authors' weights.

    Example
    -------
    >>> with torch.device("meta"):  # shapes only: it has 134 million parameters
    ...     crops = torch.empty(2, 224, 224, 3, dtype=torch.uint8)
    ...     VggFace()(crops).shape
    torch.Size([2, 4096])
    """

    def __init__(self):
        layers = OrderedDict()
        width = 3
        for block, (depth, channels) in enumerate(BLOCKS, start=1):
            for i in range(1, depth + 1):
                layers[f"conv{block}_{i}"] = nn.Conv2d(
                    width, channels, kernel_size=3, padding=1
                )
                layers[f"relu{block}_{i}"] = nn.ReLU(inplace=True)
                width = channels
            layers[f"pool{block}"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()
        layers["fc6"] = nn.Linear(width * 7 * 7, 4096)
        layers["relu6"] = nn.ReLU(inplace=True)
        layers["fc7"] = nn.Linear(4096, 4096)
        layers["relu7"] = nn.ReLU(inplace=True)
        super().__init__(layers)

    def forward(self, crops):
        """Maps crops `[batch, 224, 224, 3]`, RGB, to features `[batch, 4096]`.

        Arguments
        ---------
        crops : torch.Tensor
            uint8, or floats from 0 to 255.

        Returns
        -------
        torch.Tensor
        """
        pixels = crops.float() - torch.tensor(MEAN, device=crops.device)
        pixels = pixels.to(self.fc7.weight.dtype).movedim(-1, 1)
        return super().forward(pixels)


class VggFaceFeatures(FaceModelFeatures):
    """Layer fc7 of VGG-Face for each frame, 4096 dims.

    Arguments
    ---------
    weights : str
        `vgg_face_dag.pth`, or another state dict with its names; read with
        `weights_only=True`, so that it cannot run code.
    faces : FaceTracker
        Finds the face; its `size` is 224. By default a tracker of that size.
    frames_per_second : float
        Constant frame rate, frames/s; by default that of the video.
    batch_frames : int
        Frames per batch on the device, across clips; fewer if they exceed
        a GPU's memory.
    device : str
        See `EncoderFeatures`.
    precision : str
        See `EncoderFeatures`.

    Raises
    ------
    UserError
        If the file cannot be read.

    Example
    -------
    >>> VggFaceFeatures("vgg_face_dag.pth")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.MediaError: vgg_face_dag.pth: No such file ...
    """

    licence = "VGG-Face: Creative Commons Attribution, non-commercial research"
    schema = {
        "weights": WEIGHTS,
        **FACES,
        "batch_frames": integer(1, 4096),
        "precision": PRECISION,
    }

    def __init__(
        self,
        weights,
        faces=None,
        frames_per_second=None,
        batch_frames=32,
        device=None,
        precision=None,
    ):
        self.weights = Path(weights)
        super().__init__(
            4096,
            SIZE,
            faces,
            frames_per_second,
            batch_frames,
            device,
            precision,
            weights=digest(weights),
        )

    def load(self):
        """Loads the weights, see `FaceModelFeatures.load`."""
        state = {
            name: weights
            for name, weights in read_weights(self.weights).items()
            if not name.startswith("fc8.")  # classifies identities
        }
        with torch.device("meta"):
            model = VggFace()
        assign_weights(model, state, self.weights)
        return model
