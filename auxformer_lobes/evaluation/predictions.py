"""Predictions for a set of clips, by head."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from auxformer_lobes.evaluation.metrics import bootstrap_metrics


@dataclass
class Predictions:
    """Predictions for a set of clips, and their labels.

    Arguments
    ---------
    clips : list of str
        Clip names.
    speakers : list of str
        Speaker of each clip.
    truth : list of list
        Label of each clip, `[clips, values]`, see `Task.labels`.
    outputs : dict of list
        "combined", and each head that contributes → `[clips, outputs]`, see
        `Task.outputs`.
    """

    clips: list = field(default_factory=list)
    speakers: list = field(default_factory=list)
    truth: list = field(default_factory=list)
    outputs: dict = field(default_factory=lambda: defaultdict(list))

    def add(self, clips, speakers, truth, outputs):
        """Adds a batch.

        Arguments
        ---------
        clips : list of str
            Clip names.
        speakers : list of str
            Speaker of each clip.
        truth : torch.Tensor
            `[batch, values]`.
        outputs : dict of torch.Tensor
            Head → `[batch, outputs]`.
        """
        self.clips += clips
        self.speakers += speakers
        self.truth += truth.tolist()
        for head, scores in outputs.items():
            self.outputs[head] += scores.tolist()

    def metrics(self, task, head="combined"):
        """Metrics of one head.

        Arguments
        ---------
        task : Task
            What was predicted.
        head : str
            A key of `outputs`.

        Returns
        -------
        dict of float
        """
        statistics = task.sufficient_statistics(
            np.array(self.truth), np.array(self.outputs[head])
        )
        overall, _ = task.compute_metrics(statistics.sum(0))
        return {name: float(value) for name, value in overall.items()}

    def scores(self, task, head="combined", **bootstrap):
        """Metrics of one head with confidence intervals.

        Arguments
        ---------
        task : Task
            What was predicted.
        head : str
            A key of `outputs`.
        **bootstrap
            Further arguments of `bootstrap_metrics`.

        Returns
        -------
        dict
            See `bootstrap_metrics`.
        """
        return bootstrap_metrics(
            task,
            np.array(self.truth),
            np.array(self.outputs[head]),
            self.speakers,
            **bootstrap,
        )

    def calibrated(self, task):
        """The same with calibrated combined outputs, see `Task.calibrate`.

        Single heads stay as they are: the temperature is that of all heads
        combined.

        Arguments
        ---------
        task : Task
            A task that was fitted to a development set.

        Returns
        -------
        Predictions
        """
        combined = task.calibrate(torch.tensor(self.outputs["combined"]))
        outputs = {**self.outputs, "combined": combined.tolist()}
        return replace(self, outputs=outputs)

    def of_clip(self, clip):
        """Label and predictions of one clip.

        Arguments
        ---------
        clip : str
            Its name.

        Returns
        -------
        truth : list
            Its label, `[values]`.
        outputs : dict of list
            Head → `[outputs]`.
        """
        row = self.clips.index(clip)
        outputs = {head: rows[row] for head, rows in self.outputs.items()}
        return self.truth[row], outputs


def condition_metrics(predictions, task):
    """Metrics of all heads combined, and their means over the conditions.

    Arguments
    ---------
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.

    Returns
    -------
    dict of float
        The `metrics` of the task under the first condition, the first one of
        them under each other condition, `<metric>_<condition>`, and the mean of
        each over all conditions, `mean_<metric>`.

    Example
    -------
    >>> from auxformer_lobes.tasks import DimensionalEmotion
    >>> truth = torch.tensor([[1.0], [3.0]])
    >>> both, audio = Predictions(), Predictions()
    >>> both.add("ab", "12", truth, {"combined": truth})
    >>> audio.add("ab", "12", truth, {"combined": truth.flip(0)})
    >>> made = {"audio_visual": both, "audio_only": audio}
    >>> found = condition_metrics(made, DimensionalEmotion(["arousal"]))
    >>> {name: round(value, 2) for name, value in found.items()}
    {'ccc': 1.0, 'rmse': 0.0, 'ccc_audio_only': -1.0, 'mean_ccc': 0.0, 'mean_rmse': 1.0}
    """
    found = {name: made.metrics(task) for name, made in predictions.items()}
    first, *others = found
    metric = task.metrics[0]
    return {
        **found[first],
        **{f"{metric}_{name}": found[name][metric] for name in others},
        **{
            f"mean_{name}": float(np.mean([of[name] for of in found.values()]))
            for name in task.metrics
        },
    }
