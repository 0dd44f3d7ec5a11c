"""Emotional attributes: arousal, valence, dominance."""

import numpy as np
import torch

from auxformer_lobes.nnet.losses import ConcordanceLoss
from auxformer_lobes.tasks.base import Task, mean_of_numbers
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import NAMES, list_of, number, optional


class DimensionalEmotion(Task):
    """Attributes on the raters' scale.

    The network learns them scaled to [0, 1]; its loss is 1 minus the
    concordance correlation coefficient, plus some square error. Outputs and
    metrics are on the raters' scale.

    Arguments
    ---------
    names : list of str
        Names of the attributes in the manifest.
    low : float
        Lower end of the raters' scale.
    high : float
        Upper end of the raters' scale.
    weights : list of float
        Weight of each attribute in the loss; all the same by default.
    mse_weight : float
        Weight of the mean square error in the loss, see `ConcordanceLoss`.

    Example
    -------
    >>> task = DimensionalEmotion(["arousal", "valence"])
    >>> task.labels({"arousal": 5.0, "valence": 2.0, "dominance": 3.0})
    (tensor([1.0000, 0.2500]), tensor([5., 2.]))
    >>> task.outputs(torch.tensor([[0.5, 0.25]]))
    tensor([[3., 2.]])
    """

    takes = ("attributes",)
    metrics = ("ccc", "rmse")
    lower_is_better = ("rmse",)
    details = ("ccc", "rmse")
    scale = 1

    schema = {
        "names": NAMES,
        "low": number(-1e6, 1e6),
        "high": number(-1e6, 1e6),
        "weights": optional(list_of(number(0, 1e6))),
        "mse_weight": number(0, 1e6),
    }

    def __init__(
        self,
        names=("arousal", "valence", "dominance"),
        low=1.0,
        high=5.0,
        weights=None,
        mse_weight=1.0,
    ):
        if weights is not None and len(weights) != len(names):
            raise UserError(
                f"weights: {len(weights)} of them, for {len(names)} attributes"
            )
        super().__init__(names, ConcordanceLoss(weights, mse_weight))
        self.low, self.high = self.limits = low, high

    def check(self, entries):
        """Checks that all clips have the attributes, see `Task.check`."""
        for clip, entry in entries.items():
            missing = {*self.names} - {*(entry.get("attributes") or ())}
            if missing:
                raise UserError(
                    f"manifest: {clip} has no {', '.join(sorted(missing))}: "
                    "attribute models need a corpus with attributes, such as "
                    "MSP-IMPROV"
                )

    def labels(self, attributes):
        """The attributes, scaled and on the raters' scale.

        Arguments
        ---------
        attributes : dict
            Name -> value on the raters' scale; None where there is none.

        Returns
        -------
        target : torch.Tensor
            `[attributes]`, 0 to 1; NaN where there is none.
        truth : torch.Tensor
            `[attributes]`, on the raters' scale.
        """
        values = (attributes[name] for name in self.names)
        truth = torch.tensor(
            [float("nan") if value is None else value for value in values]
        )
        return (truth - self.low) / (self.high - self.low), truth

    def outputs(self, logits):
        """Rescales to the raters' scale, see `Task.outputs`."""
        return self.low + (self.high - self.low) * logits.float()

    def sufficient_statistics(self, truth, outputs):
        """Count, sums, squares and product, `[clips, 6, attributes]`."""
        # Centred, so that sums of squares lose no digits.
        middle = (self.low + self.high) / 2
        x = np.asarray(truth, dtype=float) - middle
        y = np.asarray(outputs, dtype=float) - middle
        moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
        return np.where(np.isnan(x)[:, None], 0, moments)

    def compute_metrics(self, statistics):
        """CCC and root mean square error, see `Task.compute_metrics`.

        Lin, "A concordance correlation coefficient to evaluate
        reproducibility", Biometrics 1989.
        """
        count, *sums = np.moveaxis(statistics, -2, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            x, y, xx, yy, xy = (total / count for total in sums)
            square = xx + yy - 2 * xy
            spread = xx - x * x + yy - y * y + (x - y) ** 2
            # Below this, the spread is rounding error.
            ccc = np.where(spread > 1e-12, 2 * (xy - x * y) / spread, np.nan)
        rmse = np.sqrt(np.maximum(square, 0))
        details = {"ccc": ccc, "rmse": rmse, "support": count}
        return {m: mean_of_numbers(details[m]) for m in self.metrics}, details

    def has_label(self, truth):
        """Clips with all attributes, see `Task.has_label`."""
        return ~np.isnan(truth).any(1)
