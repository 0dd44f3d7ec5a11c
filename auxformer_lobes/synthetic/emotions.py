"""What emotions look and sound like here, and how raters perceive them.

Nobody shows an emotion purely. Each clip has its own shares of all emotions,
drawn once for the voice and once for the face, and the two are ambiguous in
different ways: an angry voice is also a little happy, an angry face a little
disgusted. So either leaves doubts that only the other dispels.
"""

import numpy as np

from auxformer_lobes.synthetic.portraits import Expression
from auxformer_lobes.synthetic.voices import VoiceStyle

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
