"""Features of face crops by the vision models of Hugging Face."""

from inspect import signature
from math import prod
from pathlib import Path

import numpy as np
import torch
from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor

from auxformer_lobes.features.checkpoints import (
    digest,
    download,
    load_errors,
    load_model,
)
from auxformer_lobes.features.face_base import FaceModelFeatures
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FACES, MODEL, integer, one_of

# Tokens that stand before those of the patches.
FIRST_TOKENS = (
    "cls_token",
    "class_embedding",
    "distillation_token",
    "register_tokens",
)


class VisionModel(torch.nn.Module):
    """A vision model that takes pictures as they are, and gives vectors.

    Arguments
    ---------
    model : torch.nn.Module
        A vision model of Hugging Face.
    colours : torch.Tensor
        `[4, 3]`, what the model takes for black, red, green and blue.
    pooling : str
        "pooled", "cls" or "mean", see `ImageModelFeatures`.

    Example
    -------
    >>> import transformers
    >>> config = transformers.ViTConfig(num_hidden_layers=1, image_size=32)
    >>> colours = 2 * torch.eye(4)[:, 1:] - 1  # from -1 to 1
    >>> model = VisionModel(transformers.ViTModel(config), colours, "mean")
    >>> model(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape
    torch.Size([2, 768])
    """

    def __init__(self, model, colours, pooling):
        super().__init__()
        self.model = model
        self.register_buffer("black", colours[0])
        self.register_buffer("slopes", (colours[1:] - colours[0]) / 255)
        self.pooling = pooling
        self.first_tokens = sum(
            prod(weights.shape[:-1])
            for name, weights in model.named_parameters()
            if name.endswith(FIRST_TOKENS)
        )

    def forward(self, pictures):
        """Encodes pictures.

        Arguments
        ---------
        pictures : torch.Tensor
            `[batch, size, size, 3]`, uint8, RGB; for a video model
            `[batch, time, size, size, 3]`.

        Returns
        -------
        vectors : torch.Tensor
            `[batch, dim]`.
        """
        pixels = pictures.float() @ self.slopes + self.black
        output = self.model(pixel_values=pixels.movedim(-1, -3))
        pooled = getattr(output, "pooler_output", None)
        if self.pooling == "pooled" and pooled is not None:
            return pooled.flatten(1)  # some are [batch, channels, 1, 1]
        hidden = output.last_hidden_state
        if hidden.ndim == 4:  # [batch, channels, height, width]
            return hidden.mean((2, 3))
        if self.pooling != "mean" and self.first_tokens:
            return hidden[:, 0]
        return hidden[:, self.first_tokens :].mean(1)


