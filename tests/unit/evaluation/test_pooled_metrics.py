"""Metrics over cells: partitions and seeds of one experiment."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from scipy import stats

from auxformer_lobes.evaluation.metrics import bootstrap_metrics
from auxformer_lobes.evaluation.pooled_metrics import CellScores, pooled_metrics
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_cells import accuracy_by_speaker, make_cells, shuffle
from tests.unit.small_tasks import (
    KINDS,
    make_task,
    random_clips,
    random_predictions,
)

kinds = pytest.mark.parametrize("kind", KINDS)


def assert_equal(found, expected, tolerance=1e-12):
    """Compares metrics, whose floats may differ by rounding."""
    assert {*found} == {*expected}
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_equal(found[name], value, tolerance)
        elif isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=tolerance), name
        else:
            assert found[name] == value, name


@kinds
@pytest.mark.parametrize("num_speakers", [1, 2, 5, 6, 12])
def test_a_study_of_one_cell_has_the_metrics_of_its_run(kind, num_speakers):
    task = make_task(kind)
    truth, outputs = random_clips(task, 48)  # some clips have no label
    clips = [f"clip{i}" for i in range(48)]
    speakers = [f"speaker{i % num_speakers}" for i in range(48)]
    made = Predictions(clips, speakers, truth.tolist())
    made.outputs["main"] = outputs.tolist()
    cell = CellScores.of(made, task, "1", 0, "main")
    pooled = pooled_metrics(task, [cell], num_samples=200, seed=3)
    run = bootstrap_metrics(
        task, truth, outputs, speakers, num_samples=200, seed=3
    )
    assert pooled.pop("cells") == 1
    assert pooled.pop("speakers") == num_speakers
    run = {name: {**run[name], "sd": None} for name in task.metrics}
    assert_equal(pooled, run)


@kinds
def test_values_are_means_and_standard_deviations_over_cells(kind):
    task = make_task(kind)
    cells = make_cells(task, (3, 4), seeds=(0, 1, 2))
    pooled = pooled_metrics(task, cells, num_samples=20)
    assert pooled["cells"] == 6 and pooled["speakers"] == 7
    for name in task.metrics:
        values = [
            task.compute_metrics(cell.statistics.sum(0))[0][name]
            for cell in cells
        ]
        assert pooled[name]["value"] == pytest.approx(np.mean(values))
        assert pooled[name]["sd"] == pytest.approx(np.std(values, ddof=1))


@kinds
def test_more_seeds_of_the_same_predictions_are_no_more_evidence(kind):
    task = make_task(kind)
    once = make_cells(task, (4, 4), seeds=(0,))
    thrice = [replace(cell, seed=seed) for cell in once for seed in range(3)]
    few, many = (pooled_metrics(task, cells) for cells in (once, thrice))
    for name in task.metrics:
        for bound in ("low", "high"):
            assert many[name][bound] == pytest.approx(few[name][bound])


def test_the_interval_is_that_of_an_independent_bootstrap():
    """For accuracy over speakers of equally many clips: scipy's."""
    task = make_task("categories")
    cells = make_cells(task, (8, 12), seeds=(0, 1), clips_each=20)
    speakers = [
        accuracy_by_speaker(cells[first : first + 2]).mean(0)
        for first in (0, 2)
    ]
    expected = stats.bootstrap(
        speakers,
        lambda one, other, axis: (one.mean(axis) + other.mean(axis)) / 2,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = pooled_metrics(task, cells)["accuracy"]
    assert found["low"] == pytest.approx(expected.low, abs=0.01)
    assert found["high"] == pytest.approx(expected.high, abs=0.01)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_small_partitions_give_intervals_that_are_wide_enough(count):
    """The standard error of a mean, not that times √((n - 1) / n).

    Except from six speakers, where the plain bootstrap is common practice.
    """
    task = make_task("categories")
    cells = make_cells(task, (count,) * 20, seeds=(0,), clips_each=20)
    means = accuracy_by_speaker(cells)
    variance = (means.var(1, ddof=1 if count < 6 else 0) / count).mean() / 20
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    found = pooled_metrics(task, cells, num_samples=5000)["accuracy"]
    width = (found["high"] - found["low"]) / 2
    assert width == pytest.approx(half, rel=0.06)
    assert found["low"] < found["value"] < found["high"]


def test_partitions_of_single_speakers_are_drawn_among_each_other():
    """Leave-one-speaker-out: cells are what can be drawn."""
    task = make_task("categories")
    cells = make_cells(task, (1,) * 20, seeds=(0, 1), clips_each=20)
    means = accuracy_by_speaker(cells).reshape(20, 2).mean(1)
    half = stats.norm.ppf(0.975) * means.std() / math.sqrt(20)
    found = pooled_metrics(task, cells, num_samples=5000)["accuracy"]
    assert found["kind"] == "interval"
    width = (found["high"] - found["low"]) / 2
    assert width == pytest.approx(half, rel=0.06)


def test_partitions_of_single_speakers_weigh_as_much_as_they_are():
    """However often they are drawn, here from two that are the same."""
    task = make_task("categories")
    larger, alone = make_cells(task, (8, 1), seeds=(0,))
    double = replace(alone, partition=2, speakers=["another"] * 5)
    found = pooled_metrics(task, [larger, alone, double])["accuracy"]
    larger, alone = (
        pooled_metrics(task, [cell])["accuracy"] for cell in (larger, alone)
    )
    for bound in ("low", "high"):
        mean = (larger[bound] + 2 * alone["value"]) / 3
        assert found[bound] == pytest.approx(mean)


def test_a_partition_of_a_single_speaker_is_kept_among_larger_ones():
    task = make_task("categories")
    cells = make_cells(task, (8, 1), seeds=(0,))
    larger, alone = (pooled_metrics(task, [cell])["accuracy"] for cell in cells)
    found = pooled_metrics(task, cells)["accuracy"]
    for bound in ("low", "high"):
        mean = (larger[bound] + alone["value"]) / 2
        assert found[bound] == pytest.approx(mean)


def test_fewer_than_six_speakers_have_a_range():
    task = make_task("categories")
    cells = make_cells(task, (2, 3), seeds=(0, 1))
    each = [
        *accuracy_by_speaker(cells[:2]).mean(0),
        *accuracy_by_speaker(cells[2:]).mean(0),
    ]
    found = pooled_metrics(task, cells)["accuracy"]
    assert found["kind"] == "range"
    assert found["low"] == pytest.approx(min(each))
    assert found["high"] == pytest.approx(max(each))
    found = pooled_metrics(task, make_cells(task, (3, 3)))["accuracy"]
    assert found["kind"] == "interval"


@pytest.mark.parametrize("kind", ["votes", "attributes"])
def test_a_partition_without_labels_does_not_count(kind):
    task = make_task(kind)
    one, other = make_cells(task, (6, 6), seeds=(0,))
    unknown = replace(other, statistics=np.zeros_like(other.statistics))
    both, alone = (
        pooled_metrics(task, cells) for cells in ([one, unknown], [one])
    )
    assert both.pop("cells") == 2
    assert alone.pop("cells") == 1
    assert_equal(both, alone)
    nothing = pooled_metrics(task, [unknown])
    assert nothing["speakers"] == 0
    assert {*nothing[task.metrics[0]].values()} == {None}


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99))
def test_the_order_of_cells_and_clips_does_not_matter(kind, seed):
    task = make_task(kind)
    cells = make_cells(task, (4, 1, 7, 1))
    found = pooled_metrics(task, shuffle(cells, seed), num_samples=50)
    assert_equal(found, pooled_metrics(task, cells, num_samples=50), 1e-9)


@kinds
def test_cells_are_made_of_the_predictions_of_a_head(kind):
    task = make_task(kind)
    made = random_predictions(task)["audio_visual"]
    for head in made.outputs:
        cell = CellScores.of(made, task, 2, None, head)
        assert (cell.partition, cell.seed) == (2, None)
        assert cell.outputs == task.names
        assert cell.clips == made.clips and cell.speakers == made.speakers
        pooled = pooled_metrics(task, [cell], num_samples=2)
        for name, value in made.metrics(task, head).items():
            assert pooled[name]["value"] == pytest.approx(value)


def test_what_is_no_experiment_is_refused():
    task = make_task("categories")
    cells = make_cells(task)
    with pytest.raises(UserError, match="no finished cell"):
        pooled_metrics(task, [])
    with pytest.raises(UserError, match="the cell of 1, seed 0 occurs twice"):
        pooled_metrics(task, [*cells, cells[2]])
    other = CategoricalEmotion(["angry", "happy", "fear"])
    with pytest.raises(UserError, match="predicts angry, happy, sad, not"):
        pooled_metrics(other, cells)
