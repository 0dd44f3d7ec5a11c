"""Sections of a report about single clips: their labels and predictions."""

import numpy as np

from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.html import Chart, Table, Text
from auxformer_lobes.reporting.tables import title_of
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion


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
