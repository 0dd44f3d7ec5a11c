"""How good the predictions are, with intervals over speakers.

Clips of one speaker resemble each other, so that whole speakers, not clips,
are resampled for the confidence intervals (a cluster bootstrap; Field and
Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

from dataclasses import dataclass, field

import numpy as np

METRICS = ("f1_macro", "f1_micro", "uar", "accuracy")
LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")
HEADS = ("combined", "main", "audio", "visual")


@dataclass
class Predictions:
    """What was predicted for a set of clips, and what is true.

    Arguments
    ---------
    clips : list of str
        Clip names.
    speakers : list of str
        Who speaks in each.
    truth : list of int
        Index of the class of each; -1 where the votes are tied, which class
        metrics leave out.
    probabilities : dict of list
        For each head, class probabilities `[clips, classes]`.
    """

    clips: list = field(default_factory=list)
    speakers: list = field(default_factory=list)
    truth: list = field(default_factory=list)
    probabilities: dict = field(
        default_factory=lambda: {head: [] for head in HEADS}
    )

    def predicted(self, head):
        """Index of the likeliest class of each clip, for one head."""
        return np.argmax(self.probabilities[head], axis=1)

    def confusion(self, head):
        """Confusion matrix of one head; tied clips are left out."""
        truth = np.array(self.truth)
        known = truth >= 0
        num_classes = len(self.probabilities[head][0])
        return confusion_matrix(
            truth[known], self.predicted(head)[known], num_classes
        )

    def metrics(self, head):
        """`METRICS` of one head, as numbers."""
        values = metrics(self.confusion(head))
        return {name: float(values[name]) for name in METRICS}

    def scores(self, head, classes, **bootstrap):
        """Metrics of one head with intervals; see `score`."""
        return score(
            self.truth,
            self.predicted(head),
            self.speakers,
            classes,
            **bootstrap,
        )


def confusion_matrix(truth, predicted, num_classes):
    """Counts clips by true and by predicted class.

    Arguments
    ---------
    truth : array of int
        True classes, `[clips]`.
    predicted : array of int
        Predicted classes, `[clips]`.
    num_classes : int
        Number of classes.

    Returns
    -------
    np.ndarray
        Counts, `[true class, predicted class]`.

    Example
    -------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    cells = np.asarray(truth) * num_classes + np.asarray(predicted)
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def metrics(confusion):
    """Metrics of one confusion matrix, or of many at once.

    scikit-learn's definitions (a test compares), for thousands of matrices
    in one go: F1-macro is the mean over the classes that occur, as truth or
    as prediction; UAR the mean recall over the classes that are true.

    Arguments
    ---------
    confusion : np.ndarray
        Counts, `[..., true class, predicted class]`.

    Returns
    -------
    dict of np.ndarray
        The metrics `[...]`; `precision`, `recall` and `f1` of each class
        `[..., classes]`, not a number where there is nothing to count.

    Example
    -------
    >>> float(metrics(np.array([[3, 1], [0, 4]]))["uar"])
    0.875
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / true, hits / predicted
        f1 = 2 * hits / (true + predicted)
        accuracy = hits.sum(-1) / true.sum(-1)
    return {
        "f1_macro": _mean_of_numbers(f1),
        # The same thing, where each clip has one true and one predicted
        # class; both are reported, since papers report either.
        "f1_micro": accuracy,
        "uar": _mean_of_numbers(recall),
        "accuracy": accuracy,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def _mean_of_numbers(x):
    """Mean over the last axis of what is a number."""
    known = ~np.isnan(x)
    return np.where(known, x, 0).sum(-1) / np.maximum(known.sum(-1), 1)


def score(
    truth, predicted, speakers, classes, num_samples=2000, level=0.95, seed=0
):
    """Metrics with bootstrap intervals over speakers.

    Arguments
    ---------
    truth : list of int
        Index of the class of each clip; clips with -1 are left out.
    predicted : list of int
        Index of the predicted class of each clip.
    speakers : list of str
        Speaker of each clip.
    classes : list of str
        Names of the classes.
    num_samples : int
        Number of times that the speakers are drawn with replacement.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the draw.

    Returns
    -------
    dict
        Each of `METRICS` as `{value, low, high}`; `per_class` the same for
        the `precision`, `recall` and `f1` of each class, with its `support`
        in clips. What nothing can be said of is None: the interval of a
        single speaker, a class that never occurs.

    Example
    -------
    >>> result = score([0, 0, 1, 1], [0, 0, 1, 0], "abab", ["sad", "happy"])
    >>> result["uar"]
    {'value': 0.75, 'low': 0.5, 'high': 1.0}
    >>> result["per_class"]["happy"]["support"]
    2
    """
    known = np.asarray(truth) >= 0
    truth, predicted = np.asarray(truth)[known], np.asarray(predicted)[known]
    names, owner = np.unique(
        np.asarray(list(speakers))[known], return_inverse=True
    )
    # [speakers, classes, classes]
    confusions = np.stack(
        [
            confusion_matrix(
                truth[owner == i], predicted[owner == i], len(classes)
            )
            for i in range(len(names))
        ]
    )
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=num_samples
    )
    value = metrics(confusions.sum(0))
    sampled = metrics(np.tensordot(draws, confusions, 1))
    tail = 100 * (1 - level) / 2

    def _interval(name, *cell):
        whole = value[name][cell]
        if np.isnan(whole):
            return {"value": None, "low": None, "high": None}
        if len(names) == 1:
            return {"value": float(whole), "low": None, "high": None}
        samples = sampled[name][(slice(None), *cell)]
        low, high = np.nanpercentile(samples, [tail, 100 - tail])
        return {"value": float(whole), "low": float(low), "high": float(high)}

    result = {name: _interval(name) for name in METRICS}
    result["per_class"] = {
        label: {
            "support": int((truth == i).sum()),
            **{m: _interval(m, i) for m in ("precision", "recall", "f1")},
        }
        for i, label in enumerate(classes)
    }
    return result
