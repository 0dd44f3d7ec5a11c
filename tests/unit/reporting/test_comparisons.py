"""Comparisons in words, and tables of systems."""

from dataclasses import replace

import pytest

from auxformer_lobes.evaluation.comparison import Comparison, compare_all
from auxformer_lobes.evaluation.pooled_metrics import pooled_metrics
from auxformer_lobes.reporting.comparisons import (
    describe_comparison,
    format_p,
    format_pooled,
    print_comparisons,
    print_pooled_metrics,
)
from tests.unit.small_cells import make_cells, take
from tests.unit.small_tasks import KINDS, make_task

kinds = pytest.mark.parametrize("kind", KINDS)

SHOWN = Comparison(
    metric="uar",
    difference=0.041,
    low=0.0101,
    high=0.0728,
    kind="interval",
    p=0.002,
    p_holm=0.012,
    lowest_p=0.003,
    comparisons=6,
    improvement=0.92,
    cells=25,
    speakers=12,
    clips=900,
    dropped=(0, 0),
)
NOT_SHOWN = replace(SHOWN, low=-0.0204, p_holm=0.3412)


def describe(comparison, kind="categories"):
    names = ("AuxFormer", "the linear baseline")
    return describe_comparison(*names, comparison, make_task(kind))


def turn_round(comparison):
    """The same comparison of B and A."""
    return replace(
        comparison,
        difference=-comparison.difference,
        low=-comparison.high,
        high=-comparison.low,
    )


def test_a_difference_that_is_shown():
    assert describe(SHOWN) == (
        "In UAR, AuxFormer is better than the linear baseline by 4.1 points "
        "[1.0, 7.3], p = 0.012 after Holm over 6 comparisons, 25 cells"
    )


def test_the_better_one_comes_first():
    assert describe(turn_round(SHOWN)) == (
        "In UAR, the linear baseline is better than AuxFormer by 4.1 points "
        "[1.0, 7.3], p = 0.012 after Holm over 6 comparisons, 25 cells"
    )


def test_a_difference_that_is_not_shown():
    assert describe(NOT_SHOWN) == (
        "In UAR, no difference is shown between AuxFormer and the linear "
        "baseline: 4.1 points [-2.0, 7.3] in favour of AuxFormer, p = 0.34 "
        "after Holm over 6 comparisons, 25 cells"
    )
    assert "[-2.0, 7.3] in favour of the linear baseline, p = 0.34" in (
        describe(turn_round(NOT_SHOWN))
    )


@pytest.mark.parametrize(
    "change",
    [dict(p_holm=0.05), dict(low=-0.001), dict(low=0.0), dict(kind="range")],
)
def test_what_does_not_show_a_difference(change):
    assert "no difference is shown" in describe(replace(SHOWN, **change))


def test_a_single_comparison_of_one_cell():
    found = describe(replace(SHOWN, comparisons=1, cells=1, p_holm=0.0004))
    assert found.endswith("by 4.1 points [1.0, 7.3], p < 0.001, 1 cell")


def test_equal_systems_favour_nobody():
    equal = replace(NOT_SHOWN, difference=0.0, low=-0.0001, high=0.0, p_holm=1)
    assert describe(equal) == (
        "In UAR, no difference is shown between AuxFormer and the linear "
        "baseline: 0.0 points [0.0, 0.0], p = 1.00 after Holm over 6 "
        "comparisons, 25 cells"
    )


def test_few_speakers_have_a_range_and_are_said_to_be_too_few():
    few = replace(
        SHOWN, kind="range", speakers=4, lowest_p=0.125, p_holm=0.125,
        comparisons=1,
    )  # fmt: skip
    assert describe(few) == (
        "In UAR, no difference is shown between AuxFormer and the linear "
        "baseline: 4.1 points in favour of AuxFormer (1.0 to 7.3 by speaker), "
        "p = 0.12 (4 speakers are too few for p < 0.05), 25 cells"
    )
    one = replace(few, kind=None, low=None, high=None, speakers=1, p_holm=1)
    assert describe(replace(one, difference=-0.041)).endswith(
        ": 4.1 points in favour of the linear baseline, p = 1.00 (one speaker "
        "is too few for p < 0.05), 25 cells"
    )


def test_errors_and_correlations_have_no_points():
    """The better system has the lower error: its difference is positive."""
    assert describe(replace(SHOWN, metric="rmse"), "attributes").startswith(
        "In RMSE, AuxFormer is better than the linear baseline by 0.041 "
        "[0.010, 0.073], p"
    )
    assert describe(NOT_SHOWN, "attributes").count("points") == 0


@pytest.mark.parametrize(
    "p, text",
    [
        (1.0, "1.00"),
        (0.1, "0.10"),
        (0.0996, "0.100"),
        (0.05, "0.050"),
        (0.001, "0.001"),
        (0.0009, "< 0.001"),
    ],
)
def test_small_p_values_have_more_digits(p, text):
    assert format_p(p) == text


@kinds
def test_a_table_and_a_sentence_per_pair(kind, capsys):
    task = make_task(kind)
    systems = {name: make_cells(task, system=i) for i, name in enumerate("xyz")}
    found = compare_all(task, systems, num_samples=20)
    print_comparisons(found, task, "audio_visual")
    title, *lines = capsys.readouterr().out.splitlines()
    for words in ("audio + visual", "A − B", "[95 % interval over speakers]"):
        assert words in title
    assert ("in points" in title) == (kind != "attributes")
    for (a, b), each in found.items():
        assert f"{describe_comparison(a, b, each, task)}." in lines
        (row,) = (line for line in lines if f"│ {a} │ {b} │" in line)
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        assert cells[2].endswith("]")
        assert format_p(each.p) == cells[3]
        assert cells[6:] == ["4", "30"]


def test_clips_that_one_system_lacks_are_told(capsys):
    task = make_task("categories")
    a, b = make_cells(task, (2, 2)), make_cells(task, (2, 2), system=1)
    a = [take(a[0], range(1, 10)), *a[1:]]
    b = [take(cell, range(8)) for cell in b]
    print_comparisons(
        compare_all(task, {"one": a, "two": b}), task, "audio_only"
    )
    out = capsys.readouterr().out
    assert "(lowest and highest of a single speaker)" in out
    assert "4 test clips are left out: two lacks them." in out
    assert "one lacks" not in out


def test_a_table_of_systems_and_conditions(capsys):
    task = make_task("categories")
    x, y = (
        pooled_metrics(task, make_cells(task, system=i), 50) for i in range(2)
    )
    print_pooled_metrics(
        {
            "both": {"audio_visual": x, "audio_only": y},
            "late": {"audio_only": y},
        },
        task,
        "uar",
    )
    lines = capsys.readouterr().out.splitlines()
    assert "UAR, %: mean ± standard deviation over cells [95 %" in lines[0]
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in lines
        if line.startswith("│")
    ]
    x, y = (format_pooled(made["uar"], 100) for made in (x, y))
    assert rows == [["both", "4", "6", x, y], ["late", "4", "6", "–", y]]
    (header,) = (line for line in lines if "system" in line)
    assert header.index("audio + visual") < header.index("audio only")


def test_one_cell_has_no_deviation_and_the_undefined_is_a_dash():
    metric = {"value": 0.5, "sd": None, "low": 0.4, "high": 0.6}
    assert format_pooled({**metric, "kind": "interval"}, 1).startswith(
        "0.500 [0.40, 0.60]"
    )
    nothing = dict.fromkeys(("value", "sd", "low", "high", "kind"))
    assert format_pooled(nothing, 100) == "–"
