"""One emotion per clip."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from auxformer_lobes.nnet.losses import CrossEntropy
from auxformer_lobes.tasks.base import Task, check_votes, mean_of_numbers
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import (
    NAMES,
    SHARE,
    list_of,
    number,
    one_of,
    optional,
)


class CategoricalEmotion(Task):
    """One class per clip, or a distribution of votes over the classes.

    Under rule D the network learns the shares of the votes; metrics are those
    of the plurality class in any case, on clips that have one. `fit` chooses
    the temperature (Guo et al., "On Calibration of Modern Neural Networks",
    ICML 2017), which only `calibrate` uses.

    Arguments
    ---------
    classes : list of str
        Names of the classes, in the order of the manifest's votes.
    label_rule : str
        "P", "M" or "D", see `auxformer_lobes.dataio.labels`.
    class_weights : list of float
        Weight of each class in the loss; all the same by default.
    label_smoothing : float
        Share of each target that is spread over all classes.

    Example
    -------
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> task.labels("happy", [0.2, 0.8])
    (tensor([1]), tensor([1]))
    >>> CategoricalEmotion(["angry", "happy"], label_rule="D").labels(
    ...     None, [0.5, 0.5]
    ... )
    (tensor([0.5000, 0.5000]), tensor([-1]))
    >>> task.decide([0.25, 0.75])
    'happy'
    """

    takes = ("emotion", "votes")
    metrics = ("f1_macro", "f1_micro", "uar", "accuracy")
    details = ("precision", "recall", "f1")

    schema = {
        "classes": NAMES,
        "label_rule": one_of("P", "M", "D"),
        "class_weights": optional(list_of(number(0, 1e6))),
        "label_smoothing": SHARE,
    }

    def __init__(
        self, classes, label_rule="P", class_weights=None, label_smoothing=0.0
    ):
        super().__init__(classes, CrossEntropy(class_weights, label_smoothing))
        self.label_rule = label_rule
        self.temperature = 1.0

    @property
    def settings(self):
        """The temperature, see `Task.settings`."""
        return {"temperature": self.temperature}

    def check(self, entries):
        """Checks that all emotions are classes, see `Task.check`."""
        emotions = {entry.get("emotion") for entry in entries.values()}
        unmatched = emotions - {*self.names, None}
        if unmatched:
            raise UserError(
                f"manifest has the emotions {sorted(unmatched)}, not among "
                f"{list(self.names)}: prepare it again with the same "
                "num_classes"
            )
        if self.label_rule == "D":
            check_votes(entries, self.num_outputs)

    def labels(self, emotion, votes):
        """Index of the class, -1 where the votes are tied.

        Arguments
        ---------
        emotion : str or None
            The class.
        votes : list of float
            Shares of the votes.

        Returns
        -------
        target : torch.Tensor
            Index `[1]`, or shares `[classes]` under rule D.
        truth : torch.Tensor
            Index `[1]`.
        """
        index = -1 if emotion is None else self.names.index(emotion)
        truth = torch.tensor([index])
        return torch.tensor(votes) if self.label_rule == "D" else truth, truth

    def outputs(self, logits):
        """Logits as probabilities, see `Task.outputs`."""
        return logits.float().softmax(-1)

    def fit(self, truth, outputs):
        """Chooses the temperature, see `Task.fit`."""
        labelled = self.has_label(truth)
        logits = np.log(np.maximum(outputs[labelled], 1e-12))
        truth = truth[labelled]
        # Where all clips are right, or there is none, no temperature is best:
        # the colder, the better, which says nothing about other clips.
        if (logits.argmax(1) == truth[:, 0]).all():
            self.temperature = 1.0
            return

        def _nll(log_temperature):
            scaled = logits / np.exp(log_temperature)
            of_truth = np.take_along_axis(scaled, truth, axis=1)[:, 0]
            return (logsumexp(scaled, axis=1) - of_truth).mean()

        fitted = minimize_scalar(
            _nll, bounds=np.log([0.1, 10.0]), method="bounded"
        )
        self.temperature = float(np.exp(fitted.x))

    def calibrate(self, outputs):
        """Scales by the fitted temperature, see `Task.calibrate`."""
        return (outputs.clamp(min=1e-12).log() / self.temperature).softmax(-1)

    def sufficient_statistics(self, truth, outputs):
        """Confusion matrix of each clip, `[clips, true, predicted]`."""
        truth = np.asarray(truth)[:, 0]
        labelled = truth >= 0
        predicted = np.argmax(outputs, axis=1)
        matrices = np.zeros((len(truth), self.num_outputs, self.num_outputs))
        matrices[labelled, truth[labelled], predicted[labelled]] = 1
        return matrices

    def compute_metrics(self, statistics):
        """Metrics of confusion matrices, see `confusion_metrics`."""
        return confusion_metrics(statistics)

    def decide(self, outputs):
        """The most probable class, see `Task.decide`."""
        return self.names[int(np.argmax(outputs))]

    def has_label(self, truth):
        """Clips that have a class, see `Task.has_label`."""
        return truth[:, 0] >= 0


def confusion_metrics(confusion):
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
    overall : dict of np.ndarray
        F1-macro, F1-micro, UAR and accuracy, `[...]`.
    details : dict of np.ndarray
        Precision, recall, F1 and support of each class, `[..., classes]`; NaN
        where no clip counts.

    Example
    -------
    >>> overall, details = confusion_metrics(np.array([[3, 1], [0, 4]]))
    >>> float(overall["uar"]), details["recall"].tolist()
    (0.875, [0.75, 1.0])
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    with np.errstate(invalid="ignore"):
        details = {
            "precision": hits / predicted,
            "recall": hits / true,
            "f1": 2 * hits / (true + predicted),
            "support": true,
        }
        accuracy = hits.sum(-1) / true.sum(-1)
    overall = {
        "f1_macro": mean_of_numbers(details["f1"]),
        # Equal, where each clip has one true and one predicted class; papers
        # report either.
        "f1_micro": accuracy,
        "uar": mean_of_numbers(details["recall"]),
        "accuracy": accuracy,
    }
    return overall, details
