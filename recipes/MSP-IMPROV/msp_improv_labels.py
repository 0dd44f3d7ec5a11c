"""Labels of MSP-IMPROV from the raters' answers.

Primary emotion: each rater has one vote, for angry, happy, neutral, sad or
other. Other is a vote but not a class: it counts towards the total under rule
M, a tie with it is no consensus, and clips with other alone on top are
excluded.

Secondary emotions: each rater has one vote, shared equally by those of the ten
classes that the rater named. Any other word is free text and gets no share; a
rater who named none of the ten has no vote. With four classes the consensus is
still taken over ten, and clips with one of the other six on top are excluded.

Attributes: means over raters; arousal is 6 - activation.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

from msp_improv_ratings import mean
from msp_improv_turns import RECORDINGS, SESSIONS, describe

from auxformer_lobes.dataio.labels import (
    ATTRIBUTES,
    Label,
    class_names,
    label_clip,
)
from auxformer_lobes.dataio.manifests import read_partition
from auxformer_lobes.utils.errors import UserError

# Kind of label -> numbers of classes to choose from.
LABELS = {"primary": (4,), "secondary": (10, 4), "attributes": (4,)}
PRIMARY = (*class_names(4), "other")
SECONDARY = class_names(10)
# Word forms of the classes; a word with another meaning is free text.
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
    """Emotion classes for a kind of label.

    Arguments
    ---------
    labels : str
        "primary", "secondary" or "attributes".
    num_classes : int
        4; for secondary emotions also 10.

    Returns
    -------
    tuple of str

    Raises
    ------
    UserError
        If the kind or the number of classes is unknown.

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


def choose_recordings(recordings):
    """Checks and sorts the kinds of recordings.

    Arguments
    ---------
    recordings : str or list of str
        Letters, such as "PRST".

    Returns
    -------
    list of str

    Raises
    ------
    UserError
        If there are none, or unknown ones.

    Example
    -------
    >>> choose_recordings("SP")
    ['P', 'S']
    """
    try:
        chosen = {*(recordings or ())}
    except TypeError:  # a number, or a list of lists
        chosen = set()
    if not chosen or chosen - {*RECORDINGS}:
        names = ", ".join(f"{x} ({RECORDINGS[x]})" for x in RECORDINGS)
        raise UserError(
            f"recordings {recordings!r} are unknown: choose from {names}"
        )
    return sorted(chosen)


def primary_votes(turn):
    """Votes on the primary emotion of a turn.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    list of int
        In the order of `PRIMARY`.
    """
    votes = Counter(rating.primary for rating in turn.ratings.values())
    return [votes[name] for name in PRIMARY]


def secondary_votes(turn):
    """Votes on the secondary emotions of a turn.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    list of float
        In the order of `SECONDARY`.
    """
    votes = Counter()
    for rating in turn.ratings.values():
        named = {FORMS.get(_plain(word)) for word in rating.secondary} - {None}
        votes.update(dict.fromkeys(named, 1 / max(len(named), 1)))
    return [votes[name] for name in SECONDARY]


def free_words(turns):
    """Words for secondary emotions that are none of the ten classes.

    Arguments
    ---------
    turns : dict
        Clip -> `Turn`.

    Returns
    -------
    dict
        Word -> count, the most frequent first.
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
    """Attributes of a turn, averaged over raters.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    dict
        Attribute -> mean, 1 to 5; None without an answer.
    """
    numbers = [rating.numbers for rating in turn.ratings.values()]
    activation, valence, dominance = (
        mean(row[column] for row in numbers) for column in range(3)
    )
    arousal = None if activation is None else 6 - activation
    return dict(zip(ATTRIBUTES, (arousal, valence, dominance)))


def describe_ratings(turn):
    """Manifest fields from the ratings, other than the label.

    Arguments
    ---------
    turn : Turn
        The turn.

    Returns
    -------
    dict
        `attributes` and `raters` (their number).
    """
    return {"attributes": mean_attributes(turn), "raters": len(turn.ratings)}


def label_turns(turns, labels, rule, classes):
    """Labels of all turns.

    With attributes as labels, rules P and M keep turns with a consensus on the
    primary emotion, and rule D keeps all turns with an attribute.

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
    excluded : dict
        Reason -> list of clips.
    """
    entries = {}
    excluded = defaultdict(list)
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
            excluded[reason].append(clip)
        else:
            entries[clip] = {**label._asdict(), **facts}
    return entries, dict(excluded)


def _plain(word):
    """A word in lower case, without bracketed text and punctuation."""
    before = re.split(r"[(\[]", word, maxsplit=1)[0]
    return before.rstrip().strip(" .?!\"'").lower()


def split_clips(clips, partition):
    """Session-independent split of the clips.

    Arguments
    ---------
    clips : iterable of str
        Names of the clips.
    partition : int or dict
        A published partition, 1 to 5, or lists of sessions `valid` and
        `test`; all other sessions train.

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
