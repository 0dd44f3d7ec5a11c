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
    each, each_details = defined_metrics(task, by_speaker)
    overall, details = defined_metrics(task, by_speaker.sum(0))
    if count >= MIN_SPEAKERS:
        draws = draw_speakers(np.random.default_rng(seed), count, num_samples)
        sampled, sampled_details = defined_metrics(
            task, np.tensordot(draws, by_speaker, 1)
        )
    else:
        sampled, sampled_details = each, each_details  # not used
    result = {
        name: with_bounds(value, sampled[name], each[name], level)
        for name, value in overall.items()
    }
    result["per_output"] = {
        output: {
            "support": int(details["support"][i]),
            **{
                name: with_bounds(
                    details[name][i],
                    sampled_details[name][:, i],
                    each_details[name][:, i],
                    level,
                )
                for name in task.details
            },
        }
        for i, output in enumerate(task.names)
    }
    return result


def defined_metrics(task, statistics):
    """Metrics as of `Task.compute_metrics`, but NaN where undefined.

    There, a mean over outputs is 0 where none of them is defined, so that
    epochs can be compared.

    Arguments
    ---------
    task : Task
        What was predicted.
    statistics : np.ndarray
        `[..., (one clip's)]`.

    Returns
    -------
    overall, details : dict of np.ndarray
        See `Task.compute_metrics`.
    """
    overall, details = task.compute_metrics(statistics)
    for name, value in overall.items():
        defined = statistics.any(tuple(range(value.ndim, statistics.ndim)))
        if name in details:
            defined &= np.isfinite(details[name]).any(-1)
        overall[name] = np.where(defined, value, np.nan)
    return overall, details


def draw_speakers(rng, count, num_samples):
    """Draws speakers with replacement.

    Of fewer than `MIN_SPEAKERS` it draws one less than there are. The variance
    of a plain bootstrap is too small by the factor (n - 1) / n; that of n - 1
    draws is right (Rao and Wu, "Resampling inference with complex survey
    data", JASA 1988, whose rescaling ratios do not need).

    Arguments
    ---------
    rng : np.random.Generator
        Source of the draws.
    count : int
        Number of speakers, at least 2.
    num_samples : int
        Number of bootstrap samples.

    Returns
    -------
    np.ndarray
        How often each speaker is drawn, `[num_samples, count]`.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> draw_speakers(rng, 8, 2).sum(1), draw_speakers(rng, 4, 2).sum(1)
    (array([8, 8]), array([3, 3]))
    """
    drawn = count if count >= MIN_SPEAKERS else count - 1
    return rng.multinomial(drawn, np.full(count, 1 / count), size=num_samples)


def with_bounds(value, samples, of_each, level=0.95):
    """A value with its interval, or its range over a few speakers.

    Arguments
    ---------
    value : float
        NaN if undefined.
    samples : np.ndarray
        Its bootstrap samples; not used for a range.
    of_each : np.ndarray
        The value of each speaker; NaN if undefined.
    level : float
        Coverage of the interval.

    Returns
    -------
    dict
        `{value, low, high, kind}`, see `bootstrap_metrics`.

    Example
    -------
    >>> with_bounds(0.6, None, np.array([0.5, 0.75, np.nan]))
    {'value': 0.6, 'low': 0.5, 'high': 0.75, 'kind': 'range'}
    """
    made = dict.fromkeys(("value", "low", "high", "kind"))
    if np.isnan(value):
        return made
    made["value"] = float(value)
    defined = np.isfinite(of_each).sum()
    if defined >= MIN_SPEAKERS:
        made["kind"] = "interval"
        tail = 100 * (1 - level) / 2
        low, high = np.nanpercentile(samples, [tail, 100 - tail])
    elif defined > 1:
        made["kind"] = "range"
        low, high = np.nanmin(of_each), np.nanmax(of_each)
    else:
        return made
    return {**made, "low": float(low), "high": float(high)}
