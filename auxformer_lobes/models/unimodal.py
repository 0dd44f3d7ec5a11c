"""AuxFormer in recipes that have one modality."""

import torch

from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.utils.modalities import MODALITIES


class UnimodalAuxFormer(torch.nn.Module):
    """AuxFormer with the other modality missing.

    It is called with features and relative lengths, and returns logits, so that
    a YAML file alone can put it in place of a recipe's embedding model and
    classifier. The weights are those of an `AuxFormer`: a network that was
    trained on an audio corpus can be trained further on an audiovisual one.

    Arguments
    ---------
    auxformer : AuxFormer
        The network.
    modality : str
        The one that is present, "audio" or "visual".

    Example
    -------
    >>> from auxformer_lobes.models.auxformer import AuxFormer
    >>> model = UnimodalAuxFormer(AuxFormer(audio_dim=40, visual_dim=30))
    >>> model(torch.rand(2, 9, 40), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 6])
    """

    def __init__(self, auxformer, modality="audio"):
        super().__init__()
        if modality not in MODALITIES:
            raise ValueError(f"modality {modality!r}: not audio or visual")
        self.auxformer = auxformer
        self.modality = modality

    def forward(self, x, lens=None):
        """Scores each class.

        Arguments
        ---------
        x : torch.Tensor
            Features, `[batch, time, channels]`.
        lens : torch.Tensor
            Relative lengths, `[batch]`; whole without.

        Returns
        -------
        torch.Tensor
            Logits of the main head and the modality's own, combined,
            `[batch, classes]`.
        """
        is_audio = self.modality == "audio"
        present = torch.tensor([[is_audio, not is_audio]], device=x.device)
        present = present.expand(len(x), 2)
        # A frame that is masked.
        other = "visual" if is_audio else "audio"
        nothing = x.new_zeros(len(x), 1, self.auxformer.dims[other])
        logits = self.auxformer(
            present=present,
            **{
                self.modality: x,
                f"{self.modality}_lens": lens,
                other: nothing,
            },
        )
        return combine_heads(logits, self.auxformer.head_mask(present))
