"""Comparisons of systems, in words and as tables on the terminal."""

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from auxformer_lobes.evaluation.comparison import ALPHA
from auxformer_lobes.reporting.tables import (
    METRIC_TITLES,
    count_of,
    format_decimal,
    format_metric,
    print_on_terminal,
    title_of,
)

BRACKETS = {
    "interval": " [95 % interval over speakers]",
    "range": " (lowest and highest of a single speaker)",
}


def describe_comparison(a, b, comparison, task, condition=None):
    """A comparison in one sentence.

    Arguments
    ---------
    a : str
        Name of system A.
    b : str
        Name of system B.
    comparison : Comparison
        Their comparison.
    task : Task
        What was predicted.
    condition : str, optional
        Name of the condition, named after the metric.

    Returns
    -------
    str

    Example
    -------
    >>> from auxformer_lobes.evaluation.comparison import Comparison
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> comparison = Comparison(
    ...     "uar",
    ...     0.041,
    ...     0.01,
    ...     0.073,
    ...     "interval",
    ...     p=0.002,
    ...     p_holm=0.012,
    ...     lowest_p=0.003,
    ...     comparisons=6,
    ...     improvement=0.92,
    ...     cells=25,
    ...     speakers=12,
    ...     clips=900,
    ...     dropped=(0, 0),
    ... )
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> describe_comparison("AuxFormer", "late fusion", comparison, task)
    'In UAR, AuxFormer is better than late fusion by 4.1 points [1.0, 7.3],
    p = 0.012 after Holm over 6 comparisons, 25 cells'
    """
    low, high = comparison.low, comparison.high
    if comparison.difference < 0:
        a, b = b, a
        if low is not None:
            low, high = -high, -low
    amount = format_decimal(abs(comparison.difference), task.scale)
    favour = f" in favour of {a}" if amount.strip("0.") else ""
    if task.scale == 100:
        amount += " points"
    if comparison.kind is not None:
        low, high = (format_decimal(x, task.scale) for x in (low, high))
    if comparison.kind == "interval":
        amount += f" [{low}, {high}]"
    if comparison.kind == "range":
        favour += f" ({low} to {high} by speaker)"
    title = METRIC_TITLES.get(comparison.metric, comparison.metric)
    if condition is not None:
        title += f" ({title_of(condition)})"
    if comparison.is_shown:
        result = f"{a} is better than {b} by {amount}"
    else:
        result = f"no difference is shown between {a} and {b}: {amount}{favour}"
    p = format_p(comparison.p_holm)
    chance = f"p {p}" if p.startswith("<") else f"p = {p}"
    if comparison.comparisons > 1:
        chance += f" after Holm over {comparison.comparisons} comparisons"
    if comparison.lowest_p >= ALPHA:
        chance += f" ({_too_few(comparison)})"
    cells = count_of(comparison.cells, "cell")
    return f"In {title}, {result}, {chance}, {cells}"


def _too_few(comparison):
    if comparison.speakers == 1:
        return f"one speaker is too few for p < {ALPHA}"
    return f"{comparison.speakers} speakers are too few for p < {ALPHA}"


def print_comparisons(comparisons, task, condition):
    """Prints a table of pairs of systems, and a sentence for each.

    Arguments
    ---------
    comparisons : dict of Comparison
        What `compare_all` returns.
    task : Task
        What was predicted.
    condition : str
        Name of the condition.
    """
    first = next(iter(comparisons.values()))
    unit = " in points" if task.scale == 100 else ""
    brackets = _explain_brackets(x.kind for x in comparisons.values())
    table = Table(
        title=f"{METRIC_TITLES.get(first.metric, first.metric)}, "
        f"{title_of(condition)}: A − B{unit}{brackets}; p by permuting speakers",
        caption="positive: A is better; P(A > B): share of cells where it is",
    )
    table.add_column("A", overflow="fold")  # a name that is cut is none
    table.add_column("B", overflow="fold")
    for title in ("A − B", "p", "p (Holm)", "P(A > B)", "cells", "clips"):
        table.add_column(title, justify="right", no_wrap=True)
    for (a, b), each in comparisons.items():
        table.add_row(
            escape(a),
            escape(b),
            format_decimal(each.difference, task.scale)
            + format_bounds(asdict(each), task.scale),
            format_p(each.p),
            format_p(each.p_holm),
            f"{each.improvement:.2f}",
            str(each.cells),
            str(each.clips),
        )
    print_on_terminal(table)
    for (a, b), each in comparisons.items():
        print(f"{describe_comparison(a, b, each, task)}.")
        for other, count in zip((b, a), each.dropped):
            if count == 1:
                print(f"  One test clip is left out: {other} lacks it.")
            elif count:
                print(f"  {count} test clips are left out: {other} lacks them.")


