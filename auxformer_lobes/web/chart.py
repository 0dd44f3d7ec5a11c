"""The timeline as shapes: areas, lines and bars in shares of its width."""

from itertools import groupby

import numpy as np

from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.modalities import MODALITIES

HEIGHT = 100  # of the plot, in its own units; its width is 1000
WIDTH = 1000
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
MAX_TICKS = 6  # so that they fit on a phone


def edges_of(analysis):
    """Where the part of each window begins and ends on the time axis.

    A moment belongs to the window whose middle is the nearest.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    list of float
        s, one more than there are windows.
    """
    middles = _middles(analysis)
    between = [(a + b) / 2 for a, b in zip(middles, middles[1:])]
    return [0.0, *between, analysis.seconds]


def _middles(analysis):
    return [
        min((start + end) / 2, analysis.seconds)
        for start, end, _ in analysis.windows
    ]


def shapes(analysis):
    """The outputs over time, as paths of an SVG of 1000 × 100.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    list of str
        One a output: stacked areas of probabilities that sum to 1, lines of
        others. There is a gap where both modalities are missing.
    """
    is_stacked = isinstance(analysis.task, CategoricalEmotion)
    low, high = analysis.task.limits
    paths = [""] * len(analysis.task.names)
    for times, outputs in _runs(analysis):
        x = np.array(times) / analysis.seconds * WIDTH
        values = (np.clip(outputs, low, high) - low) / (high - low)
        if is_stacked:
            values = np.cumsum(values, axis=1).clip(0, 1)
            values = np.hstack([np.zeros((len(values), 1)), values])
        y = HEIGHT * (1 - values.T)
        for i in range(len(paths)):
            points = [*zip(x, y[i])]
            if is_stacked:  # along its lower edge, and back along the upper
                points += [*zip(x, y[i + 1])][::-1]
            line = "L".join(f"{a:.1f} {b:.2f}" for a, b in points)
            paths[i] += f"M{line}{'Z' if is_stacked else ''}"
    return paths


def _runs(analysis):
    """Windows in a row that have outputs: yields times, outputs."""
    edges, middles = edges_of(analysis), _middles(analysis)
    places = enumerate(emotion.outputs for _, _, emotion in analysis.windows)
    for is_known, run in groupby(places, lambda place: bool(place[1])):
        run = [*run]
        if not is_known:
            continue
        first, last = run[0][0], run[-1][0]
        outputs = [[*of.values()] for _, of in run]
        times = [middles[i] for i, _ in run]
        yield (
            [edges[first], *times, edges[last + 1]],
            [outputs[0], *outputs, outputs[-1]],
        )


def bars(analysis, of):
    """Joins windows in a row of which the same holds.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.
    of : callable
        Emotion → what holds; anything that can be compared.

    Returns
    -------
    list of tuple
        Begin and width, in % of the time axis, and what holds.
    """
    edges = edges_of(analysis)
    places = enumerate(of(emotion) for _, _, emotion in analysis.windows)
    found = []
    for held, run in groupby(places, lambda place: place[1]):
        run = [i for i, _ in run]
        begin, end = edges[run[0]], edges[run[-1] + 1]
        scale = 100 / analysis.seconds
        found.append((begin * scale, (end - begin) * scale, held))
    return found


def used(analysis):
    """When each modality was used.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    dict of list
        Modality → `bars`, of each the reason why it was not used, or "".
    """
    return {
        modality: bars(analysis, lambda e, m=modality: e.missing.get(m, ""))
        for modality in MODALITIES
    }


def ticks(seconds):
    """Round times along the axis.

    Arguments
    ---------
    seconds : float
        Where it ends, s.

    Returns
    -------
    list of float
        s.

    Example
    -------
    >>> ticks(9.5)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    step = next((s for s in STEPS if seconds / s <= MAX_TICKS), STEPS[-1])
    return np.arange(0, seconds, step).astype(float).tolist()


def levels(task):
    """Round values along the vertical axis.

    Arguments
    ---------
    task : Task
        What the model predicts.

    Returns
    -------
    list of tuple
        Share of the height, from the top, and text.

    Example
    -------
    >>> from auxformer_lobes.tasks import DimensionalEmotion
    >>> levels(DimensionalEmotion(["arousal"], low=1, high=5))
    [(0.0, '5'), (0.5, '3'), (1.0, '1')]
    """
    low, high = task.limits
    values = [high, (low + high) / 2, low]
    is_share = (low, high) == (0.0, 1.0) and task.scale == 100
    return [
        (i / 2, f"{value:.0%}" if is_share else f"{value:g}")
        for i, value in enumerate(values)
    ]
