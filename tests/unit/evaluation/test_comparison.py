"""Comparisons of two systems, paired by cell, clip and speaker."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from scipy import stats

from auxformer_lobes.evaluation.comparison import (
    compare,
    compare_all,
    compare_pairs,
    correct_all,
    holm,
)
from auxformer_lobes.evaluation.pooled_metrics import pooled_metrics
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_cells import (
    accuracy_by_speaker,
    make_cells,
    shuffle,
    take,
)
from tests.unit.small_tasks import KINDS, make_task

kinds = pytest.mark.parametrize("kind", KINDS)
FLOATS = ("difference", "low", "high", "p", "improvement")


def two_systems(task, *args, **kwargs):
    return [make_cells(task, *args, **kwargs, system=i) for i in range(2)]


def metrics_of_cells(task, cells, metric):
    return np.array(
        [
            task.compute_metrics(cell.statistics.sum(0))[0][metric]
            for cell in cells
        ]
    )


def floats(comparison):
    return [getattr(comparison, name) for name in FLOATS]


@kinds
def test_the_difference_is_that_of_the_pooled_metrics(kind):
    task = make_task(kind)
    a, b = two_systems(task)
    for metric in task.metrics:
        found = compare(task, a, b, metric, num_samples=20)
        values = [pooled_metrics(task, x, 2)[metric]["value"] for x in (a, b)]
        better = -1 if metric == "rmse" else 1
        assert found.metric == metric
        assert found.difference == pytest.approx(better * -np.diff(values)[0])
        assert found.low <= found.difference <= found.high
        assert (found.cells, found.speakers, found.clips) == (4, 6, 30)
    assert compare(task, a, b, num_samples=20).metric == task.metrics[0]


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99), data=st.data())
def test_swapping_the_systems_turns_the_sign_only(kind, seed, data):
    task = make_task(kind)
    metric = data.draw(st.sampled_from(task.metrics))
    a, b = make_cells(task), make_cells(task, system=seed)
    there, back = (
        compare(task, *pair, metric, num_samples=50)
        for pair in ((a, b), (b, a))
    )
    assert back.difference == pytest.approx(-there.difference)
    assert back.low == pytest.approx(-there.high)
    assert back.high == pytest.approx(-there.low)
    assert back.p == pytest.approx(there.p)
    assert back.improvement == pytest.approx(1 - there.improvement)


@kinds
def test_a_system_does_not_differ_from_itself(kind):
    task = make_task(kind)
    cells = make_cells(task)
    found = compare(task, cells, cells, num_samples=50)
    assert floats(found) == [0, 0, 0, 1, 0.5]
    assert not found.is_shown


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99))
def test_the_order_of_cells_and_clips_does_not_matter(kind, seed):
    task = make_task(kind)
    a, b = two_systems(task)
    found = compare(
        task, shuffle(a, seed), shuffle(b, seed + 1), num_samples=50
    )
    expected = compare(task, a, b, num_samples=50)
    assert floats(found) == pytest.approx(floats(expected))


def enumerated_p(task, a, b, metric):
    """Swaps the clips of each set of speakers, in all cells at once."""
    names = sorted({name for cell in a for name in cell.speakers})
    differences = []
    for swaps in product([False, True], repeat=len(names)):
        swapped = {name for name, swap in zip(names, swaps) if swap}
        sides = []
        for mine, others in ((a, b), (b, a)):
            cells = []
            for cell, other in zip(mine, others):
                rows = [
                    theirs if name in swapped else own
                    for name, own, theirs in zip(
                        cell.speakers, cell.statistics, other.statistics
                    )
                ]
                cells.append(replace(cell, statistics=np.array(rows)))
            sides.append(metrics_of_cells(task, cells, metric).mean())
        differences.append(sides[0] - sides[1])
    observed, differences = differences[0], np.array(differences)
    above = (differences >= observed - 1e-9).mean()
    below = (differences <= observed + 1e-9).mean()
    return min(1, 2 * min(above, below))


@kinds
def test_p_is_that_of_all_swaps_of_speakers(kind):
    task = make_task(kind)
    a = make_cells(task, skill=0.8)
    b = make_cells(task, skill=0.5, system=1)
    for metric in task.metrics:
        found = compare(task, a, b, metric, num_samples=2)
        assert found.p == pytest.approx(enumerated_p(task, a, b, metric))


def test_swaps_that_differ_by_rounding_only_count_as_equal():
    """0.1, 0.2, 0.9 and 0.9, 0.1, 0.2 have one mean, but not as floats."""
    task = make_task("categories")
    cells = make_cells(task, (2, 2, 2), seeds=(0,), clips_each=5)
    systems = []
    for num_right in ((1, 2, 9), (9, 1, 2)):
        systems.append([])
        for cell, right in zip(cells, num_right):
            wrong = (cell.truth[:, 0] + 1) % 3
            predicted = np.where(np.arange(10) < right, cell.truth[:, 0], wrong)
            statistics = task.sufficient_statistics(
                cell.truth, np.eye(3)[predicted]
            )
            systems[-1].append(replace(cell, statistics=statistics))
    assert compare(task, *systems, "accuracy", num_samples=2).p == 1


def test_p_of_many_speakers_is_that_of_random_swaps():
    """For accuracy, of the paired differences of speakers."""
    task = make_task("categories")
    a, b = two_systems(task, (15,), (0,), skill=0.6, clips_each=20)
    found = compare(task, a, b, "accuracy", num_samples=2)
    difference = (accuracy_by_speaker(a) - accuracy_by_speaker(b))[0]
    signs = np.array([*product([-1, 1], repeat=15)])
    null = np.abs(signs @ difference)
    exact = (null >= null[-1] - 1e-9).mean()
    error = np.sqrt(exact * (1 - exact) / 9999)
    assert found.p == pytest.approx(exact, abs=4 * error)
    assert 0.01 < exact < 0.99


def test_the_interval_is_that_of_an_independent_bootstrap():
    """For accuracy over speakers of equally many clips: scipy's."""
    task = make_task("categories")
    a, b = two_systems(task, (12,), clips_each=20)
    difference = (accuracy_by_speaker(a) - accuracy_by_speaker(b)).mean(0)
    expected = stats.bootstrap(
        (difference,),
        np.mean,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = compare(task, a, b, "accuracy")
    assert found.kind == "interval"
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_pairs_have_narrower_intervals_than_their_systems():
    """What is easy for a speaker in both systems cancels out."""
    task = make_task("categories")
    a, b = two_systems(task, (20, 20), clips_each=50)
    found = compare(task, a, b)
    alone = pooled_metrics(task, a)["f1_macro"]
    assert found.high - found.low < 0.8 * (alone["high"] - alone["low"])


def test_fewer_than_six_speakers_have_a_range_and_no_small_p():
    task = make_task("categories")
    good = make_cells(task, (2, 3), skill=2)
    bad = make_cells(task, (2, 3), skill=-1)
    found = compare(task, good, bad, "accuracy")
    by_speaker = [
        (
            accuracy_by_speaker(good[first : first + 2])
            - accuracy_by_speaker(bad[first : first + 2])
        ).mean(0)
        for first in (0, 2)
    ]
    each = np.concatenate(by_speaker)
    assert found.kind == "range"
    assert found.low == pytest.approx(each.min()) and found.low > 0
    assert found.high == pytest.approx(each.max())
    assert found.p == found.lowest_p == 2 / 2**5
    assert not found.is_shown


def test_six_speakers_can_show_a_difference():
    task = make_task("categories")
    good, bad = make_cells(task, skill=2), make_cells(task, skill=-1)
    found = compare(task, good, bad)
    assert found.p == found.lowest_p == 2 / 2**6
    assert found.is_shown
    # In one of many comparisons they cannot.
    systems = {"good": good, "bad": bad, "worse": bad}
    found = compare_all(task, systems)["good", "bad"]
    assert found.p_holm == found.lowest_p == pytest.approx(3 * 2 / 2**6)
    assert not found.is_shown
    # Nor where these are in several tables.
    tables = {
        (*pair, table): each
        for table in "xy"
        for pair, each in compare_pairs(task, systems).items()
    }
    found = correct_all(tables)["good", "bad", "x"]
    assert found.p_holm == found.lowest_p == pytest.approx(6 * 2 / 2**6)
    assert found.comparisons == 6
    assert correct_all({}) == {}


def test_one_speaker_has_neither_bounds_nor_a_small_p():
    task = make_task("categories")
    a, b = two_systems(task, (1,))
    found = compare(task, a, b)
    assert (found.low, found.high, found.kind, found.p) == (None, None, None, 1)
    assert not found.is_shown


def test_cells_are_paired_by_partition_and_seed():
    task = make_task("categories")
    a = make_cells(task, (3, 3, 3), seeds=(0, 1, 2))
    b = make_cells(task, (3, 3), seeds=(2, 1, 5), system=1)
    shared = {(0, 1), (0, 2), (1, 1), (1, 2)}
    pairs = [
        sorted(
            (cell for cell in cells if (cell.partition, cell.seed) in shared),
            key=lambda cell: (cell.partition, cell.seed),
        )
        for cells in (a, b)
    ]
    found = compare(task, a, b, "uar", num_samples=50)
    expected = compare(task, *pairs, "uar", num_samples=50)
    assert found == expected and found.cells == 4
    values, others = (metrics_of_cells(task, x, "uar") for x in pairs)
    assert found.improvement == np.mean(
        (values > others) + (values == others) / 2
    )


def test_a_system_without_seeds_is_paired_with_each_seed():
    task = make_task("categories")
    a = make_cells(task, seeds=(0, 1, 2))
    baseline = make_cells(task, seeds=(None,), system=1)
    found = compare(task, a, baseline, "uar", num_samples=2)
    assert found.cells == 6
    difference = (
        metrics_of_cells(task, a, "uar").mean()
        - metrics_of_cells(task, baseline, "uar").mean()
    )
    assert found.difference == pytest.approx(difference)
    assert compare(task, baseline, baseline, num_samples=2).cells == 2


@kinds
def test_only_clips_that_both_predict_count(kind):
    task = make_task(kind)
    a, b = two_systems(task)
    for_a, for_b, both = range(1, 15), range(14), range(1, 14)
    found = compare(
        task,
        [take(cell, for_a) for cell in a],
        [take(cell, for_b) for cell in b],
        num_samples=50,
    )
    expected = compare(
        task,
        [take(cell, both) for cell in a],
        [take(cell, both) for cell in b],
        num_samples=50,
    )
    assert found.clips == 26 and found.dropped == (2, 2)
    assert expected.dropped == (0, 0)
    assert floats(found) == pytest.approx(floats(expected))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda cell: replace(cell, seed=7), "no cell with the same partition"),
        (
            lambda cell: replace(
                cell, clips=[f"other {c}" for c in cell.clips]
            ),
            "the cell of 0, seed 0: no test clip is in both",
        ),
        (
            lambda cell: replace(cell, truth=(cell.truth + 1) % 3),
            "the cell of 0, seed 0: clip0_0 has another label",
        ),
        (
            lambda cell: replace(cell, truth=np.repeat(cell.truth, 3, 1)),
            "clip0_0 has another label",
        ),
        (
            lambda cell: replace(cell, speakers=cell.speakers[::-1]),
            "clip0_0 has another label or speaker",
        ),
        (
            lambda cell: replace(cell, outputs=("sad", "happy", "angry")),
            "predicts sad, happy, angry, not",
        ),
    ],
    ids=["cells", "clips", "labels", "values", "speakers", "classes"],
)
def test_what_cannot_be_paired_is_refused(change, message):
    task = make_task("categories")
    a, b = two_systems(task, seeds=(0,))
    b = [change(cell) for cell in b]
    with pytest.raises(UserError, match=message):
        compare(task, a, b)
    # With its names, where there are more.
    with pytest.raises(UserError, match=f"^(one and )?other.*: .*{message}"):
        compare_all(task, {"one": a, "other": b})


