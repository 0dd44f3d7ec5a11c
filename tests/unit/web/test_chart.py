"""The timeline as shapes."""

import re

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.web import chart
from tests.unit.web.small_analyses import (
    ATTRIBUTES,
    CLASSES,
    SEVERAL,
    small_analysis,
    window,
)


def points(path):
    """The corners of a path, a list a stroke."""
    return [
        [tuple(map(float, pair.split())) for pair in stroke.split("L")]
        for stroke in re.findall(r"M([^MZ]+)", path)
    ]


def test_a_moment_belongs_to_the_window_with_the_nearest_middle():
    assert chart.edges_of(small_analysis()) == [0, 1.5, 2.5, 3.5, 5]


def test_a_file_shorter_than_a_window_has_one_part():
    analysis = small_analysis(seconds=0.8)
    analysis = analysis._replace(windows=analysis.windows[:1])
    assert chart.edges_of(analysis) == [0, 0.8]


def test_stacked_areas_fill_the_plot():
    angry, happy = map(points, chart.shapes(small_analysis(CLASSES)))
    # From 0 to 2.5 s, and, after the gap, from 3.5 s to the end.
    assert [stroke[0][0] for stroke in angry] == [0, 700]
    assert max(x for stroke in angry for x, _ in stroke) == 1000
    for below, above in zip(angry, happy):
        half = len(below) // 2
        # The lower edge of one is the upper edge of the other.
        assert above[:half] == below[half:][::-1]
        assert {y for _, y in below[:half]} == {100}
        assert {y for _, y in above[half:]} == {0}


@pytest.mark.parametrize("task", [SEVERAL, ATTRIBUTES])
def test_lines_run_between_the_limits(task):
    first, second = map(points, chart.shapes(small_analysis(task)))
    assert [len(stroke) for stroke in first] == [4, 3]
    assert [y for _, y in first[0]] == [0, 0, 100, 100]
    assert [y for _, y in second[0]] == [100, 100, 0, 0]


def test_values_beyond_the_scale_stay_in_the_plot():
    analysis = small_analysis(ATTRIBUTES)
    far = {"arousal": 9.0, "valence": -3.0}
    analysis = analysis._replace(windows=[window(0, None, far)], seconds=2.0)
    for path in chart.shapes(analysis):
        assert {y for stroke in points(path) for _, y in stroke} <= {0, 100}


def test_bars_show_when_a_modality_was_used():
    used = chart.used(small_analysis())
    assert used["audio"] == [
        (0, 50, ""),
        (50, 20, "is silent"),
        (70, 30, ""),
    ]
    assert used["visual"] == [(0, 50, ""), (50, 50, "no face in any frame")]


@given(st.lists(st.sampled_from(["", "is silent"]), min_size=1, max_size=30))
def test_bars_cover_the_axis_once(reasons):
    windows = [
        window(i, None, {}, {"audio": why} if why else {})
        for i, why in enumerate(reasons)
    ]
    analysis = small_analysis(windows=windows, seconds=len(windows) + 1.0)
    found = chart.used(analysis)["audio"]
    ends = [0.0]
    for begin, width, _ in found:
        assert begin == pytest.approx(ends[-1])
        ends.append(begin + width)
    assert ends[-1] == pytest.approx(100)
    assert all(a[2] != b[2] for a, b in zip(found, found[1:]))


@given(st.floats(0.1, 7200))
def test_ticks_are_few_and_on_the_axis(seconds):
    ticks = chart.ticks(seconds)
    assert ticks[0] == 0 and ticks[-1] < seconds
    assert len(ticks) <= chart.MAX_TICKS + 1


def test_probabilities_have_percent_and_attributes_the_raters_scale():
    assert [text for _, text in chart.levels(CLASSES)] == ["100%", "50%", "0%"]
    assert [text for _, text in chart.levels(ATTRIBUTES)] == ["5", "3", "1"]
