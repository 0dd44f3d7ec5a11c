"""Predictions against the votes of raters."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, pearsonr

from auxformer_lobes.evaluation.disagreement import (
    compare_votes,
    measure_disagreement,
)
from tests.unit.small_tasks import (
    KINDS,
    make_task,
    random_entries,
    random_predictions,
)


def entries_of(count, seed=0):
    """Entries of the clips of `random_predictions`."""
    return {f"clip{i}": e for i, e in enumerate(random_entries(count, seed))}


def test_divergences_are_those_of_scipy():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(5, [0.6, 0.3, 0.1], 50) / 5
    outputs = rng.dirichlet([1, 1, 1], 50)
    made = compare_votes(votes, outputs)
    shannon = jensenshannon(votes, outputs, base=2, axis=1) ** 2
    assert made["jensen_shannon"] == pytest.approx(shannon.mean())
    kl = entropy(votes, outputs, base=2, axis=1)
    assert made["kl"] == pytest.approx(kl.mean())
    expected = pearsonr(entropy(votes, axis=1), entropy(outputs, axis=1))[0]
    assert made["entropy_correlation"] == pytest.approx(expected)


def test_the_divergence_is_0_for_the_votes_and_1_for_what_has_none():
    votes = np.array([[1.0, 0.0], [0.5, 0.5]])
    same = compare_votes(votes, votes)
    assert same["jensen_shannon"] == pytest.approx(0, abs=1e-9)
    assert same["kl"] == pytest.approx(0, abs=1e-9)
    assert same["entropy_correlation"] == pytest.approx(1)
    other = compare_votes(votes[:1], np.array([[0.0, 1.0]]))
    assert other["jensen_shannon"] == pytest.approx(1)
    assert np.isfinite(other["kl"]) and other["entropy_correlation"] is None


def test_probabilities_of_their_own_are_compared_as_shares():
    votes = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert compare_votes(votes, votes * 0.5) == pytest.approx(
        compare_votes(votes, votes)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_condition_of_a_task_with_votes_is_compared(kind):
    task = make_task(kind)
    made = random_predictions(task, 60)
    results = measure_disagreement(task, made, entries_of(60), num_samples=9)
    if kind == "attributes":
        assert results == {}
        return
    assert [*results] == [*made]
    for result in results.values():
        assert 0 < result["jensen_shannon"] < 1
        thirds = result["by_agreement"]
        assert [*thirds] == ["low", "middle", "high"]
        ends = [x for of in thirds.values() for x in of["agreement"]]
        assert ends == sorted(ends)
        labelled = task.has_label(np.array(made["audio_visual"].truth)).sum()
        assert sum(of["clips"] for of in thirds.values()) == labelled
        for of in thirds.values():
            assert abs(of["clips"] - labelled / 3) <= 1
            assert {*of} == {"clips", "agreement", *task.metrics}
            assert of[task.metrics[0]]["kind"] == "range"


def test_clips_without_votes_are_left_out():
    task = make_task("categories")
    made, entries = random_predictions(task, 60), entries_of(60)
    for i, unknown in enumerate((None, [], [1.0], [0.0] * 3)):
        entries[f"clip{i}"]["votes"] = unknown
    result = measure_disagreement(task, made, entries, num_samples=9)
    thirds = result["audio_visual"]["by_agreement"].values()
    labelled = task.has_label(np.array(made["audio_visual"].truth)[4:])
    assert sum(of["clips"] for of in thirds) == labelled.sum()
    for entry in entries.values():
        entry["votes"] = None
    assert measure_disagreement(task, made, entries) == {}


def test_equal_agreement_stays_together():
    task = make_task("secondary")
    made, entries = random_predictions(task, 12), entries_of(12)
    for entry in entries.values():
        entry["votes"] = [0.25, 0.25, 0.5]
    result = measure_disagreement(task, made, entries, num_samples=9)
    thirds = result["audio_only"]["by_agreement"]
    assert thirds["middle"]["clips"] == 12
    assert thirds["low"] is thirds["high"] is None
