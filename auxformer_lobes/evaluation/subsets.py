"""Metrics of a part of the clips."""

import numpy as np
from scipy.stats import rankdata

from auxformer_lobes.evaluation.metrics import bootstrap_metrics


def equal_parts(values, count):
    """Parts of values in their order, of as many each.

    Equal values come into the same part, so that parts may be unequal.

    Arguments
    ---------
    values : array_like
        Numbers, `[values]`.
    count : int
        How many parts.

    Returns
    -------
    np.ndarray
        Index of the part, from 0 for the lowest values, `[values]`.

    Example
    -------
    >>> equal_parts([5, 1, 3, 2, 6, 4], 3).tolist()
    [2, 0, 1, 0, 2, 1]
    >>> equal_parts([1, 1, 1, 1, 0.5, 0.25], 3).tolist()
    [2, 2, 2, 2, 0, 0]
    """
    places = (rankdata(values) - 0.5) / max(len(values), 1)
    return (count * places).astype(int)


def subset_metrics(task, made, chosen, **bootstrap):
    """Metrics of the combined outputs of some clips.

    Arguments
    ---------
    task : Task
        What was predicted.
    made : Predictions
        All predictions under one condition.
    chosen : np.ndarray
        Which clips, boolean `[clips]`.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        Each of the task's metrics, see `bootstrap_metrics`.
    """
    rows = np.flatnonzero(chosen)
    scores = bootstrap_metrics(
        task,
        np.array(made.truth)[rows],
        np.array(made.outputs["combined"])[rows],
        [made.speakers[row] for row in rows],
        **bootstrap,
    )
    return {name: scores[name] for name in task.metrics}
