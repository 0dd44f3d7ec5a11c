"""Labels, actors and partitions of CREMA-D, from its tables.

A damaged table raises a `UserError` that names the file and the line.
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
MAX_VOTES, MAX_AGE = 1000, 150  # more is damage; a clip has about ten raters
# Modalities presented to the raters -> first digit of a row's index.
PRESENTATIONS = {"voice": "1", "face": "2", "audiovisual": "3"}

INTENDED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), EMOTIONS))
CLIP_NAME = re.compile(
    rf"\d{{4}}_[A-Z]{{3}}_({'|'.join(INTENDED)})_(XX|LO|MD|HI)"
)

PARTITIONS = Path(__file__).with_name("partitions.json")


def read_votes(path, rule, classes, presentation):
    """Labels by a consensus rule, from the table of all votes.

    The consensus is taken over all six classes; with four classes, clips with
    one of the other two on top are excluded.

    Arguments
    ---------
    path : pathlib.Path
        tabulatedVotes.csv
    rule : str
        "P", "M" or "D", see `auxformer_lobes.dataio.labels`.
    classes : sequence of str
        The classes to keep.
    presentation : str
        What the raters were presented: "audiovisual", "voice" or "face".

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    excluded : dict
        Reason -> list of clips.

    Raises
    ------
    UserError
        If the presentation is unknown or the table is damaged.
    """
    if presentation not in PRESENTATIONS:
        raise UserError(
            f"presentation {presentation!r} is unknown: choose "
            f"{', '.join(PRESENTATIONS)}"
        )
    columns = {"": str, "fileName": _clip_name}
    votes_of = label_tables.whole_number(MAX_VOTES)
    columns.update(dict.fromkeys(VOTE_COLUMNS, votes_of))
    labels = {}
    excluded = defaultdict(list)
    for row in label_tables.read_table(path, columns):
        if not row[""].startswith(PRESENTATIONS[presentation]):
            continue
        votes = [row[column] for column in VOTE_COLUMNS]
        label, reason = label_clip(votes, EMOTIONS, classes, rule)
        if label is None:
            excluded[reason].append(row["fileName"])
        else:
            labels[row["fileName"]] = label
    return labels, dict(excluded)


def read_released(path, classes, rule):
    """Labels and splits from a label file released with AuxFormer.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    classes : sequence of str
        The classes that the file must have.
    rule : str
        "P", "M" or "D"; only "D" keeps clips without a consensus.

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    splits : dict
        Clip -> "train", "valid" or "test".
    excluded : dict
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
    """Gender and age of the actors.

    Arguments
    ---------
    path : pathlib.Path
        VideoDemographics.csv

    Returns
    -------
    dict
        Actor -> `spk_id`, `gender`, `age` (years).
    """
    columns = {"ActorID": str, "Sex": str.lower}
    columns["Age"] = label_tables.whole_number(MAX_AGE)
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
    """Manifest fields encoded in a clip's name.

    Arguments
    ---------
    clip : str
        Name of the clip.
    actors : dict
        As returned by `read_actors`.

    Returns
    -------
    dict
        The actor's fields, `sentence`, `intended_emotion`, `intended_level`.

    Raises
    ------
    UserError
        If the table of actors lacks the clip's actor.

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


def find_clip(name):
    """Name of a clip, as other projects write it in their split files.

    Arguments
    ---------
    name : str
        The name, perhaps with a folder and a suffix.

    Returns
    -------
    str or None
        None if it is not that of a clip.

    Example
    -------
    >>> find_clip("AudioWAV/1001_IEO_SAD_HI.wav")
    '1001_IEO_SAD_HI'
    """
    stem = Path(name).stem
    return stem if CLIP_NAME.fullmatch(stem) else None


def split_clips(clips, partition, actors):
    """Speaker-independent split of the clips.

    Arguments
    ---------
    clips : iterable of str
        Names of the clips.
    partition : int or dict
        A published partition, 1 to 5, or lists of actors `valid` and `test`;
        all other actors train.
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
