"""Metrics are scikit-learn's; intervals are over speakers."""

import math

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from sklearn import metrics as sklearn_metrics

from auxformer_lobes.evaluation import (
    METRICS,
    Predictions,
    confusion_matrix,
    metrics,
    score,
)

CLASSES = ["angry", "happy", "sad"]
PAIRS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30
)


@settings(deadline=None)
@given(PAIRS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metrics_are_scikit_learns(pairs):
    truth, predicted = zip(*pairs)
    ours = metrics(confusion_matrix(truth, predicted, 3))
    for name, theirs in {
        "f1_macro": sklearn_metrics.f1_score(truth, predicted, average="macro"),
        "f1_micro": sklearn_metrics.f1_score(truth, predicted, average="micro"),
        "uar": sklearn_metrics.balanced_accuracy_score(truth, predicted),
        "accuracy": sklearn_metrics.accuracy_score(truth, predicted),
    }.items():
        assert ours[name] == pytest.approx(theirs), name


def test_many_matrices_are_scored_at_once():
    rng = np.random.default_rng(0)
    confusions = rng.integers(0, 9, (5, 3, 3))
    together = metrics(confusions)
    for i, confusion in enumerate(confusions):
        for name, value in metrics(confusion).items():
            np.testing.assert_allclose(together[name][i], value)


def random_clips(num_speakers, clips_each, seed=0):
    """Speakers of very different difficulty."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(num_speakers), clips_each)
    truth = rng.integers(0, 3, len(speakers))
    skill = rng.uniform(0.2, 1.0, num_speakers)[speakers]
    right = rng.random(len(speakers)) < skill
    predicted = np.where(right, truth, (truth + 1) % 3)
    return truth, predicted, [str(s) for s in speakers]


def test_intervals_hold_the_value_and_are_wider_than_clips_would_say():
    truth, predicted, speakers = random_clips(8, 100)
    by_speaker = score(truth, predicted, speakers, CLASSES)
    by_clip = score(truth, predicted, map(str, range(800)), CLASSES)
    for name in METRICS:
        wide, narrow = by_speaker[name], by_clip[name]
        assert wide["low"] <= wide["value"] <= wide["high"]
        assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_the_bootstrap_agrees_with_theory_where_there_is_one():
    """For accuracy over equal speakers: mean ± 1.96 standard errors."""
    truth, predicted, speakers = random_clips(60, 40)
    result = score(truth, predicted, speakers, CLASSES, num_samples=5000)
    means = (truth == predicted).reshape(60, 40).mean(1)
    half = 1.96 * means.std() / math.sqrt(60)
    accuracy = result["accuracy"]
    assert accuracy["low"] == pytest.approx(means.mean() - half, abs=0.01)
    assert accuracy["high"] == pytest.approx(means.mean() + half, abs=0.01)


def test_a_seed_gives_the_same_intervals_again():
    clips = random_clips(8, 20)
    assert score(*clips, CLASSES) == score(*clips, CLASSES)
    assert score(*clips, CLASSES) != score(*clips, CLASSES, seed=1)


def test_one_speaker_says_nothing_of_others():
    truth, predicted, speakers = random_clips(1, 20)
    accuracy = score(truth, predicted, speakers, CLASSES)["accuracy"]
    assert accuracy["value"] == np.mean(truth == predicted)
    assert accuracy["low"] is None and accuracy["high"] is None


def test_tied_clips_are_left_out():
    with_tie = score([0, 1, -1], [0, 2, 2], "aab", CLASSES)
    assert with_tie == score([0, 1], [0, 2], "aa", CLASSES)


def test_a_class_that_never_occurs_has_no_figures():
    angry, _, sad = score([0, 0], [0, 0], "ab", CLASSES)["per_class"].values()
    assert angry["recall"]["value"] == 1
    assert sad["support"] == 0
    assert sad["f1"] == {"value": None, "low": None, "high": None}


def test_a_head_is_scored_by_its_likeliest_class():
    made = Predictions(["x", "y"], ["1", "2"], [0, 2])
    made.probabilities["main"] = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]
    assert made.scores("main", CLASSES)["accuracy"]["value"] == 1
