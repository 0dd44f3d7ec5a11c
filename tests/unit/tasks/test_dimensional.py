"""Arousal, valence, dominance: concordance and error, on the raters' scale."""

import numpy as np
import pytest
import torch
from hypothesis import (
    assume,
    given,
    settings,
    strategies as st,
)
from sklearn.metrics import root_mean_squared_error

from auxformer_lobes.evaluation.linear_baseline import (
    linear_model,
    linear_outputs,
)
from auxformer_lobes.nnet.losses import ConcordanceLoss
from auxformer_lobes.reporting.figures import figures_of_test
from auxformer_lobes.reporting.predictions_csv import csv_header, csv_row
from auxformer_lobes.reporting.tables import format_label, format_prediction
from auxformer_lobes.tasks import DimensionalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import random_clips, random_predictions

ENTRY = {"arousal": 5.0, "valence": 2.0, "dominance": 3.0}


@pytest.fixture
def task():
    return DimensionalEmotion()


def concordance(x, y):
    """Lin's coefficient from numpy's covariance, an independent formula."""
    covariance = np.cov(x, y, bias=True)
    away = (np.mean(x) - np.mean(y)) ** 2
    return 2 * covariance[0, 1] / (covariance.trace() + away)


def measure(task, truth, outputs):
    return task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )


# Raters' means have some digits only.
RATINGS = st.integers(100, 500).map(lambda x: x / 100)
PAIRS = st.lists(st.tuples(RATINGS, RATINGS), min_size=2, max_size=30)


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_metrics_are_those_of_other_formulas(pairs):
    truth, outputs = np.array(pairs).T[:, :, None]
    # Where nothing varies, no formula has a value.
    assume(np.ptp(pairs) > 0)
    overall, details = measure(DimensionalEmotion(["arousal"]), truth, outputs)
    ccc, rmse = overall["ccc"], overall["rmse"]
    # Sums of squares up to 4 have 15 digits, and the least spread that
    # ratings of two digits have, over 30 clips, is 3e-6.
    assert ccc == pytest.approx(concordance(*np.array(pairs).T), abs=1e-8)
    assert rmse == pytest.approx(root_mean_squared_error(truth, outputs))
    assert details["ccc"].tolist() == [ccc]
    assert details["rmse"].tolist() == [rmse]
    assert abs(ccc) < 1 + 1e-8


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_where_nothing_varies_there_is_no_concordance(count):
    """A ratio of two rounding errors would be any number."""
    truth = np.tile([1.0, 1.1, 3.0, 3.3, 4.7], (count, 1))
    for outputs in (truth, truth + 1e-9):
        _, details = measure(DimensionalEmotion("abcde"), truth, outputs)
        assert np.isnan(details["ccc"]).all()
        # The root of a rounding error.
        np.testing.assert_allclose(details["rmse"], 0, atol=1e-7)


def test_a_constant_prediction_has_no_concordance_with_what_varies(task):
    truth, _ = random_clips(task, 50, gaps=False)
    overall, _ = measure(task, truth, np.full((50, 3), 2.7))
    assert overall["ccc"] == pytest.approx(0, abs=1e-12)


def test_the_mean_over_attributes_is_reported_first(task):
    truth, outputs = random_clips(task, 50, gaps=False)
    overall, details = measure(task, truth, outputs)
    for i, (x, y) in enumerate(zip(truth.T, outputs.T)):
        assert details["ccc"][i] == pytest.approx(concordance(x, y))
        assert details["rmse"][i] == pytest.approx(
            root_mean_squared_error(x, y)
        )
    for name, value in overall.items():
        assert value == pytest.approx(details[name].mean())


def test_what_is_not_known_is_left_out_of_its_attribute_only(task):
    truth, outputs = random_clips(task, 50)
    unknown = np.isnan(truth)
    assert unknown.any(0).all() and not unknown.all(1).all()
    _, details = measure(task, truth, outputs)
    for i, (x, y) in enumerate(zip(truth.T, outputs.T)):
        known = ~np.isnan(x)
        assert details["support"][i] == known.sum()
        assert details["ccc"][i] == pytest.approx(
            concordance(x[known], y[known])
        )
    assert task.has_label(truth).tolist() == (~unknown.any(1)).tolist()


def test_an_attribute_that_no_clip_has_is_not_in_the_mean(task):
    truth, outputs = random_clips(task, 50, gaps=False)
    truth[:, 1] = np.nan
    overall, details = measure(task, truth, outputs)
    assert np.isnan(details["ccc"][1]) and np.isnan(details["rmse"][1])
    assert overall["ccc"] == pytest.approx(details["ccc"][[0, 2]].mean())


