"""The clips that a model gets most wrong."""

from functools import singledispatch

import numpy as np

from auxformer_lobes.reporting.tables import (
    format_label,
    format_prediction,
    top_k,
)
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)

MAX_WORST = 20


@singledispatch
def losses_of(task, truth, outputs):
    """How wrong each prediction is.

    Arguments
    ---------
    task : Task
        What was predicted.
    truth : np.ndarray
        `[clips, values]`, see `Task.labels`.
    outputs : np.ndarray
        `[clips, outputs]`.

    Returns
    -------
    title : str
        What the numbers are.
    losses : np.ndarray
        `[clips]`; NaN without a label, and where a class is right.
    """
    raise NotImplementedError(f"no losses for {type(task).__name__}")


@losses_of.register
def _(task: CategoricalEmotion, truth, outputs):
    of_truth = np.take_along_axis(outputs, np.maximum(truth, 0), axis=1)
    losses = -np.log(np.maximum(of_truth, 1e-12))[:, 0]
    is_wrong = task.has_label(truth) & (outputs.argmax(1) != truth[:, 0])
    return "−log p", np.where(is_wrong, losses, np.nan)


@losses_of.register
def _(task: MultiLabelEmotion, truth, outputs):
    of_truth = np.where(truth > 0, outputs, 1 - outputs)
    return "mean −log p", -np.log(np.maximum(of_truth, 1e-12)).mean(1)


@losses_of.register
def _(task: DimensionalEmotion, truth, outputs):
    errors = np.abs(outputs - truth)
    unknown = np.isnan(errors)
    largest = np.where(unknown, 0, errors).max(1)
    return "largest error", np.where(unknown.all(1), np.nan, largest)


def worst_clips(task, predictions, entries):
    """The clips with the largest losses, all heads combined.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : Predictions
        Of the first condition.
    entries : dict
        Clip → its entry in the manifest.

    Returns
    -------
    list of dict
        Of each clip, worst first, its name, speaker, label, prediction, loss
        and, where they are known, sentence and votes.
    """
    truth = np.array(predictions.truth)
    outputs = np.array(predictions.outputs["combined"])
    title, losses = losses_of(task, truth, outputs)
    order = np.argsort(-losses, kind="stable")
    worst = []
    for i in order[: min(MAX_WORST, np.isfinite(losses).sum())]:
        entry = entries[predictions.clips[i]]
        worst.append(
            {
                "clip": predictions.clips[i],
                "speaker": predictions.speakers[i],
                "sentence": entry.get("sentence"),
                "label": format_label(task, truth[i]),
                "predicted": format_prediction(task, outputs[i]),
                "votes": _votes(task, entry),
                title: float(losses[i]),
            }
        )
    return worst


def _votes(task, entry):
    votes = entry.get("votes") or ()
    # Attributes are no shares of votes, even where there are votes as well.
    if isinstance(task, DimensionalEmotion) or len(votes) != task.num_outputs:
        return None
    return top_k(task.names, votes, k=sum(share > 0 for share in votes))
