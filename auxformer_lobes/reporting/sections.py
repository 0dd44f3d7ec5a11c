"""Sections of reports: what there is of a run, as blocks of a page."""

import numpy as np

from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.html import Chart, Findings, Table, Text
from auxformer_lobes.reporting.tables import (
    METRIC_TITLES,
    explain_brackets,
    format_metric,
    title_of,
)
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion

MAX_EPOCHS = 100  # rows of a table
SPLITS = {"train": "train", "valid": "development", "test": "test"}
LEVELS = ("error", "warning", "note")
CALIBRATION = {
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "brier": "Brier score",
    "nll": "NLL",
}
DISAGREEMENT = {
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


def confusion(task, predictions):
    """Confusion matrices, where clips have one class.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition.

    Returns
    -------
    list
        A shaded table for each condition.
    """
    if not isinstance(task, CategoricalEmotion):
        return []
    blocks = [Text("Clips by label (rows) and prediction, all heads combined.")]
    for condition, made in predictions.items():
        counts = task.sufficient_statistics(
            made.truth, np.array(made.outputs["combined"])
        ).sum(0)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        rows = [
            [name, *row]
            for name, row in zip(task.names, counts.astype(int).tolist())
        ]
        shares = [[0, *row] for row in shares.tolist()]
        columns = ["label", *task.names]
        blocks.append(Table(columns, rows, title_of(condition), shares=shares))
    return blocks


def points(task, predictions):
    """Labels and predictions of attributes, as they are drawn.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition; the first one is drawn.

    Returns
    -------
    dict
        Attribute → `label` and `predicted`, lists of equal length, for at most
        `charts.MAX_POINTS` clips; empty for other tasks.
    """
    if not isinstance(task, DimensionalEmotion):
        return {}
    made = next(iter(predictions.values()))
    truth, combined = np.array(made.truth), np.array(made.outputs["combined"])
    drawn = {}
    for name, label, predicted in zip(task.names, truth.T, combined.T):
        known = np.flatnonzero(~np.isnan(label))
        known = known[:: -(-len(known) // charts.MAX_POINTS) or 1]
        drawn[name] = {
            "label": label[known].round(4).tolist(),
            "predicted": predicted[known].round(4).tolist(),
        }
    return drawn


def attributes(task, predictions):
    """Predictions over labels, where clips have attributes.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition; the first one is drawn.

    Returns
    -------
    list
        A chart for each attribute, beside a table of quarters of the scale.
    """
    blocks = []
    for name, of in points(task, predictions).items():
        label, predicted = np.array(of["label"]), np.array(of["predicted"])
        edges = np.linspace(*task.limits, 5)
        quarter = np.clip(np.searchsorted(edges, label, "right") - 1, 0, 3)
        rows = [
            [
                f"{edges[i]:g} to {edges[i + 1]:g}",
                len(inside),
                f"{inside.mean():.2f}",
                f"{inside.std():.2f}",
            ]
            for i in range(4)
            if len(inside := predicted[quarter == i])
        ]
        columns = ["label", "clips", "mean prediction", "deviation"]
        figure = charts.scatter(label, predicted, name, task.limits)
        blocks.append(Chart(figure, Table(columns, rows, name)))
    return blocks


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
        [title_of(condition), scaling, *(_decimal(of[x]) for x in CALIBRATION)]
        for condition, each in measured.items()
        for scaling, of in each.items()
    ]
    columns = ["condition", "scaling", *CALIBRATION.values()]
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
        [title_of(condition), *(_decimal(of[name]) for name in DISAGREEMENT)]
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
            ["condition", *DISAGREEMENT.values()],
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
                    _decimal(of[attribute]["gap"][metric], task.scale)
                    for metric in task.metrics
                ),
            ]
            for condition, of in measured.items()
        ]
        columns = ["condition", *titles_of(task.metrics)]
        title = f"Largest gap by {attribute}{_unit(task)}"
        blocks.append(Table(columns, rows, title))
    return blocks


def worst(clips):
    """The clips with the largest losses.

    Arguments
    ---------
    clips : list of dict
        What `worst_clips` returns.

    Returns
    -------
    list
        A table; what no clip has is left out of it.
    """
    if not clips:
        return []
    keys = [k for k in clips[0] if any(of[k] is not None for of in clips)]
    rows = [
        [
            *("–" if of[key] is None else of[key] for key in keys[:-1]),
            f"{of[keys[-1]]:.2f}",
        ]
        for of in clips
    ]
    title = "Under the first condition, all heads combined"
    return [Table(keys, rows, title, text=len(keys) - 1)]


