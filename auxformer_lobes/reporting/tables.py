"""Metrics, predictions and tables of a run."""

import csv
from functools import singledispatch

import numpy as np
from rich.console import Console
from rich.table import Table

from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.files import atomic_write

METRIC_TITLES = {
    "f1_macro": "F1-macro",
    "f1_micro": "F1-micro",
    "f1": "F1",
    "uar": "UAR",
    "ccc": "CCC",
    "rmse": "RMSE",
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
        `test.<condition>.<head>.<metric>`, each `{value, low, high}`; the
        outputs, what was fitted on the development set, the number of clips
        and of clips without a label, and the speakers.
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
        "fitted": task.settings,
        "test_clips": len(first.clips),
        "test_clips_unlabelled": int((~labelled).sum()),
        "test_speakers": sorted(set(first.speakers)),
    }


def write_predictions(path, predictions, task):
    """Writes a CSV table: a row per condition, head and clip.

    Arguments
    ---------
    path : Path
        The file.
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file)
        names = ("clip", "speaker", "condition", "head")
        writer.writerow([*names, *csv_header(task)])
        for condition, made in predictions.items():
            for head, rows in made.outputs.items():
                for clip, speaker, truth, outputs in zip(
                    made.clips, made.speakers, made.truth, rows
                ):
                    cells = csv_row(task, truth, outputs)
                    writer.writerow([clip, speaker, condition, head, *cells])


def print_table(metrics, task):
    """Prints the metrics of a test on the terminal.

    Arguments
    ---------
    metrics : dict
        What `collect_metrics` returns, and perhaps `linear_baseline`.
    task : Task
        What was predicted.
    """
    unit = ", %" if task.scale == 100 else ""
    table = Table(
        title=f"Test: {metrics['test_clips']} clips of "
        f"{len(metrics['test_speakers'])} speakers{unit} "
        "with 95 % intervals over speakers"
    )
    table.add_column("condition")
    table.add_column("head")
    for metric in task.metrics:
        title = METRIC_TITLES.get(metric, metric)
        table.add_column(title, justify="right", no_wrap=True)

    def _add_row(condition, head, scores):
        cells = [format_metric(scores[m], task.scale) for m in task.metrics]
        table.add_row(title_of(condition), head, *cells)

    for condition, heads in metrics["test"].items():
        for head, scores in heads.items():
            _add_row(condition, head, scores)
        table.add_section()
    for condition, scores in metrics.get("linear_baseline", {}).items():
        _add_row(condition, "(linear baseline)", scores)
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
    >>> from auxformer_lobes.evaluation.predictions import Predictions
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


def _present(task, truth):
    return [name for name, there in zip(task.names, truth) if there > 0]
