"""Votes of raters -> labels: the classes and the rules of consensus.

Raters of emotion seldom agree, so a rule turns the votes on a clip into its
label:

- ``P``, plurality: the class with most votes; a clip with a tie is left out.
- ``M``, majority: the class with more than half of the votes; a clip without
  such a class is left out.
- ``D``, distributional: every clip is kept, its label is the distribution of
  the votes.

Votes may be fractions, where a rater who perceived two emotions has given
each half a vote.
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
# Fractions that add up to the same differ in their last digits; sums of
# different ones, of up to ten classes a rater, by 1/2520 at least.
_ROUNDING = 1e-6


class Label(NamedTuple):
    """What raters perceived in a clip.

    Arguments
    ---------
    emotion : str or None
        The class of the consensus, None if there is none.
    votes : list of float or None
        Shares of the votes, over the classes; None where attributes are
        what was perceived.
    """

    emotion: Optional[str]
    votes: Optional[list]


def class_names(num_classes, choices=tuple(_CLASSES)):
    """The emotion classes, in the order of logits and votes.

    Arguments
    ---------
    num_classes : int
        10, 6 or 4.
    choices : sequence of int
        What there is to choose from.

    Returns
    -------
    tuple of str

    Raises
    ------
    UserError
        If there is no set of that many classes.

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
    """The classes that share the highest count.

    Arguments
    ---------
    votes : array_like
        Votes for each class, `[classes]`.

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
    """The one class that the raters agree on, under a rule.

    Arguments
    ---------
    votes : array_like
        Votes for each class, `[classes]`.
    rule : str
        "P", "M" or "D", see the module's docstring. Under "D" a clip without
        a consensus is kept all the same.

    Returns
    -------
    int or None
        Index of the class; None if no class alone is on top or, under "M",
        if it has no more than half of the votes.

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
    """Votes as a distribution over the classes.

    Arguments
    ---------
    votes : array_like
        Votes for each class, `[classes]`; not all 0.

    Returns
    -------
    np.ndarray
        `[classes]`, sum 1.

    Example
    -------
    >>> shares([1, 3, 0]).tolist()
    [0.25, 0.75, 0.0]
    """
    votes = np.asarray(votes, dtype=float)
    return votes / votes.sum()


def label_clip(votes, names, classes, rule):
    """The label of a clip, if it has one.

    The consensus is over all that raters could vote for; clips with another
    class on top than those that are asked for have no label.

    Arguments
    ---------
    votes : array_like
        Votes for each name, `[names]`.
    names : sequence of str
        What raters could vote for.
    classes : sequence of str
        The classes to keep, some of the names.
    rule : str
        "P", "M" or "D"; a clip without a consensus is kept by "D" only.

    Returns
    -------
    label : Label or None
        The label; its votes are shares among the classes.
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
