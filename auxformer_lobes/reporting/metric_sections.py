"""Sections of a report about metrics: what is in `metrics.json`."""

from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.html import Chart, Table, Text
from auxformer_lobes.reporting.tables import (
    CALIBRATION_TITLES,
    explain_brackets,
    format_decimal,
    format_metric,
    title_of,
    titles_of,
)

DISAGREEMENT_TITLES = {
    "jensen_shannon": "Jensen-Shannon divergence, bits",
    "kl": "KL divergence, bits",
    "entropy_correlation": "correlation of entropies",
}


def results(metrics, task):
    """Metrics of each head, and of the linear baseline.

    Arguments
    ---------
    metrics : dict
        `test` of `metrics.json`, and perhaps `linear_baseline`.
    task : Task
        What was predicted.

    Returns
    -------
    list
        A chart of the first metric, beside a table of all.
    """
    first = task.metrics[0]
    rows, values, shown = [], {}, []
    for condition, heads in metrics["test"].items():
        baseline = metrics.get("linear_baseline", {}).get(condition)
        if baseline:
            heads = {**heads, "linear baseline": baseline}
        for head, of in heads.items():
            rows.append([title_of(condition), head, *_cells(of, task)])
            values.setdefault(head, {})[title_of(condition)] = of[first]
            shown += [of[metric] for metric in task.metrics]
    table = Table(
        ["condition", "head", *titles_of(task.metrics)],
        rows,
        f"{titles_of([first])[0]} of each head{_unit(task)}",
        text=2,
    )
    figure = charts.intervals(values, first, task.scale)
    return [*explain(shown), Chart(figure, table)]


def outputs(metrics, task):
    """Metrics of each output, all heads combined.

    Arguments
    ---------
    metrics : dict
        `test` of `metrics.json`.
    task : Task
        What was predicted.

    Returns
    -------
    list
        A chart beside a table.
    """
    # What the first overall metric is the mean of.
    name = task.metrics[0].removesuffix("_macro")
    details = {
        title_of(condition): heads["combined"]["per_output"]
        for condition, heads in metrics["test"].items()
    }
    rows = [
        [
            output,
            condition,
            of[output]["support"],
            *_cells(of[output], task, task.details),
        ]
        for output in task.names
        for condition, of in details.items()
    ]
    table = Table(
        ["output", "condition", "clips", *titles_of(task.details)],
        rows,
        f"{titles_of([name])[0]} of each output{_unit(task)}",
        text=2,
    )
    values = {
        condition: {output: of[output][name] for output in task.names}
        for condition, of in details.items()
    }
    return [Chart(charts.intervals(values, name, task.scale), table)]


def calibration(metrics):
    """Calibration, before and after temperature scaling.

    Arguments
    ---------
    metrics : dict
        `calibration` of `metrics.json`, if there is one.

    Returns
    -------
    list
        A table of errors, and a reliability diagram for each condition.
    """
    measured = metrics.get("calibration", {})
    if not measured:
        return []
    rows = [
        [
            title_of(condition),
            scaling,
            *(format_decimal(of[x]) for x in CALIBRATION_TITLES),
        ]
        for condition, each in measured.items()
        for scaling, of in each.items()
    ]
    columns = ["condition", "scaling", *CALIBRATION_TITLES.values()]
    blocks = [
        Text(
            "All heads combined, before and after temperature scaling on the "
            "development set."
        ),
        Table(columns, rows, "Calibration errors", text=2),
    ]
    for condition, each in measured.items():
        bins = [
            [
                scaling,
                f"{one['confidence']:.2f}",
                f"{one['accuracy']:.2f}",
                one["count"],
            ]
            for scaling, of in each.items()
            for one in of["bins"]
            if one["count"]
        ]
        table = Table(
            ["scaling", "confidence", "accuracy", "clips"],
            bins,
            f"Reliability, {title_of(condition)}",
            folded=True,
        )
        pair = (each[scaling]["bins"] for scaling in ("before", "after"))
        blocks.append(Chart(charts.reliability(*pair), table))
    return blocks


