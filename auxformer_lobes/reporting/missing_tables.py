"""Tables of sweeps over what is missing, and the twin rule in words."""

from os.path import commonprefix
from pathlib import PurePath

from rich.markup import escape
from rich.table import Table

from auxformer_lobes.augment.frame_loss import BOTH
from auxformer_lobes.reporting.comparisons import format_bounds, format_p
from auxformer_lobes.reporting.tables import (
    METRIC_TITLES,
    count_of,
    explain_brackets,
    format_decimal,
    format_metric,
    print_on_terminal,
)

OWN = "own_late_fusion"  # the baseline that every network with such heads has
MIDDLE = 0.4  # a severity of every curve


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
    # Cells of a study begin alike: their settings are in their names.
    own = PurePath(content["run"]).name
    names = [of for c in content["curves"] for of in c["effective_robustness"]]
    prefix = commonprefix([own, *(of for of in names if of != OWN)])
    prefix = prefix if prefix != own else ""
    print_curves(content["curves"], task, title, prefix)
    for twin in content["twins"]:
        print(f"{describe_twin(twin, task)}.")
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
        points = [
            {
                "value": curve["values"][place],
                "low": curve["low"][place],
                "high": curve["high"][place],
                "kind": curve["band"],
            }
            for place in (0, curve["severities"].index(MIDDLE), -1)
        ]
        shown += points
        retention = curve["retention"]
        effective = curve["effective_robustness"]
        table.add_row(
            kind,
            curve["modality"],
            *(format_metric(point, task.scale) for point in points),
            format_decimal(curve["area"], task.scale),
            "–" if retention is None else f"{100 * retention:.1f}",
            *(
                format_decimal(effective.get(name), task.scale)
                for name in baselines
            ),
        )
    caption = explain_brackets(shown)
    if baselines:
        caption += (
            "; vs: effective robustness, how much less the curve falls than "
            "that of a baseline"
        )
    table.caption = caption.replace("[", "\\[").removeprefix("; ")
    print_on_terminal(table)


def describe_twin(twin, task):
    """The twin rule in a sentence.

    Arguments
    ---------
    twin : dict
        See `twins_of`.
    task : Task
        What was predicted.

    Returns
    -------
    str

    Example
    -------
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> twin = {"lost": "visual", "twin": "audio_only", "difference": -0.021}
    >>> twin.update(low=-0.05, high=0.01, band="interval", p=0.2, holds=False)
    >>> describe_twin(twin, CategoricalEmotion(["angry", "happy"]))
    'Twin rule, visual lost: not kept, 2.1 points worse than audio_only
    [-5.0, 1.0], p = 0.20'
    """
    amount = format_decimal(abs(twin["difference"]), task.scale)
    if task.scale == 100:
        amount += " points"
    rule = "kept" if twin["holds"] else "not kept"
    better = "better" if twin["holds"] else "worse"
    bounds = format_bounds({**twin, "kind": twin["band"]}, task.scale)
    p = format_p(twin["p"])
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    return (
        f"Twin rule, {twin['lost']} lost: {rule}, {amount} {better} than "
        f"{twin['twin']}{bounds}, {p}"
    )


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
                *(_format_area(row[kind], task.scale) for kind in kinds),
            )
        table.add_section()
    print_on_terminal(table)
    for twin in content["twins"]:
        print(f"{twin['system']}: {describe_twin(twin, task)}.")
    for comparison in content["comparisons"]:
        if comparison["modality"] == BOTH:
            print(f"{comparison['sentence']}.")
    for of, reason in content["not_compared"].items():
        print(f"{of}: not compared: {reason}")


def _format_area(curve, scale):
    area = format_decimal(curve["area"], scale)
    if curve["retention"] is None:
        return area
    return f"{area} ({100 * curve['retention']:.0f})"
