"""What emotions look and sound like here, and how raters perceive them.

Nobody shows an emotion purely. Each clip has its own shares of all emotions,
drawn once for the voice and once for the face, and the two are ambiguous in
different ways: an angry voice is also a little happy, an angry face a little
disgusted. So either leaves doubts that only the other dispels.
"""

from typing import NamedTuple

import numpy as np

from auxformer_lobes.testing.portraits import Expression
from auxformer_lobes.testing.voices import VoiceStyle

STYLES = {
    "angry": VoiceStyle(3, 2.5, 0.1, 6, 3, 0),
    "disgust": VoiceStyle(-1.5, -0.5, -0.08, 0, 0.5, 0),
    "fear": VoiceStyle(6, 0, 0.12, 0, 0, 1),
    "happy": VoiceStyle(4.5, 3.5, 0.05, 5, 2, 0),
    "neutral": VoiceStyle(0, 0, 0, 0, 0, 0),
    "sad": VoiceStyle(-1, -0.8, -0.12, -4, -2, 0.3),
}

EXPRESSIONS = {
    "angry": Expression(-0.8, -1, 0.2, -0.5, -0.2, 0.1, 0),
    "disgust": Expression(-0.6, -0.5, -0.8, -0.6, 0, 1, 0.2),
    "fear": Expression(1, 0.7, 1, -0.4, 0.5, 0, 0.5),
    "happy": Expression(0.3, 0, -0.2, 1, 0.7, 0, 0.4),
    "neutral": Expression(0, 0, 0, 0, 0, 0, 0),
    "sad": Expression(0.2, 1, -0.5, -1, -0.4, 0, 0),
}


class Attributes(NamedTuple):
    """An emotion as three numbers, each from -1 to 1; neutral is all zeros."""

    arousal: float
    """1 is very active, -1 very calm."""
    valence: float
    """1 is very pleasant, -1 very unpleasant."""
    dominance: float
    """1 is very strong, -1 very weak."""


# Their signs are those of Russell and Mehrabian, "Evidence for a three-factor
# theory of emotions", Journal of Research in Personality, 1977.
ATTRIBUTES = {
    "angry": Attributes(0.8, -0.8, 0.8),
    "disgust": Attributes(0.1, -0.6, 0.3),
    "fear": Attributes(0.7, -0.7, -0.8),
    "happy": Attributes(0.7, 0.9, 0.4),
    "neutral": Attributes(0, 0, 0),
    "sad": Attributes(-0.7, -0.7, -0.6),
}

# How much of an attribute is heard; the rest is seen.
HEARD_PART = Attributes(0.7, 0.3, 0.5)

# The mean shares that an intended emotion has in the voice and in the face.
HEARD = {
    "angry": {"angry": 0.5, "happy": 0.4, "fear": 0.1},
    "disgust": {"disgust": 0.4, "neutral": 0.3, "sad": 0.3},
    "fear": {"fear": 0.8, "sad": 0.1, "happy": 0.1},
    "happy": {"happy": 0.5, "angry": 0.4, "fear": 0.1},
    "neutral": {"neutral": 0.4, "sad": 0.3, "disgust": 0.3},
    "sad": {"sad": 0.5, "neutral": 0.3, "disgust": 0.2},
}
SEEN = {
    "angry": {"angry": 0.5, "disgust": 0.4, "neutral": 0.1},
    "disgust": {"disgust": 0.5, "angry": 0.4, "neutral": 0.1},
    "fear": {"fear": 0.5, "sad": 0.4, "neutral": 0.1},
    "happy": {"happy": 0.8, "neutral": 0.2},
    "neutral": {"neutral": 0.8, "sad": 0.1, "happy": 0.1},
    "sad": {"sad": 0.5, "fear": 0.4, "neutral": 0.1},
}


def draw_shares(means, concentration, rng):
    """Draws how much of each emotion one clip shows.

    Arguments
    ---------
    means : dict
        Mean share of each emotion; one that is missing never shows.
    concentration : float
        The higher, the closer to the means.
    rng : numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    dict
        Shares that sum to 1 (a draw from a Dirichlet distribution).

    Example
    -------
    >>> shares = draw_shares(SEEN["happy"], 1e6, np.random.default_rng(0))
    >>> round(shares["happy"], 2)
    0.8
    """
    draw = rng.dirichlet(concentration * np.array(list(means.values())))
    return dict(zip(means, draw.tolist()))


def blend(looks, shares):
    """Mixes the looks (or sounds) of several emotions.

    Arguments
    ---------
    looks : dict
        One named tuple of numbers for each emotion.
    shares : dict
        How much of each emotion is shown.

    Returns
    -------
    tuple
        A named tuple of the same kind.

    Example
    -------
    >>> blend(EXPRESSIONS, {"happy": 0.5, "neutral": 0.5}).corners
    0.5
    """
    kind = type(next(iter(looks.values())))
    mixed = sum(share * np.array(looks[e]) for e, share in shares.items())
    return kind(*mixed.tolist())


def mix(shares, amount, emotion):
    """Replaces part of what is shown by one emotion.

    Arguments
    ---------
    shares : dict
        How much of each emotion is shown.
    amount : float
        Of the one emotion: from 0, nothing is changed, to 1.
    emotion : str
        The one: "neutral" makes the others weaker.

    Returns
    -------
    dict
        Shares that sum to 1.

    Example
    -------
    >>> mix({"happy": 1.0}, 0.75, "neutral")
    {'happy': 0.25, 'neutral': 0.75}
    """
    mixed = {other: (1 - amount) * share for other, share in shares.items()}
    mixed[emotion] = mixed.get(emotion, 0) + amount
    return mixed


def perceive(heard, seen):
    """Returns the attributes of somebody who is heard and seen.

    Arguments
    ---------
    heard : dict
        Shares of the emotions in the voice: it tells most of the arousal.
    seen : dict
        Shares of the emotions in the face: it tells most of the valence.

    Returns
    -------
    Attributes
        What raters perceive on average.

    Example
    -------
    >>> perceive({"neutral": 1.0}, {"happy": 1.0})
    Attributes(arousal=0.21, valence=0.63, dominance=0.2)
    """
    parts = zip(HEARD_PART, blend(ATTRIBUTES, heard), blend(ATTRIBUTES, seen))
    return Attributes(
        *(round(part * x + (1 - part) * y, 6) for part, x, y in parts)
    )


def vote(emotions, evidence, num_raters, rng):
    """Simulates raters, who weigh what they hear and see.

    A rater chooses an emotion with a probability that grows with the product
    of its shares in all that the rater has got; now and then one does not pay
    attention.

    Arguments
    ---------
    emotions : sequence of str
        What they can choose from.
    evidence : list of dict
        Shares of the emotions in the voice, in the face, or in both.
    num_raters : int
        How many vote.
    rng : numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    numpy.ndarray
        Index of each rater's choice, ``[num_raters]``.

    Example
    -------
    >>> evidence = [{"happy": 0.5, "angry": 0.5}, {"happy": 1.0}]
    >>> votes = vote(["angry", "happy"], evidence, 9, np.random.default_rng(0))
    >>> bool(sum(votes == 1) > 4)
    True
    """
    odds = np.ones(len(emotions))
    for shares in evidence:
        odds *= [0.06 + shares.get(emotion, 0) for emotion in emotions]
    probabilities = 0.95 * odds / odds.sum() + 0.05 / len(emotions)
    return rng.choice(len(emotions), size=num_raters, p=probabilities)
