"""A pretrained encoder that is trained with the fusion network."""

import torch
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.features.checkpoints import FOR_MASKS
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

    It takes what `RawInputs` stores, and gives what the extractor would:
    clips are encoded as in an extraction, so that padding makes no
    difference.

    Arguments
    ---------
    features : Extractor
        One that encodes: `SpeechModelFeatures`, `ImageModelFeatures`.
    freeze : bool
        Whether the encoder is only run, in evaluation mode, not trained.
    frozen : list of str
        Parts of the model, by their names in Hugging Face, that are not
        trained: "feature_extractor" is the convolutional front end of wav2vec
        2.0, "embeddings" that of a ViT.
    gradient_checkpointing : bool
        Whether to compute activations twice instead of keeping them: a third
        slower, and much less memory.

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
    ...     SpeechModelFeatures(folder, folder), frozen=["feature_extractor"]
    ... )
    >>> sound = torch.randn(2, 16000, 1)
    >>> features, lens = encoder(sound, torch.tensor([1.0, 0.5]))
    >>> features.shape, lens
    (torch.Size([2, 49, 48]), tensor([1.0000, 0.4898]))
    """

    schema = {
        "features": reference("audio_features", "visual_features"),
        "freeze": FLAG,
        "frozen": list_of(text(r"[\w.]{1,200}", "a part of the model")),
        "gradient_checkpointing": FLAG,
    }

    def __init__(
        self, features, freeze=False, frozen=(), gradient_checkpointing=False
    ):
        super().__init__()
        if not hasattr(type(features), "encoder"):
            raise UserError(
                f"{type(features).__name__} cannot be trained: choose features "
                "of a pretrained model"
            )
        self.features = features
        self.freeze = freeze
        self.encoder = features.encoder
        self.encoder.requires_grad_(not freeze)
        # Never used, they would stop distributed training.
        for name, weights in self.encoder.named_parameters():
            if name.endswith(FOR_MASKS):
                weights.requires_grad_(False)
        model = getattr(self.encoder, "model", self.encoder)
        for name in frozen:
            try:
                model.get_submodule(name).requires_grad_(False)
            except AttributeError:
                parts = ", ".join(part for part, _ in model.named_children())
                raise UserError(
                    f"frozen: {name} is no part of {type(model).__name__}: "
                    f"choose among {parts}, or parts of them"
                )
        if gradient_checkpointing:
            if not getattr(model, "supports_gradient_checkpointing", False):
                raise UserError(
                    f"{type(model).__name__} has no gradient checkpointing: "
                    "set gradient_checkpointing: False"
                )
            # By its name in transformers 4, or the one since.
            enable = getattr(
                model,
                "activation_checkpointing_enable",
                model.gradient_checkpointing_enable,
            )
            enable({"use_reentrant": False})

    def train(self, mode=True):
        """Sets the mode, of an encoder that is trained.

        Arguments
        ---------
        mode : bool
            Training, or evaluation.

        Returns
        -------
        FineTunedEncoder
            This module.
        """
        return super().train(mode and not self.freeze)

    def forward(self, x, lens):
        """Encodes a batch.

        Arguments
        ---------
        x : torch.Tensor
            What `RawInputs` gives, padded, `[batch, time, values]`.
        lens : torch.Tensor
            Relative lengths, `[batch]`.

        Returns
        -------
        features : torch.Tensor
            `[batch, frames, dim]`.
        lens : torch.Tensor
            Relative lengths, `[batch]`.
        """
        self.features.device = x.device
        lengths = (lens * x.shape[1]).round().long()
        shape = self.features.input_shape
        values = [
            clip[:length].reshape(length, *shape)
            for clip, length in zip(x, lengths)
        ]
        features, lens = batch_pad_right(self.features.run(values))
        return features, lens.to(x.device)
