"""Calibration: whether probabilities are how often a model is right.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The
confidence of a prediction is the probability of its most probable class.
"""

import numpy as np

from auxformer_lobes.evaluation.subsets import equal_parts
from auxformer_lobes.tasks import CategoricalEmotion

NUM_BINS = 15


def measure_calibration(task, raw, calibrated):
    """Calibration of the combined outputs, before and after temperature.

    Arguments
    ---------
    task : Task
        What was predicted.
    raw : dict of Predictions
        By name of the condition, not calibrated.
    calibrated : dict of Predictions
        The same, calibrated.

    Returns
    -------
    dict
        Condition → `before` and `after`, each see `calibration_metrics`.
        Empty for other tasks than classes, and where no clip has a label.
    """
    if not isinstance(task, CategoricalEmotion):
        return {}
    results = {}
    for condition, made in raw.items():
        truth = np.array(made.truth)
        labelled = task.has_label(truth)
        if labelled.any():
            results[condition] = {
                name: calibration_metrics(
                    truth[labelled, 0],
                    np.array(of[condition].outputs["combined"])[labelled],
                )
                for name, of in (("before", raw), ("after", calibrated))
            }
    return results


def calibration_metrics(truth, outputs, num_bins=NUM_BINS):
    """Calibration errors of class probabilities.

    Arguments
    ---------
    truth : np.ndarray
        Index of the class, `[clips]`.
    outputs : np.ndarray
        Probabilities, `[clips, classes]`.
    num_bins : int
        Bins of the calibration errors.

    Returns
    -------
    dict
        `ece` and `adaptive_ece`, the mean distance of confidence and accuracy
        over bins of the same width, and over bins of as many clips each;
        `brier`, the mean over clips of the sum over classes of the squared
        errors, 0 to 2; `nll`, the mean negative log-likelihood in nats;
        `bins` of the same width, each `confidence` and `accuracy`, None where
        `count` is 0.

    Example
    -------
    >>> outputs = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    >>> made = calibration_metrics(np.array([0, 0, 1, 1]), outputs)
    >>> round(made["ece"], 3), round(made["brier"], 3)
    (0.175, 0.315)
    >>> [of["count"] for of in made["bins"] if of["count"]]
    [2, 1, 1]
    """
    confidence = outputs.max(1)
    right = outputs.argmax(1) == truth
    edges = np.linspace(0, 1, num_bins + 1)
    index = np.digitize(confidence, edges[1:-1])
    bins = _bins(index, confidence, right, num_bins)
    index = equal_parts(confidence, num_bins)
    masses = _bins(index, confidence, right, num_bins)
    of_truth = outputs[np.arange(len(truth)), truth]
    squares = (outputs**2).sum(1) - 2 * of_truth + 1
    return {
        "ece": _error(bins),
        "adaptive_ece": _error(masses),
        "brier": float(squares.mean()),
        "nll": float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        "bins": [
            {
                "confidence": confidence / count if count else None,
                "accuracy": hits / count if count else None,
                "count": int(count),
            }
            for count, confidence, hits in bins.tolist()
        ],
    }


def _bins(index, confidence, right, num_bins):
    """Count, sum of confidences and hits of each bin, `[bins, 3]`."""
    sums = np.stack([np.ones(len(index)), confidence, right], 1)
    bins = np.zeros((num_bins, 3))
    np.add.at(bins, index, sums)
    return bins


def _error(bins):
    count, confidence, hits = bins.T
    return float(np.abs(confidence - hits).sum() / count.sum())
