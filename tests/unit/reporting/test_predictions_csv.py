"""predictions.csv: what is written, and read again."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.reporting.predictions_csv import (
    csv_header,
    csv_row,
    read_predictions,
    write_predictions,
)
from auxformer_lobes.tasks import DimensionalEmotion, MultiLabelEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import (
    KINDS,
    SCALES,
    make_task,
    random_clips,
    random_predictions,
)

kinds = pytest.mark.parametrize("kind", KINDS)
NAMES = [condition.name for condition in CONDITIONS]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def write(task, folder):
    """Writes the table of predictions, and reads its rows."""
    path = folder / "predictions.csv"
    write_predictions(path, random_predictions(task), task)
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


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
