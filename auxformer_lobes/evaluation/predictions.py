"""How good the predictions are, with intervals over speakers.

Clips of one speaker resemble each other, so that whole speakers, not clips,
are resampled for the confidence intervals (a cluster bootstrap; Field and
Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

from dataclasses import dataclass, field

import numpy as np

LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")
HEADS = ("combined", "main", "audio", "visual")


@dataclass
class Predictions:
    """What was predicted for a set of clips, and what is true.

    Arguments
    ---------
    clips : list of str
        Clip names.
    speakers : list of str
        Who speaks in each.
    truth : list of list
        What is true of each, `[clips, values]`, see `tasks.Task.labels`.
    outputs : dict of list
        What each head says, `[clips, outputs]`, see `tasks.Task.outputs`.
    """

    clips: list = field(default_factory=list)
    speakers: list = field(default_factory=list)
    truth: list = field(default_factory=list)
    outputs: dict = field(default_factory=lambda: {head: [] for head in HEADS})

    def metrics(self, task, head="combined"):
        """The metrics of one head.

        Arguments
        ---------
        task : Task
            What was predicted.
        head : str
            One of `HEADS`.

        Returns
        -------
        dict of float
        """
        statistics = task.statistics(
            np.array(self.truth), np.array(self.outputs[head])
        )
        overall, _ = task.measure(statistics.sum(0))
        return {name: float(value) for name, value in overall.items()}

    def scores(self, task, head, **bootstrap):
        """Metrics of one head with intervals.

        Arguments
        ---------
        task : Task
            What was predicted.
        head : str
            One of `HEADS`.
        **bootstrap
            Further arguments of `score`.

        Returns
        -------
        dict
            What `score` returns.
        """
        return score(
            task,
            np.array(self.truth),
            np.array(self.outputs[head]),
            self.speakers,
            **bootstrap,
        )


def score(task, truth, outputs, speakers, num_samples=2000, level=0.95, seed=0):
    """Metrics with bootstrap intervals over speakers.

    Arguments
    ---------
    task : Task
        What was predicted.
    truth : np.ndarray
        What is true of each clip, `[clips, values]`.
    outputs : np.ndarray
        What is said of each clip, `[clips, outputs]`.
    speakers : list of str
        Speaker of each clip.
    num_samples : int
        Number of times that the speakers are drawn with replacement.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the draw.

    Returns
    -------
    dict
        Each of the task's metrics as `{value, low, high}`; `per_output` the
        same for its details of each output, with the `support` in clips. What
        nothing can be said of is None: the interval of a single speaker, a
        class that never occurs, all of it where nothing is true of any clip.

    Example
    -------
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> task = CategoricalEmotion(["sad", "happy"])
    >>> truth = np.array([[0], [0], [1], [1]])
    >>> outputs = np.eye(2)[[0, 0, 1, 0]]
    >>> result = score(task, truth, outputs, "abab")
    >>> result["uar"]
    {'value': 0.75, 'low': 0.5, 'high': 1.0}
    >>> result["per_output"]["happy"]["support"]
    2
    """
    names, owner = np.unique(list(speakers), return_inverse=True)
    statistics = task.statistics(truth, outputs)
    by_speaker = np.zeros((len(names), *statistics.shape[1:]))
    np.add.at(by_speaker, owner, statistics)
    # A speaker of whom nothing is known says nothing.
    by_speaker = by_speaker[by_speaker.any(tuple(range(1, by_speaker.ndim)))]
    count = len(by_speaker)
    if count == 0:
        by_speaker = np.zeros((1, *by_speaker.shape[1:]))
    shares = np.full(len(by_speaker), 1 / len(by_speaker))
    draws = np.random.default_rng(seed).multinomial(
        count, shares, size=num_samples
    )
    each, each_details = task.measure(by_speaker)
    overall, details = task.measure(by_speaker.sum(0))
    sampled, sampled_details = task.measure(np.tensordot(draws, by_speaker, 1))
    tail = 100 * (1 - level) / 2

    def _interval(value, samples, of_each):
        if count == 0 or np.isnan(value):
            return {"value": None, "low": None, "high": None}
        # However often one speaker is drawn, the value is the same.
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
