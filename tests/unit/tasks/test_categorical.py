"""One emotion a clip: metrics are scikit-learn's."""

import numpy as np
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from auxformer_lobes.evaluation.linear_baseline import (
    linear_model,
    linear_outputs,
)
from auxformer_lobes.reporting.figures import figures_of_test
from auxformer_lobes.reporting.predictions_csv import csv_header, csv_row
from auxformer_lobes.reporting.tables import format_label, format_prediction
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.tasks.categorical import confusion_metrics
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import random_predictions

CLASSES = ["angry", "happy", "sad"]
PAIRS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30
)


@pytest.fixture
def task():
    return CategoricalEmotion(CLASSES)


def clips(truth, predicted):
    """Truth and sure predictions in a task's form."""
    return np.array(truth)[:, None], np.eye(3)[list(predicted)]


def measure(truth, predicted):
    task = CategoricalEmotion(CLASSES)
    return task.compute_metrics(
        task.sufficient_statistics(*clips(truth, predicted)).sum(0)
    )


@settings(deadline=None)
@given(PAIRS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metrics_are_scikit_learns(pairs):
    truth, predicted = zip(*pairs)
    ours, _ = measure(truth, predicted)
    for name, theirs in {
        "f1_macro": sklearn_metrics.f1_score(truth, predicted, average="macro"),
        "f1_micro": sklearn_metrics.f1_score(truth, predicted, average="micro"),
        "uar": sklearn_metrics.balanced_accuracy_score(truth, predicted),
        "accuracy": sklearn_metrics.accuracy_score(truth, predicted),
    }.items():
        assert ours[name] == pytest.approx(theirs), name


@settings(deadline=None)
@given(PAIRS)
def test_details_of_a_class_are_scikit_learns(pairs):
    truth, predicted = zip(*pairs)
    _, ours = measure(truth, predicted)
    theirs = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, labels=[0, 1, 2], zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1", "support"), theirs):
        np.testing.assert_allclose(ours[name], values, err_msg=name)


def test_many_matrices_are_scored_at_once():
    rng = np.random.default_rng(0)
    confusions = rng.integers(0, 9, (5, 3, 3))
    together = confusion_metrics(confusions)
    for i, confusion in enumerate(confusions):
        for many, one in zip(together, confusion_metrics(confusion)):
            for name, value in one.items():
                np.testing.assert_allclose(many[name][i], value)


def test_statistics_are_the_confusion_matrix(task):
    truth, predicted = [0, 1, 2, 2, 1], [0, 2, 2, 1, 1]
    np.testing.assert_array_equal(
        task.sufficient_statistics(*clips(truth, predicted)).sum(0),
        sklearn_metrics.confusion_matrix(truth, predicted),
    )


@pytest.mark.parametrize("rule", ["P", "M"])
def test_the_target_is_the_class(rule):
    target, truth = CategoricalEmotion(CLASSES, rule).labels(
        "sad", [0.0, 0.3, 0.7]
    )
    assert target.tolist() == truth.tolist() == [2]


def test_under_rule_d_the_target_is_what_the_raters_say():
    task = CategoricalEmotion(CLASSES, label_rule="D")
    target, truth = task.labels("sad", [0.0, 0.3, 0.7])
    torch.testing.assert_close(target, torch.tensor([0.0, 0.3, 0.7]))
    assert truth.tolist() == [2]
    assert task.labels(None, [0.5, 0.0, 0.5])[1].tolist() == [-1]


def test_outputs_are_probabilities_in_any_precision(task):
    logits = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.bfloat16)
    outputs = task.outputs(logits)
    assert outputs.dtype == torch.float
    torch.testing.assert_close(outputs, logits.float().softmax(1))


def test_weights_and_smoothing_are_those_of_the_loss():
    weights = [1.0, 2.0, 3.0]
    task = CategoricalEmotion(
        CLASSES, class_weights=weights, label_smoothing=0.1
    )
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 1])
    expected = torch.nn.CrossEntropyLoss(
        weight=torch.tensor(weights), label_smoothing=0.1
    )
    torch.testing.assert_close(
        task.criterion(logits, labels[:, None]), expected(logits, labels)
    )


