"""What every network declares: its heads, and which of them contribute."""

import torch
import torch.nn as nn

from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import Configurable


class AudioVisualNetwork(Configurable, nn.Module):
    """A network on audio and visual features, with one head or more.

    Losses, combination, metrics, tables and export read what it declares, so
    that a new network is one class:

    - `heads`: a mapping head → modalities that it reads.
    - `forward(audio, visual, audio_lens, visual_lens, present, audio_mask,
      visual_mask)`, see `StreamNetwork.forward`: returns logits
      `[batch, classes]` by head, in the order of `heads`.
    - `dims`: a mapping modality → channels of its features.
    - `num_classes`: outputs of each head.
    - `missing`: "mask", where a missing modality is masked and heads that read
      no other do not contribute; or "zero_fill", where it is zeros and all
      heads contribute, as published.
    - `embedding_layer`: the layer whose input `encode_batch` returns.
    - `cross_attention`: where there is attention from audio to visual frames,
      its name in what `forward(..., return_attention=True)` then returns beside
      the logits: weights `[layers, batch, heads, audio_time, visual_time]`.
    - `stacks`: a mapping modality → frames that it stacks into one, on which
      that attention is.

    Example
    -------
    >>> class EarlyFusion(AudioVisualNetwork):
    ...     heads = {"main": ("audio", "visual")}
    >>> EarlyFusion().head_mask(torch.tensor([[True, False], [True, True]]))
    tensor([[True],
            [True]])
    """

    heads = {}
    missing = "mask"
    cross_attention = None
    stacks = dict.fromkeys(MODALITIES, 1)

    @property
    def modalities(self):
        """The modalities that any head reads, in the order of `MODALITIES`."""
        read = {m for reads in self.heads.values() for m in reads}
        return tuple(m for m in MODALITIES if m in read)

    def head_mask(self, present):
        """Which heads contribute to each sample.

        Arguments
        ---------
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`.

        Returns
        -------
        torch.Tensor
            Boolean `[batch, heads]`: True where any modality that the head
            reads is present.
        """
        if self.missing == "zero_fill":
            return present.new_ones(present.shape[0], len(self.heads))
        return torch.stack(
            [
                present[:, [MODALITIES.index(m) for m in reads]].any(1)
                for reads in self.heads.values()
            ],
            dim=1,
        )


def combine_heads(logits, head_mask=None):
    """Averages the heads' logits (late fusion).

    Arguments
    ---------
    logits : dict of torch.Tensor
        Head → `[batch, classes]`.
    head_mask : torch.Tensor
        Which heads contribute, boolean `[batch, heads]`; all by default, and
        for a sample to which none does.

    Returns
    -------
    torch.Tensor
        `[batch, classes]`.

    Example
    -------
    >>> logits = {"main": torch.tensor([[1.0]]), "audio": torch.tensor([[5.0]])}
    >>> combine_heads(logits)
    tensor([[3.]])
    >>> combine_heads(logits, torch.tensor([[True, False]]))
    tensor([[1.]])
    """
    stacked = torch.stack([*logits.values()], dim=1)
    # [batch, heads, classes]
    if head_mask is None:
        return stacked.mean(1)
    weights = (head_mask | ~head_mask.any(1, keepdim=True)).to(stacked)
    return (stacked * weights.unsqueeze(-1)).sum(1) / weights.sum(1, True)
