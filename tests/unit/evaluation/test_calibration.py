"""Calibration agrees with independent implementations."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import MulticlassCalibrationError

from auxformer_lobes.evaluation.calibration import (
    calibration_metrics,
    measure_calibration,
)
from tests.unit.small_tasks import KINDS, make_task, random_predictions


def random_probabilities(count=450, classes=4, seed=0):
    """Truth, and probabilities that are somewhat right, and too sure."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=count)
    logits = 2 * rng.standard_normal((count, classes))
    logits[np.arange(count), truth] += 1
    outputs = np.exp(logits)
    return truth, outputs / outputs.sum(1, keepdims=True)


def test_ece_is_that_of_torchmetrics():
    truth, outputs = random_probabilities()
    theirs = MulticlassCalibrationError(4, n_bins=15, norm="l1")
    expected = theirs(torch.tensor(outputs), torch.tensor(truth)).item()
    ours = calibration_metrics(truth, outputs)["ece"]
    assert ours == pytest.approx(expected, abs=1e-5)


def test_brier_score_and_nll_are_those_of_scikit_learn():
    truth, outputs = random_probabilities()
    made = calibration_metrics(truth, outputs)
    assert made["nll"] == pytest.approx(log_loss(truth, outputs))
    by_class = [brier_score_loss(truth == k, outputs[:, k]) for k in range(4)]
    assert made["brier"] == pytest.approx(sum(by_class))


def test_adaptive_bins_have_as_many_clips_each():
    truth, outputs = random_probabilities()
    order = outputs.max(1).argsort()
    right = outputs.argmax(1) == truth
    errors = [
        abs(outputs.max(1)[part].mean() - right[part].mean())
        for part in np.split(order, 15)
    ]
    made = calibration_metrics(truth, outputs)["adaptive_ece"]
    assert made == pytest.approx(np.mean(errors))


def test_bins_tell_the_confidence_and_accuracy_of_their_clips():
    truth, outputs = random_probabilities()
    bins = calibration_metrics(truth, outputs)["bins"]
    assert len(bins) == 15 and sum(of["count"] for of in bins) == 450
    hits = sum(of["accuracy"] * of["count"] for of in bins if of["count"])
    assert hits == pytest.approx((outputs.argmax(1) == truth).sum())
    for i, of in enumerate(bins):
        if of["count"]:
            assert i / 15 <= of["confidence"] <= (i + 1) / 15
        else:
            assert of["confidence"] is of["accuracy"] is None


@pytest.mark.parametrize("right, brier, error", [(True, 0, 0), (False, 2, 1)])
def test_a_model_that_is_sure_is_calibrated_if_it_is_right(right, brier, error):
    truth = np.array([0, 1, 2])
    outputs = np.eye(3)[truth if right else truth - 1]
    made = calibration_metrics(truth, outputs)
    assert made["brier"] == pytest.approx(brier)
    assert made["ece"] == made["adaptive_ece"] == pytest.approx(error)
    assert np.isfinite(made["nll"])


def test_a_fitted_temperature_lowers_the_likelihood_loss():
    task = make_task("categories")
    raw = random_predictions(task, 60)
    truth = np.array(raw["audio_visual"].truth)
    task.fit(truth, np.array(raw["audio_visual"].outputs["combined"]))
    calibrated = {name: of.calibrated(task) for name, of in raw.items()}
    made = measure_calibration(task, raw, calibrated)
    assert [*made] == [*raw]
    both = made["audio_visual"]
    assert both["after"]["nll"] < both["before"]["nll"]
    # Clips in a tie have no class to be right about.
    counts = [sum(b["count"] for b in of["bins"]) for of in both.values()]
    assert counts == [task.has_label(truth).sum()] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_only_classes_have_a_calibration(kind):
    task = make_task(kind)
    raw = random_predictions(task)
    made = measure_calibration(task, raw, raw)
    assert bool(made) == (kind in ("categories", "votes"))
    for of in raw.values():
        of.truth = [[-1]] * 12
    if made:
        assert measure_calibration(task, raw, raw) == {}
