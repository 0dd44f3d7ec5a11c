"""Tables of sweeps over what is missing, on the terminal."""

from rich.markup import escape
from rich.table import Table

from auxformer_lobes.augment.frame_loss import BOTH
from auxformer_lobes.reporting.missing_curves import (
    MIDDLE,
    cells_of,
    describe_twin,
    format_area,
    points_of,
)
from auxformer_lobes.reporting.missing_file import shared_prefix
from auxformer_lobes.reporting.tables import (
    METRIC_TITLES,
    count_of,
    explain_brackets,
    format_decimal,
    print_on_terminal,
)


def print_sweep(content, task):
    """Prints the curves of all heads combined, the twin rule, and the cost.

    Arguments
    ---------
    content : dict
        That of `missing.json`.
    task : Task
        What was predicted.
    """
    title = (
        f"{count_of(content['clips'], 'clip')} of "
        f"{count_of(content['speakers'], 'speaker')}"
    )
    prefix = shared_prefix(content)
    print_curves(content["curves"], task, title, prefix)
    for twin in content["twins"]:
        other = twin["twin"].removeprefix(prefix)
        print(describe_twin(twin, task.scale, other=other))
    print(
        f"{content['passes']} forward passes of each clip, "
        f"{content['seconds']:.0f} s"
    )


def print_curves(curves, task, title, prefix=""):
    """Prints a row for each curve of all heads combined.

    Arguments
    ---------
    curves : list of dict
        See `curves_of`.
    task : Task
        What was predicted.
    title : str
        What they are of.
    prefix : str
        What is left out of the names of baselines.
    """
    metric = METRIC_TITLES.get(task.metrics[0], task.metrics[0])
    unit = ", %" if task.scale == 100 else ""
    table = Table(title=f"{metric} where something is missing: {title}{unit}")
    table.add_column("kind")
    table.add_column("lost")
    for name in ("f(0)", f"f({MIDDLE})", "f(1)", "area"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("retention, %", justify="right", no_wrap=True)
    curves = [curve for curve in curves if curve["head"] == "combined"]
    baselines = dict.fromkeys(
        name for curve in curves for name in curve["effective_robustness"]
    )
    for name in baselines:
        title = f"vs {name.removeprefix(prefix).replace('_', ' ')}"
        table.add_column(escape(title), justify="right", overflow="fold")
    shown, kind = [], None
    for curve in curves:
        if kind not in (None, curve["kind"]):
            table.add_section()
        kind = curve["kind"]
        shown += points_of(curve)
        cells = cells_of(curve, baselines, task.scale)
        table.add_row(kind, curve["modality"], *cells)
    caption = explain_brackets(shown)
    if baselines:
        caption += (
            "; vs: effective robustness, how much less the curve falls than "
            "that of a baseline"
        )
    table.caption = caption.replace("[", "\\[").removeprefix("; ")
    print_on_terminal(table)


def print_study(content, task):
    """Prints the areas under the curves of a study, the twin rule, comparisons.

    Arguments
    ---------
    content : dict
        That of the study's `missing.json`.
    task : Task
        What was predicted.
    """
    metric = METRIC_TITLES.get(task.metrics[0], task.metrics[0])
    unit = ", %" if task.scale == 100 else ""
    table = Table(
        title=f"{metric}{unit}: area under the curve of each kind, by what is "
        "lost (retention, %)"
    )
    table.add_column("system", overflow="fold")
    table.add_column("cells", justify="right")
    table.add_column("lost")
    table.add_column("f(0)", justify="right")
    kinds = dict.fromkeys(
        curve["kind"] for of in content["systems"].values() for curve in of
    )
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    for system, curves in content["systems"].items():
        rows = {}
        for curve in curves:
            if curve["head"] == "combined":
                row = rows.setdefault(curve["modality"], {})
                row[curve["kind"]] = curve
        for place, (modality, row) in enumerate(rows.items()):
            start = next(iter(row.values()))["values"][0]
            table.add_row(
                "" if place else escape(system),
                "" if place else str(content["cells"][system]),
                modality,
                "" if place else format_decimal(start, task.scale),
                *(format_area(row.get(kind), task.scale) for kind in kinds),
            )
        table.add_section()
    print_on_terminal(table)
    for twin in content["twins"]:
        print(describe_twin(twin, task.scale, twin["system"]))
    for comparison in content["comparisons"]:
        if comparison["modality"] == BOTH:
            print(f"{comparison['sentence']}.")
    for of, reason in content["not_compared"].items():
        print(f"{of}: not compared: {reason}")
