"""Sweeps of runs and of studies over what is missing."""

import csv
import json
import shutil

import numpy as np
import pytest

from auxformer_lobes.cli.main import main
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.sweep import SEVERITIES
from auxformer_lobes.experiments import missing_study, missing_sweep
from auxformer_lobes.experiments.missing_study import sweep_study
from auxformer_lobes.experiments.missing_sweep import sweep_run
from auxformer_lobes.experiments.study import Study
from auxformer_lobes.experiments.swept import read_swept, twins_of
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import FBANK, HOG, make_run
from tests.unit.small_tasks import EMOTIONS, SCALES

AUXFORMER = "models.auxformer.AuxFormer\n"
NETWORKS = {
    "auxformer": AUXFORMER,
    "late_fusion": "models.baselines.LateFusion\n",
    "audio_only": "models.baselines.AudioOnly\n",
    "visual_only": "models.baselines.VisualOnly\n",
}
FEATURES = """\
MODALITY_features: !new:auxformer_lobes.features.precomputed.NumpyFeatures
    folder: FOLDER
    dim: DIM
    modality: MODALITY
"""
EVALUATION = """
bootstrap_samples: 20
test_dataloader_opts:
    batch_size: 6
train_logger: null
"""
SEEDS = 1


def make_small_run(
    folder,
    features,
    network="auxformer",
    task="CategoricalEmotion",
    duration=2.0,
):
    """A run on features of files, whose test has eight clips of four people."""
    texts = {
        modality: FEATURES.replace("MODALITY", modality)
        .replace("FOLDER", str(features / modality))
        .replace("DIM", str(dim))
        for modality, dim in (("audio", 3), ("visual", 2))
    }
    make_run(
        folder,
        task,
        changes=[
            (FBANK, texts["audio"]),
            (HOG, texts["visual"]),
            (AUXFORMER, NETWORKS[network]),
            ("/home/jane_doe/features", str(folder / "stores")),
            ("/home/jane_doe/corpus", str(features)),
            ("opt_class:", f"{EVALUATION}\nopt_class:"),
        ],
    )
    for checkpoint in (folder / "save").iterdir():
        # What a Brain leaves there, too.
        (checkpoint / "brain.ckpt").write_text(
            "{step: 1, avg_train_loss: 0.0, optimizer_step: 1}"
        )
    entries = {
        f"clip{i}": {
            "wav": f"{{data_root}}/clip{i}.wav",
            "video": f"{{data_root}}/clip{i}.mp4",
            "spk_id": f"speaker{i % 4}",
            "emotion": EMOTIONS[i % 3],
            "votes": np.eye(3)[i % 3].tolist(),
            "attributes": dict(zip(SCALES, (i / 2, 4 - i % 3, i % 2))),
            "duration": duration,
        }
        for i in range(8)
    }
    (folder / "test.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Features of eight clips; the last one lacks the visual modality."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    for modality, frames, dim in (("audio", 20, 3), ("visual", 10, 2)):
        (folder / modality).mkdir()
        for i in range(8 if modality == "audio" else 7):
            array = rng.standard_normal((frames + i, dim), np.float32)
            np.save(folder / modality / f"clip{i}.npy", array)
    return folder


def _write_page(study, cells):
    study.report_file.write_text(f"a page of {cells} cells")


def _note_figure(run, *_):
    run.figure("missing").touch()


@pytest.fixture
def no_figures(monkeypatch):
    """They are slow; one test is left that draws them."""
    for module in (missing_study, missing_sweep):
        monkeypatch.setattr(module, "save_sweep_figures", _note_figure)


@pytest.fixture(scope="module")
def study(features, tmp_path_factory):
    """A study of four networks, swept."""
    folder = tmp_path_factory.mktemp("study")
    cells = {name: {"network": name} for name in NETWORKS}
    for name in cells:
        run = Run(make_small_run(folder / name, features, name))
        run.write_metrics({**run.metrics(), "complete": True})
    Study(folder).write({"cells": {**cells, "late": {"network": "mult"}}})
    with pytest.MonkeyPatch.context() as patch:
        for slow in ("write_report", "save_sweep_figures"):
            patch.setattr(missing_sweep, slow, lambda *_: None)
        patch.setattr(missing_study, "NUM_SAMPLES", 20)
        patch.setattr(missing_study, "save_sweep_figures", _note_figure)
        patch.setattr(missing_study, "Results", len)
        patch.setattr(missing_study, "write_results", _write_page)
        sweep_study(folder, seeds=SEEDS, num_workers=0)
    return folder


@pytest.fixture
def run(study, tmp_path):
    """A copy of a run that was swept, to write into."""
    return shutil.copytree(study / "auxformer", tmp_path / "auxformer")


@pytest.fixture(scope="module")
def content(study):
    return json.loads((study / "auxformer" / "missing.json").read_text())


def curve_of(content, *key):
    (curve,) = (
        c
        for c in content["curves"]
        if (c["kind"], c["modality"], c["head"]) == key
    )
    return curve


def test_there_is_a_curve_of_each_kind_modality_and_head(content):
    keys = [(c["kind"], c["modality"], c["head"]) for c in content["curves"]]
    heads = ["combined", "main", "audio", "visual", "late_fusion"]
    assert keys == [
        (kind, modality, head)
        for kind in SEVERITIES
        for modality in ("audio", "visual", "both")
        for head in heads
    ]
    for curve in content["curves"]:
        count = len(SEVERITIES[curve["kind"]])
        for key in ("severities", "measured", "values", "low", "high"):
            assert len(curve[key]) == count
        assert curve["band"] == "range"  # four speakers
    assert (content["clips"], content["speakers"]) == (8, 4)
    assert content["passes"] == 4 + 3 * 3 * 4


def test_what_is_measured_is_what_was_asked(content):
    for curve in content["curves"]:
        measured = np.array(curve["measured"])
        assert measured[0] == 0 and measured[-1] == 1
        # Of eight clips or of a few frames; bursts are long for these.
        bound = 0.35 if curve["kind"] == "bursts" else 0.16
        assert np.abs(measured - curve["severities"]).max() < bound


def test_a_head_does_not_miss_what_it_does_not_read(content):
    for kind in SEVERITIES:
        for head, modality in (("audio", "visual"), ("visual", "audio")):
            values = curve_of(content, kind, modality, head)["values"]
            assert values == pytest.approx([values[0]] * len(values))


def test_effective_robustness_is_against_the_models_own_late_fusion(content):
    for curve in content["curves"]:
        effective = curve["effective_robustness"]
        if curve["head"] == "late_fusion":
            assert effective == {}
            continue
        key = curve["kind"], curve["modality"], "late_fusion"
        difference = np.subtract(
            curve["values"], curve_of(content, *key)["values"]
        )
        assert effective["own_late_fusion"] == pytest.approx(
            difference[1:].mean() - difference[0]
        )


def test_the_table_has_each_metric_of_each_draw(study, content):
    with open(study / "auxformer" / "missing.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    curve = curve_of(content, "stretch", "both", "main")
    found = [
        row
        for row in rows
        if (row["kind"], row["modality"], row["head"], row["metric"])
        == ("stretch", "both", "main", "f1_macro")
    ]
    assert [float(row["severity"]) for row in found] == curve["severities"]
    assert [float(row["value"]) for row in found] == pytest.approx(
        curve["values"], abs=1e-6
    )
    assert [row["seed"] for row in found] == ["", *["0"] * 4, ""]


def test_a_second_sweep_writes_the_same(study, run, capsys):
    before = json.loads((run / "missing.json").read_text())
    table = (run / "missing.csv").read_text()
    command = ["evaluate", run, "--missing", "--missing_seeds", SEEDS]
    others = ["late_fusion", "audio_only", "visual_only"]
    main(
        [
            *map(str, [*command, "--num_workers", 0, "--against"]),
            *(str(study / name) for name in others),
        ]
    )
    after = json.loads((run / "missing.json").read_text())
    assert (run / "missing.csv").read_text() == table
    assert [(t["lost"], t["twin"]) for t in after["twins"]] == [
        ("visual", "audio_only"),
        ("audio", "visual_only"),
    ]
    for old, new in zip(before["curves"], after["curves"]):
        assert new["values"] == pytest.approx(old["values"])
    effective = after["curves"][0]["effective_robustness"]
    assert [*effective] == ["own_late_fusion", "late_fusion"]
    printed = capsys.readouterr().out
    assert "With the visual modality lost, the model is " in printed
    assert (run / "missing.png").exists()
    assert "40 forward passes of each clip" in printed


def test_a_study_has_pooled_curves_comparisons_and_twins(study):
    content = json.loads((study / "missing.json").read_text())
    assert (study / "missing.png").exists()
    assert (study / "report.html").read_text() == "a page of 5 cells"
    assert [*content["systems"]] == [*NETWORKS]
    assert {(t["system"], t["lost"], t["twin"]) for t in content["twins"]} == {
        (system, *pair)
        for system in ("auxformer", "late_fusion")
        for pair in (("visual", "audio_only"), ("audio", "visual_only"))
    }
    # Four kinds, three modalities, one pair of systems, corrected together.
    assert len(content["comparisons"]) == 12
    for each in content["comparisons"]:
        assert each["comparisons"] == 12
        areas = [
            curve["area"]
            for system in (each["a"], each["b"])
            for curve in content["systems"][system]
            if (curve["kind"], curve["modality"], curve["head"])
            == (each["kind"], each["modality"], "combined")
        ]
        assert each["difference"] == pytest.approx(areas[0] - areas[1])
    pooled = content["systems"]["auxformer"][0]
    alone = json.loads((study / "auxformer" / "missing.json").read_text())
    assert pooled["values"] == pytest.approx(alone["curves"][0]["values"])
    modalities = {c["modality"] for c in content["systems"]["audio_only"]}
    assert modalities == {"audio"}


@pytest.mark.usefixtures("no_figures")
def test_a_study_sweeps_only_what_has_changed(study, tmp_path, monkeypatch):
    folder = shutil.copytree(study, tmp_path / "study")
    swept = []

    def _sweep(run, **options):
        swept.append(run.name)
        for name in ("missing.json", "metrics.json"):
            shutil.copy(study / run.name / name, run)

    monkeypatch.setattr(missing_study, "sweep_run", _sweep)
    monkeypatch.setattr(missing_study, "NUM_SAMPLES", 20)
    (folder / "audio_only" / "missing.json").write_text("[]")
    other = Run(folder / "late_fusion")
    other.write_metrics({**other.metrics(), "epoch": 7})
    # Trained once more, to the same epoch.
    again = Run(folder / "visual_only")
    fitted = {"temperature": 1.25}
    again.write_metrics({**again.metrics(), "fitted": fitted})
    sweep_study(folder, seeds=SEEDS)
    assert swept == ["late_fusion", "audio_only", "visual_only"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "task, metric",
    [("DimensionalEmotion", "ccc"), ("MultiLabelEmotion", "f1_macro")],
)
def test_bursts_are_left_out_where_durations_are_not_known(
    features, tmp_path, capsys, task, metric
):
    folder = tmp_path / "run"
    run = make_small_run(folder, features, task=task, duration=None)
    content = sweep_run(run, num_workers=0, seeds=1)
    assert content["metric"] == metric
    assert {c["kind"] for c in content["curves"]} == {*SEVERITIES} - {"bursts"}
    assert "bursts left out: 8 clips without a dur" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_another_manifest_has_a_folder_of_its_own(
    run, features, tmp_path, monkeypatch
):
    entries = json.loads((run / "test.json").read_text())
    (tmp_path / "some").mkdir()
    manifest = tmp_path / "some" / "part.json"
    part = {k: e for k, e in entries.items() if e["emotion"] != "happy"}
    manifest.write_text(json.dumps(part))
    content = sweep_run(run, manifest, features, num_workers=0, seeds=1)
    assert (run / "on_some_part" / "missing.json").exists()
    # Of the classes that both have.
    assert content["task"]["classes"] == ["angry", "sad"]
    assert content["clips"] == len(part)
    with pytest.raises(UserError, match="has results of .*part.json: name"):
        sweep_run(run, run / "test.json", output_folder=run / "on_some_part")
    # A run that was moved takes the folder along.
    moved = run.rename(tmp_path / "moved")
    monkeypatch.setattr(missing_sweep, "open_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep_run(moved, manifest, features)


def test_another_run_is_no_output_folder(study, run):
    with pytest.raises(UserError, match="late_fusion: has results of .*late_f"):
        sweep_run(run, output_folder=study / "late_fusion")
    (run / "missing.json").unlink()
    with pytest.raises(UserError, match="has results of a training: name ano"):
        sweep_run(study / "late_fusion", output_folder=run)


def test_a_twin_of_other_cells_does_not_cost_the_sweep(study):
    model, twin = (
        read_swept(Run(study / name), name, seed=seed)
        for name, seed in (("auxformer", "0"), ("audio_only", "1"))
    )
    (found,) = twins_of([model], {"audio_only": [twin]}, 20)
    assert found["reason"].startswith("no cell with the same partition")
    assert found["difference"] is found["holds"] is None


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda run: shutil.rmtree(run / "save"), "has no checkpoint: train"),
        (lambda run: (run / "metrics.json").unlink(), "evaluate first"),
        (lambda run: (run / "test.json").unlink(), "test.json: No such file"),
    ],
)
def test_what_is_no_finished_run_is_one_line(run, spoil, message):
    spoil(run)
    before = (run / "missing.json").read_text()
    with pytest.raises(SystemExit, match=message) as caught:
        main(["evaluate", str(run), "--missing"])
    assert "\n" not in str(caught.value)
    assert (run / "missing.json").read_text() == before


