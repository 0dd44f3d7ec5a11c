"""Votes of raters -> labels: the classes and the rules of consensus.

Raters of emotion seldom agree, so a rule turns the votes on a clip into its
label:

- ``P``, plurality: the class with most votes; a clip with a tie is left out.
- ``M``, majority: the class with more than half of the votes; a clip without
  such a class is left out.
- ``D``, distributional: every clip is kept, its label is the distribution of
  the votes.
"""

import numpy as np

from auxformer_lobes.errors import UserError

RULES = ("P", "M", "D")

_CLASSES = {
    6: ("angry", "disgust", "fear", "happy", "neutral", "sad"),
    4: ("angry", "happy", "neutral", "sad"),
}


def class_names(num_classes):
    """The emotion classes, in the order of logits and votes.

    Arguments
    ---------
    num_classes : int
        6 or 4.

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
    if num_classes not in _CLASSES:
        raise UserError(f"num_classes is {num_classes!r}: choose 6 or 4")
    return _CLASSES[num_classes]


def top_classes(votes):
    """The classes that share the highest count.

    Arguments
    ---------
    votes : array_like
        Number of votes for each class, `[classes]`.

    Returns
    -------
    list of int

    Example
    -------
    >>> top_classes([0, 4, 1, 4])
    [1, 3]
    """
    return np.flatnonzero(np.asarray(votes) == np.max(votes)).tolist()


def consensus(votes, rule):
    """The one class that the raters agree on, under a rule.

    Arguments
    ---------
    votes : array_like
        Number of votes for each class, `[classes]`.
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
    if len(top) > 1 or (rule == "M" and 2 * np.max(votes) <= np.sum(votes)):
        return None
    return top[0]


def shares(votes):
    """Votes as a distribution over the classes.

    Arguments
    ---------
    votes : array_like
        Number of votes for each class, `[classes]`; at least one vote.

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