def test_clips_without_labels_and_unknown_metrics_are_refused():
    task = make_task("categories")
    a, b = two_systems(task)
    with pytest.raises(UserError, match="'ccc' is unknown: choose one of f1"):
        compare(task, a, b, "ccc")
    a, b = (
        [replace(c, statistics=np.zeros_like(c.statistics)) for c in cells]
        for cells in (a, b)
    )
    with pytest.raises(
        UserError, match="test clips of both systems have no label"
    ):
        compare(task, a, b)


def test_all_pairs_are_compared_and_corrected_together():
    task = make_task("categories")
    systems = {
        name: make_cells(task, skill=skill, system=i)
        for i, (name, skill) in enumerate(dict(x=0.9, y=0.6, z=0.3).items())
    }
    found = compare_all(task, systems, "uar", num_samples=50)
    assert [*found] == [("x", "y"), ("x", "z"), ("y", "z")]
    adjusted = holm([each.p for each in found.values()])
    for (a, b), p_holm in zip(found, adjusted):
        alone = compare(task, systems[a], systems[b], "uar", num_samples=50)
        each = found[a, b]
        assert each.comparisons == 3 and alone.comparisons == 1
        assert floats(each) == floats(alone)
        assert (each.p_holm, alone.p_holm) == (p_holm, alone.p)


