"""Disagreement of raters, and whether predictions reflect it.

All entropies and divergences are in bits.
"""

import numpy as np
from scipy.special import entr, rel_entr

from auxformer_lobes.evaluation.subsets import equal_parts, subset_metrics


def measure_disagreement(task, predictions, entries, **bootstrap):
    """Compares the combined outputs with the votes.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition, calibrated.
    entries : dict
        Clip → its entry in the manifest; `votes` are shares by output. Clips
        without them are left out.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        Condition → `jensen_shannon` (0 to 1), `kl` (of the predictions from
        the votes) and `entropy_correlation`, see `compare_votes`, and
        `by_agreement`, see `metrics_by_agreement`. Empty for tasks without
        votes, and where none are known.
    """
    if "votes" not in task.takes:
        return {}
    results = {}
    for condition, made in predictions.items():
        votes = np.array(
            [_votes(entries[c], task.num_outputs) for c in made.clips]
        )
        known = votes.any(1)
        if known.any():
            outputs = np.array(made.outputs["combined"])
            results[condition] = {
                **compare_votes(votes[known], outputs[known]),
                "by_agreement": metrics_by_agreement(
                    task, made, votes, **bootstrap
                ),
            }
    return results


def _votes(entry, count):
    votes = entry.get("votes") or ()
    return votes if len(votes) == count else [0.0] * count


def compare_votes(votes, outputs):
    """Divergences of voted and predicted distributions.

    Arguments
    ---------
    votes : np.ndarray
        `[clips, outputs]`; each clip has some.
    outputs : np.ndarray
        Probabilities, `[clips, outputs]`; normalised to a sum of 1, where
        each output has a probability of its own.

    Returns
    -------
    dict of float
        Means over the clips, in bits: `jensen_shannon`, the Jensen-Shannon
        divergence, and `kl`, the Kullback-Leibler divergence KL(votes ‖
        predictions); `entropy_correlation`, Pearson's correlation of their
        entropies, None if one of them does not vary.

    Example
    -------
    >>> votes = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    >>> made = compare_votes(
    ...     votes, np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    ... )
    >>> {name: round(value, 3) for name, value in made.items()}
    {'jensen_shannon': 0.104, 'kl': 0.333, 'entropy_correlation': 0.5}
    """
    p, q = (
        x / x.sum(1, keepdims=True) for x in (votes, np.maximum(outputs, 1e-12))
    )
    middle = (p + q) / 2
    shannon = (rel_entr(p, middle) + rel_entr(q, middle)).sum(1) / 2
    entropies = entr(p).sum(1), entr(q).sum(1)
    varies = min(np.ptp(of) for of in entropies) > 1e-9
    return {
        "jensen_shannon": float(shannon.mean() / np.log(2)),
        "kl": float(rel_entr(p, q).sum(1).mean() / np.log(2)),
        "entropy_correlation": float(np.corrcoef(*entropies)[0, 1])
        if varies
        else None,
    }


def metrics_by_agreement(task, made, votes, **bootstrap):
    """Metrics of the clips on which raters agree little, more, and most.

    The agreement is the share of the votes that the top choice has. Clips of
    the same agreement stay together, so that thirds may be unequal, or empty.

    Arguments
    ---------
    task : Task
        What was predicted.
    made : Predictions
        Predictions under one condition.
    votes : np.ndarray
        `[clips, outputs]`; 0 where they are not known.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        "low", "middle" and "high" → number of `clips` with a label, their
        lowest and highest `agreement`, and each of the task's metrics; None
        for an empty third.
    """
    total = votes.sum(1)
    counts = (total > 0) & task.has_label(np.array(made.truth))
    agreement = votes.max(1) / np.where(total > 0, total, 1)
    third = np.full(len(total), -1)
    # Rounded: equal shares are sums of fractions in any order.
    third[counts] = equal_parts(agreement[counts].round(6), 3)
    results = {}
    for index, name in enumerate(("low", "middle", "high")):
        chosen = third == index
        results[name] = None
        if chosen.any():
            ends = agreement[chosen].min(), agreement[chosen].max()
            results[name] = {
                "clips": int(chosen.sum()),
                "agreement": [float(end) for end in ends],
                **subset_metrics(task, made, chosen, **bootstrap),
            }
    return results
