"""What reports show of missing modalities."""

import pytest

from auxformer_lobes.reporting.html import Chart, Table, Text
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.reporting.missing_sections import run_curves, study_curves
from tests.unit.small_sweeps import (
    make_curve,
    make_study_sweep,
    make_sweep,
    write_sweep,
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Reads a sweep that is made up."""
    file = tmp_path_factory.mktemp("sweep") / "missing.json"
    return lambda sweep: read_sweep(write_sweep(file, sweep))


def of_type(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


def text_of(blocks):
    return " ".join(block.text for block in of_type(blocks, Text))


@pytest.fixture(scope="module")
def blocks(read):
    return run_curves(read(make_sweep()), 100)


def test_a_run_has_a_chart_for_each_kind_and_modality(blocks):
    titles = [chart.table.title for chart in of_type(blocks, Chart)]
    assert titles == [
        *(f"Whole modality, {x} lost" for x in ("audio", "visual", "both")),
        *(f"Bursts, {x} lost" for x in ("audio", "visual", "both")),
    ]
    assert all(chart.is_small for chart in of_type(blocks, Chart))


def test_each_chart_has_the_numbers_of_each_head(blocks):
    table = of_type(blocks, Chart)[0].table
    assert table.columns == [
        *("head", "severity 0", "severity 0.4", "severity 1"),
        *("area", "retention, %", "eff. rob., own late fusion"),
    ]
    assert [row[0] for row in table.rows] == [
        *("combined", "main", "audio", "visual", "late_fusion")
    ]
    assert table.rows[1][1:] == [
        *("80.0 [70, 90]", "64.0 [54, 74]", "40.0 [30, 50]"),
        *("60.0", "75.0", "2.1"),
    ]


def test_all_heads_combined_are_in_one_table(blocks):
    (table,) = of_type(blocks, Table)
    assert table.title == "F1-macro of all heads combined, %"
    assert [row[:2] for row in table.rows][2:4] == [
        ["whole modality", "both"],
        ["bursts", "audio"],
    ]


def test_terms_are_explained_where_they_are_used(blocks, read):
    text = text_of(blocks)
    for term in (
        *("severity", "mean", "3 draws", "Area", "retention"),
        *(
            "Effective robustness",
            "late fusion",
            "Twin rule",
            "bursts of 0.5 s",
        ),
        *("Bands are 95 % intervals", "[a, b]: 95 % interval over speakers"),
    ):
        assert term in text, term
    bare = make_curve("frames", baselines=(), band=None)
    text = text_of(run_curves(read(make_sweep(curves=[bare], twins=[])), 100))
    for term in ("Effective", "late fusion", "Twin", "Bands", "[a, b]", "both"):
        assert term not in text, term


def test_the_twin_rule_is_there_in_words(blocks):
    assert (
        "With the visual modality lost, the model is worse than audio_only by "
        "2.1 points [0.3, 4.0], p = 0.030: the twin rule does not hold."
    ) in text_of(blocks)


def test_one_head_and_one_modality_are_enough(read):
    sweep = read(make_sweep(["combined"], modalities=["audio"]))
    charts = of_type(run_curves(sweep, 100), Chart)
    assert [len(chart.table.rows) for chart in charts] == [1, 1]


def test_few_speakers_have_ranges_that_are_named_so(read):
    curve = make_curve(band="range")
    blocks = run_curves(read(make_sweep(curves=[curve])), 100)
    assert "Bands are ranges over single speakers." in text_of(blocks)
    assert of_type(blocks, Table)[0].rows[0][2] == "80.0 (70–90)"


def test_what_is_undefined_is_a_dash(read):
    curve = make_curve(band=None)
    for key in ("values", "low", "high"):
        curve[key] = [None] * 6
    curve.update(area=None, retention=None)
    curve["effective_robustness"] = {"late_fusion": None}
    blocks = run_curves(read(make_sweep(curves=[curve])), 100)
    (table,) = of_type(blocks, Table)
    assert table.rows == [["bursts", "audio", *["–"] * 6]]


def test_attributes_have_no_per_cent(read):
    blocks = run_curves(read(make_sweep(["combined"], metric="ccc")), 1)
    (table,) = of_type(blocks, Table)
    assert table.title == "CCC of all heads combined"
    assert table.rows[0][2] == "0.800 [0.70, 0.90]"
    figure = of_type(blocks, Chart)[0].figure
    assert figure.axes[0].get_ylabel() == "CCC"


def test_kinds_of_later_versions_are_shown_by_their_name(read):
    curve = make_curve("babble")
    blocks = run_curves(read(make_sweep(curves=[curve])), 100)
    assert of_type(blocks, Chart)[0].table.title == "Babble, audio lost"


def test_what_was_not_swept_has_no_section_and_what_is_damaged_a_line():
    for section in (run_curves, study_curves):
        assert section({}, 100) == section(None, 100) == []
        assert text_of(section("missing.json: damaged", 100)) == (
            "missing.json: damaged."
        )


def test_a_sweep_without_curves_has_no_chart(read):
    blocks = run_curves(read(make_sweep(curves=[])), 100)
    assert not of_type(blocks, (Chart, Table))


def test_a_study_has_its_systems_in_each_chart(read):
    blocks = study_curves(read(make_study_sweep()), 100)
    rows = [[r[0] for r in c.table.rows] for c in of_type(blocks, Chart)]
    assert rows[0] == ["mult", "late_fusion", "audio_only"]
    assert rows[2] == ["mult", "late_fusion"]  # both lost


def test_a_study_has_areas_by_system(read):
    table = of_type(study_curves(read(make_study_sweep()), 100), Table)[0]
    assert table.columns[4:] == ["whole modality", "bursts"]
    assert table.rows[0] == ["mult", "audio", 2, "80.0", *["60.0 (75)"] * 2]
    assert [row[:2] for row in table.rows][-1] == ["audio_only", "audio"]


def test_a_kind_that_a_system_lacks_is_a_dash(read):
    sweep = make_study_sweep()
    del sweep["systems"]["audio_only"][0]
    table = of_type(study_curves(read(sweep), 100), Table)[0]
    assert table.rows[-1][4:] == ["–", "60.0 (75)"]


def test_a_study_has_its_tests_as_sentences(read):
    reasons = {"bursts both": "no test clip in common"}
    sweep = read(make_study_sweep(not_compared=reasons))
    blocks = study_curves(sweep, 100)
    _, twins, comparisons = of_type(blocks, Table)
    assert twins.rows[0][0].startswith(
        "With the visual modality lost, mult is worse than audio_only by 2.1"
    )
    assert comparisons.rows == [["mult is better by 4.1 points"]]
    assert "Not compared, bursts both: no test clip in common." in text_of(
        blocks
    )