def test_holm_has_the_values_of_r():
    """`p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")`."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_keeps_the_order_and_is_bounded_by_bonferroni(p_values):
    adjusted = np.array(holm(p_values))
    p_values = np.array(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, len(p_values) * p_values)).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()


def test_intervals_cover_and_p_is_uniform_where_nothing_differs():
    """Of 150 experiments of two systems that are equally good.

    Percentiles over ten speakers cover a little less than 95 %.
    """
    task = make_task("categories")
    rng = np.random.default_rng(0)
    (cell,) = make_cells(task, (10,), seeds=(0,), clips_each=4)
    truth = cell.truth[:, 0]
    found = []
    for _ in range(150):
        # Each speaker is easier for one of both, at random.
        odds = rng.uniform(0.3, 0.9, (2, 10)).repeat(4, 1)
        right = rng.random(odds.shape) < odds
        predicted = np.where(right, truth, (truth + 1) % 3)
        a, b = (
            replace(
                cell,
                statistics=task.sufficient_statistics(
                    cell.truth, np.eye(3)[of_system]
                ),
            )
            for of_system in predicted
        )
        found.append(compare(task, [a], [b], "accuracy", num_samples=300))
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    assert 0.85 <= covered <= 0.99
    p_values = np.array([each.p for each in found])
    for level in (0.05, 0.2, 0.5):
        # Ties make the test conservative; three standard errors above.
        error = np.sqrt(level * (1 - level) / 150)
        assert (p_values <= level).mean() <= level + 3 * error
        assert (p_values <= level).mean() >= 0.5 * level - 3 * error
    assert np.mean([each.is_shown for each in found]) < 0.12
