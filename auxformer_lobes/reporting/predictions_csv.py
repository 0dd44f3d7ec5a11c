"""`predictions.csv`: label and prediction of each test clip."""

import csv
import io
from copy import copy
from functools import singledispatch

import numpy as np

from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

CLIP_COLUMNS = ("clip", "speaker", "condition", "head")


def write_predictions(path, predictions, task, baseline=None, fitted=None):
    """Writes a CSV table: a row per condition, head and clip.

    Arguments
    ---------
    path : Path
        The file.
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.
    baseline : dict of Predictions, optional
        Those of the linear baseline, by name of the condition.
    fitted : dict, optional
        By name of the condition, what was fitted for the baseline, see
        `Task.settings`: it decides by its own threshold.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file)
        writer.writerow([*CLIP_COLUMNS, *csv_header(task)])
        for condition, made in predictions.items():
            _write_rows(writer, condition, made, task)
        for condition, made in (baseline or {}).items():
            own_task = copy(task)
            for name, value in fitted[condition].items():
                setattr(own_task, name, value)
            _write_rows(writer, condition, made, own_task)


def _write_rows(writer, condition, made, task):
    for head, rows in made.outputs.items():
        for clip, speaker, truth, outputs in zip(
            made.clips, made.speakers, made.truth, rows
        ):
            cells = csv_row(task, truth, outputs)
            writer.writerow([clip, speaker, condition, head, *cells])


def read_predictions(path, task):
    """Reads what `write_predictions` has written.

    Arguments
    ---------
    path : str or Path
        The file.
    task : Task
        What was predicted.

    Returns
    -------
    dict of Predictions
        By name of the condition, those of the linear baseline among the heads.

    Raises
    ------
    UserError
        If it is missing, damaged, or of another task.

    Example
    -------
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> made = Predictions(["x"], ["1001"], [[1]], {"combined": [[0.25, 0.75]]})
    >>> path = getfixture("tmp_path") / "predictions.csv"
    >>> write_predictions(path, {"audio_only": made}, task)
    >>> read_predictions(path, task) == {"audio_only": made}
    True
    """
    cure = "train and evaluate again"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        if not text.endswith("\r\n"):
            raise ValueError("its end is missing")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: {cure}")
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}: {cure}")
    if header != [*CLIP_COLUMNS, *csv_header(task)]:
        raise UserError(
            f"{path}: its columns are not those of a "
            f"{type(task).__name__} of {', '.join(task.names)}: {cure}"
        )
    found = {}  # condition → head → clip → speaker, truth, outputs
    for number, row in enumerate(rows, start=2):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} cells for {len(header)} columns")
            clip, speaker, condition, head, *cells = row
            clips = found.setdefault(condition, {}).setdefault(head, {})
            if clip in clips:
                raise ValueError(f"{clip} a second time")
            clips[clip] = (speaker, *parse_csv_row(task, cells))
        except ValueError as error:
            raise UserError(f"{path}: row {number}: {error}: {cure}")
    labels = [
        {clip: row[:2] for clip, row in clips.items()}
        for heads in found.values()
        for clips in heads.values()
    ]
    # As text: a label that is not known is not equal to itself.
    if not labels or any(repr(x) != repr(labels[0]) for x in labels):
        raise UserError(
            f"{path}: damaged: not the same clips and labels under each "
            f"condition and head: {cure}"
        )
    first = labels[0]
    return {
        condition: Predictions(
            [*first],
            [speaker for speaker, _ in first.values()],
            [[*truth] for _, truth in first.values()],
            {
                head: [outputs for *_, outputs in clips.values()]
                for head, clips in heads.items()
            },
        )
        for condition, heads in found.items()
    }


@singledispatch
def csv_header(task):
    """Column titles of `csv_row`.

    Arguments
    ---------
    task : Task
        What is predicted.

    Returns
    -------
    list of str
    """
    return ["truth", "predicted", *(f"p_{name}" for name in task.names)]


@csv_header.register
def _(task: DimensionalEmotion):
    return [*(f"true_{name}" for name in task.names), *task.names]


@singledispatch
def csv_row(task, truth, outputs):
    """Label and prediction of one clip.

    Arguments
    ---------
    task : Task
        What is predicted.
    truth : array of float
        `[values]`, see `Task.labels`.
    outputs : array of float
        `[outputs]`.

    Returns
    -------
    list of str
    """
    raise NotImplementedError(f"no table for {type(task).__name__}")


@csv_row.register
def _(task: CategoricalEmotion, truth, outputs):
    label = "" if truth[0] < 0 else task.names[truth[0]]
    return [label, task.decide(outputs), *(f"{p:.6f}" for p in outputs)]


@csv_row.register
def _(task: MultiLabelEmotion, truth, outputs):
    return [
        "|".join((n for n, there in zip(task.names, truth) if there > 0)),
        "|".join(task.decide(outputs)),
        *(f"{p:.6f}" for p in outputs),
    ]


@csv_row.register
def _(task: DimensionalEmotion, truth, outputs):
    labels = ("" if np.isnan(value) else f"{value:.4f}" for value in truth)
    return [*labels, *(f"{value:.4f}" for value in outputs)]


@singledispatch
def parse_csv_row(task, cells):
    """Label and prediction of one clip: the inverse of `csv_row`.

    Arguments
    ---------
    task : Task
        What is predicted.
    cells : list of str
        As many as `csv_header` has.

    Returns
    -------
    truth : list
        `[values]`, see `Task.labels`.
    outputs : list of float
        `[outputs]`.

    Raises
    ------
    ValueError
        If a cell is not of this task.

    Example
    -------
    >>> task = DimensionalEmotion(["arousal", "valence"])
    >>> parse_csv_row(task, ["3.5000", "", "3.0000", "1.2500"])
    ([3.5, nan], [3.0, 1.25])
    """
    raise NotImplementedError(f"no table for {type(task).__name__}")


@parse_csv_row.register
def _(task: CategoricalEmotion, cells):
    label, _, *outputs = cells
    if label and label not in task.names:
        raise ValueError(f"{label!r} is no emotion of the task")
    truth = task.names.index(label) if label else -1
    return [truth], [float(cell) for cell in outputs]


@parse_csv_row.register
def _(task: MultiLabelEmotion, cells):
    label, _, *outputs = cells
    present = label.split("|") if label else []
    if unknown := {*present} - {*task.names}:
        raise ValueError(f"{min(unknown)!r} is no emotion of the task")
    truth = [int(name in present) for name in task.names]
    return truth, [float(cell) for cell in outputs]


@parse_csv_row.register
def _(task: DimensionalEmotion, cells):
    values = [float(cell or "nan") for cell in cells]
    return values[: task.num_outputs], values[task.num_outputs :]
