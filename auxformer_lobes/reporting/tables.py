"""Metrics, predictions and tables of a run."""

import csv
import io
from copy import copy
from functools import singledispatch

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auxformer_lobes.evaluation.calibration import measure_calibration
from auxformer_lobes.evaluation.disagreement import measure_disagreement
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.evaluation.subgroups import measure_subgroups
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
    describe_task,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

METRIC_TITLES = {
    "f1_macro": "F1-macro",
    "f1_micro": "F1-micro",
    "f1": "F1",
    "uar": "UAR",
    "ccc": "CCC",
    "rmse": "RMSE",
}


CALIBRATION_TITLES = {
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "brier": "Brier score",
    "nll": "NLL",
}


def title_of(condition):
    """The title of a condition, for tables and figures.

    Arguments
    ---------
    condition : str
        Its name.

    Returns
    -------
    str

    Example
    -------
    >>> title_of("audio_visual"), title_of("audio_only")
    ('audio + visual', 'audio only')
    """
    title = condition.replace("audio_visual", "audio + visual")
    return title.replace("_", " ")


def collect_metrics(predictions, task, **bootstrap):
    """All metrics of a test.

    Arguments
    ---------
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        `test.<condition>.<head>.<metric>`, each `{value, low, high, kind}`;
        the outputs, the task, what was fitted for it on the development set,
        the number of clips and of clips without a label, and the speakers.
    """
    first = next(iter(predictions.values()))
    labelled = task.has_label(np.array(first.truth))
    return {
        "test": {
            condition: {
                head: made.scores(task, head, **bootstrap)
                for head in made.outputs
            }
            for condition, made in predictions.items()
        },
        "outputs": list(task.names),
        "task": describe_task(task),
        "fitted": task.settings,
        "test_clips": len(first.clips),
        "test_clips_unlabelled": int((~labelled).sum()),
        "test_speakers": sorted(set(first.speakers)),
    }


def collect_details(raw, predictions, task, entries, **bootstrap):
    """Calibration, disagreement with raters, and metrics of subgroups.

    Arguments
    ---------
    raw : dict of Predictions
        By name of the condition, not calibrated.
    predictions : dict of Predictions
        The same, calibrated.
    task : Task
        What was predicted.
    entries : dict
        Clip → its entry in the manifest.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        `calibration`, `disagreement` and `subgroups`, each by condition, see
        `measure_calibration`, `measure_disagreement`, `measure_subgroups`;
        without those that the task or the manifest does not allow.
    """
    details = {
        "calibration": measure_calibration(task, raw, predictions),
        "disagreement": measure_disagreement(
            task, predictions, entries, **bootstrap
        ),
        "subgroups": measure_subgroups(task, predictions, entries, **bootstrap),
    }
    return {name: made for name, made in details.items() if made}


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


def print_table(metrics, task):
    """Prints the metrics of a test on the terminal.

    Arguments
    ---------
    metrics : dict
        What `collect_metrics` returns, and perhaps `linear_baseline` and
        what `collect_details` returns.
    task : Task
        What was predicted.
    """
    unit = ", %" if task.scale == 100 else ""
    table = Table(
        title=f"Test: {metrics['test_clips']} clips of "
        f"{len(metrics['test_speakers'])} speakers{unit}"
    )
    shown = []
    table.add_column("condition")
    table.add_column("head")
    for metric in task.metrics:
        title = METRIC_TITLES.get(metric, metric)
        table.add_column(title, justify="right", no_wrap=True)

    def _add_row(condition, head, scores):
        shown.extend(scores[m] for m in task.metrics)
        cells = [format_metric(scores[m], task.scale) for m in task.metrics]
        table.add_row(title_of(condition), head, *cells)

    for condition, heads in metrics["test"].items():
        for head, scores in heads.items():
            _add_row(condition, head, scores)
        table.add_section()
    for condition, scores in metrics.get("linear_baseline", {}).items():
        _add_row(condition, "(linear baseline)", scores)
    for attributes in [*metrics.get("subgroups", {}).values()][:1]:
        for made in attributes.values():
            groups = made["groups"].values()
            shown.extend(scores[task.metrics[0]] for scores in groups)
    table.caption = Text(explain_brackets(shown))  # brackets are no markup
    print_on_terminal(table)
    for line in summarise_details(metrics, task):
        print(line)


def print_on_terminal(table):
    """Prints a table, as wide as the terminal; 110 characters in a file.

    Arguments
    ---------
    table : rich.table.Table
        The table.
    """
    Console(width=None if Console().is_terminal else 110).print(table)


def print_prediction(clip, predictions, task):
    """Prints the predictions for one clip, a line per condition.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.

    Example
    -------
    >>> made = Predictions(["x"], ["1001"], [[1]], {"combined": [[0.25, 0.75]]})
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> print_prediction("x", {"audio_only": made}, task)
    x, label: happy
      audio only      happy 0.75, angry 0.25
    """
    for i, (condition, made) in enumerate(predictions.items()):
        truth, outputs = made.of_clip(clip)
        if i == 0:
            print(f"{clip}, label: {format_label(task, truth)}")
        predicted = format_prediction(task, outputs["combined"])
        print(f"  {title_of(condition):<15} {predicted}")


