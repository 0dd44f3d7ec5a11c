"""Figures of calibration and of subgroups, see `collect_details`."""

import numpy as np
from matplotlib.figure import Figure

from auxformer_lobes.reporting.tables import (
    METRIC_TITLES,
    explain_brackets,
    title_of,
)


def figures_of_details(task, metrics):
    """Figures of calibration and of subgroups.

    Arguments
    ---------
    task : Task
        What was predicted.
    metrics : dict
        With what `collect_details` returns.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By name; without those of which there is nothing.
    """
    figures = {}
    if metrics.get("calibration"):
        figures["reliability"] = reliability_diagram(metrics["calibration"])
    if metrics.get("subgroups"):
        figures["subgroups"] = subgroup_metrics(metrics["subgroups"], task)
    return figures


def reliability_diagram(calibration):
    """Accuracy over confidence, before and after temperature scaling.

    Arguments
    ---------
    calibration : dict
        What `measure_calibration` returns.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per condition; larger points stand for more clips, and lie
        on the diagonal where the model is calibrated.
    """
    figure = Figure(figsize=(4.2 * len(calibration), 5), layout="constrained")
    axes = figure.subplots(1, len(calibration), sharey=True, squeeze=False)[0]
    for axis, (condition, made) in zip(axes, calibration.items()):
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, colour in (("before", "silver"), ("after", "C0")):
            bins = [of for of in made[name]["bins"] if of["count"]]
            x = [of["confidence"] for of in bins]
            y = [of["accuracy"] for of in bins]
            counts = np.array([of["count"] for of in bins])
            ece = 100 * made[name]["ece"]
            label = f"{name} temperature: ECE {ece:.1f} %"
            axis.plot(x, y, color=colour, linewidth=1, label=label)
            sizes = 4 + 120 * counts / counts.sum()
            axis.scatter(x, y, s=sizes, color=colour, clip_on=False, zorder=3)
        axis.legend(loc="upper left", fontsize="small")
        axis.set(title=title_of(condition), xlabel="confidence")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.set_box_aspect(1)
    axes[0].set_ylabel("accuracy")
    figure.suptitle("Test set: reliability of the combined output")
    return figure


def subgroup_metrics(subgroups, task):
    """The first metric of each group of speakers, under each condition.

    Arguments
    ---------
    subgroups : dict
        What `measure_subgroups` returns.
    task : Task
        What was predicted.

    Returns
    -------
    matplotlib.figure.Figure
        A row per group; bars are intervals or ranges over speakers.
    """
    name = task.metrics[0]
    rows, shown = [], []
    # All conditions have the same clips, and so the same groups.
    for attribute, made in next(iter(subgroups.values())).items():
        for group, scores in made["groups"].items():
            label = f"{attribute} {group}: {scores['clips']} clips"
            rows.append((attribute, group, label))
    figure = Figure(figsize=(7, 2 + 0.5 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, (condition, of) in enumerate(subgroups.items()):
        shift = (place - (len(subgroups) - 1) / 2) * 0.7 / len(subgroups)
        axis.plot([], [], "o", color=f"C{place}", label=title_of(condition))
        for y, (attribute, group, _) in enumerate(rows):
            scores = of[attribute]["groups"][group][name]
            if scores["value"] is None:
                continue
            shown.append(scores)
            at = [y + shift]
            axis.plot([scores["value"]], at, "o", color=f"C{place}")
            if scores["low"] is not None:
                ends = [scores["low"], scores["high"]]
                axis.plot(ends, at * 2, color=f"C{place}")
    axis.set_yticks(range(len(rows)), [label for *_, label in rows])
    axis.invert_yaxis()
    title = METRIC_TITLES.get(name, name)
    meaning = explain_brackets(shown)
    for bracket in ("[a, b]: ", "(a–b): "):
        meaning = meaning.replace(bracket, "")
    axis.set_xlabel(f"{title}\nlines: {meaning}" if meaning else title)
    if task.scale == 100:
        axis.set_xlim(0, 1)
    figure.legend(loc="outside lower center", ncols=len(subgroups))
    figure.suptitle(f"Test set: {title} by group of speakers")
    return figure
