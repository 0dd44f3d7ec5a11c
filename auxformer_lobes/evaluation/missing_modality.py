"""Robustness where something is missing: curves over severity, summarised.

A curve f(s) is a metric at each severity s from 0 to 1. It comes from cells
whose statistics are `[clips, draws, severities, ...]`: a draw is one choice of
what is lost, and the metric is averaged over draws. Draws and seeds are no
independent observations, speakers are: those of a drawn speaker stay together.
"""

from functools import partial

import numpy as np

from auxformer_lobes.evaluation.comparison import DIGITS, compare, compare_pairs
from auxformer_lobes.evaluation.metrics import defined_metrics
from auxformer_lobes.evaluation.pooled_metrics import (
    check_cells,
    pool,
    sum_by_speaker,
)


def area(severities, values):
    """Area under a curve, by trapezoids.

    Arguments
    ---------
    severities : sequence of float
        From 0 to 1.
    values : array_like
        `[..., severities]`.

    Returns
    -------
    np.ndarray
        `[...]`: the mean of the curve.

    Example
    -------
    >>> area([0.0, 0.5, 1.0], [0.8, 0.6, 0.0]).item()
    0.5
    """
    return np.trapezoid(values, severities, axis=-1)


def retention(severities, values):
    """Area under a curve as a share of its start.

    Arguments
    ---------
    severities : sequence of float
        From 0 to 1.
    values : array_like
        `[..., severities]`.

    Returns
    -------
    np.ndarray
        `[...]`; NaN where the start is not above 0.

    Example
    -------
    >>> retention([0.0, 0.5, 1.0], [0.8, 0.6, 0.0]).item()
    0.625
    """
    start = np.asarray(values)[..., 0]
    start = np.where(start > 0, start, np.nan)
    return area(severities, values) / start


def effective_robustness(values, baseline):
    """How much less a curve falls than that of a baseline.

    Arguments
    ---------
    values : array_like
        `[..., severities]`, the first one of severity 0.
    baseline : array_like
        The same of the baseline.

    Returns
    -------
    np.ndarray
        `[...]`: the mean over severities above 0 of the difference of both
        curves, beyond that at severity 0.

    Example
    -------
    >>> effective_robustness([0.9, 0.8, 0.7], [0.8, 0.5, 0.4]).round(2).item()
    0.2
    """
    difference = np.asarray(values) - np.asarray(baseline)
    return (difference[..., 1:] - difference[..., :1]).mean(-1)


def curve_values(task, cell):
    """The curve of one cell.

    Arguments
    ---------
    task : Task
        What was predicted.
    cell : CellScores
        With statistics `[clips, draws, severities, ...]`.

    Returns
    -------
    np.ndarray
        The task's first metric, mean over draws, `[severities]`.
    """
    return _values(task, cell.statistics.sum(0))


def _values(task, statistics):
    """`[..., draws, severities, (one clip's)]` → `[..., severities]`."""
    overall, _ = defined_metrics(task, statistics)
    return overall[task.metrics[0]].mean(-2)


def measure_curve(
    task, cells, severities, num_samples=2000, level=0.95, seed=0
):
    """The curve of the task's first metric over cells, with its band.

    Arguments
    ---------
    task : Task
        What was predicted.
    cells : list of CellScores
        One per partition and seed, with statistics `[clips, draws, severities,
        ...]`.
    severities : sequence of float
        From 0 to 1.
    num_samples : int
        Number of bootstrap samples.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        `severities`, and at each of them `values` (mean over draws and cells),
        `low` and `high`; `band`, the kind of these bounds: "interval", "range"
        or None, see `bootstrap_metrics`; `area` and `retention`. None where
        undefined.

    Raises
    ------
    UserError
        See `check_cells`.
    """
    check_cells(task, cells)
    totals = sum_by_speaker(cells, [cell.statistics for cell in cells])

    partitions = [cell.partition for cell in cells]
    measure = partial(_values, task)
    points = pool(totals, partitions, measure, num_samples, level, seed)
    values = [point["value"] for point in points]
    kinds = {point["kind"] for point in points}
    defined = np.array(values, dtype=float)
    return {
        "severities": list(map(float, severities)),
        "values": values,
        "low": [point["low"] for point in points],
        "high": [point["high"] for point in points],
        # Where they differ, the one that claims less.
        "band": next((k for k in ("range", "interval") if k in kinds), None),
        "area": or_none(area(severities, defined)),
        "retention": or_none(retention(severities, defined)),
    }


def compare_areas(task, systems, severities, **options):
    """Compares the areas under curves, without a correction for how many.

    Arguments
    ---------
    task : Task
        What was predicted.
    systems : dict of list
        Name → its cells, see `measure_curve`.
    severities : sequence of float
        From 0 to 1.
    **options
        Further arguments of `compare_pairs`.

    Returns
    -------
    dict of Comparison
        See `compare_pairs`; the metric is that of the curves.

    Raises
    ------
    UserError
        If a pair cannot be compared, see `compare`.
    """

    def _area(values):
        return area(severities, values.mean(-2))

    return compare_pairs(task, systems, summarise=_area, **options)


def check_twin(task, cells, twin, **options):
    """Whether a model that lost a modality is no worse than its twin.

    The twin is a network trained on the other modality alone.

    Arguments
    ---------
    task : Task
        What was predicted.
    cells : list of CellScores
        Cells of the model, one modality wholly lost.
    twin : list of CellScores
        Cells of the twin, nothing lost.
    **options
        Further arguments of `compare`.

    Returns
    -------
    dict
        The paired `difference` in the task's first metric, positive where the
        model is better, with `low`, `high`, their `band`, `p`, and whether the
        rule `holds`: whether the difference is not below 0.

    Raises
    ------
    UserError
        If they cannot be paired, see `compare`.
    """
    found = compare(task, cells, twin, **options)
    return {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "band": found.kind,
        "p": found.p,
        "cells": found.cells,
        "holds": round(found.difference, DIGITS) >= 0,
    }


def or_none(value):
    """A number for JSON, where NaN is None.

    Arguments
    ---------
    value : float
        The number.

    Returns
    -------
    float or None

    Example
    -------
    >>> or_none(np.float64(0.5)), or_none(np.nan)
    (0.5, None)
    """
    return float(value) if np.isfinite(value) else None