def test_another_run_must_be_swept_over_the_same_clips(study, run, tmp_path):
    other = shutil.copytree(study / "audio_only", tmp_path / "other")
    entries = json.loads((run / "test.json").read_text())
    del entries["clip3"]
    (run / "test.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match="other: was swept over other test cl"):
        sweep_run(run, against=[other], num_workers=0)
    metrics = Run(other).metrics()
    Run(other).write_metrics({**metrics, "epoch": 7})
    with pytest.raises(UserError, match="of epoch 2, the metrics are of 7"):
        sweep_run(run, against=[other])
    Run(other).write_metrics(metrics)
    (other / "missing.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="missing.npz: .*: first start `auxf"):
        sweep_run(run, against=[other])
    (other / "missing.json").unlink()
    with pytest.raises(UserError, match="missing.json: No such .*: first star"):
        sweep_run(run, against=[other])


@pytest.mark.parametrize(
    "options, message",
    [
        ("--missing --manifest a.json", "--manifest: not of a study"),
        ("--missing --missing_seeds 0", "not a number from 1"),
        ("", "required: --manifest, --data_root"),
        ("--manifest a --data_root . --against b", "required: --missing"),
        ("--manifest a --data_root . --missing_seeds 5", "required: --miss"),
    ],
)
def test_options_that_do_not_fit_are_one_line(study, options, message):
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", str(study), *options.split()])


def test_a_study_without_a_finished_cell_is_one_line(tmp_path):
    Study(tmp_path).write({"cells": {"a": {"network": "mult"}}})
    with pytest.raises(SystemExit, match="no finished cell: train first"):
        main(["evaluate", str(tmp_path), "--missing"])
