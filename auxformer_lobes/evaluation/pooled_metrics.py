"""Metrics over several cells: partitions and seeds of one experiment.

The bootstrap over speakers of `bootstrap_metrics`, for all cells at once:
speakers are drawn within each partition, and all seeds of a partition share
the draw, since they predict the same clips.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auxformer_lobes.evaluation.metrics import (
    defined_metrics,
    draw_speakers,
    with_bounds,
)
from auxformer_lobes.utils.errors import UserError


@dataclass
class CellScores:
    """Predictions of one system for the test clips of one cell.

    Arguments
    ---------
    partition : str
        Partition of the cell, as errors name it: "partition 1"; empty for a run
        that is of no study.
    seed : str, int or None
        Seed of the cell, empty likewise; None of a system that has none: its
        predictions are those of every seed.
    outputs : tuple of str
        Names of the task's outputs.
    clips : list of str
        Clip names.
    speakers : list of str
        Speaker of each clip.
    truth : np.ndarray
        Label of each clip, `[clips, values]`, see `Task.labels`.
    statistics : np.ndarray
        `[clips, ...]`, see `Task.sufficient_statistics`.
    """

    partition: Any
    seed: Any
    outputs: tuple
    clips: list
    speakers: list
    truth: np.ndarray
    statistics: np.ndarray

    def __str__(self):
        seed = f"seed {self.seed}" if self.seed not in (None, "") else ""
        named = ", ".join(filter(None, [str(self.partition), seed]))
        return f"the cell of {named}" if named else "the run"

    @classmethod
    def of(cls, predictions, task, partition, seed, head="combined"):
        """Those of one head.

        Arguments
        ---------
        predictions : Predictions
            Under one condition.
        task : Task
            What was predicted, with what was fitted for this head.
        partition : str or int
            Partition of the cell.
        seed : str, int or None
            Seed of the cell.
        head : str
            A key of `predictions.outputs`.

        Returns
        -------
        CellScores

        Example
        -------
        >>> from auxformer_lobes.evaluation.predictions import Predictions
        >>> from auxformer_lobes.tasks import CategoricalEmotion
        >>> task = CategoricalEmotion(["angry", "happy"])
        >>> made = Predictions(["x"], ["1001"], [[1]])
        >>> made.outputs["combined"] = [[0.25, 0.75]]
        >>> CellScores.of(made, task, "1", 0).statistics.tolist()
        [[[0.0, 0.0], [0.0, 1.0]]]
        """
        truth = np.array(predictions.truth)
        outputs = np.array(predictions.outputs[head])
        return cls(
            partition,
            seed,
            tuple(task.names),
            list(predictions.clips),
            list(predictions.speakers),
            truth,
            task.sufficient_statistics(truth, outputs),
        )


def pooled_metrics(task, cells, num_samples=2000, level=0.95, seed=0):
    """Metrics of one system over its cells.

    Arguments
    ---------
    task : Task
        What was predicted.
    cells : list of CellScores
        One per partition and seed.
    num_samples : int
        Number of bootstrap samples.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        Each of the task's metrics as `{value, sd, low, high, kind}`: mean and
        standard deviation over cells (None of one cell), and the interval, or
        the range over speakers, of the mean, see `bootstrap_metrics`; and the
        number of `cells` and of `speakers` with a labelled clip.

    Raises
    ------
    UserError
        If there is no cell, one occurs twice, or one has other outputs.

    Example
    -------
    >>> from auxformer_lobes.evaluation.predictions import Predictions
    >>> from auxformer_lobes.tasks import DimensionalEmotion
    >>> task = DimensionalEmotion(["arousal"])
    >>> made = Predictions(["x", "y"], ["a", "b"], [[1.0], [3.0]])
    >>> made.outputs["combined"] = [[1.5], [4.0]]
    >>> cells = [CellScores.of(made, task, "1", seed) for seed in (0, 1)]
    >>> rmse = pooled_metrics(task, cells)["rmse"]
    >>> [rmse[key] for key in ("sd", "low", "high", "kind")]
    [0.0, 0.5, 1.0, 'range']
    """
    check_cells(task, cells)
    totals = sum_by_speaker(cells, [cell.statistics for cell in cells])

    def _metrics(statistics):
        overall, _ = defined_metrics(task, statistics)
        return np.stack([overall[name] for name in task.metrics], -1)

    partitions = [cell.partition for cell in cells]
    pooled = pool(totals, partitions, _metrics, num_samples, level, seed)
    return {
        **dict(zip(task.metrics, pooled)),
        "cells": len(cells),
        "speakers": totals.shape[1],
    }


def check_cells(task, cells):
    """Checks that cells are of one task, and that none occurs twice.

    Arguments
    ---------
    task : Task
        What was predicted.
    cells : list of CellScores
        One per partition and seed.

    Raises
    ------
    UserError
        Otherwise, and where there is no cell.
    """
    if not cells:
        raise UserError("no finished cell: train it first")
    found = set()
    for cell in cells:
        if cell.outputs != tuple(task.names):
            raise UserError(
                f"{cell} predicts {', '.join(cell.outputs)}, not "
                f"{', '.join(task.names)}: take runs of one task only"
            )
        if (cell.partition, cell.seed) in found:
            raise UserError(f"{cell} occurs twice: give each run once")
        found.add((cell.partition, cell.seed))


def sum_by_speaker(cells, statistics):
    """Sums sufficient statistics over the clips of each speaker.

    Arguments
    ---------
    cells : list of CellScores
        Only their speakers are read.
    statistics : list of np.ndarray
        Those of each cell's clips, `[clips, ...]`.

    Returns
    -------
    np.ndarray
        `[cells, speakers, ...]`, without speakers that have no labelled clip
        in any cell.
    """
    names = np.unique([name for cell in cells for name in cell.speakers])
    totals = np.zeros((len(cells), len(names), *statistics[0].shape[1:]))
    for total, cell, of_clips in zip(totals, cells, statistics):
        np.add.at(total, np.searchsorted(names, cell.speakers), of_clips)
    return totals[:, _any_statistic(totals).any(0)]


def pool(totals, partitions, measure, num_samples, level, seed):
    """Means over cells, with their interval or range over speakers.

    Speakers are drawn within each partition, see `draw_speakers`. A partition
    of a single speaker has none to draw from, so that such partitions are
    drawn whole, among each other; a single one of this kind is kept.

    Arguments
    ---------
    totals : np.ndarray
        Sufficient statistics, `[cells, speakers, ...]`.
    partitions : list
        Partition of each cell.
    measure : callable
        Turns statistics `[*, ...]` into values `[*, values]`.
    num_samples : int
        Number of bootstrap samples.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    list of dict
        `{value, sd, low, high, kind}` of each value, see `pooled_metrics`.
    """
    values = measure(totals.sum(1))  # [cells, values]
    each = mean_over_cells(measure(totals))  # [speakers, values]
    samples, weights = [], []
    drawn = _draw(totals, partitions, num_samples, seed)
    for total, partition in zip(totals, partitions):
        speakers, draws, weight = drawn[partition]
        samples.append(measure(np.tensordot(draws, total[speakers], 1)))
        weights.append(weight)
    # [samples, values]
    samples = mean_over_cells(np.array(samples), np.array(weights)[..., None])
    result = []
    for i, mean in enumerate(mean_over_cells(values)):
        of_cells = values[np.isfinite(values[:, i]), i]
        sd = float(of_cells.std(ddof=1)) if len(of_cells) > 1 else None
        bounds = with_bounds(mean, samples[:, i], each[:, i], level)
        result.append({**bounds, "sd": sd})
    return result


def _draw(totals, partitions, num_samples, seed):
    """By partition: its speakers, how often each is drawn, and itself."""
    rng = np.random.default_rng(seed)
    present = _any_statistic(totals)
    drawn, alone = {}, []
    for partition in sorted({*partitions}, key=str):
        cells = [partition == other for other in partitions]
        speakers = np.flatnonzero(present[cells].any(0))
        if len(speakers) > 1:
            draws = draw_speakers(rng, len(speakers), num_samples)
        else:
            draws = np.ones((num_samples, len(speakers)))
            alone += [partition] * len(speakers)
        drawn[partition] = speakers, draws, np.ones(num_samples)
    if len(alone) > 1:
        weights = draw_speakers(rng, len(alone), num_samples)
        # One less may be drawn: they weigh as much as they are.
        weights = weights * len(alone) / weights.sum(1, keepdims=True)
        for partition, weight in zip(alone, weights.T):
            drawn[partition] = *drawn[partition][:2], weight
    return drawn


def mean_over_cells(values, weights=1.0):
    """Mean over the first axis, without NaN; NaN where nothing is left.

    Arguments
    ---------
    values : np.ndarray
        `[cells, ...]`.
    weights : np.ndarray or float
        Weight of each value.

    Returns
    -------
    np.ndarray
        `[...]`.

    Example
    -------
    >>> mean_over_cells(np.array([[1.0, np.nan], [2.0, np.nan]])).tolist()
    [1.5, nan]
    """
    weights = np.where(np.isnan(values), 0, weights)
    with np.errstate(invalid="ignore"):
        total = (np.nan_to_num(values) * weights).sum(0)
        return total / weights.sum(0)


def _any_statistic(totals):
    """Where a speaker has a labelled clip, `[cells, speakers]`."""
    return totals.any(tuple(range(2, totals.ndim)))
