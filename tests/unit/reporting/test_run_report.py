"""The page of a run: complete, and safe to open and to share."""

import json

import numpy as np
import pytest

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.reporting.run_report import read_settings
from auxformer_lobes.reporting.worst_clips import MAX_WORST, worst_clips
from tests.unit.small_reports import YAML, make_report, read
from tests.unit.small_sweeps import make_sweep, make_twin
from tests.unit.small_tasks import make_task

CLIPS = [f"clip{i}" for i in range(12)]
ATTACK = "<script>alert(1)</script>"
FULL = ("categories", "secondary", "attributes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The text of the page of each task, and its run; a page takes a second."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in FULL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/home/jane")
        yaml = f"{YAML}data_folder: /home/jane/corpus\nmore: /home/janes\n"
        clips = [ATTACK if clip == "clip5" else clip for clip in CLIPS]
        return {
            kind: (make_report(folder, kind, clips, yaml=yaml), Run(folder))
            for kind, folder in folders.items()
        }


@pytest.fixture(params=FULL)
def page(request, made):
    """The page of a run of each task, as a browser reads it."""
    return read(made[request.param][0])[0]


def test_the_page_is_well_formed(page):
    assert not page.errors
    assert len(page.ids) == len({*page.ids})
    assert {*page.labels} <= {*page.ids}
    assert page.tags.count("h1") == 1


def test_the_page_loads_nothing(page):
    """Its addresses are places within it."""
    assert {*page.addresses} <= {f"#{name}" for name in page.ids}
    assert not {"link", "img", "iframe", "object", "form"} & {*page.tags}
    assert page.tags.count("script") == 1


def test_each_chart_has_a_title_and_a_table(page):
    charts = [i for i, tag in enumerate(page.tags) if tag == "svg"]
    assert charts
    for start, end in zip(charts, [*charts[1:], len(page.tags)]):
        assert page.tags[start + 1] == "title"
        assert "table" in page.tags[start:end]


def test_sections_are_those_of_the_task(made):
    for kind, others in [
        ("categories", ["Confusion", "Calibration", "Raters"]),
        ("secondary", ["Calibration", "Raters"]),
        ("attributes", ["Attributes", "Calibration", "Raters"]),
    ]:
        assert read(made[kind][0])[0].text["h2"] == [
            *("Results", "Outputs", *others, "Subgroups"),
            *("Clips it gets most wrong", "Training", "Split audit"),
            "Settings and versions",
        ]


def test_what_there_is_not_has_no_section(tmp_path):
    page, _ = read(make_report(tmp_path, details=False))
    assert page.text["h2"] == [
        *("Results", "Outputs", "Confusion"),
        *("Clips it gets most wrong", "Settings and versions"),
    ]
    assert "Split audit" not in "".join(page.text["p"])


@pytest.fixture
def undrawn(monkeypatch):
    """Without charts, which take a while."""
    monkeypatch.setattr(charts, "inline_svg", lambda *_: "")


def test_a_run_that_was_swept_shows_it(tmp_path, undrawn):
    twins = [make_twin(twin=ATTACK)]
    sweep = make_sweep(kinds=["bursts"], run=str(tmp_path), twins=twins)
    html = make_report(tmp_path, details=False, sweep=sweep)
    page, data = read(html)
    assert not page.errors
    assert "Missing modalities" in page.text["h2"]
    assert "Bursts, both lost" in page.text["h3"]
    assert data["missing"] == read_sweep(Run(tmp_path).missing_file)
    assert ATTACK not in html and ATTACK in "".join(page.text["p"])
    assert str(tmp_path) not in html


def test_a_damaged_sweep_is_one_line_and_the_page_goes_on(tmp_path, undrawn):
    html = make_report(tmp_path, details=False, sweep=["x"])
    page, data = read(html)
    assert {"Missing modalities", "Results"} <= {*page.text["h2"]}
    assert (
        "missing.json: damaged: start `auxformer evaluate --missing` again."
    ) in page.text["p"]
    assert data["missing"] == {} and str(tmp_path) not in html


def test_the_figures_are_embedded(made):
    html, run = made["categories"]
    _, data = read(html)
    assert data["metrics"] == run.metrics()
    assert data["audit"] == json.loads(run.audit_file.read_text())
    # JSON has no NaN.
    assert data["history"][0]["train"] == {"loss": 0.5, "loss_main": None}


def test_names_are_text(made):
    for html, _ in made.values():
        page, data = read(html)
        assert ATTACK not in html
        assert ATTACK in "".join(page.text["th"])
        assert ATTACK in [clip["clip"] for clip in data["worst_clips"]]


def test_a_page_does_not_tell_whose_computer_it_was(made):
    for html, run in made.values():
        assert "~/corpus" in html and "/home/janes" in html
        assert "/home/jane/" not in html
        assert "/secret/place" not in html
        assert str(run.folder) not in html


def test_a_page_is_small(made):
    assert max(len(html.encode()) for html, _ in made.values()) < 1e6


def test_settings_are_read_without_making_an_object():
    yaml = "a: !apply:os.abort []\nb: !new:os.Nothing\nc: {d: 1}\ne: [x, 2]\n"
    assert read_settings(yaml) == {
        "b": "Nothing",
        "c": {"d": 1},
        "e": ["x", 2],
    }


def losses_of(kind, truth, outputs, **entry):
    made = Predictions(
        CLIPS[: len(truth)], ["s"] * len(truth), truth, {"combined": outputs}
    )
    entries = dict.fromkeys(made.clips, entry)
    return {
        clip["clip"]: [*clip.values()][-1]
        for clip in worst_clips(make_task(kind), made, entries)
    }


def test_the_worst_clips_come_first_and_ties_are_left_out():
    outputs = [[0.4, 0.5, 0.1], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]
    losses = losses_of("categories", [[0], [0], [-1]], outputs)
    assert [*losses] == ["clip1", "clip0"]
    assert losses["clip1"] == pytest.approx(np.log(4))


def test_a_class_that_is_right_is_not_among_the_worst():
    outputs = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]
    assert [*losses_of("categories", [[0], [0]], outputs)] == ["clip1"]


def test_a_loss_counts_emotions_that_are_wrongly_seen_or_missed():
    losses = losses_of("binary", [[1, 0, 0]], [[0.5, 0.5, 0.75]])
    assert losses["clip0"] == pytest.approx(np.log(2 * 2 * 4) / 3)


def test_the_largest_error_of_an_attribute_counts():
    nan = float("nan")
    truth = [[1.0, nan, 3.0], [nan] * 3, [5.0, 5.0, 5.0]]
    losses = losses_of("attributes", truth, [[1.5, 1.0, 1.0]] * 3)
    assert losses == pytest.approx({"clip2": 4.0, "clip0": 2.0})


def test_votes_are_shown_where_they_are_on_the_outputs():
    def _votes(kind, votes):
        made = Predictions(
            ["x"], ["s"], [[1, 1, 1]], {"combined": [[0.2, 0.3, 0.5]]}
        )
        entries = {"x": {"votes": votes}}
        return worst_clips(make_task(kind), made, entries)[0]["votes"]

    assert _votes("categories", [0.25, 0.0, 0.75]) == "sad 0.75, angry 0.25"
    assert _votes("categories", [0.5, 0.5]) is None
    assert _votes("categories", None) is None
    assert _votes("attributes", [0.25, 0.0, 0.75]) is None


def test_a_page_does_not_list_all_clips():
    truth, outputs = [[1]] * 12, [[0.5, 0.25, 0.25]] * 12
    assert len(losses_of("categories", truth, outputs)) == min(MAX_WORST, 12)
