"""Several emotions per clip."""

import numpy as np
import torch

from auxformer_lobes.nnet.losses import BinaryCrossEntropy, CrossEntropy
from auxformer_lobes.tasks.base import Task, check_votes, mean_of_numbers
from auxformer_lobes.utils.schema import FLAG, NAMES


class MultiLabelEmotion(Task):
    """Any number of emotions per clip.

    An emotion is present if its share of the votes is above chance, 1 /
    classes. The network learns the distribution of votes (cross-entropy,
    softmax), or the presence of each emotion (binary cross-entropy, sigmoid).
    An emotion is predicted above a threshold, which `fit` chooses for the best
    F1-macro.

    Arguments
    ---------
    classes : list of str
        Names of the emotions, in the order of the manifest's votes.
    binary : bool
        Whether the network learns the presence of each emotion.

    Example
    -------
    >>> task = MultiLabelEmotion(["angry", "excited", "happy"])
    >>> task.labels([0.1, 0.4, 0.5])
    (tensor([0.1000, 0.4000, 0.5000]), tensor([0, 1, 1]))
    >>> task.fit(np.array([[0, 1, 1]]), np.array([[0.2, 0.3, 0.5]]))
    >>> round(task.threshold, 2)
    0.25
    """

    takes = ("votes",)
    metrics = ("f1_macro", "f1_micro")
    details = ("precision", "recall", "f1")

    schema = {"classes": NAMES, "binary": FLAG}

    def __init__(self, classes, binary=False):
        criterion = BinaryCrossEntropy() if binary else CrossEntropy()
        super().__init__(classes, criterion)
        self.binary = binary
        self.threshold = 0.5 if binary else 1 / self.num_outputs

    @property
    def settings(self):
        """The threshold, see `Task.settings`."""
        return {"threshold": self.threshold}

    def check(self, entries):
        """Checks that there are votes on each emotion, see `Task.check`."""
        check_votes(entries, self.num_outputs)

    def labels(self, votes):
        """Shares of the votes, and which emotions are present.

        Arguments
        ---------
        votes : list of float
            Shares of the votes.

        Returns
        -------
        target : torch.Tensor
            Float `[classes]`: the shares, or the presence if `binary`.
        truth : torch.Tensor
            Presence, integer `[classes]`.
        """
        shares = torch.tensor(votes)
        truth = (shares > 1 / self.num_outputs).long()
        return truth.float() if self.binary else shares, truth

    def outputs(self, logits):
        """Logits as probabilities, see `Task.outputs`."""
        logits = logits.float()
        return logits.sigmoid() if self.binary else logits.softmax(-1)

    def fit(self, truth, outputs):
        """Chooses the threshold, see `Task.fit`."""
        values = np.unique(np.append(outputs, 0.0))
        candidates = (values[1:] + values[:-1]) / 2
        if len(candidates) == 0:
            return
        counts = [
            (_above(y[x > 0], candidates), _above(y, candidates))
            for x, y in zip(truth.T, outputs.T)
        ]
        hits, predicted = np.transpose(counts, (1, 2, 0))
        true = np.broadcast_to((truth > 0).sum(0), hits.shape)
        overall, _ = self.compute_metrics(np.stack([hits, predicted, true], 1))
        self.threshold = float(candidates[np.argmax(overall["f1_macro"])])

    def sufficient_statistics(self, truth, outputs):
        """Hits, predictions and labels, `[clips, 3, classes]`."""
        truth = np.asarray(truth) > 0
        predicted = np.asarray(outputs) > self.threshold
        return np.stack([truth & predicted, predicted, truth], 1).astype(float)

    def compute_metrics(self, statistics):
        """Precision, recall and F1, see `Task.compute_metrics`."""
        hits, predicted, true = np.moveaxis(statistics, -2, 0)
        with np.errstate(invalid="ignore"):
            details = {
                "precision": hits / predicted,
                "recall": hits / true,
                "f1": 2 * hits / (true + predicted),
                "support": true,
            }
            micro = 2 * hits.sum(-1) / (true + predicted).sum(-1)
        f1_macro = mean_of_numbers(details["f1"])
        return {"f1_macro": f1_macro, "f1_micro": micro}, details

    def decide(self, outputs):
        """The emotions above the threshold, see `Task.decide`."""
        pairs = zip(self.names, outputs)
        return [name for name, share in pairs if share > self.threshold]

    def has_label(self, truth):
        """All clips, see `Task.has_label`."""
        return np.ones(len(truth), dtype=bool)


def _above(values, thresholds):
    """How many values are above each threshold."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, "right")
