"""Metrics with confidence intervals over speakers.

Clips of one speaker resemble each other, so that whole speakers, not clips,
are resampled for the confidence intervals (a cluster bootstrap; Field and
Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

import numpy as np


def bootstrap_metrics(
    task, truth, outputs, speakers, num_samples=2000, level=0.95, seed=0
):
    """Metrics with bootstrap intervals over speakers.

    Arguments
    ---------
    task : Task
        What was predicted.
    truth : np.ndarray
        Label of each clip, `[clips, values]`, see `Task.labels`.
    outputs : np.ndarray
        Prediction of each clip, `[clips, outputs]`.
    speakers : list of str
        Speaker of each clip.
    num_samples : int
        Number of bootstrap samples.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        Each of the task's metrics as `{value, low, high}`; `per_output` the
        same for its details of each output, with the `support` in clips. None
        is what is undefined: the interval of a single speaker, a class that
        never occurs, everything where no clip has a label.

    Example
    -------
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> task = CategoricalEmotion(["sad", "happy"])
    >>> truth = np.array([[0], [0], [1], [1]])
    >>> outputs = np.eye(2)[[0, 0, 1, 0]]
    >>> result = bootstrap_metrics(task, truth, outputs, "abab")
    >>> result["uar"]
    {'value': 0.75, 'low': 0.5, 'high': 1.0}
    >>> result["per_output"]["happy"]["support"]
    2
    """
    names, owner = np.unique(list(speakers), return_inverse=True)
    statistics = task.sufficient_statistics(truth, outputs)
    by_speaker = np.zeros((len(names), *statistics.shape[1:]))
    np.add.at(by_speaker, owner, statistics)
    # Speakers without a labelled clip do not count.
    by_speaker = by_speaker[by_speaker.any(tuple(range(1, by_speaker.ndim)))]
    count = len(by_speaker)
    if count == 0:
        by_speaker = np.zeros((1, *by_speaker.shape[1:]))
    shares = np.full(len(by_speaker), 1 / len(by_speaker))
    draws = np.random.default_rng(seed).multinomial(
        count, shares, size=num_samples
    )
    each, each_details = task.compute_metrics(by_speaker)
    overall, details = task.compute_metrics(by_speaker.sum(0))
    sampled, sampled_details = task.compute_metrics(
        np.tensordot(draws, by_speaker, 1)
    )
    tail = 100 * (1 - level) / 2

    def _interval(value, samples, of_each):
        if count == 0 or np.isnan(value):
            return {"value": None, "low": None, "high": None}
        # A single speaker, however often drawn, has no interval.
        if np.isfinite(of_each).sum() < 2:
            return {"value": float(value), "low": None, "high": None}
        low, high = np.nanpercentile(samples, [tail, 100 - tail])
        return {"value": float(value), "low": float(low), "high": float(high)}

    result = {
        name: _interval(value, sampled[name], each[name])
        for name, value in overall.items()
    }
    result["per_output"] = {
        output: {
            "support": int(details["support"][i]),
            **{
                name: _interval(
                    details[name][i],
                    sampled_details[name][:, i],
                    each_details[name][:, i],
                )
                for name in task.details
            },
        }
        for i, output in enumerate(task.names)
    }
    return result
