"""What every task has: targets, outputs, a loss and metrics."""

import numpy as np

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import Configurable


class Task(Configurable):
    """What a network predicts for a clip, its loss and its metrics.

    Metrics are computed from sufficient statistics that add up over clips, so
    that whole speakers can be resampled quickly.

    Class attributes: `takes`, the manifest keys that `labels` is given;
    `metrics`, names of the overall metrics, the first one first in every
    table; `lower_is_better`, those of them for which that holds; `details`,
    names of the metrics of each output; `scale`, by which tables multiply
    both; `limits` of the outputs. `settings` are the values that `fit` chose.

    Arguments
    ---------
    names : sequence of str
        Names of the outputs.
    criterion : torch.nn.Module
        Loss of logits `[batch, outputs]` and targets, for `SharedLoss`.
    """

    takes = ()
    metrics = ()
    lower_is_better = ()
    details = ()
    scale = 100
    limits = (0.0, 1.0)
    settings = {}

    def __init__(self, names, criterion):
        self.names = tuple(names)
        self.criterion = criterion

    @property
    def num_outputs(self):
        """Outputs of each head."""
        return len(self.names)

    def check(self, entries):
        """Checks that a manifest has this task's labels.

        Arguments
        ---------
        entries : dict
            Clip -> its entry in the manifest.

        Raises
        ------
        UserError
            If it has not.
        """

    def labels(self, *values):
        """Labels of one clip.

        Arguments
        ---------
        *values
            The manifest's values of the keys in `takes`.

        Returns
        -------
        target : torch.Tensor
            Target of the criterion.
        truth : torch.Tensor
            Label for the metrics, `[values]`.
        """
        raise NotImplementedError

    def outputs(self, logits):
        """Turns logits into probabilities, or values on the raters' scale.

        Arguments
        ---------
        logits : torch.Tensor
            `[batch, outputs]`.

        Returns
        -------
        torch.Tensor
            `[batch, outputs]`, float.
        """
        raise NotImplementedError

    def fit(self, truth, outputs):
        """Fits a threshold or a temperature, on the development set.

        Arguments
        ---------
        truth : np.ndarray
            Labels, `[clips, values]`.
        outputs : np.ndarray
            `[clips, outputs]`, not calibrated.
        """

    def calibrate(self, outputs):
        """Temperature-scaled probabilities (Guo et al. 2017).

        Identity where the task has no temperature.

        Arguments
        ---------
        outputs : torch.Tensor
            `[batch, outputs]`.

        Returns
        -------
        torch.Tensor
            `[batch, outputs]`.
        """
        return outputs

    def sufficient_statistics(self, truth, outputs):
        """Statistics that add up over clips, and from which metrics follow.

        Arguments
        ---------
        truth : np.ndarray
            `[clips, values]`.
        outputs : np.ndarray
            `[clips, outputs]`.

        Returns
        -------
        np.ndarray
            `[clips, ...]`; zero for a clip without a label.
        """
        raise NotImplementedError

    def compute_metrics(self, statistics):
        """Metrics of one sum of statistics, or of many at once.

        Arguments
        ---------
        statistics : np.ndarray
            `[..., (one clip's)]`.

        Returns
        -------
        overall : dict of np.ndarray
            Each of `metrics`, `[...]`.
        details : dict of np.ndarray
            Each of `details`, and `support` (labelled clips),
            `[..., outputs]`; NaN where no clip counts.
        """
        raise NotImplementedError

    def decide(self, outputs):
        """The predicted label of one clip.

        Arguments
        ---------
        outputs : array of float
            `[outputs]`.

        Returns
        -------
        str, list of str or None
            A class, classes, or None where the outputs are the prediction.
        """

    def has_label(self, truth):
        """Which clips have a label to fit a model to.

        Arguments
        ---------
        truth : np.ndarray
            `[clips, values]`.

        Returns
        -------
        np.ndarray
            Boolean, `[clips]`.
        """
        raise NotImplementedError

    def check_selection(self, quantity, heads):
        """Checks that epochs can be selected by a quantity.

        Arguments
        ---------
        quantity : str
            `select_by` of a recipe.
        heads : collection of str
            Heads of the network.

        Raises
        ------
        UserError
            If it is neither a loss nor one of `metrics`, nor its mean over the
            conditions: "mean_<metric>".
        """
        known = ["loss", *(f"loss_{head}" for head in heads), *self.metrics]
        known += [f"mean_{metric}" for metric in self.metrics]
        if quantity not in known:
            raise UserError(
                f"select_by {quantity!r} is unknown: choose one of "
                f"{', '.join(known)}"
            )

    def direction(self, quantity):
        """Whether less or more of a quantity is better.

        Arguments
        ---------
        quantity : str
            "loss", "loss_<head>", one of `metrics`, or "mean_<metric>".

        Returns
        -------
        str
            "min" or "max".
        """
        is_loss = quantity.partition("_")[0] == "loss"
        is_lower = quantity.removeprefix("mean_") in self.lower_is_better
        return "min" if is_loss or is_lower else "max"


def check_votes(entries, count):
    """Checks that each clip has votes on so many emotions.

    Arguments
    ---------
    entries : dict
        Clip -> its entry in the manifest.
    count : int
        Number of emotions.

    Raises
    ------
    UserError
        If one has not.
    """
    for clip, entry in entries.items():
        votes = len(entry.get("votes") or ())
        if votes != count:
            raise UserError(
                f"manifest has votes on {votes} emotions ({clip}), not on "
                f"{count}: prepare it again with the same num_classes"
            )


def mean_of_numbers(x):
    """Mean over the last axis, NaN left out; 0 where all are NaN.

    Arguments
    ---------
    x : np.ndarray
        `[..., values]`.

    Returns
    -------
    np.ndarray
        `[...]`.

    Example
    -------
    >>> mean_of_numbers(np.array([[1.0, np.nan], [1.0, 2.0]])).tolist()
    [1.0, 1.5]
    """
    known = ~np.isnan(x)
    return np.where(known, x, 0).sum(-1) / np.maximum(known.sum(-1), 1)
