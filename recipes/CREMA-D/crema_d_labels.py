"""Reads the tables of CREMA-D: who speaks, what the raters voted, who tests.

A table that cannot be used raises a `UserError` that names it, and the line.
"""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from auxformer_lobes.errors import UserError
from auxformer_lobes.labels import class_names, consensus, shares, top_classes

EMOTIONS = class_names(6)
VOTE_COLUMNS = ("A", "D", "F", "H", "N", "S")
# What the raters were given -> first digit of a row's index.
CONDITIONS = {"voice": "1", "face": "2", "audiovisual": "3"}

INTENDED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), EMOTIONS))
CLIP_NAME = re.compile(
    rf"\d{{4}}_[A-Z]{{3}}_({'|'.join(INTENDED)})_(XX|LO|MD|HI)"
)

PARTITIONS = Path(__file__).with_name("partitions.json")
RELEASED_SPLITS = {"Train": "train", "Development": "valid", "Test": "test"}
# The released files hold 0.01 + 0.94 * share of the votes.
RELEASED_FLOOR = 0.01


class Label(NamedTuple):
    """What raters perceived in a clip.

    Arguments
    ---------
    emotion : str or None
        The class of the consensus, None if there is a tie.
    votes : list of float
        Shares of the votes, over the classes.
    """

    emotion: Optional[str]
    votes: list


def read_votes(path, rule, classes, condition):
    """Labels by a rule of consensus, from the table of all votes.

    The consensus is over all six classes also where only four are asked for:
    clips of the other two are left out.

    Arguments
    ---------
    path : pathlib.Path
        tabulatedVotes.csv
    rule : str
        "P", "M" or "D", see `auxformer_lobes.labels`.
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
    kept = [EMOTIONS.index(name) for name in classes]
    columns = {"": str, "fileName": _clip_name}
    columns.update(dict.fromkeys(VOTE_COLUMNS, int))
    labels = {}
    left_out = defaultdict(list)
    for row in _read_table(path, columns):
        if not row[""].startswith(CONDITIONS[condition]):
            continue
        clip = row["fileName"]
        votes = np.array([row[column] for column in VOTE_COLUMNS])
        top = consensus(votes, rule)
        if top is None and rule != "D":
            left_out[f"no consensus by rule {rule}"].append(clip)
        elif not set(top_classes(votes)) & set(kept):
            left_out[f"not one of the {len(kept)} classes"].append(clip)
        else:
            labels[clip] = Label(
                None if top is None else EMOTIONS[top],
                shares(votes[kept]).tolist(),
            )
    return labels, dict(left_out)


def find_released(path, partition, label_rule):
    """Finds a label file that the authors of AuxFormer released.

    Arguments
    ---------
    path : pathlib.Path
        The file, or the folder that holds one for each partition.
    partition : int
        1 to 5.
    label_rule : str
        The rule that the labels must have been made by, as their folder says.

    Returns
    -------
    pathlib.Path
    """
    made_by = re.search(r"class_([PMD])\b", str(path.absolute()))
    if made_by and made_by[1] != label_rule:
        raise UserError(
            f"released_labels: {path} are labels by rule {made_by[1]}: set "
            f"label_rule to {made_by[1]}"
        )
    # The folders of six classes lack the plural that those of four have.
    names = [
        f"{word}_consensus_{partition}.csv" for word in ("label", "labels")
    ]
    for file in [path / name for name in names] if path.is_dir() else [path]:
        if file.is_file():
            return file
    raise UserError(
        f"released_labels: {path} is no file, and no folder that holds "
        f"{' or '.join(names)}; the partitions are 1 to 5"
    )


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
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        found = [c for c in next(csv.reader(file), ()) if c in EMOTIONS]
    if set(found) != set(classes):
        raise UserError(
            f"{path} has {len(found)} classes and num_classes is "
            f"{len(classes)}: change num_classes or released_labels"
        )
    columns = {
        "FileName": lambda name: _clip_name(name.removesuffix(".wav")),
        "Split_Set": RELEASED_SPLITS.__getitem__,
        **dict.fromkeys(classes, float),
    }
    labels = {}
    splits = {}
    left_out = defaultdict(list)
    for row in _read_table(path, columns):
        clip = row["FileName"]
        smoothed = np.array([row[name] for name in classes])
        top = consensus(smoothed, rule)
        if top is None and rule != "D":
            left_out[f"no consensus by rule {rule}"].append(clip)
            continue
        labels[clip] = Label(
            None if top is None else classes[top],
            shares(np.maximum(smoothed - RELEASED_FLOOR, 0)).tolist(),
        )
        splits[clip] = row["Split_Set"]
    return labels, splits, dict(left_out)


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
    rows = _read_table(path, {"ActorID": str, "Sex": str.lower, "Age": int})
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
    if isinstance(partition, Mapping):
        _check_partition(partition, actors)
        held_out = partition
    else:
        published = json.loads(PARTITIONS.read_text("utf-8"))["partitions"]
        if str(partition) not in published:
            raise UserError(
                f"partition {partition!r} is unknown: choose 1 to 5, or give "
                "lists of actors, `valid` and `test`"
            )
        held_out = published[str(partition)]
    split_of = {
        str(actor): split for split in held_out for actor in held_out[split]
    }
    return {clip: split_of.get(clip[:4], "train") for clip in clips}


def _check_partition(partition, actors):
    for split, listed in partition.items():
        if not isinstance(listed, (list, tuple)):
            raise UserError(
                f"partition: the actors of {split} are {listed!r}, not a "
                "list: write [1003, 1004]"
            )
    if set(partition) != {"valid", "test"}:
        raise UserError(
            "partition: give the actors of `valid` and of `test`, not of "
            f"{', '.join(map(str, partition)) or 'none'}"
        )
    valid, test = (set(map(str, partition[s])) for s in ("valid", "test"))
    if valid & test:
        raise UserError(
            f"partition: actor {min(valid & test)} is in `valid` and `test`"
        )
    unknown = (valid | test) - set(actors)
    if unknown:
        raise UserError(f"partition: the corpus has no actor {min(unknown)}")


def _clip_name(text):
    if not CLIP_NAME.fullmatch(text):
        raise ValueError
    return text


def _read_table(path, columns):
    """Rows of a csv file, each as a dictionary.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    columns : dict
        Columns to read -> what turns their text into a value.

    Returns
    -------
    list of dict
    """
    rows = []
    # What is no text at all has none of the columns either.
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise UserError(
                    f"{path} has no column {column!r}: get it again"
                )
        for row in reader:
            try:
                rows.append({c: read(row[c]) for c, read in columns.items()})
            # What a row that is cut off has for a missing value is None.
            except (AttributeError, KeyError, TypeError, ValueError):
                raise UserError(
                    f"{path} is damaged in line {reader.line_num}: get it again"
                )
    return rows
