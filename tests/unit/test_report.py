"""What a run leaves behind."""

import csv
import json

import numpy as np
import pytest
import torch

from auxformer_lobes import plots
from auxformer_lobes.evaluation import HEADS, Predictions
from auxformer_lobes.modalities import INPUTS
from auxformer_lobes.report import collect_metrics, print_table, write_report

CLASSES = ["angry", "happy", "sad"]


def predictions():
    made = {}
    for seed, name in enumerate(INPUTS):
        rng = np.random.default_rng(seed)
        made[name] = Predictions(
            [f"clip{i}" for i in range(12)],
            [f"speaker{i % 3}" for i in range(12)],
            [-1] + [i % 3 for i in range(11)],
            {h: rng.dirichlet([1] * 3, 12).tolist() for h in HEADS},
        )
    return made


@pytest.fixture
def metrics():
    made = predictions()
    floor = {name: made[name].scores("combined", CLASSES) for name in INPUTS}
    return collect_metrics(made, floor, CLASSES, num_samples=50)


def test_metrics_say_what_they_were_measured_on(metrics):
    assert metrics["test_clips"] == 12
    assert metrics["test_clips_tied"] == 1
    assert metrics["test_speakers"] == ["speaker0", "speaker1", "speaker2"]


def test_files_are_written_as_they_will_be_read(metrics, tmp_path):
    figure = plots.confusion_matrices(predictions(), CLASSES)
    write_report(tmp_path, metrics, predictions(), {"confusion": figure})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"metrics.json", "predictions.csv", "confusion.png"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * len(INPUTS) * len(HEADS)
    assert [row["truth"] for row in rows[:3]] == ["", "angry", "happy"]
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_has_a_row_for_each_head_that_is_given_something(
    metrics, capsys
):
    print_table(metrics)
    printed = capsys.readouterr().out
    assert printed.count("audio only") == 4
    assert printed.count("audio + visual") == 5
    assert printed.count("(logistic regression)") == 3
    value = 100 * metrics["test"]["audio_only"]["main"]["uar"]["value"]
    assert f"{value:.1f} [" in printed


def test_confusion_rows_are_shares_of_the_true_class():
    figure = plots.confusion_matrices(predictions(), CLASSES)
    for axis in figure.axes:
        shares = axis.images[0].get_array()
        np.testing.assert_allclose(shares.sum(1), 1)


def test_curves_mark_the_epoch_that_was_chosen():
    losses = ["loss", "loss_main", "loss_audio", "loss_visual"]
    history = [
        {
            "epoch": epoch,
            "train": dict.fromkeys(losses, 1.0),
            "valid": {
                **dict.fromkeys(losses, 2.0 - epoch),
                **dict.fromkeys(["f1_macro", "uar", "accuracy"], score),
            },
        }
        for epoch, score in enumerate([0.2, 0.9, 0.5], start=1)
    ]
    for select_by, best in (("f1_macro", 2), ("loss", 3)):
        figure = plots.learning_curves(history, select_by)
        assert figure.axes[1].lines[-1].get_xdata() == [best, best]


def test_a_prediction_shows_heads_that_are_given_something():
    figure = plots.prediction("clip2", predictions(), CLASSES, torch.ones(9, 4))
    left, right = figure.axes[:2]
    assert left.images[0].get_array().shape == (4 + 3 + 3, 3)
    assert "clip2: happy" in left.get_title()
    assert right.images[0].get_array().shape == (4, 9)
