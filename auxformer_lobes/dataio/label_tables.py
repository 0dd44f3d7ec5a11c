"""Reads label files: csv tables, those above all that the authors released.

The authors of AuxFormer published the labels and partitions of their
experiments: https://github.com/ilucasgoncalves/AuxFormer. A table that cannot
be used raises a `UserError` that names it, and the line.
"""

import csv
import re
from collections import defaultdict

import numpy as np

from auxformer_lobes.dataio.labels import label_clip
from auxformer_lobes.utils.errors import UserError

RELEASED_SPLITS = {"Train": "train", "Development": "valid", "Test": "test"}


def read_table(path, columns):
    """Rows of a csv file, each as a dictionary.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    columns : dict
        Columns to read -> what turns their text into a value; what it cannot
        read it refuses with a ValueError.

    Returns
    -------
    list of dict

    Raises
    ------
    UserError
        If a column is missing or a row cannot be read.
    """
    rows = []
    # What is no text at all has none of the columns either.
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
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


def read_clips(path, columns):
    """Rows of a csv file with a row a clip; the same one may stand twice.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    columns : dict
        What `read_table` is given, with `FileName`.

    Returns
    -------
    dict
        Clip -> row.

    Raises
    ------
    UserError
        If a clip has two different rows, or `read_table` refuses the file.
    """
    rows = {}
    for row in read_table(path, columns):
        clip = row["FileName"]
        if rows.setdefault(clip, row) != row:
            raise UserError(f"{path} has two rows of {clip}: get it again")
    return rows


def read_header(path):
    """The columns of a csv file.

    Arguments
    ---------
    path : pathlib.Path
        The file.

    Returns
    -------
    list of str
    """
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader(file), [])


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

    Raises
    ------
    UserError
        If there is none.
    """
    made_by = re.search(r"class_([PMD])\b", str(path.absolute()))
    if made_by and made_by[1] != label_rule:
        raise UserError(
            f"released_labels: {path} are labels by rule {made_by[1]}: set "
            f"label_rule to {made_by[1]}"
        )
    # The folders of CREMA-D's six classes lack the plural that others have.
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


def read_released(path, emotions, classes, rule, read_clip):
    """Labels and splits from a file that the authors of AuxFormer released.

    The classes in it are smoothed shares of the votes: each class has a
    little, also one without votes.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    emotions : collection of str
        Columns that are classes.
    classes : sequence of str
        The classes that it must have.
    rule : str
        "P", "M" or "D"; tied clips are left out but by "D".
    read_clip : callable
        Turns a file name into the name of a clip.

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    splits : dict
        Clip -> "train", "valid" or "test".
    left_out : dict
        Reason -> list of clips.

    Raises
    ------
    UserError
        If it has other classes, or two different rows of a clip, or cannot
        be read.
    """
    found = [column for column in read_header(path) if column in emotions]
    if set(found) != set(classes):
        raise UserError(
            f"{path} has {len(found)} classes and num_classes is "
            f"{len(classes)}: change num_classes or released_labels"
        )
    columns = {
        "FileName": read_clip,
        "Split_Set": RELEASED_SPLITS.__getitem__,
        **dict.fromkeys(classes, _share),
    }
    rows = read_clips(path, columns)
    smoothed = np.array(
        [[row[name] for name in classes] for row in rows.values()]
    )
    # What a class without votes has: 0.01 in the files of CREMA-D.
    votes = smoothed - smoothed.min(initial=1)
    labels = {}
    splits = {}
    left_out = defaultdict(list)
    for (clip, row), clip_votes in zip(rows.items(), votes):
        label, reason = label_clip(clip_votes, classes, classes, rule)
        if label is None:
            left_out[reason].append(clip)
        else:
            labels[clip], splits[clip] = label, row["Split_Set"]
    return labels, splits, dict(left_out)


def _share(text):
    share = float(text)
    if not share >= 0:
        raise ValueError
    return share
