"""Features of face crops from Hugging Face vision models."""

from inspect import signature
from math import prod
from pathlib import Path

import numpy as np
import torch
from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.features.checkpoints import (
    digest,
    download,
    load_errors,
    load_model,
)
from auxformer_lobes.features.encoder_base import PRECISION
from auxformer_lobes.features.face_base import FaceModelFeatures
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FACES, MODEL, integer, one_of

# Parameters of the tokens that precede the patch tokens.
PREFIX_TOKENS = (
    "cls_token",
    "class_embedding",
    "distillation_token",
    "register_tokens",
)


class VisionModel(torch.nn.Module):
    """Maps images, RGB from 0 to 255, to pooled vectors.

    Arguments
    ---------
    model : torch.nn.Module
        A Hugging Face vision model.
    colours : torch.Tensor
        `[4, 3]`: pixel values of black, red, green and blue as the model
        expects them. They define its affine colour normalization.
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
        self.prefix_tokens = sum(
            prod(weights.shape[:-1])
            for name, weights in model.named_parameters()
            if name.endswith(PREFIX_TOKENS)
        )

    def forward(self, images):
        """Encodes images, or windows of images.

        Arguments
        ---------
        images : torch.Tensor
            `[batch, size, size, 3]`, RGB from 0 to 255; for a video model
            `[batch, time, size, size, 3]`.

        Returns
        -------
        torch.Tensor
            `[batch, dim]`.
        """
        pixels = images.float() @ self.slopes + self.black
        pixels = pixels.to(self.model.dtype).movedim(-1, -3)
        output = self.model(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)
        if self.pooling == "pooled" and pooled is not None:
            return pooled.flatten(1)  # ResNet: [batch, channels, 1, 1]
        hidden = output.last_hidden_state
        if hidden.ndim == 4:  # [batch, channels, height, width]
            return hidden.mean((2, 3))
        if self.pooling != "mean" and self.prefix_tokens:
            return hidden[:, 0]
        return hidden[:, self.prefix_tokens :].mean(1)


class _VisionFeatures(FaceModelFeatures):
    """Base of image and video models."""

    def __init__(self, source, save_path, pooling, **settings):
        self.source = str(source)
        self.folder = download(source, save_path)
        with load_errors(source):
            self.config, self.options = self._model_config()
            size, self.colours = self._probe_processor()
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
        """Configuration of the vision tower, and options to build it."""
        config = AutoConfig.from_pretrained(
            self.folder, trust_remote_code=False
        )
        config = getattr(config, "vision_config", config)
        model_class = MODEL_MAPPING.get(type(config), None)
        if model_class is None:
            raise UserError(
                f"{self.source}: AutoModel has no vision model of type "
                f"{config.model_type}: choose another model"
            )
        parameters = signature(model_class.forward).parameters.values()
        names = {each.name for each in parameters}
        needed = {
            each.name
            for each in parameters
            if each.default is each.empty and each.kind != each.VAR_KEYWORD
        }
        if "pixel_values" not in names or needed - {"self", "pixel_values"}:
            raise UserError(
                f"{self.source}: {model_class.__name__} needs other inputs than "
                "square images: choose another model"
            )
        # A masked autoencoder would drop most patches.
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0
        # Checkpoints of classifiers lack this layer; it would be random.
        if "add_pooling_layer" in signature(model_class).parameters:
            return config, {"add_pooling_layer": False}
        return config, {}

    def _probe_processor(self):
        """Image size and colour normalization that the model expects.

        Each class of image processor has its own options for them. Since every
        colour normalization is affine, four images of one colour each
        determine it: black, red, green and blue.
        """
        processor = AutoImageProcessor.from_pretrained(
            self.folder, trust_remote_code=False
        )
        black_red_green_blue = 255 * np.eye(4, 3, k=-1, dtype=np.uint8)
        images = [
            np.tile(colour, (512, 512, 1)) for colour in black_red_green_blue
        ]
        # [4, 3, height, width], or [1, 4, 3, height, width] for video models
        pixels = processor(images, return_tensors="pt").pixel_values
        *_, channels, height, width = pixels.shape
        if pixels.ndim < 4 or channels != 3 or height != width:
            raise UserError(
                f"{self.source}: does not take square images: choose another "
                "model"
            )
        centre = pixels[..., height // 2, width // 2]
        if not centre.isfinite().all():
            raise UserError(f"{self.source}: image_std is 0: choose another")
        # Cloned: a view would pickle the whole images for the workers.
        return height, centre.reshape(4, 3).float().clone()

    def load(self):
        """Loads the vision tower, see `FaceModelFeatures.load`."""
        model = load_model(
            self.source, self.folder, config=self.config, **self.options
        )
        return VisionModel(model, self.colours, self.settings["pooling"])


class ImageModelFeatures(_VisionFeatures):
    """One vector per frame from any image model that `AutoModel` knows.

    ViT, DeiT, BEiT, DINOv2, ConvNeXt, Swin, ResNet, and the vision towers of
    CLIP and SigLIP, without their text towers; also checkpoints of
    classifiers, without the classifier. Crops are sized and normalized as the
    model's image processor does. A checkpoint that lacks weights of its model
    is an error.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Cache of the files from the hub.
    faces : FaceTracker
        Finds the face; its `size` is that of the model. By default a tracker
        of that size.
    frames_per_second : float
        Constant frame rate, frames/s; by default that of the video.
    pooling : str
        How an image becomes one vector. "pooled": the model's own pooled
        output, where its checkpoints always have the weights for it (CLIP,
        SigLIP, DINOv2, ConvNeXt), otherwise as "cls". "cls": the class token,
        or, without one (Swin), as "mean". "mean": the mean of all patches.
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
        If the model cannot be loaded, or is not an image model.

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
        "precision": PRECISION,
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
        precision=None,
    ):
        if pooling not in ("pooled", "cls", "mean"):
            raise UserError(
                f"pooling must be pooled, cls or mean, not {pooling}"
            )
        super().__init__(
            source,
            save_path,
            pooling,
            faces=faces,
            frames_per_second=frames_per_second,
            batch_size=batch_frames,
            device=device,
            precision=precision,
        )

    def _dim(self, size, pooling):
        if hasattr(self.config, "num_frames"):
            raise UserError(
                f"{self.source}: a video model: use VideoModelFeatures"
            )
        # Each configuration names it differently: run the model on the meta
        # device instead.
        with torch.device("meta"):
            model = MODEL_MAPPING[type(self.config)](
                self.config, **self.options
            )
            model = VisionModel(model, self.colours.to("meta"), pooling)
            return model.eval()(torch.empty(1, size, size, 3)).shape[1]


