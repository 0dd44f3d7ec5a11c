"""A small task of each kind, with labels and predictions, for the tests."""

import numpy as np
import torch

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.evaluation.collection import collect_metrics
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)

EMOTIONS = ("angry", "happy", "sad")
SCALES = ("arousal", "valence", "dominance")
KINDS = ("categories", "votes", "secondary", "binary", "attributes")


def make_task(kind):
    """Makes the task of one of `KINDS`, with three outputs."""
    return {
        "categories": lambda: CategoricalEmotion(EMOTIONS),
        "votes": lambda: CategoricalEmotion(EMOTIONS, label_rule="D"),
        "secondary": lambda: MultiLabelEmotion(EMOTIONS),
        "binary": lambda: MultiLabelEmotion(EMOTIONS, binary=True),
        "attributes": lambda: DimensionalEmotion(SCALES),
    }[kind]()


def random_entries(count, seed=0, gaps=True):
    """Invents entries of a manifest.

    With `gaps`, the votes of one clip in four are tied, and one attribute in
    four is not known.
    """
    rng = np.random.default_rng(seed)
    entries = []
    for _ in range(count):
        votes = rng.dirichlet([1] * 3)
        tied, *unknown = rng.random(4) < 0.25 * gaps
        entries.append(
            {
                "emotion": None if tied else EMOTIONS[votes.argmax()],
                "votes": votes.tolist(),
                "attributes": {
                    name: None if gap else rng.uniform(1, 5)
                    for name, gap in zip(SCALES, unknown)
                },
            }
        )
    return entries


def labels_of(task, entries):
    """Returns the targets and the truth of a task, each a batch."""
    pairs = [task.labels(*(e[key] for key in task.takes)) for e in entries]
    return [torch.stack(batch) for batch in zip(*pairs)]


def random_clips(task, count, seed=0, gaps=True):
    """Returns truth `[clips, values]` and unrelated outputs of a task."""
    _, truth = labels_of(task, random_entries(count, seed, gaps))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, task.num_outputs, generator=generator)
    return truth.numpy(), task.outputs(logits).numpy()


def perfect_outputs(task, truth):
    """Returns the outputs of a model that is always right and sure."""
    if isinstance(task, CategoricalEmotion):
        return np.eye(task.num_outputs)[truth[:, 0]]
    return truth.astype(float)


def heads_of(condition):
    """The heads of an AuxFormer that contribute under a condition."""
    given = {*condition.modalities}
    heads = AuxFormer.heads.items()
    return ["combined"] + [head for head, reads in heads if given & {*reads}]


def random_predictions(task, count=12, num_speakers=3):
    """Returns predictions under each condition, by unrelated heads."""
    truth, _ = random_clips(task, count)
    return {
        condition.name: Predictions(
            [f"clip{i}" for i in range(count)],
            [f"speaker{i % num_speakers}" for i in range(count)],
            truth.tolist(),
            {
                head: random_clips(task, count, seed)[1].tolist()
                for seed, head in enumerate(heads_of(condition), 10 * place)
            },
        )
        for place, condition in enumerate(CONDITIONS, start=1)
    }


def random_metrics(task):
    """Returns the metrics of `random_predictions`, with a linear baseline."""
    made = random_predictions(task)
    baseline = {
        name: of.scores(task, num_samples=50) for name, of in made.items()
    }
    metrics = collect_metrics(made, task, num_samples=50)
    return {**metrics, "linear_baseline": baseline}