def training(metrics, history, task):
    """Learning curves.

    Arguments
    ---------
    metrics : dict
        `epoch` of `metrics.json`, which was chosen.
    history : list of dict
        See `Run.history`.
    task : Task
        What was predicted.

    Returns
    -------
    list
        Charts of losses, and of metrics of the development set.
    """
    if not history:
        return []
    best = metrics["epoch"]
    step = -(-len(history) // MAX_EPOCHS)
    shown = [e for e in history if e["epoch"] in (best, history[-1]["epoch"])]
    shown = [e for e in history if e in shown or e["epoch"] % step == 0]
    losses = [name for name in history[0]["train"] if name.startswith("loss")]
    lines = {
        "Losses": {
            name.replace("_", " ") + suffix: (split, name)
            for name in losses
            for split, suffix in (("valid", ""), ("train", charts.TRAINING))
        },
        "Metrics of the development set": {
            METRIC_TITLES.get(name, name): ("valid", name)
            for name in task.metrics
        },
    }
    blocks = [Text(f"The vertical line is at epoch {best}, which was chosen.")]
    for title, columns in lines.items():
        rows = [
            [
                e["epoch"],
                *(_decimal(e[s][name]) for s, name in columns.values()),
            ]
            for e in shown
        ]
        curves = {
            column: [e[split][name] for e in history]
            for column, (split, name) in columns.items()
        }
        table = Table(["epoch", *columns], rows, title, folded=len(rows) > 10)
        blocks.append(Chart(charts.curves(curves, best), table))
    return blocks


def verdict(section, findings):
    """What an audit has found, in a few words.

    Arguments
    ---------
    section : str
        Title of the section about it.
    findings : list of dict
        `level` of each.

    Returns
    -------
    dict
        `level` ("error", "warning" or "passed"), `text` and `section`.

    Example
    -------
    >>> verdict("Split audit", [{"level": "error"}, {"level": "error"}])["text"]
    'Split audit: 2 errors'
    >>> verdict("Split audit", [{"level": "note"}])["text"]
    'Split audit: no leak found, 1 note'
    """
    levels = [found["level"] for found in findings]
    words = [
        count_of(levels.count(level), level)
        for level in LEVELS
        if level in levels
    ]
    if "error" not in levels:
        words.insert(0, "no leak found")
    level = "warning" if "warning" in levels else "passed"
    return {
        "level": "error" if "error" in levels else level,
        "text": f"{section}: {', '.join(words)}",
        "section": section,
    }


def audit(content):
    """An audit of the splits.

    Arguments
    ---------
    content : dict
        Of `audit.json`; empty if there is none.

    Returns
    -------
    list
        Findings, and tables of the splits.
    """
    if not content:
        return []
    splits = content["splits"]
    rows = [
        [SPLITS[name], of["clips"], _minutes(of), len(of["speakers"])]
        for name, of in splits.items()
    ]
    blocks = [
        Findings(content["findings"]),
        Table(["split", "clips", "minutes", "speakers"], rows, "Splits"),
    ]
    for key, title in (("classes", "class"), ("gender", "gender")):
        names = [*dict.fromkeys(n for of in splits.values() for n in of[key])]
        rows = [
            [SPLITS[split], *(of[key].get(name, 0) for name in names)]
            for split, of in splits.items()
        ]
        if names:
            blocks.append(Table(["split", *names], rows, f"Clips by {title}"))
    distance = content["class_distance"]
    if distance is not None:
        blocks.append(
            Text(
                "Total variation distance between the classes of train and "
                f"test: {distance:.3f} (0: the same shares, 1: no common "
                "class)."
            )
        )
    return blocks


def settings(values, versions):
    """Settings and versions.

    Arguments
    ---------
    values : dict
        Setting → value.
    versions : dict
        Name → version.

    Returns
    -------
    list
        A table each.
    """
    return [
        Table(
            ["name", "value"],
            [[name, _text_of(value)] for name, value in of.items()],
            title,
            text=2,
        )
        for title, of in (("Settings", values), ("Versions", versions))
        if of
    ]


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


def _minutes(split):
    return "–" if split["minutes"] is None else f"{split['minutes']:.1f}"


def _cells(scores, task, names=None):
    return [format_metric(scores[m], task.scale) for m in names or task.metrics]


def _unit(task):
    return ", %" if task.scale == 100 else ""


def _decimal(value, scale=1):
    if value is None:
        return "–"
    return f"{scale * value:.{1 if scale == 100 else 3}f}"


def _text_of(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text_of, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text_of(of)}" for k, of in value.items())
    return "–" if value is None else str(value)
