"""Charts in a page: in its colours, its font and with ids of their own."""

import re

import pytest

from auxformer_lobes.reporting import charts
from tests.unit.small_sweeps import make_curve

UAR = {"value": 0.7, "low": 0.6, "high": 0.8}
UNKNOWN = dict.fromkeys(UAR)
BIN = {"confidence": 0.5, "accuracy": 0.75, "count": 3}
EMPTY = {"confidence": None, "accuracy": None, "count": 0}
CHARTS = {
    "intervals": lambda: charts.intervals(
        {"audio": {"sad": UAR}, "visual": {"sad": UNKNOWN}}, "uar", 100
    ),
    "curves": lambda: charts.curves(
        {"loss": [1.0, None], f"loss{charts.TRAINING}": [1.0, 0.5]}, 2
    ),
    "severities": lambda: charts.severities(
        {"combined": make_curve(), "audio": make_curve(band=None)},
        *("f1_macro", 100, (0, 100)),
        **{"names": ["combined", "audio"], "bold": {"combined"}},
    ),
    "reliability": lambda: charts.reliability([BIN, EMPTY], [EMPTY]),
    "scatter": lambda: charts.scatter([1, 5], [0, 3], "arousal", (1, 5)),
}


@pytest.fixture(scope="module", params=CHARTS)
def svg(request):
    return charts.inline_svg(CHARTS[request.param](), "chart-1", "a < b")


def test_text_is_text_in_the_font_of_the_page(svg):
    assert "<text" in svg
    assert "font-family" not in svg and "DejaVu" not in svg


def test_colours_are_those_of_the_page(svg):
    """Of light pages and of dark ones; none is fixed."""
    assert "var(--series-1)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", svg)


def test_ids_are_its_own_and_what_it_uses_is_there(svg):
    names = re.findall(r'\bid="(.*?)"', svg)
    assert len(names) == len({*names})
    assert all(name.startswith("chart-1-") for name in names)
    used = re.findall(r'href="#(.*?)"|url\(#(.*?)\)', svg)
    assert {a or b for a, b in used} <= {*names}


def test_it_has_a_title_and_no_style_or_date(svg):
    assert '<title id="chart-1-title">a &lt; b</title>' in svg
    assert "<style" not in svg and "<metadata" not in svg


def test_the_same_figure_is_the_same_text():
    one, other = (
        charts.inline_svg(CHARTS["curves"](), "chart-1", "losses")
        for _ in range(2)
    )
    assert one == other


def test_what_is_undefined_is_not_drawn():
    axis = CHARTS["intervals"]().axes[0]
    assert [len(line.get_xdata()) for line in axis.lines] == [2, 1, 0]


def test_dots_stay_on_the_scale():
    figure = charts.scatter([1.0, 5.0], [-3.0, 9.0], "arousal", (1, 5))
    dots = figure.axes[0].collections[0].get_offsets()
    assert dots[:, 1].tolist() == [1, 5]


def test_names_are_no_formulas():
    figure = charts.intervals({"$x": {"$\\frac$": UAR}}, "uar", 100)
    assert "$\\frac$" in charts.inline_svg(figure, "chart-1", "")
