"""The linear baseline: a linear model on features pooled over time.

Logistic regression for classes, ridge regression for attributes; each clip is
the mean and the standard deviation of its features over time.
"""

import warnings
from copy import copy
from functools import singledispatch

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxformer_lobes.augment.missing import AUDIO_VISUAL, CONDITIONS, Stream
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

HEAD = "linear_baseline"
CHOICES_OF_C = (0.0001, 0.001, 0.01, 0.1)  # inverse of the regularisation
BLOCK = 2048  # columns that are multiplied in float64 at a time
# On two threads 15 times as fast as L-BFGS, and it converges.
SOLVER = {"solver": "newton-cg", "tol": 1e-6}


def pool(features):
    """Mean and standard deviation over time.

    Arguments
    ---------
    features : np.ndarray
        `[time, channels]`.

    Returns
    -------
    np.ndarray
        `[2 * channels]`; NaN if there is no frame.

    Example
    -------
    >>> pool(np.array([[1.0], [3.0]])).tolist()
    [2.0, 1.0]
    """
    if len(features) == 0:
        return np.full(2 * features.shape[1], np.nan, features.dtype)
    return np.concatenate([features.mean(0), features.std(0)])


def linear_baseline(datasets, task, conditions=CONDITIONS, **bootstrap):
    """Fits the linear baseline, and scores it under each condition.

    It is fitted to the training clips that have a label and the modalities of
    the condition, with C chosen on the development set, and scored on all test
    clips, as a network is: a modality that is lost is replaced by its mean
    over the training clips.

    Arguments
    ---------
    datasets : dict
        "train", "valid" and "test": the datasets of `add_features`.
    task : Task
        What is predicted.
    conditions : sequence of Condition
        Conditions of the test.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    metrics : dict
        Name of the condition → what `bootstrap_metrics` returns, the chosen
        `C`, and what was `fitted` for it, see `Task.settings`.
    predictions : dict of Predictions
        Name of the condition → those of the head `HEAD`, not calibrated.

    Raises
    ------
    UserError
        If no training clip has the modalities of a condition.
    """
    train, valid = (
        _table(datasets[split], [AUDIO_VISUAL]) for split in ("train", "valid")
    )
    test = _table(datasets["test"], conditions)
    fitted, results, predictions = {}, {}, {}
    for condition in conditions:
        modalities = condition.modalities
        if modalities not in fitted:
            fitted[modalities] = _fit_best(train, valid, modalities, task)
        space, model, own_task, C = fitted[modalities]
        features = space.transform(_columns(test, condition, modalities))
        outputs = linear_outputs(own_task, model, features).tolist()
        made = Predictions(
            test["clip"],
            test["speaker"],
            test["truth"].tolist(),
            {HEAD: outputs},
        )
        predictions[condition.name] = made
        results[condition.name] = {
            **made.scores(own_task, HEAD, **bootstrap),
            "C": C,
            "fitted": own_task.settings,
        }
    return results, predictions


def _table(dataset, conditions):
    """Pooled features and labels of all clips of a split."""
    rows, pooled = [], []
    # Pooled one by one: all frames of a corpus may not fit into memory.
    for clip in dataset:
        rows.append((clip["id"], clip["spk_id"], clip["truth"].numpy()))
        streams = {
            modality: Stream(
                clip[modality][None],
                torch.ones(1),
                clip[f"{modality}_mask"][None],
                torch.tensor([len(clip[modality]) / clip["seconds"]]),
            )
            for modality in MODALITIES
        }
        pooled.append({})
        for condition in conditions:
            left = condition.eval()(streams, [clip["id"]])
            for modality in condition.modalities:
                # Of NumPy, whose `std` over rows is ten times as fast.
                data, mask = left[modality].data, left[modality].mask
                pooled[-1][condition.name, modality] = pool(
                    data.numpy()[mask.numpy()]
                )
    clips, speakers, truth = zip(*rows)
    return {
        "clip": [*clips],
        "speaker": [*speakers],
        "truth": np.stack(truth),
        **{key: np.stack([row[key] for row in pooled]) for key in pooled[0]},
    }


def _columns(table, condition, modalities):
    return np.concatenate([table[condition.name, m] for m in modalities], 1)


