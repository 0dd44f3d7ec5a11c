"""What every task is: targets, outputs, a loss, metrics, a floor, words."""

import numpy as np

from auxformer_lobes.utils.errors import UserError


class Task:
    """What is predicted of a clip, what that costs and how it is judged.

    A task is the one object that knows whether AuxFormer's outputs are
    classes or numbers; everything else, from the dataset to the report, asks
    it. Metrics are computed from statistics that can be added up over clips,
    so that whole speakers can be resampled quickly.

    Class attributes: `takes`, keys of the manifest that `labels` is given;
    `metrics`, names of what is reported first; `lower_is_better`, those of
    them; `details`, names of what is reported of each output; `scale`, by
    which both are multiplied on the terminal; `limits` of the outputs.
    `settings` are what was fitted, for the report.

    Arguments
    ---------
    names : sequence of str
        Names of the outputs.
    criterion : torch.nn.Module
        Loss of logits `[batch, outputs]` and targets, for `SharedLoss`.
    """

    takes = ()
    metrics = ()
    lower_is_better = ()
    details = ()
    scale = 100
    limits = (0.0, 1.0)
    settings = {}

    def __init__(self, names, criterion):
        self.names = tuple(names)
        self.criterion = criterion

    @property
    def num_outputs(self):
        """Outputs of each head."""
        return len(self.names)

    def check(self, entries):
        """Makes sure that a manifest is one of this task.

        Arguments
        ---------
        entries : dict
            Clip -> its entry in the manifest.

        Raises
        ------
        UserError
            If it is not.
        """

    def labels(self, *values):
        """Labels of one clip.

        Arguments
        ---------
        *values
            What the manifest has under the keys in `takes`.

        Returns
        -------
        target : torch.Tensor
            What the loss takes.
        truth : torch.Tensor
            What predictions are judged by, `[values]`.
        """
        raise NotImplementedError

    def outputs(self, logits):
        """Logits as what they mean.

        Arguments
        ---------
        logits : torch.Tensor
            `[batch, outputs]`.

        Returns
        -------
        torch.Tensor
            `[batch, outputs]`, float.
        """
        raise NotImplementedError

    def fit(self, truth, outputs):
        """Fits, on the development set, what turns outputs into decisions.

        Arguments
        ---------
        truth : np.ndarray
            `[clips, values]`.
        outputs : np.ndarray
            `[clips, outputs]`.
        """

    def calibrate(self, outputs):
        """Outputs as honest as what was fitted can make them.

        Arguments
        ---------
        outputs : torch.Tensor
            `[batch, outputs]`.

        Returns
        -------
        torch.Tensor
            Likewise.
        """
        return outputs

    def statistics(self, truth, outputs):
        """What can be added up over clips, and gives the metrics.

        Arguments
        ---------
        truth : np.ndarray
            `[clips, values]`.
        outputs : np.ndarray
            `[clips, outputs]`.

        Returns
        -------
        np.ndarray
            `[clips, ...]`; zero for a clip of which the truth is not known.
        """
        raise NotImplementedError

    def measure(self, statistics):
        """The metrics of one sum of statistics, or of many at once.

        Arguments
        ---------
        statistics : np.ndarray
            `[..., (one clip's)]`.

        Returns
        -------
        overall : dict of np.ndarray
            Each of `metrics`, `[...]`.
        details : dict of np.ndarray
            Each of `details`, and `support`, the clips that count,
            `[..., outputs]`; not a number where there is nothing to count.
        """
        raise NotImplementedError

    def known(self, truth):
        """Which clips a floor can be fitted to and judged on.

        Arguments
        ---------
        truth : np.ndarray
            `[clips, values]`.

        Returns
        -------
        np.ndarray
            Boolean, `[clips]`.
        """
        raise NotImplementedError

    def linear_model(self, strength):
        """The model that is the floor.

        Arguments
        ---------
        strength : float
            Of the model: the inverse of regularisation.

        Returns
        -------
        sklearn estimator
            To be fitted to standardised features and to truth.
        """
        raise NotImplementedError

    def linear_outputs(self, model, features):
        """What the floor says, in the form of a head's outputs.

        Arguments
        ---------
        model : sklearn estimator
            A fitted `linear_model`.
        features : np.ndarray
            `[clips, columns]`.

        Returns
        -------
        np.ndarray
            `[clips, outputs]`.
        """
        raise NotImplementedError

    def columns(self):
        """Titles of what `cells` gives.

        Returns
        -------
        list of str
        """
        raise NotImplementedError

    def cells(self, truth, outputs):
        """One clip's truth and prediction, for a table.

        Arguments
        ---------
        truth : array of float
            `[values]`.
        outputs : array of float
            `[outputs]`.

        Returns
        -------
        list of str
        """
        raise NotImplementedError

    def say_truth(self, truth):
        """What is true of a clip, in words.

        Arguments
        ---------
        truth : array of float
            `[values]`.

        Returns
        -------
        str
        """
        raise NotImplementedError

    def say(self, outputs):
        """What is predicted of a clip, in words.

        Arguments
        ---------
        outputs : array of float
            `[outputs]`.

        Returns
        -------
        str
        """
        raise NotImplementedError

    def figures(self, predictions):
        """Pictures of a test.

        Arguments
        ---------
        predictions : dict of Predictions
            What was predicted from each of `modalities.INPUTS`.

        Returns
        -------
        dict of matplotlib.figure.Figure
            Pictures by name.
        """
        raise NotImplementedError


def check_votes(entries, count):
    """Makes sure that each clip has votes on so many emotions.

    Arguments
    ---------
    entries : dict
        Clip -> its entry in the manifest.
    count : int
        Number of emotions.

    Raises
    ------
    UserError
        If one has not.
    """
    for clip, entry in entries.items():
        votes = len(entry.get("votes") or ())
        if votes != count:
            raise UserError(
                f"manifest has votes on {votes} emotions ({clip}), not on "
                f"{count}: prepare it again with the same num_classes"
            )


def mean_of_numbers(x):
    """Mean over the last axis of what is a number; 0 if nothing is.

    Arguments
    ---------
    x : np.ndarray
        `[..., values]`.

    Returns
    -------
    np.ndarray
        `[...]`.

    Example
    -------
    >>> mean_of_numbers(np.array([[1.0, np.nan], [1.0, 2.0]])).tolist()
    [1.0, 1.5]
    """
    known = ~np.isnan(x)
    return np.where(known, x, 0).sum(-1) / np.maximum(known.sum(-1), 1)


def likeliest(names, shares):
    """The likeliest three names, in words.

    Arguments
    ---------
    names : sequence of str
        What there is to choose from.
    shares : sequence of float
        How likely each is.

    Returns
    -------
    str

    Example
    -------
    >>> likeliest(["angry", "happy"], [0.25, 0.75])
    'happy 0.75, angry 0.25'
    """
    ranked = sorted(zip(shares, names), reverse=True)[:3]
    return ", ".join(f"{name} {share:.2f}" for share, name in ranked)
