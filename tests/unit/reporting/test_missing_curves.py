"""Curves over what is missing, arranged and in words."""

import pytest

from auxformer_lobes.reporting.missing_curves import (
    bands_of,
    cells_of,
    describe_twin,
    limits_of,
    lines_of,
    panels_of,
    points_of,
    styles_of,
)
from auxformer_lobes.reporting.missing_file import read_sweep
from tests.unit.small_sweeps import (
    make_curve,
    make_study_sweep,
    make_sweep,
    make_twin,
    write_sweep,
)


@pytest.fixture
def read(tmp_path):
    """Reads a sweep that is made up."""
    return lambda sweep: read_sweep(write_sweep(tmp_path / "m.json", sweep))


def test_lines_of_a_run_are_its_heads_all_of_them_combined_first(read):
    lines = lines_of(read(make_sweep()))
    assert [*lines] == ["combined", "main", "audio", "visual", "late_fusion"]
    assert styles_of(lines) == {
        "names": [*lines],
        "bold": {"combined"},
        "dashed": "late_fusion",
    }


def test_lines_of_a_study_are_its_systems(read):
    sweep = make_study_sweep()
    sweep["systems"]["mult"] += make_sweep(["audio"])["curves"]
    lines = lines_of(read(sweep))
    assert [*lines] == ["mult", "late_fusion", "audio_only"]
    assert all(of["head"] == "combined" for of in lines["mult"])
    assert styles_of(lines)["bold"] == {*lines}
    assert styles_of(lines)["dashed"] is None


def test_many_systems_have_no_bands(read):
    lines = lines_of(read(make_study_sweep("abcde")))
    assert len(lines) == 6
    assert styles_of(lines)["bold"] == set()
    assert bands_of(lines) == ""


def test_panels_are_by_kind_and_then_by_modality(read):
    panels = panels_of(lines_of(read(make_study_sweep())))
    assert [*panels] == [
        (kind, modality)
        for kind in ("whole", "bursts")
        for modality in ("audio", "visual", "both")
    ]
    assert "audio_only" in panels["bursts", "audio"]
    assert "audio_only" not in panels["bursts", "both"]


def test_all_panels_have_the_limits_of_what_is_drawn():
    curve = make_curve(start=0.8, end=0.4)  # and a band of 0.1
    low, high = limits_of({"combined": [curve]}, 1)
    assert low == pytest.approx(0.27) and high == pytest.approx(0.93)
    # Bands of single heads are not drawn; nothing is below 0 %.
    low, high = limits_of({"combined": [], "audio": [curve]}, 100)
    assert low == pytest.approx(38) and high == pytest.approx(82)
    assert limits_of({"combined": [make_curve(end=0.1)]}, 100)[0] == 0
    assert limits_of({}, 100) == (0, 100)


def test_a_table_has_three_points_of_a_curve():
    points = points_of(make_curve(kind="whole"))
    assert [point["value"] for point in points] == pytest.approx(
        [0.8, 0.64, 0.4]
    )
    cells = cells_of(make_curve(), ["own_late_fusion", "another"], 100)
    assert cells == [
        *("80.0 [70, 90]", "64.0 [54, 74]", "40.0 [30, 50]"),
        *("60.0", "75.0", "2.1", "–"),
    ]
    curve = {**make_curve(band=None), "area": None, "retention": None}
    assert cells_of(curve, [], 1) == ["0.800", "0.640", "0.400", "–", "–"]


def test_bands_are_named():
    assert bands_of({"combined": [make_curve(band=None)]}) == ""
    assert bands_of({"combined": [make_curve(band="range")]}) == (
        "ranges over single speakers"
    )
    assert bands_of({"mult": [make_curve()], "late": [make_curve()]}) == (
        "95 % intervals over speakers"
    )


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"difference": 0.021, "low": 0.003, "high": 0.04, "holds": True},
            "better than audio_only by 2.1 points [0.3, 4.0], p = 0.030: the "
            "twin rule holds.",
        ),
        (
            {"band": "range", "p": 0.0001},
            "worse than audio_only by 2.1 points (0.3 to 4.0 by speaker), "
            "p < 0.001: the twin rule does not hold; no difference is shown.",
        ),
        (
            {"difference": 0.0, "low": -0.01, "high": 0.01, "holds": True},
            "as good as audio_only [-1.0, 1.0], p = 0.030: the twin rule "
            "holds.",
        ),
        (
            {"low": None, "high": None, "band": None, "p": None},
            "worse than audio_only by 2.1 points: the twin rule does not hold; "
            "no difference is shown.",
        ),
        (
            {"low": -0.05, "high": 0.008, "p": 0.2},
            "worse than audio_only by 2.1 points [-0.8, 5.0], p = 0.20: the "
            "twin rule does not hold; no difference is shown.",
        ),
        (
            {"p": 0.06},
            "worse than audio_only by 2.1 points [0.3, 4.0], p = 0.060: the "
            "twin rule does not hold; no difference is shown.",
        ),
    ],
)
def test_the_twin_rule_is_a_sentence(changes, words):
    assert describe_twin(make_twin(**changes), 100) == (
        f"With the visual modality lost, the model is {words}"
    )


def test_a_twin_rule_that_is_undefined_is_no_verdict():
    text = describe_twin(make_twin(difference=None), 100, name="mult")
    assert text == (
        "With the visual modality lost, mult cannot be compared with "
        "audio_only: undefined."
    )
    text = describe_twin(make_twin(difference=None, reason="no cell"), 100)
    assert text.endswith("cannot be compared with audio_only: no cell.")


def test_attributes_have_no_points():
    text = describe_twin(make_twin(), 1, other="a network on audio")
    assert "worse than a network on audio by 0.021 [0.003, 0.040]," in text
