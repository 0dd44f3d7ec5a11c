"""Several emotions a clip."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from auxformer_lobes.nnet.losses import BinaryCrossEntropy, CrossEntropy
from auxformer_lobes.reporting import figures
from auxformer_lobes.tasks.base import (
    Task,
    check_votes,
    likeliest,
    mean_of_numbers,
)


class MultiLabelEmotion(Task):
    """Each clip shows some of many emotions.

    What raters perceived is a distribution over the emotions, and an emotion
    is there if its share is above that of chance, 1 / classes. The network
    learns the distribution (cross-entropy, softmax), or whether each emotion
    is there (binary cross-entropy, sigmoid). An emotion is predicted above a
    threshold, which `fit` chooses for the best F1-macro.

    Arguments
    ---------
    classes : list of str
        Names of the emotions, in the order of the manifest's votes.
    binary : bool
        Whether each emotion is learnt for itself.

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

    def __init__(self, classes, binary=False):
        criterion = BinaryCrossEntropy() if binary else CrossEntropy()
        super().__init__(classes, criterion)
        self.binary = binary
        self.threshold = 0.5 if binary else 1 / self.num_outputs

    @property
    def settings(self):
        """What was fitted."""
        return {"threshold": self.threshold}

    def check(self, entries):
        """Makes sure that there are votes on each emotion, see `Task`."""
        check_votes(entries, self.num_outputs)

    def labels(self, votes):
        """Shares of the votes, and which emotions are there.

        Arguments
        ---------
        votes : list of float
            Shares of the votes.

        Returns
        -------
        target : torch.Tensor
            Float `[classes]`: the shares, or what is there if `binary`.
        truth : torch.Tensor
            Integer `[classes]`, 1 for what is there.
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
        overall, _ = self.measure(np.stack([hits, predicted, true], 1))
        self.threshold = float(candidates[np.argmax(overall["f1_macro"])])

    def statistics(self, truth, outputs):
        """Hits, predicted and true ones: `[clips, 3, classes]`."""
        truth = np.asarray(truth) > 0
        predicted = np.asarray(outputs) > self.threshold
        return np.stack([truth & predicted, predicted, truth], 1).astype(float)

    def measure(self, statistics):
        """Precision, recall and F1 of each emotion, see `Task.measure`."""
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

    def known(self, truth):
        """All clips, see `Task.known`."""
        return np.ones(len(truth), dtype=bool)

    def linear_model(self, strength):
        """A logistic regression an emotion, see `Task.linear_model`."""
        return OneVsRestClassifier(LogisticRegression(C=strength, max_iter=300))

    def linear_outputs(self, model, features):
        """Probabilities, see `Task.linear_outputs`."""
        return model.predict_proba(features)

    def columns(self):
        """Titles of the table of predictions, see `Task.columns`."""
        return ["truth", "predicted", *(f"p_{name}" for name in self.names)]

    def cells(self, truth, outputs):
        """Emotions that are and that seem there, probabilities."""
        return [
            "|".join(self._there(truth, 0)),
            "|".join(self._there(outputs, self.threshold)),
            *(f"{p:.6f}" for p in outputs),
        ]

    def say_truth(self, truth):
        """The emotions that are there, see `Task.say_truth`."""
        return " and ".join(self._there(truth, 0)) or "nothing in particular"

    def say(self, outputs):
        """The likeliest three emotions, see `Task.say`."""
        return likeliest(self.names, outputs)

    def _there(self, values, threshold):
        return [n for n, value in zip(self.names, values) if value > threshold]

    def figures(self, predictions):
        """F1 of each emotion, see `Task.figures`."""
        f1 = {}
        for name, made in predictions.items():
            outputs = np.array(made.outputs["combined"])
            statistics = self.statistics(np.array(made.truth), outputs)
            f1[name] = self.measure(statistics.sum(0))[1]["f1"]
        return {"emotions": figures.bars(f1, self.names, "F1 of each emotion")}


def _above(values, thresholds):
    """How many values are above each threshold."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, "right")
