"""What raters thought of the turns of MSP-IMPROV becomes labels.

Each rater has one vote on the primary emotion: angry, happy, neutral, sad or
other. Other counts as a vote, but is no class: under rule M more than half of
all votes are needed; a tie with it is no consensus, and a clip on which it
alone is on top is left out.

Each rater also has one vote on the secondary emotions, shared evenly by those
of the ten classes that the rater named. Other words, free text that is, have
no share, and a rater who named none of the ten has no vote. With four classes
the consensus is still over ten, and clips of the other six are left out.

The attributes of a turn are means over raters; arousal is 6 - activation.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

from msp_improv_ratings import mean
from msp_improv_turns import CONDITIONS, SESSIONS, describe

from auxformer_lobes.dataio.labels import (
    ATTRIBUTES,
    Label,
    class_names,
    label_clip,
)
from auxformer_lobes.dataio.manifests import read_partition
from auxformer_lobes.utils.errors import UserError

# Numbers of classes.
LABELS = {"primary": (4,), "secondary": (10, 4), "attributes": (4,)}
PRIMARY = (*class_names(4), "other")
SECONDARY = class_names(10)
# Further forms of the same words; words with another meaning are free text.
FORMS = {
    **{name: name for name in SECONDARY},
    "anger": "angry",
    "depression": "depressed",
    "disgusted": "disgust",
    "excitement": "excited",
    "fearful": "fear",
    "frustration": "frustrated",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}

PARTITIONS = Path(__file__).with_name("partitions.json")


def choose_classes(labels, num_classes):
    """The classes of a set of labels.

    Arguments
    ---------
    labels : str
        "primary", "secondary" or "attributes".
    num_classes : int
        4, or 10 secondary ones.

    Returns
    -------
    tuple of str

    Raises
    ------
    UserError
        If there is no such set.

    Example
    -------
    >>> choose_classes("primary", 4)
    ('angry', 'happy', 'neutral', 'sad')
    """
    if labels not in [*LABELS]:  # it may be a list
        raise UserError(
            f"labels {labels!r} are unknown: choose {', '.join(LABELS)}"
        )
    return class_names(num_classes, LABELS[labels])


def choose_conditions(conditions):
    """The conditions of recording that are asked for.

    Arguments
    ---------
    conditions : str or list of str
        Letters, "PRST" for example.

    Returns
    -------
    list of str

    Raises
    ------
    UserError
        If there is none, or an unknown one.

    Example
    -------
    >>> choose_conditions("SP")
    ['P', 'S']
    """
    try:
        chosen = {*(conditions or ())}
    except TypeError:  # a number, or a list of lists
        chosen = set()
    if not chosen or chosen - {*CONDITIONS}:
        names = ", ".join(f"{x} ({CONDITIONS[x]})" for x in CONDITIONS)
        raise UserError(
            f"conditions {conditions!r} are unknown: choose among {names}"
        )
    return sorted(chosen)


def primary_votes(turn):
    """Votes of the raters of a turn on its primary emotion.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    list of int
        For each of `PRIMARY`.
    """
    votes = Counter(rating.primary for rating in turn.ratings.values())
    return [votes[name] for name in PRIMARY]


def secondary_votes(turn):
    """Votes of the raters of a turn on its secondary emotions.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    list of float
        For each of `SECONDARY`.
    """
    votes = Counter()
    for rating in turn.ratings.values():
        named = {FORMS.get(_plain(word)) for word in rating.secondary} - {None}
        votes.update(dict.fromkeys(named, 1 / max(len(named), 1)))
    return [votes[name] for name in SECONDARY]


def free_words(turns):
    """What raters named that is none of the ten classes.

    Arguments
    ---------
    turns : dict
        Clip -> `Turn`.

    Returns
    -------
    dict
        Word -> how often it was named, the most frequent first.
    """
    words = Counter(
        _plain(word)
        for turn in turns.values()
        for rating in turn.ratings.values()
        for word in rating.secondary
    )
    return {
        word: count
        for word, count in words.most_common()
        if word and word not in FORMS
    }


def mean_attributes(turn):
    """Attributes of a turn, 1 to 5.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    dict
        Name -> mean over raters, None if there is no answer.
    """
    numbers = [rating.numbers for rating in turn.ratings.values()]
    activation, valence, dominance = (
        mean(row[column] for row in numbers) for column in range(3)
    )
    arousal = None if activation is None else 6 - activation
    return dict(zip(ATTRIBUTES, (arousal, valence, dominance)))


def describe_ratings(turn):
    """What a manifest says of the ratings of a turn, besides its label.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    dict
        `attributes`, `raters`.
    """
    return {"attributes": mean_attributes(turn), "raters": len(turn.ratings)}


def label_turns(turns, labels, rule, classes):
    """Labels of the turns that have one.

    Attributes are there for each turn. Where they are the labels, rule P and
    M keep the turns with a consensus on the primary emotion, and D all.

    Arguments
    ---------
    turns : dict
        Clip -> `Turn`.
    labels : str
        "primary", "secondary" or "attributes".
    rule : str
        "P", "M" or "D", see `auxformer_lobes.dataio.labels`.
    classes : sequence of str
        The classes to keep.

    Returns
    -------
    entries : dict
        Clip -> `emotion`, `votes`, `attributes`, `raters`.
    left_out : dict
        Reason -> list of clips.
    """
    entries = {}
    left_out = defaultdict(list)
    for clip, turn in turns.items():
        facts = describe_ratings(turn)
        if labels == "secondary":
            votes, names = secondary_votes(turn), SECONDARY
        else:
            votes, names = primary_votes(turn), PRIMARY
        label, reason = label_clip(votes, names, classes, rule)
        if labels == "attributes":
            if label is None and rule == "D":
                label = Label(None, None)
            if not any(facts["attributes"].values()):
                label, reason = None, "no attributes"
        if label is None:
            left_out[reason].append(clip)
        else:
            entries[clip] = {**label._asdict(), **facts}
    return entries, dict(left_out)


def _plain(word):
    """A word without what stands in brackets, and without capitals."""
    return re.sub(r"\s*[(\[].*", "", word).strip(" .?!\"'").lower()


def split_clips(clips, partition):
    """Splits clips into train, valid and test by their sessions.

    Arguments
    ---------
    clips : iterable of str
        Names of the clips.
    partition : int or dict
        1 to 5, the published ones, or lists of sessions `valid` and `test`;
        every other session trains.

    Returns
    -------
    dict
        Clip -> "train", "valid" or "test".

    Example
    -------
    >>> split_clips(["MSP-IMPROV-S01A-F05-P-FM01"], 1)
    {'MSP-IMPROV-S01A-F05-P-FM01': 'test'}
    """
    split_of = read_partition(partition, PARTITIONS, SESSIONS, "session")
    sessions = {clip: str(describe(clip)["session"]) for clip in clips}
    return {
        c: split_of.get(session, "train") for c, session in sessions.items()
    }
