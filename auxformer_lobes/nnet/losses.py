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
    """Weighted sum of the losses of AuxFormer's three heads.

    Goncalves and Busso, ICASSP 2022, eq. 1, where each weight is one third
    and the loss of a head is the cross-entropy.

    Arguments
    ---------
    main : float
        Weight of the main head.
    audio : float
        Weight of the auxiliary head of the audio.
    visual : float
        Weight of the auxiliary head of the visual features.
    criterion : torch.nn.Module
        Loss of one head, of `[batch, outputs]` and targets; by default
        `CrossEntropy()`.

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

    def __init__(self, main=1 / 3, audio=1 / 3, visual=1 / 3, criterion=None):
        super().__init__()
        self.weights = {"main": main, "audio": audio, "visual": visual}
        self.criterion = CrossEntropy() if criterion is None else criterion

    def forward(self, logits, targets, present=None):
        """Computes the loss and its parts.

        Arguments
        ---------
        logits : Logits
            What the three heads say, each `[batch, outputs]`.
        targets : torch.Tensor
            What the criterion takes, `[batch, ...]`.
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`. A
            head is not asked about samples whose modality is missing. By
            default it is.

        Returns
        -------
        LossParts
            The total and the loss of each head; zero for a head that no
            sample of the batch asks.
        """
        asked = {"main": None, "audio": None, "visual": None}
        if present is not None:
            asked = {
                "main": present.any(1),
                "audio": present[:, 0],
                "visual": present[:, 1],
            }
        parts = {
            name: self._part(getattr(logits, name), targets, samples)
            for name, samples in asked.items()
        }
        total = sum(self.weights[name] * part for name, part in parts.items())
        return LossParts(total, **parts)

    def _part(self, logits, targets, samples):
        if samples is not None:
            logits, targets = logits[samples], targets[samples]
        if len(logits) == 0:
            return logits.sum()
        return self.criterion(logits, targets)


class CrossEntropy(nn.Module):
    """Mean cross-entropy, of classes or of distributions of votes.

    Arguments
    ---------
    class_weights : list of float
        Weight of each class; all the same by default.
    label_smoothing : float
        Share of each target that is spread over all classes.

    Example
    -------
    >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([1]))
    tensor(0.6931)
    """

    def __init__(self, class_weights=None, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = label_smoothing
        if class_weights is not None:
            class_weights = torch.tensor(class_weights, dtype=torch.float)
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits, targets):
        """Computes the loss.

        Arguments
        ---------
        logits : torch.Tensor
            `[batch, classes]`.
        targets : torch.Tensor
            Classes, integer `[batch]` or `[batch, 1]`, or distributions of
            votes, float `[batch, classes]`.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        if not targets.is_floating_point():
            targets = targets.reshape(len(logits))
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


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy, summed over the classes, mean over the batch.

    Example
    -------
    >>> BinaryCrossEntropy()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor(1.3863)
    """

    def forward(self, logits, targets):
        """Computes the loss.

        Arguments
        ---------
        logits : torch.Tensor
            `[batch, classes]`.
        targets : torch.Tensor
            What is there, 0 to 1, float `[batch, classes]`.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        cost = F.binary_cross_entropy_with_logits(
            logits, targets, reduction="sum"
        )
        return cost / len(logits)


class ConcordanceLoss(nn.Module):
    """1 minus the concordance correlation coefficient over the batch.

    Lin, "A concordance correlation coefficient to evaluate reproducibility",
    Biometrics 1989. Its value is between 0 and 2, and depends on the batch:
    one of less than two clips says nothing and costs nothing but its error. It
    is almost flat far from the truth, so that a head that knows nothing drifts
    off the scale, and takes the mean of the heads along; some square error
    holds it.

    Arguments
    ---------
    weights : list of float
        Weight of each attribute; by default all the same.
    error : float
        Weight of the mean square error that is added.

    Example
    -------
    >>> truth = torch.tensor([[0.0], [0.5], [1.0]])
    >>> loss = ConcordanceLoss()
    >>> print(f"{loss(truth, truth):.3f} {loss(1 - truth, truth):.3f}")
    0.000 2.000
    """

    def __init__(self, weights=None, error=0.0):
        super().__init__()
        self.error = error
        if weights is not None:
            weights = torch.tensor(weights, dtype=torch.float)
        self.register_buffer("weights", weights)

    def forward(self, logits, targets):
        """Computes the loss.

        Arguments
        ---------
        logits : torch.Tensor
            `[batch, attributes]`.
        targets : torch.Tensor
            `[batch, attributes]`; not a number where it is not known.

        Returns
        -------
        torch.Tensor
            Scalar: the weighted mean over the attributes.
        """
        known = ~targets.isnan()
        count = known.sum(0)
        share = known / count.clamp(min=1)
        # [batch, attributes]: what a mean weighs each clip by.
        targets = targets.nan_to_num()
        means = (share * logits).sum(0), (share * targets).sum(0)
        x, y = logits - means[0], targets - means[1]
        both = (share * x * y).sum(0)
        spread = (share * (x * x + y * y)).sum(0)
        spread = spread + (means[0] - means[1]) ** 2
        # A constant batch that is predicted as it is has no spread.
        concordance = 2 * both / spread.clamp(min=1e-8)
        cost = self._mean(1 - concordance, count > 1)
        # What is left of the spread is the mean square error.
        return cost + self.error * self._mean(spread - 2 * both, count > 0)

    def _mean(self, cost, counts):
        """The weighted mean over those attributes that count."""
        weights = counts.to(cost)
        if self.weights is not None:
            weights = weights * self.weights
        return (weights * cost).sum() / weights.sum().clamp(min=1e-8)
