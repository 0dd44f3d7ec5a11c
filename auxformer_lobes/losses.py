"""The loss that the fusion and the auxiliary networks share."""

from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F


class LossParts(NamedTuple):
    """A shared loss and what it is made of, each a scalar tensor."""

    total: torch.Tensor
    main: torch.Tensor
    audio: torch.Tensor
    visual: torch.Tensor


class SharedLoss(nn.Module):
    """Weighted sum of the cross-entropies of AuxFormer's three heads.

    Goncalves and Busso, ICASSP 2022, eq. 1, where each weight is one third.

    Arguments
    ---------
    main : float
        Weight of the main head.
    audio : float
        Weight of the auxiliary head of the audio.
    visual : float
        Weight of the auxiliary head of the visual features.
    class_weights : list of float
        Weight of each class; all the same by default.
    label_smoothing : float
        Share of each target that is spread over all classes.

    Example
    -------
    >>> from auxformer_lobes.models.auxformer import Logits
    >>> logits = Logits(*torch.zeros(3, 2, 4))
    >>> loss = SharedLoss()(logits, torch.tensor([0, 3]))
    >>> loss.total
    tensor(1.3863)
    >>> votes = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    >>> SharedLoss()(logits, votes).audio
    tensor(1.3863)
    """

    def __init__(
        self,
        main=1 / 3,
        audio=1 / 3,
        visual=1 / 3,
        class_weights=None,
        label_smoothing=0.0,
    ):
        super().__init__()
        self.weights = {"main": main, "audio": audio, "visual": visual}
        self.label_smoothing = label_smoothing
        if class_weights is not None:
            class_weights = torch.tensor(class_weights, dtype=torch.float)
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits, targets, present=None):
        """Computes the loss and its parts.

        Arguments
        ---------
        logits : Logits
            What the three heads say, each `[batch, classes]`.
        targets : torch.Tensor
            Classes, integer `[batch]`, or distributions of votes, float
            `[batch, classes]`.
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`. A
            head is not asked about samples whose modality is missing. By
            default it is.

        Returns
        -------
        LossParts
            The total and the mean cross-entropy of each head; zero for a
            head that no sample of the batch asks.
        """
        asked = {"main": None, "audio": None, "visual": None}
        if present is not None:
            asked = {
                "main": present.any(1),
                "audio": present[:, 0],
                "visual": present[:, 1],
            }
        parts = {
            name: self._cross_entropy(getattr(logits, name), targets, samples)
            for name, samples in asked.items()
        }
        total = sum(self.weights[name] * part for name, part in parts.items())
        return LossParts(total, **parts)

    def _cross_entropy(self, logits, targets, samples):
        if samples is not None:
            logits, targets = logits[samples], targets[samples]
        if len(logits) == 0:
            return logits.sum()
        cost = F.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        if self.class_weights is None:
            return cost / len(logits)
        # torch divides classes by their weights, but votes by their number.
        if targets.is_floating_point():
            return cost / (targets @ self.class_weights).sum()
        return cost / self.class_weights[targets].sum()
