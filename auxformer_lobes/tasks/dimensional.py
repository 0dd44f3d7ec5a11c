"""Emotion as numbers: arousal, valence, dominance."""

import numpy as np
import torch
from sklearn.linear_model import Ridge

from auxformer_lobes.nnet.losses import ConcordanceLoss
from auxformer_lobes.reporting import figures
from auxformer_lobes.tasks.base import Task, mean_of_numbers
from auxformer_lobes.utils.errors import UserError


class DimensionalEmotion(Task):
    """Each clip has a place on some scales.

    The network learns them scaled to [0, 1], with 1 minus the concordance
    correlation coefficient, and some square error, as its loss; outputs,
    metrics and pictures are on the raters' scale.

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
    error : float
        Weight of the mean square error in the loss, see `ConcordanceLoss`.

    Example
    -------
    >>> task = DimensionalEmotion(["arousal", "valence"])
    >>> task.labels({"arousal": 5.0, "valence": 2.0, "dominance": 3.0})
    (tensor([1.0000, 0.2500]), tensor([5., 2.]))
    >>> task.outputs(torch.tensor([[0.5, 0.25]]))
    tensor([[3., 2.]])
    >>> task.say([3.0, 2.0])
    'arousal 3.00, valence 2.00'
    """

    takes = ("attributes",)
    metrics = ("ccc", "rmse")
    lower_is_better = ("rmse",)
    details = ("ccc", "rmse")
    scale = 1

    def __init__(
        self,
        names=("arousal", "valence", "dominance"),
        low=1.0,
        high=5.0,
        weights=None,
        error=1.0,
    ):
        if weights is not None and len(weights) != len(names):
            raise UserError(
                f"weights: {len(weights)} of them, for {len(names)} attributes"
            )
        super().__init__(names, ConcordanceLoss(weights, error))
        self.low, self.high = self.limits = low, high

    def check(self, entries):
        """Makes sure that all clips have the attributes, see `Task.check`."""
        for clip, entry in entries.items():
            missing = {*self.names} - {*(entry.get("attributes") or ())}
            if missing:
                raise UserError(
                    f"manifest: {clip} has no {', '.join(sorted(missing))}: "
                    "attribute models need a corpus with attributes, such as "
                    "MSP-IMPROV"
                )

    def labels(self, attributes):
        """The attributes, scaled and as they are.

        Arguments
        ---------
        attributes : dict
            Name -> value on the raters' scale; None where there is none.

        Returns
        -------
        target : torch.Tensor
            `[attributes]`, 0 to 1; not a number where there is none.
        truth : torch.Tensor
            `[attributes]`, on the raters' scale.
        """
        values = (attributes[name] for name in self.names)
        truth = torch.tensor(
            [float("nan") if value is None else value for value in values]
        )
        return (truth - self.low) / (self.high - self.low), truth

    def outputs(self, logits):
        """What the heads say, on the raters' scale, see `Task.outputs`."""
        return self.low + (self.high - self.low) * logits.float()

    def statistics(self, truth, outputs):
        """Count, sums, squares and product, `[clips, 6, attributes]`."""
        # From the middle of the scale, so that sums of squares stay exact.
        middle = (self.low + self.high) / 2
        x = np.asarray(truth, dtype=float) - middle
        y = np.asarray(outputs, dtype=float) - middle
        moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
        return np.where(np.isnan(x)[:, None], 0, moments)

    def measure(self, statistics):
        """Concordance and root mean square error, see `Task.measure`.

        Lin, "A concordance correlation coefficient to evaluate
        reproducibility", Biometrics 1989.
        """
        count, *sums = np.moveaxis(statistics, -2, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            x, y, xx, yy, xy = (total / count for total in sums)
            square = xx + yy - 2 * xy
            spread = xx - x * x + yy - y * y + (x - y) ** 2
            # Below this it is rounding errors, of which a ratio is anything.
            ccc = np.where(spread > 1e-12, 2 * (xy - x * y) / spread, np.nan)
        rmse = np.sqrt(np.maximum(square, 0))
        details = {"ccc": ccc, "rmse": rmse, "support": count}
        return {m: mean_of_numbers(details[m]) for m in self.metrics}, details

    def known(self, truth):
        """Clips of which all attributes are known, see `Task.known`."""
        return ~np.isnan(truth).any(1)

    def linear_model(self, strength):
        """Ridge regression, see `Task.linear_model`."""
        return Ridge(alpha=1 / strength)

    def linear_outputs(self, model, features):
        """What is regressed, see `Task.linear_outputs`."""
        return model.predict(features).reshape(len(features), -1)

    def columns(self):
        """Titles of the table of predictions, see `Task.columns`."""
        return [*(f"true_{name}" for name in self.names), *self.names]

    def cells(self, truth, outputs):
        """True and predicted attributes, see `Task.cells`."""
        true = ("" if np.isnan(value) else f"{value:.4f}" for value in truth)
        return [*true, *(f"{value:.4f}" for value in outputs)]

    def say_truth(self, truth):
        """The attributes, see `Task.say_truth`."""
        return self.say(truth).replace(" nan", " unknown")

    def say(self, outputs):
        """The attributes, see `Task.say`."""
        pairs = zip(self.names, outputs)
        return ", ".join(f"{name} {value:.2f}" for name, value in pairs)

    def figures(self, predictions):
        """True against predicted attributes, see `Task.figures`."""
        made = predictions["audio_visual"]
        return {
            "attributes": figures.scatter(
                np.array(made.truth),
                np.array(made.outputs["combined"]),
                self.names,
                (self.low, self.high),
            )
        }
