"""Metrics, predictions and tables of a run, whatever its task."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.reporting import figures as plots
from auxformer_lobes.reporting.tables import (
    collect_metrics,
    csv_header,
    csv_row,
    format_label,
    format_prediction,
    print_prediction,
    print_table,
    title_of,
    write_predictions,
)
from tests.unit.small_tasks import (
    KINDS,
    SCALES,
    make_task,
    random_clips,
    random_predictions,
)

kinds = pytest.mark.parametrize("kind", KINDS)
NAMES = [condition.name for condition in CONDITIONS]
LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")


def collect(task):
    made = random_predictions(task)
    baseline = {name: made[name].scores(task, num_samples=50) for name in NAMES}
    metrics = collect_metrics(made, task, num_samples=50)
    return {**metrics, "linear_baseline": baseline}


def write(task, folder):
    """Writes the table of predictions, and reads its rows."""
    path = folder / "predictions.csv"
    write_predictions(path, random_predictions(task), task)
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@kinds
def test_metrics_say_what_they_were_measured_on(kind):
    task = make_task(kind)
    metrics = collect(task)
    truth = np.array(random_predictions(task)["audio_visual"].truth)
    unlabelled = (~task.has_label(truth)).sum()
    assert metrics["test_clips"] == 12
    assert metrics["test_clips_unlabelled"] == unlabelled
    assert (unlabelled > 0) == (kind not in ("secondary", "binary"))
    assert metrics["test_speakers"] == ["speaker0", "speaker1", "speaker2"]
    assert metrics["outputs"] == [*task.names]
    assert metrics["fitted"] == task.settings


@kinds
def test_metrics_are_those_of_each_condition_and_head(kind):
    task = make_task(kind)
    metrics, made = collect(task), random_predictions(task)
    assert [*metrics["test"]] == NAMES
    for name, heads in metrics["test"].items():
        assert [*heads] == [*made[name].outputs]
        for head, scores in heads.items():
            assert scores == made[name].scores(task, head, num_samples=50)


@kinds
def test_metrics_are_json_without_nan(kind):
    metrics = collect(make_task(kind))

    def _refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(json.dumps(metrics), parse_constant=_refuse) == metrics


@kinds
def test_each_clip_has_a_cell_for_each_column(kind):
    task = make_task(kind)
    columns = csv_header(task)
    assert len({*columns}) == len(columns)
    for truth, outputs in zip(*random_clips(task, 12)):
        for values in ((truth, outputs), (truth.tolist(), outputs.tolist())):
            row = dict(zip(columns, csv_row(task, *values)))
            assert len(row) == len(columns)
            # Outputs come last, in numbers.
            shown = [float(cell) for cell in list(row.values())[-3:]]
            np.testing.assert_allclose(shown, outputs, atol=1e-4)


@kinds
def test_predictions_are_a_row_per_condition_head_and_clip(kind, tmp_path):
    task = make_task(kind)
    rows, made = write(task, tmp_path), random_predictions(task)
    expected = [
        (clip, speaker, name, head)
        for name in NAMES
        for head in made[name].outputs
        for clip, speaker in zip(made[name].clips, made[name].speakers)
    ]
    keys = ["clip", "speaker", "condition", "head"]
    assert [tuple(row[key] for key in keys) for row in rows] == expected
    assert [*rows[0]] == [*keys, *csv_header(task)]
    # The last three columns are the outputs of the three heads.
    outputs = [
        values
        for name in NAMES
        for rows_of_head in made[name].outputs.values()
        for values in rows_of_head
    ]
    np.testing.assert_allclose(
        [[float(x) for x in list(row.values())[-3:]] for row in rows],
        outputs,
        atol=1e-4,
    )


@pytest.mark.parametrize("kind", ["categories", "votes"])
def test_tied_clips_have_no_truth_in_the_table(kind, tmp_path):
    task = make_task(kind)
    rows = write(task, tmp_path)
    truth = random_predictions(task)["audio_visual"].truth
    named = ["" if i < 0 else task.names[i] for (i,) in truth]
    assert "" in named
    assert [row["truth"] for row in rows[:12]] == named
    for row in rows:
        shares = {name: float(row[f"p_{name}"]) for name in task.names}
        assert row["predicted"] == max(shares, key=shares.get)


@pytest.mark.parametrize("kind", ["secondary", "binary"])
def test_several_emotions_are_joined_in_the_table(kind, tmp_path):
    task = make_task(kind)
    for row in write(task, tmp_path):
        there = [
            name
            for name in task.names
            if float(row[f"p_{name}"]) > task.threshold
        ]
        assert row["predicted"] == "|".join(there)


def test_attributes_that_are_not_known_are_empty_in_the_table(tmp_path):
    task = make_task("attributes")
    rows = write(task, tmp_path)
    truth = random_predictions(task)["audio_visual"].truth
    assert np.isnan(truth).any()
    for row, values in zip(rows, truth):
        for name, value in zip(SCALES, values):
            cell = row[f"true_{name}"]
            if math.isnan(value):
                assert cell == ""
            else:
                assert float(cell) == pytest.approx(value, abs=1e-4)


@kinds
def test_the_table_has_a_row_for_each_head_that_contributes(kind, capsys):
    task = make_task(kind)
    metrics = collect(task)
    print_table(metrics, task)
    printed = capsys.readouterr().out
    assert "12 clips of 3 speakers" in printed
    assert printed.count("audio only") == 4
    assert printed.count("audio + visual") == 5
    assert printed.count("(linear baseline)") == 3
    main = metrics["test"]["audio_only"]["main"]
    row = next(
        line
        for line in printed.splitlines()
        if "audio only" in line and "main" in line
    )
    for name in task.metrics:
        value = main[name]["value"]
        shown = f"{value:.3f}" if kind == "attributes" else f"{100 * value:.1f}"
        assert f"{shown} [" in row


@pytest.mark.parametrize(
    "kind, titles, percent",
    [
        ("categories", ["F1-macro", "F1-micro", "UAR", "accuracy"], True),
        ("secondary", ["F1-macro", "F1-micro"], True),
        ("attributes", ["CCC", "RMSE"], False),
    ],
)
def test_the_table_says_what_its_figures_are(kind, titles, percent, capsys):
    task = make_task(kind)
    print_table(collect(task), task)
    first, *lines = capsys.readouterr().out.splitlines()
    assert ("%" in first.replace("95 %", "")) == percent
    head = next(line for line in lines if "condition" in line)
    places = [head.find(title) for title in titles]
    assert -1 not in places and places == sorted(places)


def test_what_is_undefined_is_a_dash(capsys):
    task = make_task("attributes")
    metrics = collect(task)
    nothing = {"value": None, "low": None, "high": None}
    for scores in metrics["linear_baseline"].values():
        scores["ccc"] = nothing
        scores["rmse"] = {"value": 0.25, "low": None, "high": None}
    print_table(metrics, task)
    for line in capsys.readouterr().out.splitlines():
        if "(linear baseline)" in line:
            assert "–" in line and "0.250 " in line and "[" not in line


@kinds
def test_a_prediction_is_printed_in_a_line_per_condition(kind, capsys):
    task, made = make_task(kind), random_predictions(make_task(kind))
    print_prediction("clip2", made, task)
    first, *lines = capsys.readouterr().out.splitlines()
    truth = made["audio_visual"].truth[2]
    assert first == f"clip2, label: {format_label(task, truth)}"
    for name, line in zip(NAMES, lines):
        predicted = made[name].outputs["combined"][2]
        assert line.split("  ")[1] == title_of(name)
        assert line.endswith(format_prediction(task, predicted))
    assert len(lines) == 3


def history(task):
    """Three epochs: the second has the best metrics, the third the losses."""
    return [
        {
            "epoch": epoch,
            "train": dict.fromkeys(LOSSES, 1.0),
            "valid": {
                **dict.fromkeys(LOSSES, 2.0 - epoch),
                **{
                    name: 1 - score if name in task.lower_is_better else score
                    for name in task.metrics
                },
            },
        }
        for epoch, score in enumerate([0.2, 0.9, 0.5], start=1)
    ]


@kinds
def test_curves_mark_the_epoch_that_was_selected(kind):
    task = make_task(kind)
    choices = [*((name, 2) for name in task.metrics), ("loss", 3)]
    for select_by, best in choices:
        figure = plots.learning_curves(history(task), select_by, best, task)
        for axis in figure.axes:
            assert axis.lines[-1].get_xdata() == [best, best]
        assert select_by in figure.axes[1].get_title()


@kinds
def test_curves_show_all_losses_and_metrics(kind):
    task = make_task(kind)
    left, right = plots.learning_curves(history(task), "loss", 3, task).axes
    labels = [line.get_label() for line in right.lines[:-1]]
    assert labels == [*task.metrics]
    assert len(left.lines) == 2 * len(LOSSES) + 1
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.2, 0.9, 0.5])


@kinds
def test_a_prediction_shows_the_heads_that_contribute(kind):
    task = make_task(kind)
    made = random_predictions(task)
    figure = plots.prediction("clip2", made, task, torch.ones(9, 4))
    left, right = figure.axes[:2]
    shades = left.images[0]
    assert shades.get_array().shape == (4 + 3 + 3, 3)
    np.testing.assert_allclose(
        shades.get_array()[0], made["audio_visual"].outputs["combined"][2]
    )
    assert shades.get_clim() == task.limits
    label = format_label(task, made["audio_visual"].truth[2])
    titles = (figure.get_suptitle(), left.get_title())
    assert f"clip2, label: {label}" in titles
    assert right.images[0].get_array().shape == (4, 9)
