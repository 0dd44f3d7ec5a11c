"""The floor that a network must beat: a linear model on pooled features.

Logistic regression for classes, ridge regression for attributes; each clip is
the mean and the standard deviation of its features over time.
"""

import warnings
from copy import copy

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxformer_lobes.augment.missing import INPUTS
from auxformer_lobes.evaluation.predictions import score

# Strengths of the model, the inverse of regularisation, to choose from.
STRENGTHS = (0.0001, 0.001, 0.01, 0.1)


def pool(features):
    """Mean and standard deviation over time.

    Arguments
    ---------
    features : torch.Tensor
        `[time, channels]`.

    Returns
    -------
    np.ndarray
        `[2 * channels]`.
    """
    return np.concatenate(
        [features.mean(0).numpy(), features.std(0, correction=0).numpy()]
    )


def linear_baseline(datasets, task, **bootstrap):
    """Fits and scores the floor for each input, and for both.

    Clips that lack a modality that is asked for, or of which the truth is
    not known, are left out. The strength is chosen on the development set.

    Arguments
    ---------
    datasets : dict
        "train", "valid" and "test": the datasets of `dataio.add_features`.
    task : Task
        What is predicted.
    **bootstrap
        Further arguments of `evaluation.score`.

    Returns
    -------
    dict
        For each of `INPUTS`, what `evaluation.score` returns, and the
        `strength` that was chosen.
    """
    splits = {name: _table(dataset) for name, dataset in datasets.items()}
    floor = {}
    for name, wanted in INPUTS.items():
        train, valid, test = (
            _select(splits[split], wanted, task)
            for split in ("train", "valid", "test")
        )
        # Its own copy, since thresholds are fitted to each model.
        judges = {strength: copy(task) for strength in STRENGTHS}
        models, values = {}, {}
        for strength, judge in judges.items():
            models[strength] = _fit(train, judge.linear_model(strength))
            said = judge.linear_outputs(models[strength], valid[0])
            judge.fit(valid[1], said)
            overall, _ = judge.measure(judge.statistics(valid[1], said).sum(0))
            values[strength] = overall[task.metrics[0]]
        best = max(STRENGTHS, key=values.get)
        said = judges[best].linear_outputs(models[best], test[0])
        floor[name] = score(judges[best], test[1], said, test[2], **bootstrap)
        floor[name]["strength"] = best
    return floor


def _table(dataset):
    """Pooled features and labels of all clips of a split."""
    # Pooled one by one: all frames of a corpus may not fit into memory.
    rows = [
        {**clip, "audio": pool(clip["audio"]), "visual": pool(clip["visual"])}
        for clip in dataset
    ]
    return {
        "features": [
            np.stack([row[name] for row in rows])
            for name in ("audio", "visual")
        ],
        "present": np.stack([row["present"].numpy() for row in rows]),
        "truth": np.stack([row["truth"].numpy() for row in rows]),
        "speaker": np.array([row["spk_id"] for row in rows]),
    }


def _select(table, wanted, task):
    """Features, truth and speakers of the clips that have what is wanted."""
    usable = table["present"][:, list(wanted)].all(1)
    usable &= task.known(table["truth"])
    columns = [x for x, want in zip(table["features"], wanted) if want]
    return (
        np.concatenate(columns, axis=1)[usable],
        table["truth"][usable],
        table["speaker"][usable],
    )


def _fit(train, model):
    """One linear model on standardised columns."""
    features, truth, _ = train
    model = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # A fit that is stopped early is as good a floor; and an emotion that
        # all clips have, or none, is said to be there always, or never.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Label", UserWarning)
        return model.fit(
            features, truth[:, 0] if truth.shape[1] == 1 else truth
        )
