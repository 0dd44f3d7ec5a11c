"""Readers of label tables in CSV, such as those released with AuxFormer.

The authors of AuxFormer released the labels and partitions of their
experiments: https://github.com/ilucasgoncalves/AuxFormer. A damaged table
raises a `UserError` that names the file and the line.
"""

import csv
import re
from collections import defaultdict

import numpy as np

from auxformer_lobes.dataio.labels import label_clip
from auxformer_lobes.utils.errors import UserError

ROUNDING = 1e-3  # of shares, written with four decimals
RELEASED_SPLITS = {"Train": "train", "Development": "valid", "Test": "test"}


def read_table(path, columns):
    """Rows of a CSV file.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    columns : dict
        Column to read -> function that converts its text, and raises a
        ValueError or KeyError if it cannot.

    Returns
    -------
    list of dict
        Column -> value, for each row.

    Raises
    ------
    UserError
        If a column is missing or a row cannot be read.
    """
    rows = []
    # A binary file fails below, for want of the columns.
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        try:
            names = reader.fieldnames or ()
            for column in columns:
                if column not in names:
                    raise UserError(
                        f"{path} has no column {column!r}: get it again"
                    )
            for row in reader:
                rows.append({c: read(row[c]) for c, read in columns.items()})
        # A truncated row has None for its missing values. A field of more than
        # 128 KiB is the last error.
        except (AttributeError, KeyError, TypeError, ValueError, csv.Error):
            raise UserError(
                f"{path} is damaged in line {reader.line_num}: get it again"
            )
    return rows


def read_clips(path, columns):
    """Rows of a CSV file by clip; exact duplicates of a row are dropped.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    columns : dict
        As in `read_table`, including `FileName`.

    Returns
    -------
    dict
        Clip -> row.

    Raises
    ------
    UserError
        If a clip has two different rows, or the table is damaged.
    """
    rows = {}
    for row in read_table(path, columns):
        clip = row["FileName"]
        if rows.setdefault(clip, row) != row:
            raise UserError(f"{path} has two rows of {clip}: get it again")
    return rows


def read_header(path):
    """Column names of a CSV file.

    Arguments
    ---------
    path : pathlib.Path
        The file.

    Returns
    -------
    list of str
        Empty for an empty file, and for one that is no table.
    """
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        try:
            return next(csv.reader(file), [])
        except csv.Error:
            return []


def whole_number(limit):
    """Reader of a column of whole numbers, for `read_table`.

    Arguments
    ---------
    limit : int
        The largest number that makes sense; the smallest is 0.

    Returns
    -------
    callable
        Raises a ValueError for any other text.

    Example
    -------
    >>> whole_number(150)("31")
    31
    """

    def _read(text):
        number = int(text)
        if not 0 <= number <= limit:
            raise ValueError
        return number

    return _read


def find_released(path, partition, label_rule):
    """Path of the label file released for a partition.

    Arguments
    ---------
    path : pathlib.Path
        The file, or the folder with one file per partition.
    partition : int
        1 to 5.
    label_rule : str
        The consensus rule; it must match the one in the folder's name.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UserError
        If there is no such file, or its rule is another one.
    """
    made_by = re.search(r"class_([PMD])\b", str(path.absolute()))
    if made_by and made_by[1] != label_rule:
        raise UserError(
            f"released_labels: {path} holds labels by rule {made_by[1]}: set "
            f"label_rule to {made_by[1]}"
        )
    # Released as label_… for six classes of CREMA-D, as labels_… elsewhere.
    names = [
        f"{word}_consensus_{partition}.csv" for word in ("label", "labels")
    ]
    for file in [path / name for name in names] if path.is_dir() else [path]:
        if file.is_file():
            return file
    raise UserError(
        f"released_labels: {path} is neither a file nor a folder with "
        f"{' or '.join(names)}; the partitions are 1 to 5"
    )


def read_released(path, emotions, classes, rule, read_clip):
    """Labels and splits from a label file released with AuxFormer.

    The file holds a smoothed distribution of the votes, in which classes
    without a vote have a small share too; it is removed.

    Arguments
    ---------
    path : pathlib.Path
        The file, with columns `FileName`, `Split_Set` and one per class.
    emotions : collection of str
        All names that a class column can have.
    classes : sequence of str
        The classes that the file must have.
    rule : str
        "P", "M" or "D"; only "D" keeps clips without a consensus.
    read_clip : callable
        Converts a file name to the name of the clip.

    Returns
    -------
    labels : dict
        Clip -> `Label`.
    splits : dict
        Clip -> "train", "valid" or "test".
    excluded : dict
        Reason -> list of clips.

    Raises
    ------
    UserError
        If the file is damaged, has other classes or two different rows for
        a clip.
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
    # The smallest share is that of a class without votes: 0.01 for CREMA-D.
    votes = smoothed - smoothed.min(initial=1)
    labels = {}
    splits = {}
    excluded = defaultdict(list)
    for (clip, row), clip_votes in zip(rows.items(), votes):
        label, reason = label_clip(clip_votes, classes, classes, rule)
        if label is None:
            excluded[reason].append(clip)
        else:
            labels[clip], splits[clip] = label, row["Split_Set"]
    return labels, splits, dict(excluded)


def _share(text):
    share = float(text)
    if not 0 <= share <= 1 + ROUNDING:  # nor infinite, nor not a number
        raise ValueError
    return share
