"""The floor that a network must beat: logistic regression on pooled features.

Each clip is the mean and the standard deviation of its features over time.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxformer_lobes.evaluation import score
from auxformer_lobes.modalities import INPUTS

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


def logistic_floor(datasets, classes, **bootstrap):
    """Fits and scores the floor for each input, and for both.

    Clips that lack a modality that is asked for, or whose votes are tied,
    are left out. The strength is chosen on the development set.

    Arguments
    ---------
    datasets : dict
        "train", "valid" and "test": the datasets of `dataio.add_features`.
    classes : list of str
        Names of the classes.
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
            _select(splits[split], wanted)
            for split in ("train", "valid", "test")
        )
        fitted = {strength: _fit(train, strength) for strength in STRENGTHS}
        best = max(
            STRENGTHS,
            key=lambda strength: f1_score(
                valid[1], fitted[strength].predict(valid[0]), average="macro"
            ),
        )
        predicted = fitted[best].predict(test[0])
        floor[name] = score(test[1], predicted, test[2], classes, **bootstrap)
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
        "label": np.array([int(row["label"]) for row in rows]),
        "speaker": np.array([row["spk_id"] for row in rows]),
    }


def _select(table, wanted):
    """Features, labels and speakers of the clips that have what is wanted."""
    usable = table["present"][:, list(wanted)].all(1) & (table["label"] >= 0)
    columns = [x for x, want in zip(table["features"], wanted) if want]
    return (
        np.concatenate(columns, axis=1)[usable],
        table["label"][usable],
        table["speaker"][usable],
    )


def _fit(train, strength):
    """One logistic regression on standardised columns."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=300)
    )
    with warnings.catch_warnings():
        # A fit that is stopped early is as good a floor.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(train[0], train[1])
