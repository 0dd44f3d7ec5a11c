"""Several emotions a clip: metrics are scikit-learn's for indicators."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from sklearn import metrics as sklearn_metrics

from auxformer_lobes.evaluation.linear_baseline import (
    linear_model,
    linear_outputs,
)
from auxformer_lobes.reporting.figures import figures_of_test
from auxformer_lobes.reporting.predictions_csv import csv_header, csv_row
from auxformer_lobes.reporting.tables import format_label, format_prediction
from auxformer_lobes.tasks import MultiLabelEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import random_predictions

CLASSES = ["angry", "excited", "happy", "sad"]


@pytest.fixture
def task():
    return MultiLabelEmotion(CLASSES)


# Clips, each with what is there and how likely it seems, in tenths.
CLIPS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(1, 10)), min_size=3, max_size=3
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: np.moveaxis(np.array(rows), -1, 0) / [[[1]], [[10]]])


def measure(task, truth, outputs):
    return task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )


@settings(deadline=None, max_examples=50)
@given(CLIPS, st.integers(0, 9))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_metrics_are_scikit_learns(clips, tenths):
    """But for an emotion that is neither present nor predicted.

    scikit-learn gives it an F1 of 0, or with `zero_division` nan leaves it
    out of the mean; ours is always left out, as in `CategoricalEmotion`.
    """
    truth, outputs = clips
    task = MultiLabelEmotion("abc")
    task.threshold = tenths / 10
    predicted = outputs > task.threshold
    overall, details = measure(task, truth, outputs)
    theirs = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1", "support"), theirs):
        np.testing.assert_allclose(details[name], values, err_msg=name)
    if (truth.any(0) | predicted.any(0)).all():
        default = sklearn_metrics.f1_score(truth, predicted, average="macro")
        assert overall["f1_macro"] == pytest.approx(default)
    if truth.any() or predicted.any():
        for average in ("macro", "micro"):
            expected = sklearn_metrics.f1_score(
                truth, predicted, average=average, zero_division=np.nan
            )
            assert overall[f"f1_{average}"] == pytest.approx(expected)


def test_an_emotion_that_never_occurs_is_not_in_the_mean(task):
    truth = np.array([[1, 0, 0, 0], [1, 1, 0, 0]])
    outputs = np.array([[0.9, 0.0, 0.0, 0.1], [0.9, 0.8, 0.0, 0.1]])
    overall, details = measure(task, truth, outputs)
    assert overall["f1_macro"] == 1
    assert details["support"].tolist() == [2, 1, 0, 0]
    assert np.isnan(details["f1"]).tolist() == [False, False, True, True]


def test_an_emotion_that_is_said_where_it_never_is_costs_its_share(task):
    truth, outputs = np.array([[1, 0, 0, 0]]), np.array([[0.6, 0.0, 0.4, 0.0]])
    overall, details = measure(task, truth, outputs)
    assert overall["f1_macro"] == 0.5
    assert details["precision"][2] == 0 and np.isnan(details["recall"][2])


def test_a_test_without_any_emotion_has_no_micro_f1(task):
    overall, _ = measure(task, np.zeros((2, 4)), np.zeros((2, 4)))
    assert np.isnan(overall["f1_micro"])


@settings(deadline=None, max_examples=50)
@given(CLIPS)
def test_no_threshold_is_better_on_the_development_set(clips):
    truth, outputs = clips
    task = MultiLabelEmotion("abc")
    task.fit(truth, outputs)
    fitted = measure(task, truth, outputs)[0]["f1_macro"]
    # All decisions there are: a threshold in each gap, and beyond the ends.
    for task.threshold in np.arange(0.05, 1.1, 0.1):
        assert fitted >= measure(task, truth, outputs)[0]["f1_macro"] - 1e-12


def test_the_threshold_lies_between_what_was_seen(task):
    truth = np.array([[0, 1, 1, 0], [1, 1, 0, 0]])
    outputs = np.where(truth, 0.4, 0.1)
    task.fit(truth, outputs)
    assert task.threshold == pytest.approx(0.25)
    assert task.settings == {"threshold": task.threshold}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_fitted_decides_as_it_did_when_it_was_fitted(task, dtype):
    """Outputs of a network are float32, and those of a report float64."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (50, 4))
    outputs = (0.4 * truth + rng.random((50, 4))).astype(np.float32)
    task.fit(truth, outputs.astype(dtype))
    assert 0.2 < task.threshold < 1.2
    predicted = outputs > np.float32(task.threshold)
    theirs = sklearn_metrics.f1_score(truth, predicted, average="macro")
    for again in (np.float32, np.float64):
        overall, _ = measure(task, truth, outputs.astype(again))
        assert overall["f1_macro"] == pytest.approx(theirs)


