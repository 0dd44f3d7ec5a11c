"""The loss that the fusion and the auxiliary networks share."""

import logging
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

from auxformer_lobes.utils.errors import UserError

logger = logging.getLogger(__name__)


class LossParts(NamedTuple):
    """A shared loss and its parts.

    Arguments
    ---------
    total : torch.Tensor
        Scalar.
    heads : dict of torch.Tensor
        Loss of each head, scalars.
    """

    total: torch.Tensor
    heads: dict


class SharedLoss(nn.Module):
    """Weighted sum of the losses of a network's heads.

    Goncalves and Busso, ICASSP 2022, eq. 1, where each of three weights is one
    third and the loss of a head is the cross-entropy.

    Arguments
    ---------
    weights : dict of float
        Head → weight; equal weights that sum to 1 by default.
    criterion : torch.nn.Module
        Loss of one head, of `[batch, outputs]` and targets; by default
        `CrossEntropy()`.

    Example
    -------
    >>> logits = {head: torch.zeros(2, 4) for head in ("main", "audio")}
    >>> SharedLoss()(logits, torch.tensor([0, 3])).total
    tensor(1.3863)
    >>> votes = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    >>> SharedLoss()(logits, votes).heads["audio"]
    tensor(1.3863)
    """

    def __init__(self, weights=None, criterion=None):
        super().__init__()
        self.weights = None if weights is None else dict(weights)
        self.criterion = CrossEntropy() if criterion is None else criterion

    def forward(self, logits, targets, head_mask=None):
        """Computes the loss and its parts.

        Arguments
        ---------
        logits : dict of torch.Tensor
            Head → `[batch, outputs]`.
        targets : torch.Tensor
            Targets of the criterion, `[batch, ...]`.
        head_mask : torch.Tensor
            Which heads contribute for each sample, boolean `[batch, heads]`;
            all by default.

        Returns
        -------
        LossParts
            The total, and the loss of each head; zero for a head that
            contributes for no sample.

        Raises
        ------
        UserError
            If `weights` does not name the heads of the network.
        """
        self.check_heads(logits)
        weights = self.head_weights(logits)
        parts = {}
        for i, (head, scores) in enumerate(logits.items()):
            rows = slice(None)
            if head_mask is not None:
                # Of a mask on the host, the device need not be waited for.
                (rows,) = head_mask[:, i].nonzero(as_tuple=True)
                rows = rows.to(scores.device, non_blocking=True)
            scores = scores[rows]
            parts[head] = (
                self.criterion(scores, targets[rows])
                if len(scores)
                else scores.sum()
            )
        total = sum(weights[head] * part for head, part in parts.items())
        return LossParts(total, parts)

    def head_weights(self, heads):
        """The weights of the heads.

        Arguments
        ---------
        heads : collection of str
            Heads of the network.

        Returns
        -------
        dict of float
            Head → weight.
        """
        return self.weights or _equal_weights(heads)

    def end_epoch(self, train, valid):
        """Does nothing at the end of an epoch: the weights are fixed.

        Arguments
        ---------
        train : dict of float
            Head → loss on the training set.
        valid : dict of float
            Head → loss on the development set.
        """

    def check_heads(self, heads):
        """Checks that `weights` names the heads of a network.

        Arguments
        ---------
        heads : collection of str
            Heads of the network.

        Raises
        ------
        UserError
            If it names others, or lacks some.
        """
        if self.weights is not None and {*self.weights} != {*heads}:
            raise UserError(
                f"shared_loss: weights of {', '.join(self.weights)}, but the "
                f"network has the heads {', '.join(heads)}: name these"
            )


def _equal_weights(heads):
    return dict.fromkeys(heads, 1 / len(heads))


