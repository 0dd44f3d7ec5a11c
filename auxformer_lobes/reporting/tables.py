"""Tables of a run on the terminal, and numbers as text."""

from functools import singledispatch

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)

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


def titles_of(names):
    """Titles of metrics.

    Arguments
    ---------
    names : iterable of str
        Their names.

    Returns
    -------
    list of str

    Example
    -------
    >>> titles_of(["uar", "accuracy"])
    ['UAR', 'accuracy']
    """
    return [METRIC_TITLES.get(name, name) for name in names]


def development_metrics(history, task):
    """What was measured on the development set after each epoch.

    Arguments
    ---------
    history : list of dict
        See `Run.history`.
    task : Task
        What was predicted.

    Returns
    -------
    dict of str
        Title → its key. Where the development set was evaluated under several
        conditions, the first metric of the task under each of them, and its
        mean; else all metrics.

    Example
    -------
    >>> from auxformer_lobes.tasks import DimensionalEmotion
    >>> valid = {
    ...     "ccc": 0.6,
    ...     "rmse": 1.0,
    ...     "ccc_audio_only": 0.4,
    ...     "mean_ccc": 0.5,
    ... }
    >>> development_metrics([{"valid": valid}], DimensionalEmotion())
    {'CCC': 'ccc', 'CCC, audio only': 'ccc_audio_only', 'CCC, mean': 'mean_ccc'}
    """
    first = task.metrics[0]
    (title,) = titles_of([first])
    others = {
        name: f"{title}, {title_of(name.removeprefix(f'{first}_'))}"
        for name in history[0]["valid"]
        if name.startswith(f"{first}_")
    }
    if not others:
        return dict(zip(titles_of(task.metrics), task.metrics))
    names = {first: title, **others, f"mean_{first}": f"{title}, mean"}
    return {title: name for name, title in names.items()}


def count_of(number, noun):
    """A number of things, in words.

    Arguments
    ---------
    number : int
        How many.
    noun : str
        One of them.

    Returns
    -------
    str

    Example
    -------
    >>> count_of(1, "clip"), count_of(2000, "clip")
    ('1 clip', '2,000 clips')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def format_decimal(value, scale=1):
    """A number, or a difference of two: in points, or plain.

    Arguments
    ---------
    value : float or None
        The number.
    scale : float
        By which it is multiplied.

    Returns
    -------
    str
        "–" if undefined.

    Example
    -------
    >>> format_decimal(-0.0412, scale=100), format_decimal(-0.0412)
    ('-4.1', '-0.041')
    >>> format_decimal(None)
    '–'
    """
    if value is None:
        return "–"
    return f"{scale * value:z.{1 if scale == 100 else 3}f}"


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
    >>> format_metric({**metric, "low": -0.41, "kind": "range"}, scale=100)
    '50.0 (-41 to 58)'
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
    to = " to " if low.startswith("-") else "–"
    ends = (
        f"({low}{to}{high})" if _kind(metric) == "range" else f"[{low}, {high}]"
    )
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
    '(a–b): lowest and highest of a single speaker, fewer than six; the value
    itself is of all clips'
    """
    kinds = [_kind(metric) for metric in metrics]
    meanings = {
        "interval": "[a, b]: 95 % interval over speakers",
        # It may lie outside: F1 of all clips is no mean over speakers.
        "range": "(a–b): lowest and highest of a single speaker, fewer than "
        "six; the value itself is of all clips",
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


def _present(task, truth):
    return [name for name, there in zip(task.names, truth) if there > 0]
