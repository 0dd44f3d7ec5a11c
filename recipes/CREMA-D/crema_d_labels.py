"""Reads the tables of CREMA-D: who speaks, what the raters voted, who tests.

A table that cannot be used raises a `UserError` that names it, and the line.
"""

import re
from collections import defaultdict
from pathlib import Path

from auxformer_lobes.dataio import label_tables
from auxformer_lobes.dataio.labels import class_names, label_clip
from auxformer_lobes.dataio.manifests import read_partition
from auxformer_lobes.utils.errors import UserError

EMOTIONS = class_names(6)
VOTE_COLUMNS = ("A", "D", "F", "H", "N", "S")
# What the raters were given -> first digit of a row's index.
CONDITIONS = {"voice": "1", "face": "2", "audiovisual": "3"}

INTENDED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), EMOTIONS))
CLIP_NAME = re.compile(
    rf"\d{{4}}_[A-Z]{{3}}_({'|'.join(INTENDED)})_(XX|LO|MD|HI)"
)

PARTITIONS = Path(__file__).with_name("partitions.json")


def read_votes(path, rule, classes, condition):
    """Labels by a rule of consensus, from the table of all votes.

    The consensus is over all six classes also where only four are asked for:
    clips of the other two are left out.

    Arguments
    ---------
    path : pathlib.Path
        tabulatedVotes.csv
    rule : str
        "P", "M" or "D", see `auxformer_lobes.dataio.labels`.
    classes : sequence of str
        The classes to keep.
    condition : str
        "audiovisual", "voice" or "face".

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    left_out : dict
        Reason -> list of clips.
    """
    if condition not in CONDITIONS:
        raise UserError(
            f"condition {condition!r} is unknown: choose "
            f"{', '.join(CONDITIONS)}"
        )
    columns = {"": str, "fileName": _clip_name}
    columns.update(dict.fromkeys(VOTE_COLUMNS, int))
    labels = {}
    left_out = defaultdict(list)
    for row in label_tables.read_table(path, columns):
        if not row[""].startswith(CONDITIONS[condition]):
            continue
        votes = [row[column] for column in VOTE_COLUMNS]
        label, reason = label_clip(votes, EMOTIONS, classes, rule)
        if label is None:
            left_out[reason].append(row["fileName"])
        else:
            labels[row["fileName"]] = label
    return labels, dict(left_out)


def read_released(path, classes, rule):
    """Labels and splits from a file that the authors of AuxFormer released.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    classes : sequence of str
        The classes it must have.
    rule : str
        "P", "M" or "D"; tied clips are left out but by "D".

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    splits : dict
        Clip -> "train", "valid" or "test".
    left_out : dict
        Reason -> list of clips.
    """
    return label_tables.read_released(
        path,
        EMOTIONS,
        classes,
        rule,
        lambda name: _clip_name(name.removesuffix(".wav")),
    )


def read_actors(path):
    """Age and gender of the actors.

    Arguments
    ---------
    path : pathlib.Path
        VideoDemographics.csv

    Returns
    -------
    dict
        Actor -> `spk_id`, `gender`, `age`.
    """
    columns = {"ActorID": str, "Sex": str.lower, "Age": int}
    rows = label_tables.read_table(path, columns)
    return {
        row["ActorID"]: {
            "spk_id": row["ActorID"],
            "gender": row["Sex"],
            "age": row["Age"],
        }
        for row in rows
    }


def describe(clip, actors):
    """What a clip's name says: the actor and what was asked of the actor.

    Arguments
    ---------
    clip : str
        Name of the clip.
    actors : dict
        What `read_actors` returns.

    Returns
    -------
    dict
        The fields of a manifest.

    Example
    -------
    >>> actors = {"1001": {"spk_id": "1001", "gender": "male", "age": 51}}
    >>> describe("1001_IEO_SAD_HI", actors)["intended_emotion"]
    'sad'
    """
    actor, sentence, emotion, level = clip.split("_")
    if actor not in actors:
        raise UserError(
            f"VideoDemographics.csv lacks the actor of {clip}: get it again"
        )
    return {
        **actors[actor],
        "sentence": sentence,
        "intended_emotion": INTENDED[emotion],
        "intended_level": level,
    }


def split_clips(clips, partition, actors):
    """Splits clips into train, valid and test by their actors.

    Arguments
    ---------
    clips : iterable of str
        Names of the clips.
    partition : int or dict
        1 to 5, the published ones, or lists of actors `valid` and `test`;
        every other actor trains.
    actors : collection of str
        All actors of the corpus.

    Returns
    -------
    dict
        Clip -> "train", "valid" or "test".

    Example
    -------
    >>> clips = ["1001_IEO_SAD_HI", "1002_IEO_SAD_HI"]
    >>> partition = {"valid": [1002], "test": []}
    >>> split_clips(clips, partition, ["1001", "1002"])
    {'1001_IEO_SAD_HI': 'train', '1002_IEO_SAD_HI': 'valid'}
    """
    split_of = read_partition(partition, PARTITIONS, actors, "actor")
    return {clip: split_of.get(clip[:4], "train") for clip in clips}


def _clip_name(text):
    if not CLIP_NAME.fullmatch(text):
        raise ValueError
    return text
