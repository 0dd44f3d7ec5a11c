"""Curves over severity, summarised and compared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.evaluation.missing_modality import (
    area,
    check_twin,
    compare_areas,
    curve_values,
    effective_robustness,
    measure_curve,
    retention,
)
from auxformer_lobes.evaluation.pooled_metrics import pooled_metrics
from tests.unit.small_cells import make_cells
from tests.unit.small_tasks import make_task

SEVERITIES = (0.0, 0.25, 1.0)
VALUES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3)


def make_curves(task, system=0, draws=2, skills=(0.9, 0.6, 0.3), **options):
    """Cells with statistics `[clips, draws, severities, ...]`."""
    points = [
        [
            make_cells(task, skill=skill, system=10 * system + draw, **options)
            for skill in skills
        ]
        for draw in range(draws)
    ]
    return [
        replace(
            cell,
            statistics=np.stack(
                [
                    np.stack([at[i].statistics for at in of_draw], 1)
                    for of_draw in points
                ],
                axis=1,
            ),
        )
        for i, cell in enumerate(points[0][0])
    ]


@given(VALUES)
def test_the_area_is_a_mean_of_the_curve(values):
    assert min(values) - 1e-9 <= area(SEVERITIES, values) <= max(values) + 1e-9
    flat = [values[0]] * 3
    assert area(SEVERITIES, flat) == pytest.approx(values[0])
    assert retention(SEVERITIES, flat) == pytest.approx(1)


def test_an_area_is_made_of_trapezoids():
    assert area(SEVERITIES, [1.0, 0.6, 0.2]) == pytest.approx(
        0.25 * 0.8 + 0.75 * 0.4
    )


@pytest.mark.parametrize("start", [0.0, -0.1, np.nan])
def test_a_curve_that_starts_at_nothing_retains_nothing_defined(start):
    assert np.isnan(retention(SEVERITIES, [start, 0.1, 0.2]))


@given(VALUES, VALUES, st.floats(-1, 1))
def test_effective_robustness_does_not_depend_on_the_start(a, b, shift):
    found = effective_robustness(a, b)
    assert found == pytest.approx(-effective_robustness(b, a))
    assert effective_robustness(np.add(a, shift), b) == pytest.approx(
        found, abs=1e-9
    )
    # In words: how much less it loses, on average.
    lost = [x[0] - np.mean(x[1:]) for x in (a, b)]
    assert found == pytest.approx(lost[1] - lost[0])


@pytest.mark.parametrize("kind", ["categories", "attributes"])
def test_a_curve_has_the_mean_over_draws_and_cells(kind):
    task = make_task(kind)
    cells = make_curves(task)
    curve = measure_curve(task, cells, SEVERITIES, num_samples=50)
    each = [curve_values(task, cell) for cell in cells]
    assert curve["values"] == pytest.approx(np.mean(each, 0).tolist())
    assert curve["area"] == pytest.approx(area(SEVERITIES, curve["values"]))
    assert curve["retention"] == pytest.approx(
        curve["area"] / curve["values"][0]
    )
    assert curve["severities"] == [*SEVERITIES]
    assert curve["band"] == "interval"
    for low, value, high in zip(curve["low"], curve["values"], curve["high"]):
        assert low <= value <= high


def test_draws_and_seeds_of_a_speaker_are_drawn_together():
    """The band of many copies of a draw is that of one."""
    task = make_task("categories")
    once = make_curves(task, draws=1)
    often = [
        replace(cell, statistics=np.repeat(cell.statistics, 5, 1))
        for cell in once
    ]
    a, b = (measure_curve(task, x, SEVERITIES, 100) for x in (once, often))
    for key in ("values", "low", "high"):
        assert a[key] == pytest.approx(b[key])
    # And of a single severity, that of the pooled metrics.
    first = [
        replace(cell, statistics=cell.statistics[:, 0, 0]) for cell in once
    ]
    pooled = pooled_metrics(task, first, 100)["f1_macro"]
    found = [a[key][0] for key in ("values", "low", "high")]
    assert found == pytest.approx([pooled[k] for k in ("value", "low", "high")])


def test_under_six_speakers_there_is_a_range():
    task = make_task("categories")
    cells = make_curves(task, num_speakers=(4,), clips_each=20)
    curve = measure_curve(task, cells, SEVERITIES)
    assert curve["band"] == "range"
    alone = make_curves(task, num_speakers=(1,))
    curve = measure_curve(task, alone, SEVERITIES)
    assert (curve["band"], curve["low"]) == (None, [None] * 3)


def test_areas_are_compared_cell_by_cell():
    task = make_task("categories")
    systems = {"a": make_curves(task), "b": make_curves(task, system=1)}
    (found,) = compare_areas(task, systems, SEVERITIES).values()
    curves = [measure_curve(task, x, SEVERITIES) for x in systems.values()]
    assert found.difference == pytest.approx(
        curves[0]["area"] - curves[1]["area"]
    )
    assert (found.cells, found.speakers) == (4, 6)
    better = make_curves(task, system=2, skills=(1, 1, 1), num_speakers=(9, 9))
    worse = make_curves(task, system=3, skills=(0, 0, 0), num_speakers=(9, 9))
    pair = {"better": better, "worse": worse}
    (found,) = compare_areas(task, pair, SEVERITIES, num_samples=50).values()
    assert found.is_shown and found.difference > 0


@pytest.mark.parametrize("skill, holds", [(0.9, True), (0.1, False)])
def test_the_twin_rule_holds_where_the_model_is_no_worse(skill, holds):
    task = make_task("categories")
    model, twin = (
        make_cells(task, skill=x, system=i)
        for i, x in enumerate([skill, 1 - skill])
    )
    found = check_twin(task, model, twin, num_samples=50)
    assert found["holds"] is holds
    assert (found["difference"] > 0) is holds
    assert 0 < found["p"] <= 1 and found["cells"] == 4
    assert check_twin(task, model, model, num_samples=50)["holds"]
