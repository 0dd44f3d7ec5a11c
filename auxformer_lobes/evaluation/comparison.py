"""Paired comparisons of systems, over cells and speakers."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import permutation_test

from auxformer_lobes.evaluation.metrics import defined_metrics
from auxformer_lobes.evaluation.pooled_metrics import (
    check_cells,
    mean_over_cells,
    pool,
    sum_by_speaker,
)
from auxformer_lobes.utils.errors import UserError

ALPHA = 0.05  # a difference is shown below it
NUM_PERMUTATIONS = 9999  # exact where there are fewer: up to 13 speakers
BATCH = 1000  # permutations at once
# Below this, a difference of two metrics is rounding error.
DIGITS = 9


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems, A and B, in one metric.

    Arguments
    ---------
    metric : str
        Its name.
    difference : float
        Mean over cells; positive where A is better, also where lower is
        better.
    low : float or None
        Lower bound of the difference.
    high : float or None
        Upper bound of it.
    kind : str or None
        Kind of the bounds, see `bootstrap_metrics`.
    p : float
        Two-sided p-value of the permutation test.
    p_holm : float
        The same after Holm's correction.
    lowest_p : float
        What `p_holm` cannot be below, with so few speakers.
    comparisons : int
        Number of comparisons that Holm's correction is for.
    improvement : float
        Probability of improvement: share of cells where A is better; ties
        count half.
    cells : int
        Number of cells that both systems have.
    speakers : int
        Number of speakers over all of them.
    clips : int
        Number of clips over all of them.
    dropped : tuple of int
        Clips of A, and of B, that the other one has no prediction for.
    """

    metric: str
    difference: float
    low: float
    high: float
    kind: str
    p: float
    p_holm: float
    lowest_p: float
    comparisons: int
    improvement: float
    cells: int
    speakers: int
    clips: int
    dropped: tuple

    @property
    def is_shown(self):
        """Whether a difference is shown: by p after Holm and by interval."""
        return (
            self.kind == "interval"
            and self.p_holm < ALPHA
            and self.low * self.high > 0
        )


def compare(
    task,
    a,
    b,
    metric=None,
    num_samples=2000,
    level=0.95,
    seed=0,
    summarise=None,
):
    """Compares two systems where both have a cell and predict a clip.

    Cells are paired by partition and seed; a system without seeds is paired
    with each seed of its partition.

    Arguments
    ---------
    task : Task
        What was predicted.
    a : list of CellScores
        Cells of system A.
    b : list of CellScores
        Cells of system B.
    metric : str, optional
        One of the task's metrics; the first one by default.
    num_samples : int
        Number of bootstrap samples.
    level : float
        Coverage of the interval.
    seed : int
        Seed of the bootstrap and of the permutations.
    summarise : callable, optional
        Where a cell has statistics at several points, `[clips, points, ...]`:
        turns the metric there, `[..., points]`, into one value, `[...]`.

    Returns
    -------
    Comparison
        The interval is that of `pooled_metrics`, with the same draws for both
        systems; the permutation test swaps whole speakers, in all cells at
        once, which are what is independent.

    Raises
    ------
    UserError
        If they cannot be paired: no shared cell, other outputs, other test
        clips, or other labels.
    """
    metric = metric or task.metrics[0]
    if metric not in task.metrics:
        raise UserError(
            f"metric {metric!r} is unknown: choose one of "
            f"{', '.join(task.metrics)}"
        )
    pairs = _pair_cells(task, a, b)
    shared = [_shared_clips(*pair) for pair in pairs]
    partitions = [of_a.partition for of_a, _, _ in shared]
    totals = sum_by_speaker(
        [of_a for of_a, _, _ in shared],
        [np.stack(both, 1) for _, *both in shared],
    )
    sign = -1 if metric in task.lower_is_better else 1

    def _difference(statistics):
        """`[*, systems, ...]` → `[*, 1]`."""
        values = defined_metrics(task, statistics)[0][metric]
        if summarise is not None:
            values = summarise(values)
        return sign * (values[..., :1] - values[..., 1:])

    (pooled,) = pool(totals, partitions, _difference, num_samples, level, seed)
    if pooled["value"] is None:
        raise UserError(
            f"{metric} is undefined: the test clips of both systems have no "
            "label, or a single one"
        )
    of_cells = _difference(totals.sum(1)).round(DIGITS)
    p, lowest_p = _permutation_p(totals, _difference, seed)
    names = [
        {clip for cell in side for clip in cell.clips} for side in zip(*pairs)
    ]
    clips = {clip for cell, _, _ in shared for clip in cell.clips}
    return Comparison(
        metric,
        *(pooled[key] for key in ("value", "low", "high", "kind")),
        p=p,
        p_holm=p,
        lowest_p=lowest_p,
        comparisons=1,
        # Where a cell's metric is undefined, neither is better.
        improvement=float(np.nanmean((np.sign(of_cells) + 1) / 2)),
        cells=len(pairs),
        speakers=totals.shape[1],
        clips=len(clips),
        dropped=tuple(len(of_system - clips) for of_system in names),
    )