def test_before_it_is_fitted_the_threshold_is_that_of_chance(task):
    assert task.threshold == 0.25
    assert MultiLabelEmotion(CLASSES, binary=True).threshold == 0.5


def test_an_emotion_is_there_if_more_perceive_it_than_by_chance(task):
    target, truth = task.labels([0.25, 0.26, 0.49, 0.0])
    assert truth.tolist() == [0, 1, 1, 0]
    torch.testing.assert_close(target, torch.tensor([0.25, 0.26, 0.49, 0.0]))


def test_even_votes_on_ten_emotions_say_nothing_in_particular():
    """0.1 as a sum of floats is a little more, or less, than a tenth."""
    task = MultiLabelEmotion("abcdefghij")
    for tenth in (0.1, 0.3 - 0.2, 0.1 + 1e-16, 0.7 + 0.1 - 0.7):
        assert task.labels([tenth] * 10)[1].tolist() == [0] * 10
    assert format_label(task, [0] * 10) == "none"


def test_shares_are_learnt_by_cross_entropy(task):
    target, _ = task.labels([0.1, 0.2, 0.3, 0.4])
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    expected = -(target * logits.log_softmax(1)[0]).sum()
    torch.testing.assert_close(task.criterion(logits, target[None]), expected)
    torch.testing.assert_close(task.outputs(logits), logits.softmax(1))


def test_whether_each_is_there_is_learnt_by_binary_cross_entropy():
    task = MultiLabelEmotion(CLASSES, binary=True)
    target, truth = task.labels([0.1, 0.2, 0.3, 0.4])
    assert target.tolist() == truth.tolist() == [0, 0, 1, 1]
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    expected = sum(
        F.binary_cross_entropy(logits[0, i].sigmoid(), target[i])
        for i in range(4)
    )
    torch.testing.assert_close(task.criterion(logits, target[None]), expected)
    torch.testing.assert_close(task.outputs(logits), logits.sigmoid())


def test_all_clips_are_known(task):
    truth = np.array([[0, 0, 0, 0], [1, 0, 0, 1]])
    assert task.has_label(truth).all()


def test_the_floor_is_a_regression_an_emotion(task):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4))
    truth = (features > 0).astype(int)
    model = linear_model(task, 10.0).fit(features, truth)
    outputs = linear_outputs(task, model, features)
    assert outputs.shape == (60, 4)
    assert ((outputs > 0.5) == truth).mean() > 0.95


def test_a_table_lists_what_is_and_what_seems_there(task):
    task.threshold = 0.3
    row = dict(
        zip(csv_header(task), csv_row(task, [1, 0, 1, 0], [0.4, 0, 0.2, 0.4]))
    )
    assert row == {
        "truth": "angry|happy",
        "predicted": "angry|sad",
        "p_angry": "0.400000",
        "p_excited": "0.000000",
        "p_happy": "0.200000",
        "p_sad": "0.400000",
    }


def test_labels_and_predictions_are_formatted_in_words(task):
    assert format_label(task, [0, 1, 1, 0]) == "excited and happy"
    text = format_prediction(task, [0.1, 0.4, 0.2, 0.3])
    assert text == "excited 0.40, sad 0.30, happy 0.20"


def test_votes_on_other_emotions_are_refused(task):
    task.check({"a": {"votes": [0.0, 0.0, 0.5, 0.5]}})
    with pytest.raises(UserError, match=r"votes on 2 emotions \(b\), not on 4"):
        task.check({"a": {"votes": [0] * 4}, "b": {"votes": [0.5, 0.5]}})


def test_the_figure_is_the_f1_of_each_emotion():
    task = MultiLabelEmotion(CLASSES[:3])
    made = random_predictions(task)
    axis = figures_of_test(task, made)["emotions"].axes[0]
    shown = [bar.get_height() for bars in axis.containers for bar in bars]
    expected = [
        figures["f1"]["value"]
        for predictions in made.values()
        for figures in predictions.scores(task, "combined", num_samples=2)[
            "per_output"
        ].values()
    ]
    np.testing.assert_allclose(shown, expected)
