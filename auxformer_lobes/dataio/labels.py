"""Labels from raters' votes: emotion classes and consensus rules.

Raters seldom agree on an emotion, so a rule turns the votes on a clip into a
label:

- ``P``, plurality: the class with the most votes; ties are excluded.
- ``M``, majority: the class with more than half of the votes; clips without
  one are excluded.
- ``D``, distributional: the distribution of the votes; no clip is excluded.

Votes may be fractions: a rater who names two emotions gives each half a vote.
"""

from typing import NamedTuple, Optional

import numpy as np

from auxformer_lobes.utils.errors import UserError

RULES = ("P", "M", "D")
ATTRIBUTES = ("arousal", "valence", "dominance")

_CLASSES = {
    10: (
        "angry",
        "depressed",
        "disgust",
        "excited",
        "fear",
        "frustrated",
        "happy",
        "neutral",
        "sad",
        "surprise",
    ),
    6: ("angry", "disgust", "fear", "happy", "neutral", "sad"),
    4: ("angry", "happy", "neutral", "sad"),
}
# Equal sums of fractions differ by rounding errors only; unequal ones, with up
# to ten classes per rater, by at least 1/2520 (the lcm of 1 to 10).
_ROUNDING = 1e-6


class Label(NamedTuple):
    """Label of a clip: the fields `emotion` and `votes` of a manifest.

    Arguments
    ---------
    emotion : str or None
        Consensus class; None without a consensus.
    votes : list of float or None
        Distribution of the votes over the classes; None if the clip is
        labelled with attributes only.
    """

    emotion: Optional[str]
    votes: Optional[list]


def class_names(num_classes, choices=tuple(_CLASSES)):
    """Names of the emotion classes, in the order of logits and votes.

    Arguments
    ---------
    num_classes : int
        10, 6 or 4.
    choices : sequence of int
        Numbers of classes that the corpus supports.

    Returns
    -------
    tuple of str
        Alphabetical.

    Raises
    ------
    UserError
        If `num_classes` is not among the choices.

    Example
    -------
    >>> class_names(4)
    ('angry', 'happy', 'neutral', 'sad')
    """
    if num_classes not in choices:
        raise UserError(
            f"num_classes is {num_classes!r}: choose "
            f"{' or '.join(map(str, choices))}"
        )
    return _CLASSES[num_classes]


def top_classes(votes):
    """Indices of the classes with the most votes: several in a tie.

    Arguments
    ---------
    votes : array_like
        Votes per class, `[classes]`.

    Returns
    -------
    list of int

    Example
    -------
    >>> top_classes([0, 4, 1, 4])
    [1, 3]
    """
    return np.flatnonzero(
        np.asarray(votes) > np.max(votes) - _ROUNDING
    ).tolist()


def consensus(votes, rule):
    """Index of the class that the raters agree on.

    Arguments
    ---------
    votes : array_like
        Votes per class, `[classes]`.
    rule : str
        "P", "M" or "D", see the module docstring.

    Returns
    -------
    int or None
        None in a tie and, under "M", if no class has more than half of the
        votes.

    Raises
    ------
    UserError
        If the rule is unknown.

    Example
    -------
    >>> votes = [1, 4, 3]
    >>> consensus(votes, "P"), consensus(votes, "M")
    (1, None)
    """
    if rule not in RULES:
        raise UserError(
            f"label rule {rule!r} is unknown: choose P (plurality), "
            "M (majority) or D (distributional)"
        )
    top = top_classes(votes)
    half = np.sum(votes) / 2 + _ROUNDING
    if len(top) > 1 or (rule == "M" and np.max(votes) < half):
        return None
    return top[0]


def shares(votes):
    """Votes normalised to a distribution over the classes.

    Arguments
    ---------
    votes : array_like
        Votes per class, `[classes]`, not all 0.

    Returns
    -------
    np.ndarray
        `[classes]`, sums to 1.

    Example
    -------
    >>> shares([1, 3, 0]).tolist()
    [0.25, 0.75, 0.0]
    """
    votes = np.asarray(votes, dtype=float)
    return votes / votes.sum()


def label_clip(votes, names, classes, rule):
    """Label of a clip, or the reason why it has none.

    The consensus is taken over all names, and a clip whose top name is not
    one of `classes` gets no label; the distribution is over `classes`.

    Arguments
    ---------
    votes : array_like
        Votes per name, `[names]`.
    names : sequence of str
        The options that raters had.
    classes : sequence of str
        The names to keep.
    rule : str
        "P", "M" or "D"; only "D" keeps clips without a consensus.

    Returns
    -------
    label : Label or None
    reason : str or None
        Why there is no label.

    Example
    -------
    >>> label_clip([3, 1, 2], ["angry", "sad", "other"], ["angry", "sad"], "P")
    (Label(emotion='angry', votes=[0.75, 0.25]), None)
    >>> label_clip([0, 1, 2], ["angry", "sad", "other"], ["angry", "sad"], "P")
    (None, 'not one of the 2 classes')
    """
    votes = np.asarray(votes, dtype=float)
    top = consensus(votes, rule)
    kept = [names.index(name) for name in classes]
    if not votes.any():
        return None, "no votes"
    if top is None and rule != "D":
        return None, f"no consensus by rule {rule}"
    if not set(top_classes(votes)) & set(kept):
        return None, f"not one of the {len(kept)} classes"
    emotion = None if top is None else names[top]
    return Label(emotion, shares(votes[kept]).tolist()), None
