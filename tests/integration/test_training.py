"""What a user of the CREMA-D recipe meets."""

import csv
import json
import shutil

import pytest
from matplotlib.figure import Figure

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.cli.main import main
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments import recipe
from auxformer_lobes.tasks import CategoricalEmotion
from tests.integration.recipes import NO_WORKERS, assert_refused, flags, train

# Clips of the training set and of the test set, of which the video is damaged.
DAMAGED_TRAIN, DAMAGED_TEST = "1001_IEO_ANG_XX", "1003_IEO_SAD_XX"
# Preparation then leaves it to the extraction to find that out.
UNOPENED = {"open_video": False}


@pytest.fixture(scope="module")
def work(tmp_path_factory, crema_d):
    """A folder with a small corpus, two of its videos damaged."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(crema_d, folder / "corpus")
    # Of different sizes: the audit finds equal files.
    for size, clip in ((100, DAMAGED_TRAIN), (101, DAMAGED_TEST)):
        video = folder / "corpus" / "VideoFlash" / f"{clip}.flv"
        video.write_bytes(video.read_bytes()[:size])
    return folder


@pytest.fixture(scope="module")
def start(work):
    """Starts the recipe, with options that differ; features are shared."""

    def _start(run, yaml="demo.yaml", figures=False, **options):
        options = {
            "data_folder": work / "corpus",
            "feature_folder": work / "features",
            "output_folder": work / run,
            "valid_actors": [1002],
            "test_actors": [1003, 1004],
            "number_of_epochs": 1,
            "bootstrap_samples": 50,
            **options,
        }
        arguments = [f"hparams/{yaml}", *flags(**options), *NO_WORKERS]
        return train(*arguments, figures=figures)

    return _start


@pytest.fixture(scope="module")
def finished(start):
    """A whole run; one test clip lacks its visual features."""
    result = start("run", figures=True, require_both=True, **UNOPENED)
    assert result.returncode == 0, result.stderr
    return result


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def predictions_of(folder, **chosen):
    """The rows of predictions.csv that have these cells."""
    with open(folder / "predictions.csv", newline="") as file:
        return [
            row
            for row in csv.DictReader(file)
            if all(row[name] == cell for name, cell in chosen.items())
        ]


def test_metrics_have_all_conditions_heads_and_ranges(work, finished):
    metrics = metrics_of(work / "run")
    assert [*metrics["test"]] == [c.name for c in CONDITIONS]
    for condition, heads in [
        ("audio_visual", ["combined", "main", "audio", "visual"]),
        ("audio_only", ["combined", "main", "audio"]),
        ("visual_only", ["combined", "main", "visual"]),
    ]:
        test = metrics["test"][condition]
        assert [*test] == heads
        for scores in (*test.values(), metrics["linear_baseline"][condition]):
            for metric in CategoricalEmotion.metrics:
                figures = scores[metric]
                # Two speakers are too few for an interval.
                assert figures["kind"] == "range"
                assert 0 <= figures["low"] <= figures["high"] <= 1
            assert [*scores["per_output"]] == [*class_names(6)]
    assert metrics["test_speakers"] == ["1003", "1004"]


def test_predictions_are_what_the_metrics_were_computed_from(work, finished):
    metrics = metrics_of(work / "run")
    rows = predictions_of(work / "run")
    assert len(rows) == (4 + 3 + 3 + 3) * metrics["test_clips"]
    assert metrics["complete"]
    for row in rows:
        shares = {c: float(row[f"p_{c}"]) for c in class_names(6)}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        # Six digits may hide which one is ahead.
        assert shares[row["predicted"]] >= max(shares.values()) - 1e-6
    chosen = [
        row
        for row in predictions_of(
            work / "run", condition="audio_only", head="main"
        )
        if row["truth"]
    ]
    right = sum(row["truth"] == row["predicted"] for row in chosen)
    expected = metrics["test"]["audio_only"]["main"]["accuracy"]["value"]
    assert right / len(chosen) == pytest.approx(expected)


def test_a_table_is_printed_and_the_last_line_names_the_folder(work, finished):
    lines = finished.stdout.splitlines()
    assert lines[-1] == f"results: {work / 'run'}"
    assert any(
        "audio + visual" in line and "combined" in line for line in lines
    )
    assert any("(linear baseline)" in line for line in lines)


def test_a_page_and_figures_show_the_run(work, finished):
    for name in ("confusion", "learning_curves", "prediction", "reliability"):
        assert (work / "run" / f"{name}.png").is_file()
    page = (work / "run" / "report.html").read_text()
    assert "<title>AuxFormer, run</title>" in page
    for section in ("Results", "Clips it gets most wrong", "Training"):
        assert f">{section}</h2>" in page


def test_network_and_linear_baseline_are_scored_on_the_same_clips(
    work, finished
):
    metrics = metrics_of(work / "run")
    labelled = metrics["test_clips"] - metrics["test_clips_unlabelled"]
    assert (
        len(json.loads((work / "run" / "test.json").read_text()))
        == (metrics["test_clips"])
    )
    rows = predictions_of(work / "run", condition="visual_only")
    assert DAMAGED_TEST in {row["clip"] for row in rows}
    for condition, heads in metrics["test"].items():
        baseline = metrics["linear_baseline"][condition]
        for scores in (*heads.values(), baseline):
            support = {
                name: output["support"]
                for name, output in scores["per_output"].items()
            }
            assert sum(support.values()) == labelled


def test_evaluate_tests_the_clips_that_training_did(work, finished, tmp_path):
    command = ["evaluate", work / "run", "--manifest", work / "run/test.json"]
    command += ["--data_root", work / "corpus", "--output_folder", tmp_path]
    command += ["--feature_folder", work / "features", "--num_workers", 0]
    assert not main([*map(str, command)])
    trained, evaluated = (
        {
            (row["clip"], row["condition"], row["head"]): [
                float(row[f"p_{name}"]) for name in class_names(6)
            ]
            for row in predictions_of(folder)
        }
        for folder in (work / "run", tmp_path)
    )
    # A run does not keep its linear baseline.
    assert [*evaluated] == [k for k in trained if k[2] != "linear_baseline"]
    assert (tmp_path / "report.html").exists()
    for key, shares in evaluated.items():
        assert shares == pytest.approx(trained[key], abs=1e-5)
    for condition, heads in metrics_of(work / "run")["test"].items():
        for head, scores in heads.items():
            other = metrics_of(tmp_path)["test"][condition][head]
            for metric in CategoricalEmotion.metrics:
                assert other[metric] == pytest.approx(scores[metric], abs=1e-5)


def test_evaluate_deletes_nothing_of_a_run_that_goes_on(
    work, finished, tmp_path
):
    run = shutil.copytree(work / "run", tmp_path / "run")
    complete = [path.name for path in run.glob("save/CKPT+*")]
    # As training writes it: what was there before, and what is not finished.
    (run / "save" / "saving.txt").write_text("\n".join(complete))
    (run / "save" / "CKPT+now").mkdir()
    (run / "save" / "CKPT+now" / "CKPT.yaml").write_text(
        "end-of-epoch: true\nepoch: 9\nloss: 0.0\nunixtime: 9999999999.0\n"
    )
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    command = ["evaluate", run, "--manifest", run / "test.json"]
    command += ["--data_root", work / "corpus", "--output_folder", tmp_path]
    command += ["--feature_folder", work / "features", "--num_workers", 0]
    assert not main([*map(str, command)])
    task = CategoricalEmotion(class_names(6))
    assert Run(run).best_checkpoint("loss", task).path.name in complete
    after = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    assert after == before
    assert (run / "save" / "CKPT+now").is_dir()


def test_a_finished_run_started_again_only_evaluates(work, start, finished):
    before = predictions_of(work / "run")
    again = start("run", require_both=True, **UNOPENED)
    assert again.returncode == 0
    assert "skipping preparation" in again.stdout
    assert again.stdout.count("features: 0 clips extracted") == 2
    assert "Going into epoch" not in again.stdout
    # The same batches, in the same process: the same in all six digits.
    assert predictions_of(work / "run") == before


def test_distributional_labels_train_on_votes_and_keep_ties(work, start):
    result = start("votes", label_rule="D", **UNOPENED)
    assert result.returncode == 0, result.stderr
    entries = [
        entry
        for split in ("train", "valid", "test")
        for entry in json.loads(
            (work / f"votes/{split}.json").read_text()
        ).values()
    ]
    assert len(entries) == 4 * 2 * 6
    assert any(entry["emotion"] is None for entry in entries)
    assert metrics_of(work / "votes")["test_clips"] == 2 * 2 * 6


def test_four_classes_are_one_option_away(work, start):
    result = start("four", num_classes=4)
    assert result.returncode == 0, result.stderr
    assert metrics_of(work / "four")["outputs"] == [*class_names(4)]


def test_a_damaged_video_costs_its_visual_modality_only(work, start):
    result = start("damaged")
    assert result.returncode == 0, result.stderr
    assert "2 unusable files" in result.stdout
    manifest = json.loads((work / "damaged" / "train.json").read_text())
    assert manifest[DAMAGED_TRAIN]["video"] is None
    assert manifest[DAMAGED_TRAIN]["wav"]
    report = (work / "damaged" / "prepare_report.json").read_text()
    for clip in (DAMAGED_TRAIN, DAMAGED_TEST):
        assert f"VideoFlash/{clip}.flv" in report


def test_training_ends_with_its_result_where_no_face_is_usable(
    work, start, finished, tmp_path
):
    manifests = {}
    for split in ("train", "valid", "test"):
        entries = json.loads((work / "run" / f"{split}.json").read_text())
        if split != "train":
            for entry in entries.values():
                entry["video"] = None
        manifests[f"{split}_annotation"] = tmp_path / f"{split}.json"
        manifests[f"{split}_annotation"].write_text(json.dumps(entries))
    result = start("faceless", skip_prep=True, **manifests)
    assert result.returncode == 0, result.stderr
    metrics = metrics_of(work / "faceless")
    rows = predictions_of(
        work / "faceless", condition="audio_visual", head="combined"
    )
    assert len(rows) == metrics["test_clips"]
    # With nothing to see, the audio decides.
    for head in ("combined", "audio"):
        scores = metrics["test"]["audio_visual"][head]
        assert scores["accuracy"]["value"] is not None
    assert {*metrics["linear_baseline"]} == {c.name for c in CONDITIONS}


def test_what_fails_after_training_costs_a_line_each_and_no_result(
    work, start, finished, monkeypatch
):
    def _fail(*_, **__):
        raise ValueError("no clip\nat all")

    monkeypatch.setattr(recipe, "linear_baseline", _fail)
    monkeypatch.setattr(Figure, "savefig", _fail)
    result = start("failing", figures=True)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    for step in ("linear baseline", "figures"):
        assert result.stdout.count(f"{step}: ValueError: no clip") == 1
    metrics = metrics_of(work / "failing")
    assert "linear_baseline" not in metrics
    assert [*metrics["test"]] == [c.name for c in CONDITIONS]
    assert len(predictions_of(work / "failing")) == 10 * metrics["test_clips"]
    assert result.stdout.splitlines()[-1] == f"results: {work / 'failing'}"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_clases": 4}, "num_clases"),
        ({"num_classes": 5}, "num_classes"),
        ({"label_rule": "X"}, "label rule 'X'"),
        (
            {"partition": 7, "valid_actors": [], "test_actors": []},
            "partition 7",
        ),
        ({"data_folder": "/nowhere"}, "data_folder /nowhere"),
        ({"valid_actors": [1004]}, "actor 1004"),
        ({"valid_actors": 1003}, "valid"),
        ({"batch_size": "[1"}, "batch_size"),
        ({"skip_prep": True}, "train.json"),
        ({"yaml": "nowhere.yaml"}, "hparams/nowhere.yaml"),
    ],
    ids=str,
)
def test_a_mistake_ends_in_one_line(work, start, options, message):
    assert_refused(start("mistake", **options), message)
    assert not list((work / "mistake").glob("*.json"))


def test_a_split_that_leaks_is_trained_on_only_if_that_is_allowed(
    work, start, finished
):
    manifests = [
        json.loads((work / "run" / f"{split}.json").read_text())
        for split in ("train", "valid", "test")
    ]
    rows = [
        f"{clip},{split}"
        for split, manifest in zip(("train", "test", "test"), manifests)
        for clip in manifest
    ]
    leaking = min(manifests[0])
    split_file = work / "leaking.csv"
    split_file.write_text("\n".join(["clip,split", *rows, f"{leaking},test"]))
    options = {
        "split_file": split_file,
        "valid_actors": "null",
        "test_actors": "null",
        "require_both": True,
        **UNOPENED,
    }
    # One training actor: none can be held out.
    assert_refused(start("leak", **options), "has no development set")
    split_file.write_text(
        split_file.read_text().replace("XX,test", "XX,dev", 9)
    )
    result = start("leak", **options)
    assert_refused(result, "audit of the split: ")
    assert "features" not in result.stdout, "before the extraction"
    audit = json.loads((work / "leak" / "audit.json").read_text())
    assert leaking in str(audit["findings"])
    result = start("leak", allow_leaks=True, **options)
    assert result.returncode == 0, result.stderr
    assert "audit, error: 1 of " in result.stdout
    assert (work / "leak" / "metrics.json").exists()


def test_an_unknown_choice_of_the_best_epoch_is_refused_before_training(
    work, start
):
    assert_refused(start("choice", select_by="f1"), "select_by 'f1'")
    assert not (work / "choice" / "history.json").exists()


def test_a_run_is_not_tested_on_speakers_that_it_was_trained_on(
    work, start, finished
):
    made = ("hyperparams.yaml", "prepare_report.json", "train.json")
    before = [(work / "run" / name).read_bytes() for name in made]
    other = start("run", valid_actors=[1004], test_actors=[1001])
    assert_refused(other, "(changed: train, valid, test)")
    # The run is as it was.
    assert [(work / "run" / name).read_bytes() for name in made] == before


def test_a_network_on_one_modality_is_tested_under_each_condition(work, start):
    """Without its modality it predicts the same for every clip."""
    result = start("audio", network="audio_only", require_both=True, **UNOPENED)
    assert result.returncode == 0, result.stderr
    test = metrics_of(work / "audio")["test"]
    assert [[*heads] for heads in test.values()] == [["combined"]] * 3
    for condition in ("audio_visual", "audio_only", "visual_only"):
        chosen = {"condition": condition, "head": "combined"}
        rows = predictions_of(work / "audio", **chosen)
        shares = {tuple(row[f"p_{c}"] for c in class_names(6)) for row in rows}
        assert (len(shares) == 1) == (condition == "visual_only")
