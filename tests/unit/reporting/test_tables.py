"""Metrics, predictions and tables of a run, whatever its task."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.evaluation.collection import (
    collect_details,
    collect_metrics,
)
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.reporting import figures as plots
from auxformer_lobes.reporting.predictions_csv import (
    csv_header,
    csv_row,
    read_predictions,
    write_predictions,
)
from auxformer_lobes.reporting.tables import (
    explain_brackets,
    format_label,
    format_metric,
    format_prediction,
    print_prediction,
    print_table,
    summarise_details,
    title_of,
)
from auxformer_lobes.tasks import DimensionalEmotion, MultiLabelEmotion, task_of
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import (
    KINDS,
    SCALES,
    make_task,
    random_clips,
    random_entries,
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


@kinds
def test_the_task_of_the_metrics_can_be_made_again(kind):
    task = make_task(kind)
    metrics = json.loads(json.dumps(collect(task)))
    again = task_of(metrics["task"], metrics["fitted"])
    assert type(again) is type(task)
    assert (again.names, again.settings) == (task.names, task.settings)


# What a clip may be called: all but halves of characters, which are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def sets_of_predictions(draw):
    """A task, and predictions of invented clips that survive as decimals."""
    task = make_task(draw(st.sampled_from(KINDS)))
    named = draw(st.lists(TEXT, min_size=1, max_size=6, unique=True))
    truth, _ = random_clips(task, len(named), draw(st.integers(0, 99)))
    digits = 4 if isinstance(task, DimensionalEmotion) else 6
    if digits == 4:
        truth = truth.astype(float).round(4)
    speakers = draw(st.lists(TEXT, min_size=len(named), max_size=len(named)))
    heads = draw(st.lists(TEXT, min_size=1, max_size=2, unique=True))
    numbers = st.integers(0, 10**digits).map(lambda x: x / 10**digits)
    rows = st.lists(numbers, min_size=3, max_size=3)
    many = st.lists(rows, min_size=len(named), max_size=len(named))
    return task, {
        condition: Predictions(
            named, speakers, truth.tolist(), {h: draw(many) for h in heads}
        )
        for condition in draw(
            st.lists(TEXT, min_size=1, max_size=2, unique=True)
        )
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=sets_of_predictions())
def test_what_is_read_is_what_was_written(made, tmp_path):
    task, predictions = made
    write_predictions(tmp_path / "predictions.csv", predictions, task)
    found = read_predictions(tmp_path / "predictions.csv", task)
    # Compared as text: an attribute that is not known is not equal to itself.
    assert repr(found) == repr(predictions)


@kinds
def test_the_linear_baseline_is_read_as_one_more_head(kind, tmp_path):
    """Which decides by its own threshold."""
    task, path = make_task(kind), tmp_path / "predictions.csv"
    made = random_predictions(task)
    baseline = {
        name: replace(of, outputs={"linear_baseline": of.outputs["combined"]})
        for name, of in made.items()
    }
    # All emotions are above the one, none is above the other.
    fitted = {
        name: dict.fromkeys(task.settings, value)
        for name, value in zip(made, (1e-9, 1.0, 1.0))
    }
    before = dict(task.settings)
    write_predictions(path, made, task, baseline, fitted)
    assert task.settings == before
    found = read_predictions(path, task)
    for name, of in found.items():
        assert [*of.outputs] == [*made[name].outputs, "linear_baseline"]
        assert of.outputs["linear_baseline"] == of.outputs["combined"]
    if isinstance(task, MultiLabelEmotion):
        with open(path, newline="") as file:
            decided = {
                row["condition"]: row["predicted"]
                for row in csv.DictReader(file)
                if row["head"] == "linear_baseline"
            }
        assert [*decided.values()] == ["angry|happy|sad", "", ""]


DAMAGES = {
    "missing": (lambda text: None, "No such file"),
    "empty": (lambda text: "", "its end is missing"),
    "cut": (lambda text: text[:-5], "its end is missing"),
    "cut between rows": (
        lambda text: text[: text.rindex("clip11")],
        "not the same clips",
    ),
    "no rows": (lambda text: text.splitlines(True)[0], "not the same clips"),
    "other columns": (lambda text: text[1:], "its columns are not those"),
    "a row twice": (
        lambda text: text + text.splitlines(True)[-1],
        "row 122: clip11 a second time",
    ),
    "a short row": (
        lambda text: text + "x,y\r\n",
        "row 122: 2 cells for 9 columns",
    ),
    "no number": (
        lambda text: text.replace("0.", "O.", 1),
        "row 2: could not convert",
    ),
    "another class": (
        lambda text: text.replace(",sad,", ",glad,"),
        "glad",
    ),
    "a quote": (lambda text: text + '"x\r\n', "unexpected end"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_table_is_one_line(case, tmp_path):
    task, path = make_task("categories"), tmp_path / "predictions.csv"
    damage, message = DAMAGES[case]
    write_predictions(path, random_predictions(task), task)
    text = damage(path.read_bytes().decode())
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_predictions(path, task)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_table_of_another_task_is_refused(tmp_path):
    path = tmp_path / "predictions.csv"
    task = make_task("categories")
    write_predictions(path, random_predictions(task), task)
    with pytest.raises(UserError, match="DimensionalEmotion of arousal"):
        read_predictions(path, make_task("attributes"))
    path.write_bytes(b"\xff\r\n")
    with pytest.raises(UserError, match="damaged: 'utf-8'"):
        read_predictions(path, task)


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
        assert f"{shown} (" in row
    assert "(a–b): lowest and highest of a single speaker, fewer th" in printed
    assert "interval" not in printed


def test_intervals_and_ranges_are_told_apart(capsys):
    task = make_task("categories")
    metrics = collect(task)
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
    print_table({**collect(task), **details}, task)
    assert "\n".join(lines) in capsys.readouterr().out
    calibration = "calibration, audio + visual: ECE "
    assert lines[0].startswith(calibration) == ("calibration" in expected)
    title = {"secondary": "F1-macro", "attributes": "CCC"}.get(kind, "F1-macro")
    assert lines[-2].startswith(f"{title} by gender, audio + visual: gap ")
    assert lines[-1].startswith(f"{title} by age, audio + visual: gap ")
    assert "(f: " in lines[-2] and "(20: " in lines[-1]
    assert summarise_details(collect(task), task) == []


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
