"""A pretrained encoder that is fine-tuned together with the network."""

import torch
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.features.checkpoints import MASKING_PARAMS
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import (
    FLAG,
    Configurable,
    list_of,
    reference,
    text,
)


class FineTunedEncoder(Configurable, torch.nn.Module):
    """The encoder of an extractor, as a module of the recipe.

    It maps what `RawInputs` stores to what the extractor would return. Clips
    are encoded exactly as in an extraction, so padding has no effect.

    Arguments
    ---------
    features : Extractor
        One with an encoder: `SpeechModelFeatures`, `ImageModelFeatures`, ...
    freeze : bool
        Whether to keep the whole encoder fixed and in evaluation mode.
    frozen_modules : list of str
        Submodules of the model that are not trained, by their Hugging Face
        names: "feature_extractor" is the convolutional front end of wav2vec
        2.0, "embeddings" the patch embedding of a ViT.
    gradient_checkpointing : bool
        Whether to recompute activations in the backward pass: about a third
        slower, with much less memory.

    Raises
    ------
    UserError
        If the extractor has no encoder, or the model no such submodule or no
        gradient checkpointing.

    Example
    -------
    >>> import tempfile
    >>> import transformers
    >>> from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
    >>> folder = tempfile.mkdtemp()  # or "facebook/wav2vec2-large-robust"
    >>> config = transformers.Wav2Vec2Config(
    ...     hidden_size=48, intermediate_size=48, num_hidden_layers=1
    ... )
    >>> transformers.Wav2Vec2Model(config).save_pretrained(folder)
    >>> _ = transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    >>> encoder = FineTunedEncoder(
    ...     SpeechModelFeatures(folder, folder),
    ...     frozen_modules=["feature_extractor"],
    ... )
    >>> waveforms = torch.randn(2, 16000, 1)
    >>> lens = torch.tensor([1.0, 0.5])
    >>> mask = torch.ones(2, 16000, dtype=torch.bool)
    >>> features, lens, mask = encoder(waveforms, lens, mask)
    >>> features.shape, lens, mask.sum(1)
    (torch.Size([2, 49, 48]), tensor([1.0000, 0.4898]), tensor([49, 24]))
    """

    schema = {
        "features": reference("audio_features", "visual_features"),
        "freeze": FLAG,
        "frozen_modules": list_of(text(r"[\w.]{1,200}", "a part of the model")),
        "gradient_checkpointing": FLAG,
    }

    def __init__(
        self,
        features,
        freeze=False,
        frozen_modules=(),
        gradient_checkpointing=False,
    ):
        super().__init__()
        if not hasattr(type(features), "encoder"):
            raise UserError(
                f"{type(features).__name__} has no encoder to fine-tune: choose "
                "features of a pretrained model"
            )
        self.features = features
        self.freeze = freeze
        # What is trained has float32; SpeechBrain's --precision is for it.
        features.settings.pop("precision", None)
        self.encoder = features.encoder
        self.encoder.requires_grad_(not freeze)
        # Without masking these get no gradient, which DDP reports as an error.
        for name, parameter in self.encoder.named_parameters():
            if name.endswith(MASKING_PARAMS):
                parameter.requires_grad_(False)
        model = getattr(self.encoder, "model", self.encoder)
        for name in frozen_modules:
            try:
                model.get_submodule(name).requires_grad_(False)
            except AttributeError:
                names = ", ".join(child for child, _ in model.named_children())
                raise UserError(
                    f"frozen_modules: {type(model).__name__} has no {name}: "
                    f"choose among {names}, or their submodules"
                )
        if gradient_checkpointing:
            if not getattr(model, "supports_gradient_checkpointing", False):
                raise UserError(
                    f"{type(model).__name__} has no gradient checkpointing: "
                    "set gradient_checkpointing: False"
                )
            # transformers 5 has renamed the method.
            enable = getattr(
                model,
                "activation_checkpointing_enable",
                model.gradient_checkpointing_enable,
            )
            enable({"use_reentrant": False})

    def train(self, mode=True):
        """Sets training mode, unless the encoder is frozen.

        Arguments
        ---------
        mode : bool
            True for training, False for evaluation.

        Returns
        -------
        FineTunedEncoder
            This module.
        """
        return super().train(mode and not self.freeze)

    def forward(self, x, lens, mask):
        """Encodes a batch.

        What is not there is encoded too, as in an extraction: a video model
        sees it beside other frames.

        Arguments
        ---------
        x : torch.Tensor
            Padded data of `RawInputs`, `[batch, time, prod(input_shape)]`.
        lens : torch.Tensor
            Relative lengths, `[batch]`.
        mask : torch.Tensor
            What is there of them, boolean `[batch, time]`.

        Returns
        -------
        features : torch.Tensor
            `[batch, frames, dim]`.
        lens : torch.Tensor
            Relative lengths, `[batch]`.
        mask : torch.Tensor
            Frames that are there, boolean `[batch, frames]`.
        """
        self.features.device = x.device
        lengths = (lens * x.shape[1]).round().long()
        shape = self.features.input_shape
        clips = [
            clip[:length].reshape(length, *shape)
            for clip, length in zip(x, lengths)
        ]
        encoded = self.features.encode_with_grad(clips)
        masks = [
            self.features.carry_mask(there[:length], len(frames))
            for there, length, frames in zip(mask, lengths, encoded)
        ]
        features, lens = batch_pad_right(encoded)
        mask, _ = batch_pad_right(masks)
        return features, lens.to(x.device), mask