def print_pooled_metrics(pooled, task, metric=None):
    """Prints a table of one metric: a row per system, a column per condition.

    Arguments
    ---------
    pooled : dict of dict
        System → condition → what `pooled_metrics` returns. "–" is printed
        where a system has not been tested under a condition.
    task : Task
        What was predicted.
    metric : str, optional
        One of the task's metrics; the first one by default.
    """
    metric = metric or task.metrics[0]
    rows = pooled.values()
    conditions = dict.fromkeys(name for row in rows for name in row)
    kinds = [made[metric]["kind"] for row in rows for made in row.values()]
    unit = ", %" if task.scale == 100 else ""
    table = Table(
        title=f"{METRIC_TITLES.get(metric, metric)}{unit}: mean ± standard "
        f"deviation over cells{_explain_brackets(kinds)}"
    )
    table.add_column("system", overflow="fold")
    table.add_column("cells", justify="right")
    table.add_column("speakers", justify="right")
    for condition in conditions:
        table.add_column(title_of(condition), justify="right", no_wrap=True)
    for system, row in pooled.items():
        first = next(iter(row.values()))
        table.add_row(
            escape(system),
            str(first["cells"]),
            str(first["speakers"]),
            *(
                format_pooled(row[name][metric], task.scale)
                if name in row
                else "–"
                for name in conditions
            ),
        )
    print_on_terminal(table)


def format_pooled(metric, scale):
    """A metric with standard deviation and bounds.

    Arguments
    ---------
    metric : dict
        `{value, sd, low, high, kind}`, see `pooled_metrics`.
    scale : float
        By which it is multiplied.

    Returns
    -------
    str
        "–" if undefined.

    Example
    -------
    >>> metric = {"value": 0.5, "low": 0.41, "high": 0.58, "kind": "interval"}
    >>> format_pooled({**metric, "sd": 0.0123}, scale=100)
    '50.0 ± 1.2 [41, 58]'
    """
    value, *bounds = format_metric(metric, scale).split(maxsplit=1)
    if metric["sd"] is not None:
        value += f" ± {format_decimal(metric['sd'], scale)}"
    return " ".join([value, *bounds])


def format_bounds(comparison, scale):
    """Bounds of a difference, with a space before them.

    Arguments
    ---------
    comparison : dict
        `low`, `high` and `kind` of a `Comparison`.
    scale : float
        By which they are multiplied.

    Returns
    -------
    str
        Empty if there are none.

    Example
    -------
    >>> bounds = {"low": -0.012, "high": 0.05, "kind": "interval"}
    >>> format_bounds(bounds, scale=100)
    ' [-1.2, 5.0]'
    >>> format_bounds({**bounds, "kind": "range"}, scale=100)
    ' (-1.2 to 5.0)'
    """
    if comparison["kind"] is None:
        return ""
    low, high = (format_decimal(comparison[x], scale) for x in ("low", "high"))
    is_range = comparison["kind"] == "range"
    return f" ({low} to {high})" if is_range else f" [{low}, {high}]"


def format_p(p):
    """A p-value.

    Arguments
    ---------
    p : float
        0 to 1.

    Returns
    -------
    str

    Example
    -------
    >>> format_p(0.0002), format_p(0.012), format_p(0.34)
    ('< 0.001', '0.012', '0.34')
    """
    if p < 0.001:
        return "< 0.001"
    return f"{p:.{2 if p >= 0.1 else 3}f}"


def _explain_brackets(kinds):
    """What the brackets of a table are, with bounds of these kinds."""
    kinds = {*kinds}
    return "".join(text for kind, text in BRACKETS.items() if kind in kinds)