def compare_all(task, systems, metric=None, reference=None, **options):
    """Compares pairs of systems, with Holm's correction over all of them.

    Arguments
    ---------
    task : Task
        What was predicted.
    systems : dict of list
        Name → its cells.
    metric : str, optional
        See `compare`.
    reference : str, optional
        See `compare_pairs`.
    **options
        Further arguments of `compare`.

    Returns
    -------
    dict of Comparison
        (name of A, name of B) → their comparison.

    Raises
    ------
    UserError
        If a pair cannot be compared, see `compare`.
    """
    return correct_all(
        compare_pairs(task, systems, metric, reference, **options)
    )


def compare_pairs(task, systems, metric=None, reference=None, **options):
    """Compares pairs of systems, without a correction for how many they are.

    Arguments
    ---------
    task : Task
        What was predicted.
    systems : dict of list
        Name → its cells.
    metric : str, optional
        See `compare`.
    reference : str, optional
        The system that all others are compared with; without, each pair is.
    **options
        Further arguments of `compare`.

    Returns
    -------
    dict of Comparison
        (name of A, name of B) → their comparison.

    Raises
    ------
    UserError
        If a pair cannot be compared, see `compare`.
    """
    for name, cells in systems.items():
        try:
            check_cells(task, cells)
        except UserError as error:
            raise UserError(f"{name}: {error}")
    found = {}
    pairs = combinations(systems, 2)
    if reference is not None:
        pairs = [(reference, other) for other in systems if other != reference]
    for a, b in pairs:
        try:
            found[a, b] = compare(
                task, systems[a], systems[b], metric, **options
            )
        except UserError as error:
            raise UserError(f"{a} and {b} cannot be compared: {error}")
    return found


def correct_all(comparisons):
    """Corrects all comparisons of a table, see `holm`.

    Arguments
    ---------
    comparisons : dict of Comparison
        Those of `compare_pairs`.

    Returns
    -------
    dict of Comparison
        The same keys.
    """
    p_holm = holm([each.p for each in comparisons.values()])
    lowest_p = holm([each.lowest_p for each in comparisons.values()])
    count = len(comparisons)
    return {
        key: replace(each, p_holm=p, lowest_p=lowest, comparisons=count)
        for (key, each), p, lowest in zip(comparisons.items(), p_holm, lowest_p)
    }


def holm(p_values):
    """P-values after Holm's correction for several comparisons.

    Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 1979.

    Arguments
    ---------
    p_values : sequence of float
        One per comparison.

    Returns
    -------
    list of float

    Example
    -------
    >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * factors)
    return np.minimum(adjusted, 1).tolist()


def _pair_cells(task, a, b):
    """Pairs of cells with the same partition and seed."""
    check_cells(task, a)
    check_cells(task, b)
    pairs = [
        (of_a, of_b)
        for of_a in a
        for of_b in b
        if of_a.partition == of_b.partition
        and (of_a.seed == of_b.seed or None in (of_a.seed, of_b.seed))
    ]
    if not pairs:
        raise UserError(
            "no cell with the same partition and seed in both: train both "
            "with the same partitions and seeds"
        )
    # In the same order, whatever that of the cells: sums depend on it.
    return sorted(pairs, key=lambda pair: [str(cell) for cell in pair])


def _shared_clips(a, b):
    """Scores of A, and statistics of both, for the clips of both."""
    clips, of_a, of_b = np.intersect1d(a.clips, b.clips, return_indices=True)
    if len(clips) == 0:
        raise UserError(
            f"{a}: no test clip is in both: test both on the same partition"
        )
    speakers = np.array(a.speakers)[of_a]
    same = speakers == np.array(b.speakers)[of_b]
    truth, other = a.truth[of_a], b.truth[of_b]
    if truth.shape == other.shape:
        # predictions.csv has four digits.
        close = np.isclose(truth, other, rtol=0, atol=1e-3, equal_nan=True)
        same &= close.all(1)
    else:
        same[:] = False
    if not same.all():
        raise UserError(
            f"{a}: {clips[~same][0]} has another label or speaker in the other "
            "system: train both on the same labels"
        )
    cell = replace(
        a, clips=clips.tolist(), speakers=speakers.tolist(), truth=truth
    )
    return cell, a.statistics[of_a], b.statistics[of_b]


def _permutation_p(totals, difference, seed):
    """P-value of swapping speakers, and the lowest there can be.

    A sign per speaker swaps its statistics: half the sum of A and B, and plus
    or minus half their difference.
    """
    both = totals.sum((1, 2))  # [cells, ...]
    change = totals[:, :, 0] - totals[:, :, 1]  # [cells, speakers, ...]
    num_speakers = totals.shape[1]
    if num_speakers == 1:
        return 1.0, 1.0

    def _statistic(signs, axis):
        of_cells = []
        for sums, changes in zip(both, change):
            here = changes.any(tuple(range(1, changes.ndim)))
            swapped = np.tensordot(signs[..., here], changes[here], 1)
            systems = np.stack([sums + swapped, sums - swapped], signs.ndim - 1)
            of_cells.append(difference(systems / 2)[..., 0])
        # The permutation that swaps nobody has to count as equal.
        return mean_over_cells(np.array(of_cells)).round(DIGITS)

    test = permutation_test(
        (np.ones(num_speakers),),
        _statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=NUM_PERMUTATIONS,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    count = min(2**num_speakers, NUM_PERMUTATIONS + 1)
    return float(test.pvalue), 2 / count