class VideoModelFeatures(_VisionFeatures):
    """One vector per window from any video model that `AutoModel` knows.

    VideoMAE, ViViT, TimeSformer. A window has as many frames as the model
    takes; its vector is the mean of all patches. There are
    `frames_per_second / hop` windows/s. The last window repeats the last frame
    of the clip if necessary. The validity of a window is the median of that of
    its frames.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Cache of the files from the hub.
    faces : FaceTracker
        Finds the face; its `size` is that of the model. By default a tracker
        of that size.
    frames_per_second : float
        Constant frame rate within a window, frames/s; VideoMAE was trained at
        about 7.5, with 16 frames in a window. None for that of the video.
    hop : int
        Frames from one window to the next, at most the length of a window.
    batch_frames : int
        Frames per batch on the device, across windows and clips; fewer if they
        exceed a GPU's memory.
    device : str
        See `EncoderFeatures`.
    precision : str
        See `EncoderFeatures`.

    Raises
    ------
    UserError
        If the model cannot be loaded, or is not a video model.

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
        "precision": PRECISION,
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
        precision=None,
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
            precision=precision,
            hop=hop,
        )
        self.batch_size = max(1, batch_frames // self.config.num_frames)
        if not 1 <= hop <= self.config.num_frames:
            raise UserError(
                f"hop must be from 1 to {self.config.num_frames}, the frames "
                f"of a window of {source}, not {hop}"
            )

    def _dim(self, size, pooling):
        if not hasattr(self.config, "num_frames"):
            raise UserError(
                f"{self.source}: not a video model: use ImageModelFeatures"
            )
        return self.config.hidden_size

    def clip_input(self, faces):
        """Crops, and the validity of each window."""
        data, validity = super().clip_input(faces)
        windows = self.model_inputs(validity)
        return ClipInput(
            data, torch.stack([window.median() for window in windows])
        )

    def carry_mask(self, mask, num_frames):
        """A window is there if most of its frames are, as its median says."""
        windows = self.model_inputs(mask)
        return torch.stack([x.float().mean() > 0.5 for x in windows])

    def model_inputs(self, crops):
        """Splits a clip into windows.

        Arguments
        ---------
        crops : torch.Tensor
            `[time, ...]`.

        Returns
        -------
        list of torch.Tensor
            Windows, `[num_frames, ...]`.
        """
        length = self.config.num_frames
        ends = max(1, len(crops) - length + self.hop)
        windows = [crops[i : i + length] for i in range(0, ends, self.hop)]
        last = windows[-1]
        padding = last[-1:].repeat_interleave(length - len(last), 0)
        windows[-1] = torch.cat([last, padding])
        return windows
