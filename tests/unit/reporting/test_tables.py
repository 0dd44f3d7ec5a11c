"""Tables on the terminal, whatever the task."""

import numpy as np
import pytest
import torch

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.evaluation.collection import collect_details
from auxformer_lobes.reporting import figures as plots
from auxformer_lobes.reporting.tables import (
    explain_brackets,
    format_label,
    format_metric,
    format_prediction,
    print_prediction,
    print_table,
    summarise_details,
    title_of,
    titles_of,
)
from tests.unit.small_tasks import (
    KINDS,
    make_task,
    random_entries,
    random_metrics,
    random_predictions,
)

kinds = pytest.mark.parametrize("kind", KINDS)
NAMES = [condition.name for condition in CONDITIONS]
LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")


# What a clip may be called: all but halves of characters, which are no text.


@kinds
def test_the_table_has_a_row_for_each_head_that_contributes(kind, capsys):
    task = make_task(kind)
    metrics = random_metrics(task)
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
        assert f"{shown} (" in row
    assert "(a–b): lowest and highest of a single speaker, fewer th" in printed
    assert "interval" not in printed


def test_intervals_and_ranges_are_told_apart(capsys):
    task = make_task("categories")
    metrics = random_metrics(task)
    for scores in metrics["linear_baseline"].values():
        scores["uar"] = {"value": 0.5, "low": 0, "high": 1, "kind": "interval"}
    print_table(metrics, task)
    printed = capsys.readouterr().out
    assert printed.count("50.0 [0, 100]") == 3
    assert "[a, b]: 95 % interval over speakers; (a–b): lowest" in printed


def test_figures_of_older_files_are_intervals():
    old = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert format_metric(old, 1) == "0.500 [0.25, 0.75]"
    assert explain_brackets([old]) == "[a, b]: 95 % interval over speakers"
    assert explain_brackets([{**old, "low": None, "high": None}]) == ""


@kinds
def test_calibration_and_gaps_are_a_line_each(kind, capsys):
    task = make_task(kind)
    made = random_predictions(task)
    entries = {
        f"clip{i}": {**entry, "gender": "fm"[i % 3 > 0], "age": 20 + i % 3}
        for i, entry in enumerate(random_entries(12))
    }
    details = collect_details(made, made, task, entries, num_samples=9)
    expected = {"calibration", "disagreement", "subgroups"}
    if kind in ("secondary", "binary"):
        expected -= {"calibration"}
    if kind == "attributes":
        expected = {"subgroups"}
    assert {*details} == expected
    lines = summarise_details(details, task)
    print_table({**random_metrics(task), **details}, task)
    assert "\n".join(lines) in capsys.readouterr().out
    calibration = "calibration, audio + visual: ECE "
    assert lines[0].startswith(calibration) == ("calibration" in expected)
    title = {"secondary": "F1-macro", "attributes": "CCC"}.get(kind, "F1-macro")
    assert lines[-2].startswith(f"{title} by gender, audio + visual: gap ")
    assert lines[-1].startswith(f"{title} by age, audio + visual: gap ")
    assert "(f: " in lines[-2] and "(20: " in lines[-1]
    assert summarise_details(random_metrics(task), task) == []


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
    print_table(random_metrics(task), task)
    first, *lines = capsys.readouterr().out.splitlines()
    assert ("%" in first.replace("95 %", "")) == percent
    head = next(line for line in lines if "condition" in line)
    places = [head.find(title) for title in titles]
    assert -1 not in places and places == sorted(places)


def test_what_is_undefined_is_a_dash(capsys):
    task = make_task("attributes")
    metrics = random_metrics(task)
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
    assert labels == titles_of(task.metrics)
    assert len(left.lines) == 2 * len(LOSSES) + 1
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.2, 0.9, 0.5])


@kinds
def test_curves_show_each_condition_where_there_are_several(kind):
    task = make_task(kind)
    metric, title = task.metrics[0], titles_of(task.metrics)[0]
    epochs = history(task)
    for entry in epochs:
        score = entry["valid"][metric]
        entry["valid"][f"{metric}_audio_only"] = score / 2
        entry["valid"][f"mean_{metric}"] = score * 0.75
    _, right = plots.learning_curves(epochs, "loss", 3, task).axes
    labels = [line.get_label() for line in right.lines[:-1]]
    assert labels == [title, f"{title}, audio only", f"{title}, mean"]
    np.testing.assert_allclose(right.lines[1].get_ydata(), [0.1, 0.45, 0.25])


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
