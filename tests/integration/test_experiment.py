"""A study of the CREMA-D recipe, from the command to the report."""

import json
from contextlib import chdir
from html import unescape

import pytest

from auxformer_lobes.cli.main import main
from auxformer_lobes.experiments import experiment
from auxformer_lobes.experiments.study import Study
from tests.integration.recipes import CREMA_D, NO_WORKERS, InThisProcess, flags

VARY = ["--vary=test_actors=[1003],[1004]", "--vary=network=audio_only,mult"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def launched(work, crema_d, crema_d_features):
    """Runs the command; returns what was started, and the exit code."""
    options = flags(
        data_folder=crema_d,
        feature_folder=crema_d_features,
        output_folder=work / "study",
        valid_actors=[1002],
        number_of_epochs=1,
        bootstrap_samples=50,
    )
    arguments = ["experiment", "train.py", "hparams/auxformer_offline.yaml"]
    launcher = InThisProcess(1)
    with chdir(CREMA_D), pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "LocalLauncher", lambda jobs: launcher)
        code = main([*arguments, *options, *NO_WORKERS, *VARY])
        first = [*launcher.started]
        launcher.started.clear()
        assert main([*arguments, *options, *NO_WORKERS, *VARY]) is None
    assert not launcher.started  # what is finished is skipped
    return first, code


def test_each_split_is_prepared_once_and_each_cell_trained_once(launched):
    started, code = launched
    assert code is None
    prepared = [c for c in started if "--prepare_only=True" in c]
    assert len(prepared) == 2 and len(started) == 2 + 4


def test_cells_are_complete_runs(work, launched):
    for cell in Study(work / "study").cells():
        assert cell.state == "finished"
        assert cell.run.manifest("test").exists()
        assert cell.run.audit_file.exists()
        (speaker,) = cell.run.metrics()["test_speakers"]
        assert cell.settings["test_actors"] == f"[{speaker}]"


def test_the_study_has_the_means_of_its_cells(work, launched):
    study = Study(work / "study")
    of_cells = [
        cell.run.metrics()["test"]["audio_only"]["combined"]["uar"]["value"]
        for cell in study.cells()
        if cell.system == "audio_only"
    ]
    (system,) = (
        each
        for each in study.read()["systems"]
        if (each["name"], each["condition"]) == ("audio_only", "audio_only")
    )
    assert system["cells"] == 2
    assert system["uar"]["value"] == pytest.approx(sum(of_cells) / 2)


def test_the_report_has_all_systems_and_sentences(work, launched):
    study = Study(work / "study")
    page = unescape(study.report_file.read_text("utf-8"))
    for text in ("audio_only", "mult", "linear baseline"):
        assert text in page
    for each in study.read()["comparisons"]:
        assert each["sentence"] in page
    data = page.partition('id="data">')[2].partition("</script")
    assert json.loads(data[0])["metric_names"][0] == "f1_macro"


def test_compare_tells_the_same_again(work, launched, capsys):
    main(["compare", str(work / "study"), "--condition", "visual_only"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "F1-macro, visual only: A − B" in shown
    assert "2 speakers are too few for p < 0.05" in shown