def overconfident(count, seed=0):
    """Truth, and logits whose probabilities are calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = [[rng.choice(3, p=share)] for share in shares]
    return np.array(truth), logits


def surprise(truth, outputs):
    share = np.take_along_axis(np.array(outputs), truth, axis=1)
    return -np.log(share).mean()


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_takes_back_too_much_confidence(task, factor):
    truth, logits = overconfident(4000)
    task.fit(truth, task.outputs(torch.from_numpy(factor * logits)).numpy())
    # Of the order of the error of a mean over 4000 clips.
    assert task.temperature == pytest.approx(factor, rel=0.05)


def test_where_all_clips_are_right_outputs_stay_as_they_are(task):
    """The coldest temperature would be best, and is so for no other clips."""
    logits = 3 * torch.eye(3)[[0, 1, 2, 0]]
    task.temperature = 2.0
    task.fit(np.array([[0], [1], [2], [0]]), task.outputs(logits).numpy())
    assert task.temperature == 1.0


def test_no_temperature_is_better_on_the_development_set(task):
    truth, logits = overconfident(200)
    outputs = task.outputs(torch.from_numpy(2.0 * logits))
    task.fit(truth, outputs.numpy())
    fitted = surprise(truth, task.calibrate(outputs))
    for task.temperature in np.geomspace(0.1, 10, 200):
        # The minimum is found to five digits.
        assert fitted <= surprise(truth, task.calibrate(outputs)) + 1e-5


def test_calibration_changes_no_decision(task):
    outputs = torch.randn(50, 3).softmax(1)
    torch.testing.assert_close(task.calibrate(outputs), outputs)
    task.temperature = 2.5
    calibrated = task.calibrate(outputs)
    assert torch.equal(calibrated.argsort(1), outputs.argsort(1))
    torch.testing.assert_close(calibrated.sum(1), torch.ones(50))


def test_calibration_takes_certainty_too(task):
    task.fit(*clips([0, 1, 2], [0, 1, 2]))
    calibrated = task.calibrate(torch.eye(3))
    assert calibrated.isfinite().all()
    assert calibrated.argmax(1).tolist() == [0, 1, 2]


def test_tied_clips_do_not_change_the_temperature(task):
    truth, logits = overconfident(50)
    outputs = task.outputs(torch.from_numpy(logits)).numpy()
    task.fit(truth, outputs)
    expected = task.temperature
    tied = np.full((9, 1), -1)
    task.fit(np.r_[truth, tied], np.r_[outputs, outputs[:9]])
    assert task.temperature == pytest.approx(expected)


def test_the_floor_gives_classes_it_has_never_seen_no_chance(task):
    features, labels = np.random.default_rng(0).normal(size=(9, 2)), [0, 2, 2]
    model = linear_model(task, 1.0).fit(features, labels * 3)
    assert isinstance(model, LogisticRegression)
    outputs = linear_outputs(task, model, features)
    assert (outputs[:, 1] == 0).all()
    np.testing.assert_allclose(
        outputs[:, [0, 2]], model.predict_proba(features)
    )


def test_a_table_names_truth_and_likeliest_class(task):
    row = dict(zip(csv_header(task), csv_row(task, [2], [0.2, 0.5, 0.3])))
    assert row == {
        "truth": "sad",
        "predicted": "happy",
        "p_angry": "0.200000",
        "p_happy": "0.500000",
        "p_sad": "0.300000",
    }
    assert csv_row(task, [-1], [0.2, 0.5, 0.3])[:2] == ["", "happy"]


def test_a_clip_is_told_in_words(task):
    assert format_label(task, [1]) == "happy"
    assert format_label(task, [-1]) == "tied"
    assert (
        format_prediction(task, [0.2, 0.5, 0.3])
        == "happy 0.50, sad 0.30, angry 0.20"
    )


def test_emotions_that_are_no_classes_are_refused(task):
    task.check({"a": {"emotion": "sad"}, "b": {"emotion": None}})
    with pytest.raises(UserError, match=r"\['fear'\], not among .*num_classes"):
        task.check({"a": {"emotion": "sad"}, "b": {"emotion": "fear"}})


def test_each_input_has_its_confusion_matrix(task):
    made = random_predictions(task)
    figure = figures_of_test(task, made)["confusion"]
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["audio + visual", "audio only", "visual only"]
    for axis, predictions in zip(figure.axes, made.values()):
        shares = axis.images[0].get_array()
        truth = np.array(predictions.truth)[:, 0]
        predicted = np.argmax(predictions.outputs["combined"], axis=1)
        np.testing.assert_allclose(
            shares,
            sklearn_metrics.confusion_matrix(
                truth[truth >= 0], predicted[truth >= 0], normalize="true"
            ),
        )