class GradientBlending(SharedLoss):
    """A shared loss whose weights follow how each head generalises.

    Wang, Tran and Feiszli, "What makes training multi-modal classification
    networks hard?", CVPR 2020, in its online variant: after each super-epoch,
    the weight of a head is proportional to ΔG / ΔO², where ΔG is what its
    development loss has fallen, and ΔO how much further its training loss has
    fallen than that.

    What differs from the paper: both come from the joint training, while the
    paper trains a copy of the network on each head alone for them; the training
    loss is the mean over an epoch, with dropout; the development set, which
    also selects the epoch, stands for its held-out part of the training set;
    weights are equal until the end of the first super-epoch, which starts with
    the losses of epoch 1; a head whose development loss has risen counts as
    ΔG = 0; ΔO below 0.01 counts as 0.01; and a share of the weight is spread
    equally, so that no head is given up.

    In evaluation mode all weights are equal, so that losses of different
    epochs can be compared. Processes that train together average their losses,
    and so have the same weights. Weights are part of the state, so that a run
    that is resumed goes on with them.

    Arguments
    ---------
    criterion : torch.nn.Module
        Loss of one head, of `[batch, outputs]` and targets: `task.criterion`.
    super_epoch : int
        Epochs from one estimate of the weights to the next.
    equal_share : float
        Share of the weight that is spread equally over the heads.

    Example
    -------
    >>> loss = GradientBlending(CrossEntropy(), super_epoch=1, equal_share=0.0)
    >>> loss.end_epoch({"main": 1.0, "audio": 1.0}, {"main": 1.0, "audio": 1.0})
    >>> loss.end_epoch({"main": 0.3, "audio": 0.6}, {"main": 0.5, "audio": 0.8})
    >>> {head: round(w, 3) for head, w in loss.weights.items()}
    {'main': 0.714, 'audio': 0.286}
    """

    def __init__(self, criterion, super_epoch=5, equal_share=0.1):
        super().__init__(criterion=criterion)
        if type(super_epoch) is not int or super_epoch < 1:
            raise ValueError(f"super_epoch {super_epoch}: choose 1 or more")
        if not 0 <= equal_share <= 1:
            raise ValueError(f"equal_share {equal_share}: choose from 0 to 1")
        self.super_epoch = super_epoch
        self.equal_share = equal_share
        self.start = None  # head → its losses when the super-epoch began
        self.epochs = 0  # since then

    def head_weights(self, heads):
        """The weights of the heads; equal ones in evaluation mode.

        Arguments
        ---------
        heads : collection of str
            Heads of the network.

        Returns
        -------
        dict of float
            Head → weight.
        """
        if self.training:
            return super().head_weights(heads)
        return _equal_weights(heads)

    def end_epoch(self, train, valid):
        """Estimates the weights anew at the end of a super-epoch.

        Arguments
        ---------
        train : dict of float
            Head → loss on the training set.
        valid : dict of float
            Head → loss on the development set.
        """
        losses = _mean_of_processes(
            {head: (train[head], valid[head]) for head in train}
        )
        if self.start is None:
            self.start = losses
            return
        self.epochs += 1
        if self.epochs == self.super_epoch:
            self.weights = self._blend(self.start, losses)
            self.start, self.epochs = losses, 0
            if not _is_distributed() or dist.get_rank() == 0:
                shown = (f"{h} {w:.3f}" for h, w in self.weights.items())
                logger.info(f"weights of the heads: {', '.join(shown)}")

    def _blend(self, start, end):
        """The weights, from the losses at both ends of a super-epoch."""
        ratios = {}
        for head, (train, valid) in end.items():
            train_before, valid_before = start[head]
            gain = valid_before - valid
            overfitting = (valid - train) - (valid_before - train_before)
            ratios[head] = max(0.0, gain) / max(1e-4, overfitting**2)
        total, weights = sum(ratios.values()), _equal_weights(ratios)
        if total > 0:  # else no head has learned anything that generalises
            for head, ratio in ratios.items():
                weights[head] *= self.equal_share
                weights[head] += (1 - self.equal_share) * ratio / total
        return weights

    def get_extra_state(self):
        """What `state_dict` holds beside the criterion's.

        Returns
        -------
        dict
        """
        return {
            "weights": self.weights,
            "start": self.start,
            "epochs": self.epochs,
        }

    def set_extra_state(self, state):
        """Restores what `get_extra_state` returned.

        Arguments
        ---------
        state : dict
        """
        self.weights = state["weights"]
        self.start = state["start"]
        self.epochs = state["epochs"]


def _is_distributed():
    return dist.is_available() and dist.is_initialized()


def _mean_of_processes(losses):
    """Head → (train, valid), the mean over processes that train together."""
    if not _is_distributed():
        return losses
    each = [None] * dist.get_world_size()
    dist.all_gather_object(each, losses)
    return {
        head: tuple(
            sum(parts) / len(parts) for parts in zip(*(x[head] for x in each))
        )
        for head in losses
    }


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
    a batch of fewer than two clips contributes only its square error. The loss
    is almost flat far from the truth, so that a head without information drifts
    off the scale and takes the mean of the heads along; some square error
    prevents that.

    Arguments
    ---------
    weights : list of float
        Weight of each attribute; by default all the same.
    mse_weight : float
        Weight of the mean square error that is added.

    Example
    -------
    >>> truth = torch.tensor([[0.0], [0.5], [1.0]])
    >>> loss = ConcordanceLoss()
    >>> print(f"{loss(truth, truth):.3f} {loss(1 - truth, truth):.3f}")
    0.000 2.000
    """

    def __init__(self, weights=None, mse_weight=0.0):
        super().__init__()
        self.mse_weight = mse_weight
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
        return cost + self.mse_weight * self._mean(spread - 2 * both, count > 0)

    def _mean(self, cost, counts):
        """The weighted mean over those attributes that count."""
        weights = counts.to(cost)
        if self.weights is not None:
            weights = weights * self.weights
        return (weights * cost).sum() / weights.sum().clamp(min=1e-8)