class _VisionFeatures(FaceModelFeatures):
    """What image models and video models have in common."""

    def __init__(self, source, save_path, pooling, **settings):
        self.source = str(source)
        self.folder = download(source, save_path)
        with load_errors(source):
            self.config, self.options = self._model_config()
            size, self.colours = self._ask_processor()
            dim = self._dim(size, pooling)
        super().__init__(
            dim,
            size,
            source=Path(source).name,
            weights=digest(self.folder),
            pooling=pooling,
            **settings,
        )

    def _model_config(self):
        """Configuration of the part for pictures, and options to build it."""
        config = AutoConfig.from_pretrained(
            self.folder, trust_remote_code=False
        )
        config = getattr(config, "vision_config", config)
        kind = MODEL_MAPPING.get(type(config), None)
        if kind is None:
            raise UserError(
                f"{self.source}: its pictures are for a {config.model_type}, "
                "which AutoModel does not know"
            )
        taken = signature(kind.forward).parameters.values()
        names = {each.name for each in taken}
        needed = {
            each.name
            for each in taken
            if each.default is each.empty and each.kind != each.VAR_KEYWORD
        }
        if "pixel_values" not in names or needed - {"self", "pixel_values"}:
            raise UserError(
                f"{self.source}: a {kind.__name__} takes more than square "
                "pictures, or none: choose another model"
            )
        # A masked autoencoder shall see the whole picture.
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0
        # Classifiers lack this layer, and it would be random.
        if "add_pooling_layer" in signature(kind).parameters:
            return config, {"add_pooling_layer": False}
        return config, {}

    def _ask_processor(self):
        """Size and colours of the pictures that the model takes.

        Every kind of image processor writes them down in another way. So it
        is given pictures of one colour each; what it does to colours is
        linear.
        """
        processor = AutoImageProcessor.from_pretrained(
            self.folder, trust_remote_code=False
        )
        black_red_green_blue = 255 * np.eye(4, 3, k=-1, dtype=np.uint8)
        pictures = [
            np.tile(colour, (512, 512, 1)) for colour in black_red_green_blue
        ]
        # [4, 3, height, width], or [1, 4, 3, height, width] of one for videos
        pixels = processor(pictures, return_tensors="pt").pixel_values
        *_, channels, height, width = pixels.shape
        if pixels.ndim < 4 or channels != 3 or height != width:
            raise UserError(f"{self.source}: does not take square pictures")
        centre = pixels[..., height // 2, width // 2]
        # Cloned, or workers would get the pictures around it.
        return height, centre.reshape(4, 3).float().clone()

    def load(self):
        """Loads the model, see `FaceModelFeatures.load`."""
        model = load_model(
            self.source, self.folder, config=self.config, **self.options
        )
        return VisionModel(model, self.colours, self.settings["pooling"])


class ImageModelFeatures(_VisionFeatures):
    """One vector a frame by any image model that `AutoModel` knows.

    ViT, DeiT, BEiT, DINOv2, ConvNeXt, Swin, ResNet, and the vision towers of
    CLIP and SigLIP, whose text towers are not loaded; checkpoints of
    classifiers too, without the classifier. The faces come in the size and
    in the colours that the model's image processor gives, and need no other
    preparation. A checkpoint that lacks weights of its model is an error.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Folder for what is downloaded.
    faces : FaceTracker
        Finds the face; its `size` is that of the model. By default one with
        no other choices.
    frames_per_second : float
        Constant rate of the features; by default that of the video.
    pooling : str
        How a picture becomes one vector. "pooled": the model's own output
        for the whole picture, where its checkpoints always have the weights
        for that (CLIP, SigLIP, DINOv2, ConvNeXt), else as "cls". "cls": the
        class token; where there is none (Swin), as "mean". "mean": the mean
        of all patches.
    batch_frames : int
        Frames that are encoded together, of any clips: as many as the
        device's memory takes.
    device : str
        Where the model runs; by default a GPU if there is one.

    Raises
    ------
    UserError
        If the model cannot be loaded, or is none for pictures.

    Example
    -------
    >>> import tempfile
    >>> import transformers
    >>> folder = tempfile.mkdtemp()  # or "trpakov/vit-face-expression"
    >>> config = transformers.ViTConfig(num_hidden_layers=1, hidden_size=48)
    >>> transformers.ViTModel(config).save_pretrained(folder)
    >>> transformers.ViTImageProcessorPil().save_pretrained(folder)
    [...]
    >>> features = ImageModelFeatures(folder, "downloads")
    >>> features.faces.size, features.dim
    (224, 48)
    >>> crops = torch.zeros(2, 224, 224, 3, dtype=torch.uint8)
    >>> features.encode([crops])[0].shape
    torch.Size([2, 48])
    """

    schema = {
        "source": MODEL,
        **FACES,
        "pooling": one_of("pooled", "cls", "mean"),
        "batch_frames": integer(1, 4096),
    }

    def __init__(
        self,
        source,
        save_path,
        faces=None,
        frames_per_second=None,
        pooling="pooled",
        batch_frames=64,
        device=None,
    ):
        if pooling not in ("pooled", "cls", "mean"):
            raise UserError(f"pooling: {pooling}: not pooled, cls or mean")
        super().__init__(
            source,
            save_path,
            pooling,
            faces=faces,
            frames_per_second=frames_per_second,
            batch_size=batch_frames,
            device=device,
        )

    def _dim(self, size, pooling):
        if hasattr(self.config, "num_frames"):
            raise UserError(
                f"{self.source}: a video model: take VideoModelFeatures"
            )
        # Configurations name it in many ways; a model without memory tells.
        with torch.device("meta"):
            model = MODEL_MAPPING[type(self.config)](
                self.config, **self.options
            )
            model = VisionModel(model, self.colours.to("meta"), pooling)
            return model.eval()(torch.empty(1, size, size, 3)).shape[1]


class VideoModelFeatures(_VisionFeatures):
    """Vectors of windows of a clip by any video model `AutoModel` knows.

    VideoMAE, ViViT, TimeSformer. A window has as many frames as the model
    takes, its vector is the mean of all patches, and there are
    `frames_per_second / hop` windows a second. Where the clip ends before
    the last window does, its last frame is repeated. The quality of a window
    is the median of those of its frames.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Folder for what is downloaded.
    faces : FaceTracker
        Finds the face; its `size` is that of the model. By default one with
        no other choices.
    frames_per_second : float
        Constant rate of the frames in a window; VideoMAE was trained at
        about 7.5, with 16 frames in a window. None for that of the video.
    hop : int
        Frames from one window to the next, at most a window.
    batch_frames : int
        Frames that are encoded together, of any windows and clips: as many
        as the device's memory takes.
    device : str
        Where the model runs; by default a GPU if there is one.

    Raises
    ------
    UserError
        If the model cannot be loaded, or is none for videos.

    Example
    -------
    >>> import tempfile
    >>> import transformers
    >>> folder = tempfile.mkdtemp()  # or "MCG-NJU/videomae-base"
    >>> config = transformers.VideoMAEConfig(
    ...     num_hidden_layers=1, hidden_size=48, image_size=32
    ... )
    >>> transformers.VideoMAEModel(config).save_pretrained(folder)
    >>> transformers.VideoMAEImageProcessorPil(
    ...     size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ... ).save_pretrained(folder)
    [...]
    >>> features = VideoModelFeatures(folder, "downloads", hop=4)
    >>> crops = torch.zeros(21, 32, 32, 3, dtype=torch.uint8)
    >>> features.encode([crops])[0].shape  # frames 0-15, 4-19, 8-23
    torch.Size([3, 48])
    """

    schema = {
        "source": MODEL,
        **FACES,
        "hop": integer(1, 1000),
        "batch_frames": integer(1, 4096),
    }

    def __init__(
        self,
        source,
        save_path,
        faces=None,
        frames_per_second=7.5,
        hop=2,
        batch_frames=64,
        device=None,
    ):
        self.hop = hop
        super().__init__(
            source,
            save_path,
            "mean",
            faces=faces,
            frames_per_second=frames_per_second,
            batch_size=1,
            device=device,
            hop=hop,
        )
        self.batch_size = max(1, batch_frames // self.config.num_frames)
        if not 1 <= hop <= self.config.num_frames:
            raise UserError(
                f"hop: {hop}: {source} takes {self.config.num_frames} frames, "
                "so choose from 1 to that"
            )

    def _dim(self, size, pooling):
        if not hasattr(self.config, "num_frames"):
            raise UserError(
                f"{self.source}: no video model: take ImageModelFeatures"
            )
        return self.config.hidden_size

    def describe(self, faces):
        """Crops, quality of each window, see `FaceFeatures.describe`."""
        reading = super().describe(faces)
        windows = self.inputs(reading.quality)
        return reading._replace(
            quality=torch.stack([window.median() for window in windows])
        )

    def inputs(self, crops):
        """Cuts a clip into windows.

        Arguments
        ---------
        crops : torch.Tensor
            `[time, ...]`.

        Returns
        -------
        windows : list of torch.Tensor
            `[num_frames, ...]` each.
        """
        length = self.config.num_frames
        ends = max(1, len(crops) - length + self.hop)
        windows = [crops[i : i + length] for i in range(0, ends, self.hop)]
        last = windows[-1]
        rest = last[-1:].repeat_interleave(length - len(last), 0)
        windows[-1] = torch.cat([last, rest])
        return windows
