"""Metrics with confidence intervals over speakers.

Clips of one speaker resemble each other, so that whole speakers, not clips,
are resampled for the confidence intervals (a cluster bootstrap; Field and
Welsh, "Bootstrapping clustered data", JRSS B 2007). With a few speakers it
gives intervals that are far too narrow; the range over speakers is given then.
"""

import numpy as np

MIN_SPEAKERS = 6  # for an interval


def bootstrap_metrics(
    task, truth, outputs, speakers, num_samples=2000, level=0.95, seed=0
):
    """Metrics with bootstrap intervals, or ranges, over speakers.

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
        Each of the task's metrics as `{value, low, high, kind}`; `per_output`
        the same for its details of each output, with the `support` in clips.
        The kind is "interval", or "range" where the metric is defined for
        fewer than `MIN_SPEAKERS` speakers: `low` and `high` are the lowest and
        highest value of a single speaker then. None is what is undefined: the
        range of one speaker, a class that never occurs, everything where no
        clip has a label.

    Example
    -------
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> task = CategoricalEmotion(["sad", "happy"])
    >>> truth = np.array([[0], [0], [1], [1]])
    >>> outputs = np.eye(2)[[0, 0, 1, 0]]
    >>> result = bootstrap_metrics(task, truth, outputs, "abab")
    >>> result["uar"]
    {'value': 0.75, 'low': 0.5, 'high': 1.0, 'kind': 'range'}
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
    each, each_details = task.compute_metrics(by_speaker)
    overall, details = task.compute_metrics(by_speaker.sum(0))
    if count >= MIN_SPEAKERS:
        shares = np.full(count, 1 / count)
        draws = np.random.default_rng(seed).multinomial(
            count, shares, size=num_samples
        )
        sampled, sampled_details = task.compute_metrics(
            np.tensordot(draws, by_speaker, 1)
        )
    else:
        sampled, sampled_details = each, each_details  # not used
    tail = 100 * (1 - level) / 2

    def _figures(value, samples, of_each):
        made = dict.fromkeys(("value", "low", "high", "kind"))
        if count == 0 or np.isnan(value):
            return made
        made["value"] = float(value)
        known = np.isfinite(of_each).sum()
        if known >= MIN_SPEAKERS:
            made["kind"] = "interval"
            low, high = np.nanpercentile(samples, [tail, 100 - tail])
        elif known > 1:
            made["kind"] = "range"
            low, high = np.nanmin(of_each), np.nanmax(of_each)
        else:
            return made
        return {**made, "low": float(low), "high": float(high)}

    result = {
        name: _figures(value, sampled[name], each[name])
        for name, value in overall.items()
    }
    result["per_output"] = {
        output: {
            "support": int(details["support"][i]),
            **{
                name: _figures(
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
