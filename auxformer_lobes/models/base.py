"""What every network declares: its heads, and which of them contribute."""

import math

import torch
import torch.nn as nn

from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import Configurable

PRIOR = 5.0  # development clips that speak for equal weights of the heads


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
    - `head_weights`: weights of the heads in `combine`, a buffer
      `[2 ** heads, heads]` (see `fit_head_weights`); None, where their mean is
      taken.
    - `embedding_layer`: the layer whose input `encode_batch` returns.
    - `cross_attention`: where there is attention from audio to visual frames,
      its name in what `forward(..., return_attention=True)` then returns beside
      the logits: weights `[layers, batch, heads, audio_time, visual_time]`.

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

    def __init__(self):
        super().__init__()
        self.register_buffer("head_weights", None)

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
            return present.new_ones(len(present), len(self.heads))
        return torch.stack(
            [
                present[:, [MODALITIES.index(m) for m in reads]].any(1)
                for reads in self.heads.values()
            ],
            dim=1,
        )

    def combine(self, logits, head_mask):
        """Combines the heads' logits (late fusion).

        Arguments
        ---------
        logits : dict of torch.Tensor
            Head → `[batch, classes]`.
        head_mask : torch.Tensor
            Which heads contribute, boolean `[batch, heads]`.

        Returns
        -------
        torch.Tensor
            `[batch, classes]`.
        """
        weights = None
        if self.head_weights is not None:
            weights = self.head_weights[pattern_of(head_mask)]
        return combine_heads(logits, head_mask, weights)


def combine_heads(logits, head_mask=None, weights=None):
    """Averages the heads' logits (late fusion).

    Arguments
    ---------
    logits : dict of torch.Tensor
        Head → `[batch, classes]`.
    head_mask : torch.Tensor
        Which heads contribute, boolean `[batch, heads]`; all by default, and
        for a sample to which none does.
    weights : torch.Tensor
        Weights of the heads, `[batch, heads]`; equal ones by default.

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
    contributes = (head_mask | ~head_mask.any(1, keepdim=True)).to(stacked)
    weights = contributes if weights is None else contributes * weights
    return (stacked * weights.unsqueeze(-1)).sum(1) / weights.sum(1, True)


def pattern_of(head_mask):
    """Number of the pattern of heads that contribute, for `head_weights`.

    Arguments
    ---------
    head_mask : torch.Tensor
        Boolean `[batch, heads]`.

    Returns
    -------
    torch.Tensor
        `[batch]`, from 0 to 2 ** heads - 1.

    Example
    -------
    >>> pattern_of(torch.tensor([[True, False, False], [True, False, True]]))
    tensor([1, 5])
    """
    places = torch.arange(head_mask.shape[1], device=head_mask.device)
    return (head_mask.long() << places).sum(1)


def fit_head_weights(logits, head_mask, targets, criterion, prior=PRIOR):
    """Weights of the heads for each pattern of heads that contribute.

    Heads that generalise better weigh more, where one modality is missing as
    where both are there. The weights sum to 1. They minimise the loss of the
    combined logits and, as if `prior` more clips spoke for equal weights, their
    Kullback-Leibler divergence from these. The logits are scaled by a factor
    that is fitted with the weights, or a head that is less sure of itself would
    be preferred.

    Arguments
    ---------
    logits : torch.Tensor
        Of development clips, `[clips, heads, classes]`.
    head_mask : torch.Tensor
        Which heads contribute, boolean `[clips, heads]`.
    targets : torch.Tensor
        Targets of the criterion, `[clips, ...]`.
    criterion : torch.nn.Module
        Loss of `[clips, classes]` and targets, a mean over clips.
    prior : float
        Clips that equal weights count for.

    Returns
    -------
    torch.Tensor
        `[2 ** heads, heads]`; ones for a pattern without a clip.

    Example
    -------
    >>> truth = torch.tensor([0, 1, 0, 1])
    >>> good = 4 * torch.nn.functional.one_hot(truth, 2).float()
    >>> logits = torch.stack([good, good.flip(1)], 1)
    >>> both = torch.ones(4, 2, dtype=torch.bool)
    >>> weights = fit_head_weights(
    ...     logits, both, truth, torch.nn.CrossEntropyLoss(), prior=1.0
    ... )
    >>> [round(w, 2) for w in weights[pattern_of(both[:1])][0].tolist()]
    [0.82, 0.18]
    """
    count = head_mask.shape[1]
    weights = logits.new_ones(2**count, count)
    patterns = pattern_of(head_mask)
    for pattern in patterns.unique():
        rows = patterns == pattern
        heads = head_mask[rows][0]
        weights[pattern, ~heads] = 0
        weights[pattern, heads] = _fit(
            logits[rows][:, heads], targets[rows], criterion, prior
        )
    return weights


@torch.enable_grad()
def _fit(logits, targets, criterion, prior):
    free = logits.new_zeros(logits.shape[1], requires_grad=True)
    log_scale = logits.new_zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [free, log_scale], max_iter=100, line_search_fn="strong_wolfe"
    )

    def _loss():
        optimizer.zero_grad()
        log_weights = free.log_softmax(0)
        combined = (logits * log_weights.exp()[:, None]).sum(1)
        divergence = -(log_weights + math.log(len(free))).mean()
        # Where all clips are right, the best scale is infinite.
        loss = criterion(log_scale.exp() * combined, targets)
        loss = loss + prior / len(logits) * (divergence + log_scale**2)
        loss.backward()
        return loss

    optimizer.step(_loss)
    return free.detach().softmax(0)