def _fit_best(train, valid, modalities, task):
    """The space of the features, the model, its own task, and C."""
    features = _columns(train, AUDIO_VISUAL, modalities)
    usable = ~np.isnan(features).any(1) & task.has_label(train["truth"])
    if not usable.any():
        raise UserError(
            "linear baseline: no labelled training clip has "
            f"{' and '.join(modalities)} features"
        )
    truth = train["truth"][usable]
    truth = truth[:, 0] if truth.shape[1] == 1 else truth
    # Missing modalities become the mean; 0 if there is none.
    space = make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), RowSpace()
    )
    # In float32, the solver's search would end early.
    features = space.fit_transform(features[usable]).astype(float)
    development = space.transform(_columns(valid, AUDIO_VISUAL, modalities))
    best = None
    for C in CHOICES_OF_C:
        with warnings.catch_warnings():
            # An emotion that all training clips have, or none, is predicted
            # always, or never.
            warnings.filterwarnings("ignore", "Label", UserWarning)
            model = linear_model(task, C).fit(features, truth)
        # Its own copy, since thresholds are fitted to each model.
        own_task = copy(task)
        outputs = linear_outputs(own_task, model, development)
        own_task.fit(valid["truth"], outputs)
        statistics = own_task.sufficient_statistics(valid["truth"], outputs)
        overall, _ = own_task.compute_metrics(statistics.sum(0))
        value = overall[task.metrics[0]]
        if best is None or value > best[0]:
            best = value, space, model, own_task, C
    return best[1:]


class RowSpace(TransformerMixin, BaseEstimator):
    """Coordinates in the space that the training rows span.

    The weights of a linear model with an L2 penalty lie in that space. So the
    model is the same as on all columns, with one coefficient a clip instead
    of one a column. A table with more rows than columns stays as it is.

    Example
    -------
    >>> wide = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])
    >>> RowSpace().fit_transform(wide).round(6).tolist()
    [[5.0, 0.0], [0.0, 2.0]]
    """

    def fit(self, X, y=None):
        """Takes the training rows.

        Arguments
        ---------
        X : np.ndarray
            `[clips, columns]`.
        y : None
            Not used.

        Returns
        -------
        RowSpace
        """
        self.rows_ = X if len(X) < X.shape[1] else None
        if self.rows_ is not None:
            products = _products(X, X)
            # Centred rows depend on each other, which has no Cholesky root.
            scale = max(np.trace(products) / len(X), 1.0)
            products.flat[:: len(X) + 1] += 1e-10 * scale
            self.root_ = cholesky(products, lower=True)
        return self

    def fit_transform(self, X, y=None):
        """Takes the training rows, and changes their coordinates.

        Arguments
        ---------
        X : np.ndarray
            `[clips, columns]`.
        y : None
            Not used.

        Returns
        -------
        np.ndarray
            `[clips, clips]`.
        """
        self.fit(X)
        # The rows of the root have the products that it is the root of.
        return X if self.rows_ is None else self.root_

    def transform(self, X):
        """Changes the coordinates.

        Arguments
        ---------
        X : np.ndarray
            `[clips, columns]`.

        Returns
        -------
        np.ndarray
            `[clips, training clips]`, with the products between training rows
            as they were.
        """
        if self.rows_ is None:
            return X
        products = _products(self.rows_, X)
        return solve_triangular(self.root_, products, lower=True).T


def _products(a, b):
    """`a @ b.T` in float64, without a copy of both in it."""
    return sum(
        a[:, i : i + BLOCK].astype(float) @ b[:, i : i + BLOCK].T.astype(float)
        for i in range(0, a.shape[1], BLOCK)
    )


@singledispatch
def linear_model(task, C):
    """The linear model of a task.

    Arguments
    ---------
    task : Task
        What is predicted.
    C : float
        Inverse of the regularisation.

    Returns
    -------
    sklearn estimator
        To be fitted to standardised features.

    Example
    -------
    >>> linear_model(DimensionalEmotion(), 0.1)
    Ridge(alpha=10.0)
    """
    raise NotImplementedError(f"no linear model for {type(task).__name__}")


@linear_model.register
def _(task: CategoricalEmotion, C):
    return LogisticRegression(C=C, **SOLVER)


@linear_model.register
def _(task: MultiLabelEmotion, C):
    return OneVsRestClassifier(LogisticRegression(C=C, **SOLVER))


@linear_model.register
def _(task: DimensionalEmotion, C):
    return Ridge(alpha=1 / C)


@singledispatch
def linear_outputs(task, model, features):
    """Predictions of a linear model, in the form of a head's outputs.

    Arguments
    ---------
    task : Task
        What is predicted.
    model : sklearn estimator
        A fitted `linear_model`.
    features : np.ndarray
        `[clips, columns]`.

    Returns
    -------
    np.ndarray
        `[clips, outputs]`.
    """
    return model.predict(features).reshape(len(features), -1)


@linear_outputs.register
def _(task: CategoricalEmotion, model, features):
    # 0 for a class that is not in the training set.
    outputs = np.zeros((len(features), task.num_outputs))
    outputs[:, model.classes_] = model.predict_proba(features)
    return outputs


@linear_outputs.register
def _(task: MultiLabelEmotion, model, features):
    return model.predict_proba(features)
