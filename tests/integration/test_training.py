"""What a user of the CREMA-D recipe meets."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crema_d_synthetic import make_synthetic_crema_d

from auxformer_lobes.augment.missing import INPUTS
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.tasks import CategoricalEmotion

RECIPE = Path(__file__).parents[2] / "recipes" / "CREMA-D"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a small corpus; features go there too."""
    folder = tmp_path_factory.mktemp("work")
    make_synthetic_crema_d(folder / "corpus", num_actors=5, num_sentences=2)
    return folder


def command(work, run, yaml="demo.yaml", **options):
    options = {
        "data_folder": work / "corpus",
        "feature_folder": work / "features",
        "output_folder": work / run,
        "valid_actors": [1003],
        "test_actors": [1004, 1005],
        "number_of_epochs": 3,
        **options,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "train.py", f"hparams/{yaml}", *flags]


def train(*args, **options):
    return subprocess.run(
        command(*args, **options), cwd=RECIPE, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def finished(work):
    """A whole run."""
    result = train(work, "run")
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def read_predictions(folder):
    with open(folder / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_have_all_inputs_heads_and_intervals(work, finished):
    metrics = json.loads((work / "run" / "metrics.json").read_text())
    for name in INPUTS:
        for head in ("combined", "main", "audio", "visual"):
            for metric in CategoricalEmotion.metrics:
                figures = metrics["test"][name][head][metric]
                assert 0 <= figures["low"] <= figures["value"]
                assert figures["value"] <= figures["high"] <= 1
        per_output = metrics["test"][name]["combined"]["per_output"]
        assert set(per_output) == set(class_names(6))
        assert 0 <= metrics["floor"][name]["f1_macro"]["value"] <= 1
    assert metrics["test_speakers"] == ["1004", "1005"]


def test_predictions_are_what_the_metrics_were_computed_from(work, finished):
    metrics = json.loads((work / "run" / "metrics.json").read_text())
    rows = read_predictions(work / "run")
    assert len(rows) == 3 * 4 * metrics["test_clips"]
    for row in rows:
        shares = {c: float(row[f"p_{c}"]) for c in class_names(6)}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(shares, key=shares.get)
    chosen = [
        row
        for row in rows
        if row["input"] == "audio_only" and row["head"] == "main"
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
    assert any("(linear model)" in line for line in lines)


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(work, finished):
    process = subprocess.Popen(
        command(work, "killed"),
        cwd=RECIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    history = work / "killed" / "history.json"
    # Killed while it writes the checkpoint of the first epoch.
    while not list((work / "killed" / "save").glob("CKPT*/CKPT.yaml")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(json.loads(history.read_text())) < 3
    assert not (work / "killed" / "metrics.json").exists()

    assert train(work, "killed").returncode == 0
    assert [e["epoch"] for e in json.loads(history.read_text())] == [1, 2, 3]
    assert read_predictions(work / "killed") == read_predictions(work / "run")


def test_a_finished_run_started_again_only_evaluates(work, finished):
    before = read_predictions(work / "run")
    again = train(work, "run")
    assert again.returncode == 0
    said = again.stdout + again.stderr
    assert "skipping preparation" in said
    assert said.count("features: 0 clips extracted") == 2
    assert "Going into epoch" not in said
    assert read_predictions(work / "run") == before


def test_distributional_labels_train_on_votes_and_keep_ties(work, finished):
    result = train(work, "votes", label_rule="D", number_of_epochs=1)
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((work / "votes" / "metrics.json").read_text())
    entries = [
        entry
        for split in ("train", "valid", "test")
        for entry in json.loads(
            (work / f"votes/{split}.json").read_text()
        ).values()
    ]
    assert len(entries) == 5 * 2 * 6
    assert any(entry["emotion"] is None for entry in entries)
    assert metrics["test_clips"] == 2 * 2 * 6


def test_four_classes_are_one_option_away(work, finished):
    result = train(work, "four", num_classes=4, number_of_epochs=1)
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((work / "four" / "metrics.json").read_text())
    assert metrics["outputs"] == list(class_names(4))


def test_a_damaged_video_costs_its_picture_only(work, finished):
    clip = next(iter(json.loads((work / "run" / "train.json").read_text())))
    video = work / "corpus" / "VideoFlash" / f"{clip}.flv"
    content = video.read_bytes()
    video.write_bytes(content[:100])
    result = train(work, "damaged", number_of_epochs=1)
    video.write_bytes(content)
    assert result.returncode == 0, result.stderr[-3000:]
    entry = json.loads((work / "damaged" / "train.json").read_text())[clip]
    assert entry["video"] is None and entry["wav"]
    assert "1 unusable files" in result.stdout + result.stderr
    report = (work / "damaged" / "prepare_report.json").read_text()
    assert f"VideoFlash/{clip}.flv" in report


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_clases": 4}, "num_clases"),
        ({"num_classes": 5}, "num_classes is 5: choose 6 or 4"),
        ({"label_rule": "X"}, "label rule 'X' is unknown"),
        (
            {"partition": 7, "valid_actors": [], "test_actors": []},
            "partition 7",
        ),
        ({"data_folder": "/nowhere"}, "data_folder /nowhere is not CREMA-D"),
        ({"valid_actors": [1004]}, "actor 1004 is in `valid` and `test`"),
        ({"valid_actors": 1003}, "the actors of valid are 1003, not a list"),
        ({"batch_size": "[1"}, "batch_size"),
        ({"skip_prep": True}, "train.json: No such file or directory: run "),
    ],
    ids=lambda value: str(value),
)
def test_a_mistake_ends_in_one_line(work, options, message):
    result = train(work, "mistake", **options)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert not list((work / "mistake").glob("*.json"))


def test_a_run_is_not_tested_on_speakers_that_it_was_trained_on(work, finished):
    made = ("hyperparams.yaml", "prepare_report.json", "train.json")
    before = [(work / "run" / name).read_bytes() for name in made]
    other = train(work, "run", valid_actors=[1004], test_actors=[1001, 1002])
    assert other.returncode == 1
    message = other.stderr.strip().splitlines()[-1]
    assert "holds a run with other data" in message
    assert "(changed: train, valid, test)" in message
    # The run is as it was.
    assert [(work / "run" / name).read_bytes() for name in made] == before
    assert train(work, "run").returncode == 0


def test_an_unknown_choice_of_the_best_epoch_is_refused_before_training(work):
    result = train(work, "choice", select_by="f1")
    assert result.returncode == 1
    assert "select_by 'f1' is unknown" in result.stderr.splitlines()[-1]
    assert not (work / "choice" / "history.json").exists()


def test_two_processes_train_together_and_report_once(work, finished):
    script, *options = command(work, "pair", number_of_epochs=2)[1:]
    launcher = [sys.executable, "-m", "torch.distributed.run"]
    launcher += ["--standalone", "--nproc_per_node=2", script]
    options += ["--distributed_backend=gloo", "--device=cpu"]
    result = subprocess.run(
        launcher + options, cwd=RECIPE, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("results: ") == 1
    metrics = json.loads((work / "pair" / "metrics.json").read_text())
    single = json.loads((work / "run" / "metrics.json").read_text())
    assert metrics["test_clips"] == single["test_clips"]
    assert metrics["floor"] == single["floor"]


def test_a_missing_yaml_is_named(work):
    result = train(work, "mistake", yaml="nowhere.yaml")
    assert result.returncode == 1
    assert "hparams/nowhere.yaml" in result.stderr.splitlines()[-1]