def disagreement(metrics, task):
    """How the predictions reflect the votes, where votes are known.

    Arguments
    ---------
    metrics : dict
        `disagreement` of `metrics.json`, if there is one.
    task : Task
        What was predicted.

    Returns
    -------
    list
        A table of distances, and metrics by agreement of the raters.
    """
    measured = metrics.get("disagreement", {})
    if not measured:
        return []
    rows = [
        [
            title_of(condition),
            *(format_decimal(of[name]) for name in DISAGREEMENT_TITLES),
        ]
        for condition, of in measured.items()
    ]
    thirds = {
        condition: {
            "{}, {:.0%} to {:.0%}".format(third, *of["agreement"]): of
            for third, of in each["by_agreement"].items()
            if of  # clips of equal agreement stay together
        }
        for condition, each in measured.items()
    }
    return [
        Table(
            ["condition", *DISAGREEMENT_TITLES.values()],
            rows,
            "Voted and predicted distribution",
        ),
        *_explain_groups(thirds, task),
        _groups(thirds, "agreement", "agreement of the raters", task),
    ]


def subgroups(metrics, task):
    """Metrics of groups of speakers.

    Arguments
    ---------
    metrics : dict
        `subgroups` of `metrics.json`, if there are any.
    task : Task
        What was predicted.

    Returns
    -------
    list
        For each attribute of the speakers, a chart and tables.
    """
    measured = metrics.get("subgroups", {})
    blocks = []
    for attribute in dict.fromkeys(x for of in measured.values() for x in of):
        groups = {c: of[attribute]["groups"] for c, of in measured.items()}
        blocks += _explain_groups(groups, task)
        blocks.append(_groups(groups, attribute, attribute, task))
        rows = [
            [
                title_of(condition),
                *(
                    format_decimal(of[attribute]["gap"][metric], task.scale)
                    for metric in task.metrics
                ),
            ]
            for condition, of in measured.items()
        ]
        columns = ["condition", *titles_of(task.metrics)]
        title = f"Largest gap by {attribute}{_unit(task)}"
        blocks.append(Table(columns, rows, title))
    return blocks


def explain(metrics):
    """What the brackets behind metrics mean.

    Arguments
    ---------
    metrics : iterable of dict
        `{value, low, high, kind}` each.

    Returns
    -------
    list of Text
        A paragraph, if there are any.

    Example
    -------
    >>> explain([{"value": 0.5, "low": None, "high": None, "kind": None}])
    []
    """
    text = explain_brackets([*metrics])
    return [Text(f"{text}.")] if text else []


def _groups(groups, column, title, task):
    """Metrics of groups of clips: condition → group → its metrics."""
    first = task.metrics[0]
    names = [*dict.fromkeys(name for of in groups.values() for name in of)]
    measured = {
        (name, condition): of[name]
        for name in names
        for condition, of in groups.items()
        if name in of
    }
    rows = [
        [name, title_of(condition), of["clips"], *_cells(of, task)]
        for (name, condition), of in measured.items()
    ]
    table = Table(
        [column, "condition", "clips", *titles_of(task.metrics)],
        rows,
        f"{titles_of([first])[0]} by {title}{_unit(task)}",
        text=2,
    )
    values = {
        title_of(condition): {name: of[first] for name, of in each.items()}
        for condition, each in groups.items()
    }
    return Chart(charts.intervals(values, first, task.scale), table)


def _explain_groups(groups, task):
    return explain(
        of[metric]
        for each in groups.values()
        for of in each.values()
        for metric in task.metrics
    )


def _cells(scores, task, names=None):
    return [format_metric(scores[m], task.scale) for m in names or task.metrics]


def _unit(task):
    return ", %" if task.scale == 100 else ""
