"""Emotions of synthetic voices and faces, and how raters perceive them.

Each clip mixes several emotions. Their shares are drawn separately for voice
and face, which are ambiguous in different ways: an angry voice is also a little
happy, an angry face a little disgusted. Neither modality is thus sufficient.
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
    """An emotion in three dimensions, each from -1 to 1; neutral is all zeros."""

    arousal: float
    """1 is very active, -1 very calm."""
    valence: float
    """1 is very pleasant, -1 very unpleasant."""
    dominance: float
    """1 is very strong, -1 very weak."""


# Signs after Russell and Mehrabian, "Evidence for a three-factor
# theory of emotions", Journal of Research in Personality, 1977.
ATTRIBUTES = {
    "angry": Attributes(0.8, -0.8, 0.8),
    "disgust": Attributes(0.1, -0.6, 0.3),
    "fear": Attributes(0.7, -0.7, -0.8),
    "happy": Attributes(0.7, 0.9, 0.4),
    "neutral": Attributes(0, 0, 0),
    "sad": Attributes(-0.7, -0.7, -0.6),
}

# Share of each attribute that the voice conveys; the face conveys the rest.
HEARD_PART = Attributes(0.7, 0.3, 0.5)

# Mean shares of the emotions, by intended emotion: in the voice and in the face.
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
    """Draws the shares of the emotions in one clip, from a Dirichlet.

    Arguments
    ---------
    means : dict
        Mean share of each emotion.
    concentration : float
        Concentration of the Dirichlet distribution; high values stay close to
        the means.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    dict
        Emotion to share; they sum to 1.

    Example
    -------
    >>> shares = draw_shares(SEEN["happy"], 1e6, np.random.default_rng(0))
    >>> round(shares["happy"], 2)
    0.8
    """
    draw = rng.dirichlet(concentration * np.array(list(means.values())))
    return dict(zip(means, draw.tolist()))


def blend(templates, shares):
    """Weighted mean of styles, expressions or attributes of emotions.

    Arguments
    ---------
    templates : dict
        Emotion to a named tuple of numbers.
    shares : dict
        Emotion to share.

    Returns
    -------
    tuple
        A named tuple of the same class.

    Example
    -------
    >>> blend(EXPRESSIONS, {"happy": 0.5, "neutral": 0.5}).corners
    0.5
    """
    template = type(next(iter(templates.values())))
    mixed = sum(share * np.array(templates[e]) for e, share in shares.items())
    return template(*mixed.tolist())


def mix(shares, amount, emotion):
    """Increases the share of one emotion, at the expense of all.

    Arguments
    ---------
    shares : dict
        Emotion to share.
    amount : float
        From 0 (no change) to 1 (only this emotion).
    emotion : str
        Which one; "neutral" weakens the others.

    Returns
    -------
    dict
        Emotion to share; they sum to 1.

    Example
    -------
    >>> mix({"happy": 1.0}, 0.75, "neutral")
    {'happy': 0.25, 'neutral': 0.75}
    """
    mixed = {other: (1 - amount) * share for other, share in shares.items()}
    mixed[emotion] = mixed.get(emotion, 0) + amount
    return mixed


def perceive(heard, seen):
    """Attributes that raters perceive on average.

    Arguments
    ---------
    heard : dict
        Emotion to share in the voice, which conveys most of the arousal.
    seen : dict
        Emotion to share in the face, which conveys most of the valence.

    Returns
    -------
    Attributes

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
    """Simulates raters of a clip.

    The probability of an emotion is proportional to the product of its shares
    in all modalities that the raters perceive; in 5 % of the votes the rater
    guesses.

    Arguments
    ---------
    emotions : sequence of str
        The choices.
    evidence : list of dict
        Emotion to share in each perceived modality.
    num_raters : int
        Number of raters.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    numpy.ndarray
        Index of each rater's choice, `[num_raters]`.

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
