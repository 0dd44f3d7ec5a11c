"""Simulated raters for the synthetic MSP-IMPROV.

They write one block per turn in the format of the real label file, with its
irregularities: duplicate lines, free text, missing answers, stray spaces.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from auxformer_lobes.testing.corpus import rng_for
from auxformer_lobes.testing.emotions import (
    ATTRIBUTES,
    Attributes,
    perceive,
    vote,
)

NATURALNESS = {"P": 4.3, "R": 2.8, "S": 3.8, "T": 3.6}  # of 1 to 5
# Perceived emotion -> primary emotion in the label file.
CHOICES = {
    "angry": "Angry",
    "disgust": "Other",
    "fear": "Other",
    "happy": "Happy",
    "neutral": "Neutral",
    "sad": "Sad",
}
LETTERS = {"Angry": "A", "Happy": "H", "Sad": "S", "Neutral": "N", "Other": "O"}
# Secondary emotions, and their attributes in [-1, 1].
SECONDARY = {
    **{emotion.title(): place for emotion, place in ATTRIBUTES.items()},
    "Depressed": Attributes(-0.9, -0.8, -0.9),
    "Frustrated": Attributes(0.4, -0.6, 0.2),
    "Excited": Attributes(0.9, 0.7, 0.5),
    "Surprise": Attributes(0.6, 0.2, -0.2),
}
NUM_RATERS = 80
FREE_TEXT = ("annoyed", "bored, tired", "Confused", "a bit amused", "?")
FREE_WORDS = (
    "Concerned",
    "Amused",
    "confused",
    "Other",
    "Other (tense, tired)",
)


class Rating(NamedTuple):
    """One rater's answers on a turn."""

    rater: str
    primary: str
    secondary: str
    numbers: np.ndarray
    """Activation (1 is very active), valence, dominance and naturalness, 1 to
    5; NaN for a missing answer."""


def rating_block(name, recording, shown, seed):
    """Block of a turn in the label file.

    Arguments
    ---------
    name : str
        Name of the turn, without the corpus' prefix.
    recording : str
        P, R, S or T.
    shown : tuple of dict
        Shares of the emotions in the voice and in the face.
    seed : int
        Seed of the corpus.

    Returns
    -------
    str
        The lines, ending in an empty one.

    Example
    -------
    >>> shown = {"happy": 1.0}, {"happy": 1.0}
    >>> print(rating_block("S01H-F01-P-MF01", "P", shown, 0).splitlines()[0])
    UTD-IMPROV-S01H-F01-P-MF01.avi; H; ...
    """
    ratings = _rate(recording, shown, rng_for(seed, name, "ratings"))
    rng = rng_for(seed, name, "oddities")
    if rng.random() < 0.02:  # a question that was not asked
        question = rng.integers(4)
        for rating in ratings:
            rating.numbers[question] = np.nan
    for rating in ratings:
        if rng.random() < 0.01:  # a missing answer
            rating.numbers[rng.integers(4)] = np.nan
    lines = [_rater_line(rating, rng) for rating in ratings]
    if rng.random() < 0.1:  # a duplicate line
        lines.insert(rng.integers(len(lines) + 1), rng.choice(lines))
    first = _line(
        [f"UTD-IMPROV-{name}.avi", _consensus(ratings)], _means(ratings)
    )
    # As in the real file, with a space before this semicolon.
    lines.insert(0, first.replace("; N:", " ; N:"))
    lines = [_untidy(line, rng) for line in lines]
    end = rng.choice(["\n\n", "\n \n", "\n\n\n"], p=(0.94, 0.03, 0.03))
    return "\n".join(lines) + end


def _rate(recording, shown, rng):
    """Ratings of five to ten raters."""
    raters = 1 + rng.choice(NUM_RATERS, rng.integers(5, 11), replace=False)
    emotions = list(CHOICES)
    choices = vote(emotions, shown, len(raters), rng)
    ratings = []
    for rater, choice in zip(raters, choices):
        felt = perceive(*shown) + rng.normal(0, 0.3, size=3)
        natural = rng.normal(NATURALNESS[recording], 0.7)
        numbers = [*(3 + 2 * felt * (-1, 1, 1)), natural]
        primary = CHOICES[emotions[choice]]
        ratings.append(
            Rating(
                f"WORKER{rater}",
                primary,
                _all_emotions(primary, felt, rng),
                np.clip(np.round(numbers), 1, 5),
            )
        )
    return ratings


def _all_emotions(primary, felt, rng):
    """A rater's list: the primary emotion and up to two that are near."""
    names = list(SECONDARY)
    distance = np.linalg.norm(np.array(list(SECONDARY.values())) - felt, axis=1)
    nearness = np.exp(-((distance / 0.5) ** 2))
    also = rng.choice(
        names, rng.integers(0, 3), replace=False, p=nearness / nearness.sum()
    )
    return ",".join(dict.fromkeys([primary, *also.tolist()]))


def _consensus(ratings):
    counts = Counter(rating.primary for rating in ratings)
    (top, most), *others = counts.most_common(2)
    tie = others and others[0][1] == most
    return "X" if tie else LETTERS[top]


def _means(ratings):
    """Mean of each rating, without missing answers."""
    columns = np.array([rating.numbers for rating in ratings]).T
    given = (column[~np.isnan(column)] for column in columns)
    return [x.mean() if len(x) else np.nan for x in given]


def _rater_line(rating, rng):
    primary, secondary = rating.primary, rating.secondary
    if primary == "Other" and rng.random() < 0.5:
        primary = f"Other ({rng.choice(FREE_TEXT)})"
        secondary = secondary.replace("Other", primary, 1)
    if rng.random() < 0.1:
        secondary += f",{rng.choice(FREE_WORDS)}"
    return _line([rating.rater, primary, secondary], rating.numbers)


def _line(words, numbers):
    numbers = [
        f"{letter}:NaN" if np.isnan(number) else f"{letter}:{number:.6f}"
        for letter, number in zip("AVDN", numbers)
    ]
    return "; ".join([*words, *numbers]) + ";"


def _untidy(line, rng):
    """Adds stray spaces to one line in twenty."""
    kind = rng.integers(80)
    if kind == 0:
        return f"{line[:-1]} ;"
    if kind == 1:
        return f"{line}  "
    if kind == 2:
        return line.replace(",", ", ")
    if kind == 3:
        return line.replace("; ", ";  ", 2)
    return line
