"""Sections of a report about a run: its split, training and settings."""

from auxformer_lobes.dataio.split_audit import TITLES
from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.audit import summarize_audit
from auxformer_lobes.reporting.html import Chart, Findings, Table, Text
from auxformer_lobes.reporting.tables import development_metrics, format_decimal

MAX_EPOCHS = 100  # rows of a table


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
    levels = {found["level"] for found in findings}
    worst = next((x for x in ("error", "warning") if x in levels), "passed")
    return {
        "level": worst,
        "text": f"{section}: {summarize_audit(findings)}",
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
        [TITLES[name], of["clips"], _minutes(of), len(of["speakers"])]
        for name, of in splits.items()
    ]
    blocks = [
        Findings(content["findings"]),
        Table(["split", "clips", "minutes", "speakers"], rows, "Splits"),
    ]
    for key, title in (("classes", "class"), ("gender", "gender")):
        names = [*dict.fromkeys(n for of in splits.values() for n in of[key])]
        rows = [
            [TITLES[split], *(of[key].get(name, 0) for name in names)]
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
            title: ("valid", name)
            for title, name in development_metrics(history, task).items()
        },
    }
    blocks = [Text(f"The vertical line is at epoch {best}, which was chosen.")]
    for title, columns in lines.items():
        rows = [
            [
                e["epoch"],
                *(format_decimal(e[s][name]) for s, name in columns.values()),
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


def _minutes(split):
    return "–" if split["minutes"] is None else f"{split['minutes']:.1f}"


def _text_of(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text_of, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text_of(of)}" for k, of in value.items())
    return "–" if value is None else str(value)