@settings(deadline=None, max_examples=50)
@given(st.lists(RATINGS, min_size=3, max_size=3))
def test_ratings_are_scaled_and_back(ratings):
    task = DimensionalEmotion()
    target, truth = task.labels(dict(zip(task.names, ratings)))
    torch.testing.assert_close(truth, torch.tensor(ratings))
    # Rounded twice, to seven digits.
    torch.testing.assert_close(
        task.outputs(target), truth, rtol=2e-7, atol=2e-7
    )


def test_the_network_learns_a_scale_of_width_1():
    task = DimensionalEmotion(["arousal", "valence"], low=-3, high=7)
    target, truth = task.labels({"arousal": -3.0, "valence": 7.0})
    assert target[1] - target[0] == 1
    assert truth.tolist() == [-3, 7]
    assert task.outputs(target[None]).tolist() == [[-3, 7]]
    assert task.limits == (-3, 7)


def test_attributes_are_in_the_order_of_the_names():
    task = DimensionalEmotion(["dominance", "arousal"])
    assert task.labels(ENTRY)[1].tolist() == [3, 5]


def test_what_the_raters_left_out_is_not_a_number(task):
    target, truth = task.labels({**ENTRY, "valence": None})
    assert target.isnan().tolist() == truth.isnan().tolist()
    assert truth.isnan().tolist() == [False, True, False]


def test_outputs_are_float_in_any_precision(task):
    logits = torch.tensor([[0.5, 0.25, -0.5]])
    outputs = task.outputs(logits.bfloat16())
    assert outputs.dtype == torch.float
    torch.testing.assert_close(outputs, task.outputs(logits))


def test_the_loss_is_concordance_as_it_is_reported(task):
    """It does not change with the scale."""
    truth, outputs = random_clips(task, 40)
    targets, logits = (torch.from_numpy((x - 1) / 4) for x in (truth, outputs))
    overall, _ = measure(task, truth, outputs)
    assert isinstance(task.criterion, ConcordanceLoss)
    loss = ConcordanceLoss()(logits, targets)
    # The network's numbers have seven digits.
    assert loss.item() == pytest.approx(1 - overall["ccc"], abs=1e-6)


def test_weights_are_those_of_the_loss():
    task = DimensionalEmotion(weights=[1.0, 0.0, 3.0])
    torch.testing.assert_close(
        task.criterion.weights, torch.tensor([1.0, 0.0, 3.0])
    )


def test_the_floor_is_a_ridge_regression():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5))
    for number in (1, 3):
        names = ["arousal", "valence", "dominance"][:number]
        task = DimensionalEmotion(names)
        truth = features[:, :number] + 3
        truth = truth[:, 0] if number == 1 else truth
        model = linear_model(task, 1e6).fit(features, truth)
        outputs = linear_outputs(task, model, features)
        assert outputs.shape == (40, number)
        np.testing.assert_allclose(outputs, features[:, :number] + 3, atol=1e-4)


def test_a_stronger_model_is_less_regularised(task):
    assert linear_model(task, 0.01).alpha == 100


def test_a_table_has_true_and_predicted_numbers(task):
    cells = csv_row(task, [3.25, np.nan, 1.0], [3.0, 2.0, 1.23456])
    assert dict(zip(csv_header(task), cells)) == {
        "true_arousal": "3.2500",
        "true_valence": "",
        "true_dominance": "1.0000",
        "arousal": "3.0000",
        "valence": "2.0000",
        "dominance": "1.2346",
    }


def test_labels_and_predictions_are_formatted_in_words(task):
    text = "arousal 3.25, valence unknown, dominance 1.00"
    assert format_label(task, [3.25, float("nan"), 1.0]) == text
    assert format_prediction(task, [3.25, 2.0, 1.0]) == text.replace(
        "unknown", "2.00"
    )


@pytest.mark.parametrize(
    "entry",
    [{}, {"attributes": None}, {"attributes": {"arousal": 1.0}}],
    ids=str,
)
def test_a_corpus_without_attributes_is_refused(task, entry):
    task.check({"a": {"attributes": ENTRY}})
    with pytest.raises(UserError, match="b has no .*dominance, valence: attri"):
        task.check({"a": {"attributes": ENTRY}, "b": entry})


def test_the_figure_has_a_square_an_attribute(task):
    made = random_predictions(task)
    figure = figures_of_test(task, made)["attributes"]
    assert [axis.get_title() for axis in figure.axes] == [*task.names]
    both = made["audio_visual"]
    for i, axis in enumerate(figure.axes):
        points = np.ma.filled(axis.collections[0].get_offsets(), np.nan)
        truth = np.array(both.truth)[:, i]
        np.testing.assert_allclose(points[:, 0], truth)
        known = ~np.isnan(truth)
        # What lies beyond the scale is still to be seen.
        low, high = axis.get_ylim()
        assert ((low <= points[known, 1]) & (points[known, 1] <= high)).all()