def format_metric(metric, scale):
    """A metric with its confidence interval, or its range over speakers.

    Arguments
    ---------
    metric : dict
        `{value, low, high, kind}`, see `bootstrap_metrics`.
    scale : float
        By which it is multiplied.

    Returns
    -------
    str
        "–" if undefined. `explain_brackets` says what the brackets mean.

    Raises
    ------
    ValueError
        If one of them is not a number.

    Example
    -------
    >>> metric = {"value": 0.5, "low": 0.41, "high": 0.58, "kind": "interval"}
    >>> format_metric(metric, scale=100)
    '50.0 [41, 58]'
    >>> format_metric({**metric, "kind": "range"}, scale=100)
    '50.0 (41–58)'
    """
    numbers = [metric[key] for key in ("value", "low", "high")]
    # Of a stranger's file: a string times a number could fill the memory.
    if not all(isinstance(x, (int, float, type(None))) for x in numbers):
        raise ValueError("not a number")
    if metric["value"] is None:
        return "–"
    value, low, high = (None if x is None else x * scale for x in numbers)
    digits = 1 if scale == 100 else 3
    if low is None:
        return f"{value:.{digits}f}"
    low, high = (f"{x:.{digits - 1}f}" for x in (low, high))
    ends = f"({low}–{high})" if _kind(metric) == "range" else f"[{low}, {high}]"
    return f"{value:.{digits}f} {ends}"


def _kind(metric):
    # Older files have intervals only, and do not name them.
    return metric.get("kind", None if metric["low"] is None else "interval")


def explain_brackets(metrics):
    """What the brackets in a table of `format_metric` mean.

    Arguments
    ---------
    metrics : list of dict
        What the table shows.

    Returns
    -------
    str
        Empty if there are none.

    Example
    -------
    >>> explain_brackets([{"value": 0.5, "low": 0, "high": 1, "kind": "range"}])
    '(a–b): lowest and highest of a single speaker, fewer than six'
    """
    kinds = [_kind(metric) for metric in metrics]
    meanings = {
        "interval": "[a, b]: 95 % interval over speakers",
        "range": "(a–b): lowest and highest of a single speaker, fewer than "
        "six",
    }
    return "; ".join(text for kind, text in meanings.items() if kind in kinds)


def summarise_details(metrics, task):
    """Calibration and the gaps between groups, in a line each.

    Arguments
    ---------
    metrics : dict
        With what `collect_details` returns.
    task : Task
        What was predicted.

    Returns
    -------
    list of str
        Of the first condition.

    Example
    -------
    >>> made = {"before": {"ece": 0.2}, "after": {"ece": 0.05}}
    >>> metrics = {"calibration": {"audio_only": made}}
    >>> summarise_details(metrics, CategoricalEmotion(["angry", "happy"]))
    ['calibration, audio only: ECE 20.0 % before, 5.0 % after temperature']
    """
    lines = []
    for condition, made in [*metrics.get("calibration", {}).items()][:1]:
        before, after = (100 * made[name]["ece"] for name in made)
        lines.append(
            f"calibration, {title_of(condition)}: ECE {before:.1f} % before, "
            f"{after:.1f} % after temperature"
        )
    name, digits = task.metrics[0], 1 if task.scale == 100 else 3
    for condition, attributes in [*metrics.get("subgroups", {}).items()][:1]:
        for attribute, made in attributes.items():
            if made["gap"][name] is None:
                continue
            groups = ", ".join(
                f"{group}: {format_metric(scores[name], task.scale)}"
                for group, scores in made["groups"].items()
            )
            gap = task.scale * made["gap"][name]
            lines.append(
                f"{METRIC_TITLES.get(name, name)} by {attribute}, "
                f"{title_of(condition)}: gap {gap:.{digits}f} ({groups})"
            )
    return lines


def top_k(names, shares, k=3):
    """The most probable outputs.

    Arguments
    ---------
    names : sequence of str
        Names of the outputs.
    shares : sequence of float
        Probability of each.
    k : int
        How many.

    Returns
    -------
    str

    Example
    -------
    >>> top_k(["angry", "happy"], [0.25, 0.75])
    'happy 0.75, angry 0.25'
    """
    ranked = sorted(zip(shares, names), reverse=True)[:k]
    return ", ".join(f"{name} {share:.2f}" for share, name in ranked)


@singledispatch
def format_prediction(task, outputs):
    """The prediction for one clip, as text.

    Arguments
    ---------
    task : Task
        What is predicted.
    outputs : array of float
        `[outputs]`.

    Returns
    -------
    str

    Example
    -------
    >>> format_prediction(DimensionalEmotion(["arousal"]), [3.0])
    'arousal 3.00'
    """
    return top_k(task.names, outputs)


@format_prediction.register
def _(task: DimensionalEmotion, outputs):
    pairs = zip(task.names, outputs)
    return ", ".join(f"{name} {value:.2f}" for name, value in pairs)


@singledispatch
def format_label(task, truth):
    """The label of one clip, as text.

    Arguments
    ---------
    task : Task
        What is predicted.
    truth : array of float
        `[values]`, see `Task.labels`.

    Returns
    -------
    str
    """
    raise NotImplementedError(f"no text for {type(task).__name__}")


@format_label.register
def _(task: CategoricalEmotion, truth):
    return "tied" if truth[0] < 0 else task.names[truth[0]]


@format_label.register
def _(task: MultiLabelEmotion, truth):
    return " and ".join(_present(task, truth)) or "none"


@format_label.register
def _(task: DimensionalEmotion, truth):
    return format_prediction(task, truth).replace(" nan", " unknown")


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
        "|".join(_present(task, truth)),
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


def _present(task, truth):
    return [name for name, there in zip(task.names, truth) if there > 0]
