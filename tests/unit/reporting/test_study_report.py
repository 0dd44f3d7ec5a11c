"""The page of a study."""

import pytest

from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.reporting.study_report import study_report
from tests.unit.small_reports import AUDIT, make_study, read
from tests.unit.small_sweeps import make_study_sweep, write_sweep

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page():
    return read(study_report(make_study()))[0]


@pytest.fixture
def undrawn(monkeypatch):
    """Without charts, which take a while."""
    monkeypatch.setattr(charts, "inline_svg", lambda *_: "")


def test_the_page_is_well_formed(page):
    assert not page.errors
    assert len(page.ids) == len({*page.ids})
    assert {*page.labels} <= {*page.ids}


def test_all_parts_have_a_section(page):
    assert page.text["h2"] == [
        *("Results", "Comparisons", "Failed cells", "Cells"),
        *("Split audit, partition 1", "Split audit, partition 2"),
        "Settings and versions",
    ]


def test_the_audit_of_a_study_on_one_partition_has_a_plain_title(undrawn):
    page, _ = read(study_report({**make_study(), "audits": {"": AUDIT}}))
    assert "Split audit" in page.text["h2"]


def test_bounds_of_negative_differences_are_told_apart(undrawn):
    study = make_study()
    study["comparisons"][0].update(
        difference=-0.6, low=-0.7, high=-0.58, kind="range"
    )
    page, _ = read(study_report(study))
    assert "-60.0 (-70.0 to -58.0)" in page.text["td"]


def test_finished_cells_are_linked_by_relative_addresses(page):
    links = [x for x in page.addresses if not x.startswith("#")]
    assert links == [
        f"./cells/AuxFormer%20{seed}/report.html" for seed in (0, 1)
    ]


def test_a_folder_is_no_script_and_no_other_site(undrawn):
    for folder in ("javascript:alert(1)", "https://example.org", "//a.org"):
        study = make_study()
        study["cells"] = [{**study["cells"][0], "folder": folder}]
        page, _ = read(study_report(study))
        (link,) = [x for x in page.addresses if not x.startswith("#")]
        assert link.startswith("./") and ":" not in link


def test_systems_have_mean_deviation_and_interval(undrawn):
    study = make_study()
    study["systems"][0]["uar"] = {
        **{"value": 0.5, "sd": 0.02, "low": 0.41, "high": 0.6},
        "kind": "interval",
    }
    page, _ = read(study_report(study))
    assert "50.0 ± 2.0 [41, 60]" in page.text["td"]


def test_a_failed_cell_is_there_with_its_reason(page):
    assert "no memory" in page.text["td"]
    assert "4 cells (2 finished, 1 failed, 1 waiting)" in page.text["p"][0]


def test_comparisons_are_in_words_and_in_numbers(page):
    assert "AuxFormer is better by 4.1 points" in page.text["th"]
    assert {"4.1 [1.0, 7.3]", "0.002", "0.010"} <= {*page.text["td"]}


def test_a_study_without_a_finished_cell_has_a_page():
    study = {**make_study(), "systems": [], "comparisons": [], "audits": {}}
    study["cells"] = [
        {**cell, "state": "waiting", "metrics": {}} for cell in study["cells"]
    ]
    page, _ = read(study_report(study))
    assert not page.errors
    assert "No cell is finished." in page.text["p"]


def test_the_figures_are_embedded(undrawn):
    study = make_study(reason=ATTACK)
    html = study_report(study)
    _, data = read(html)
    assert data == study
    assert ATTACK not in html


def test_a_study_that_was_swept_shows_it(tmp_path, undrawn):
    sweep = make_study_sweep([ATTACK])
    sweep = read_sweep(write_sweep(tmp_path / "missing.json", sweep))
    html = study_report({**make_study(), "missing": sweep})
    page, data = read(html)
    assert not page.errors
    assert page.text["h2"].index("Missing modalities") == 2
    assert ATTACK not in html and ATTACK in page.text["th"]
    assert data["missing"] == sweep


def test_a_damaged_sweep_is_one_line(undrawn):
    page, _ = read(study_report({**make_study(), "missing": "it is damaged"}))
    assert "it is damaged." in page.text["p"]
