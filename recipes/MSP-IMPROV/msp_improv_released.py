"""Reader of the label files of MSP-IMPROV released with AuxFormer.

There is one file per kind of label (primary emotion, secondary emotions,
attributes), consensus rule and partition.
"""

import re
from collections import defaultdict

from msp_improv_labels import SECONDARY, describe_ratings
from msp_improv_turns import find_clip

from auxformer_lobes.dataio import label_tables
from auxformer_lobes.dataio.labels import ATTRIBUTES, Label
from auxformer_lobes.utils.errors import UserError

COLUMNS = dict(zip(ATTRIBUTES, ("EmoAct", "EmoVal", "EmoDom")))
KINDS = {"P": "primary", "S": "secondary"}


def find_released(path, partition, labels, rule):
    """Path of the label file released for a partition.

    Arguments
    ---------
    path : pathlib.Path
        The file, or the folder with one file per partition.
    partition : int
        1 to 5.
    labels : str
        "primary", "secondary" or "attributes".
    rule : str
        The consensus rule; it must match the one in the folder's name.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UserError
        If there is no such file, or its folder is named after other labels.
    """
    kind = re.search(r"_Emo([PS])_\d+class", str(path.absolute()))
    made_of = KINDS[kind[1]] if kind else labels
    if labels != "attributes" and labels != made_of:
        raise UserError(
            f"released_labels: {path} holds labels of {made_of} emotions: set "
            f"labels to {made_of}"
        )
    return label_tables.find_released(path, partition, rule)


def read_released(path, labels, rule, classes, turns):
    """Labels and splits from a label file released with AuxFormer.

    Unlike the corpus, the files have arousal, not inverted activation: EmoAct
    is high for turns with target angry and low for neutral ones.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    labels : str
        "primary", "secondary" or "attributes".
    rule : str
        "P", "M" or "D".
    classes : sequence of str
        The classes that the file must have.
    turns : dict
        Clip -> `Turn`, for the fields that the file lacks.

    Returns
    -------
    entries : dict
        Clip -> `emotion`, `votes`, `attributes`, `raters`.
    splits : dict
        Clip -> "train", "valid" or "test".
    excluded : dict
        Reason -> list of clips.

    Raises
    ------
    UserError
        If the file is damaged or has other labels.
    """
    if labels == "attributes":
        entries, splits, excluded = _read_attributes(path)
    elif {*SECONDARY} & {*label_tables.read_header(path)}:
        found, splits, excluded = label_tables.read_released(
            path, SECONDARY, classes, rule, _read_clip
        )
        entries = {clip: label._asdict() for clip, label in found.items()}
    else:
        raise UserError(
            f"released_labels: {path} has no classes: set labels to attributes"
        )
    unrated = {"attributes": dict.fromkeys(ATTRIBUTES), "raters": None}
    for clip, entry in entries.items():
        facts = describe_ratings(turns[clip]) if clip in turns else unrated
        entries[clip] = {**facts, **entry}
    return entries, splits, excluded


def _read_attributes(path):
    """Attributes and splits of a released file, as `read_released`."""
    columns = {
        "FileName": _read_clip,
        "Split_Set": label_tables.RELEASED_SPLITS.__getitem__,
        **dict.fromkeys(COLUMNS.values(), _read_attribute),
    }
    entries = {}
    splits = {}
    excluded = defaultdict(list)
    for clip, row in label_tables.read_clips(path, columns).items():
        attributes = {a: row[c] for a, c in COLUMNS.items()}
        if not any(attributes.values()):
            excluded["no attributes"].append(clip)
            continue
        entries[clip] = {
            **Label(None, None)._asdict(),
            "attributes": attributes,
        }
        splits[clip] = row["Split_Set"]
    return entries, splits, dict(excluded)


def _read_clip(text):
    clip = find_clip(text)
    if not clip:
        raise ValueError
    return clip


def _read_attribute(text):
    number = float(text)
    if number != number:  # NaN: no answer
        return None
    if not 1 <= number <= 5:
        raise ValueError
    return number
