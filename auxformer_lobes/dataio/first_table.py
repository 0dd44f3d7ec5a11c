"""A first table of clips from a folder tree, for its owner to mend."""

import csv
import os
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from auxformer_lobes.dataio.folder_labels import label_by_folders
from auxformer_lobes.dataio.folder_tree import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    is_audio,
    read_tree,
)
from auxformer_lobes.dataio.name_schemes import SCHEMES, scheme_of
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write, one_line_os_errors

MEDIA_COLUMNS = ("file", "audio", "video")
LABEL_COLUMNS = ("speaker", "emotion")
# Only where a clip has one.
FURTHER_COLUMNS = ("split", "gender", "intensity", "statement", "repetition")
FURTHER_COLUMNS += ("channel",)
# Of the formats of one recording, the first is used.
_ORDER = {s: i for i, s in enumerate(AUDIO_SUFFIXES + VIDEO_SUFFIXES)}


class FirstTable(NamedTuple):
    """A table of clips, and where it comes from.

    Arguments
    ---------
    rows : list of dict
        Column -> text, by clip; paths are relative to the folder, with "/".
    reasons : list of str
        What was recognised, and what was not.
    left_out : dict
        Media file -> why it is in no row.
    others : list of str
        Files that are no media.
    unreadable : dict
        Folder -> why it cannot be listed.
    """

    rows: list
    reasons: list
    left_out: dict
    others: list
    unreadable: dict

    @property
    def columns(self):
        """Columns that a clip has, and those of labels in any case.

        Returns
        -------
        list of str
        """
        names = (*MEDIA_COLUMNS, *LABEL_COLUMNS, *FURTHER_COLUMNS)
        return [
            name
            for name in names
            if name in LABEL_COLUMNS or any(row.get(name) for row in self.rows)
        ]

    def write(self, path, overwrite=False):
        """Writes the table as CSV.

        Arguments
        ---------
        path : str or Path
            The file.
        overwrite : bool
            Whether an existing file is replaced.

        Raises
        ------
        UserError
            If the file exists, or cannot be written.
        """
        path = Path(path)
        check_target(path, overwrite)
        with one_line_os_errors(path), atomic_write(path) as file:
            if not all(v.isascii() for row in self.rows for v in row.values()):
                # Excel takes anything else for the local encoding.
                file.write("\ufeff")
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def check_target(path, overwrite):
    """Checks that a table can be written to a path.

    Arguments
    ---------
    path : Path
        The file.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    UserError
        If it cannot.
    """
    if path.is_dir():
        raise UserError(f"--table {path}: is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"--table {path}: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise UserError(
            f"{path}: exists, perhaps with your changes: name another file "
            "with --table, or replace it with --overwrite"
        )


def tabulate_folder(folder, table=None):
    """Makes a table of the media files in a folder tree, without opening them.

    An audio and a video file are one clip if they have the same name in the
    same folder, apart from folders such as `audio` and `video`, or the same
    take in a corpus of `SCHEMES`.

    Arguments
    ---------
    folder : str or Path
        The folder.
    table : Path, optional
        The table to be written, which is not one of the other files.

    Returns
    -------
    FirstTable

    Raises
    ------
    UserError
        If the folder cannot be listed, or has no media.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("anger/one.wav", "anger/one.mp4", "joy/two.wav"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> for row in tabulate_folder(folder).rows:
    ...     print(row)
    {'audio': 'anger/one.wav', 'video': 'anger/one.mp4', 'emotion': 'angry'}
    {'audio': 'joy/two.wav', 'emotion': 'happy'}
    """
    folder = Path(folder)
    with one_line_os_errors(folder):
        os.scandir(folder).close()
    tree = read_tree(folder)
    media, left_out = _distinct(folder, tree.media)
    if not media:
        others = len(tree.others) + len(left_out)
        raise UserError(
            f"{folder}: has no audio or video file (other files: {others:,}): "
            "name the folder of the recordings"
        )
    clips, labels, reasons = _clips(media)
    rows = []
    for key, files in clips.items():
        files.sort(key=lambda path: (_ORDER[_suffix(path)], _name(path), path))
        used = _media_columns(files)
        for path in files:
            if path not in used.values():
                left_out[path] = f"the same clip as {next(iter(used.values()))}"
        known = {name: text for name, text in labels[key].items() if text}
        rows.append({**used, **known})
    if any("audio" in row for row in rows):
        for i, row in enumerate(rows):
            if is_audio(row.get("file", "")):
                rows[i] = {"audio": row.pop("file"), **row}
    others = [
        os.path.relpath(path, folder)
        for path in tree.others
        if table is None or not _same(path, table)
    ]
    return FirstTable(rows, reasons, left_out, others, tree.unreadable)


def _distinct(folder, paths):
    """Relative paths of distinct files, and why the others are left out."""
    files, left_out = {}, {}
    for path in paths:
        name = os.path.relpath(path, folder).replace(os.sep, "/")
        real = os.path.realpath(path)
        if real in files:
            left_out[name] = f"a link to the same file as {files[real]}"
        elif any(unicodedata.category(x) in ("Cc", "Cs") for x in name):
            left_out[name] = "its name has control characters, or is no UTF-8"
        else:
            files[real] = name
    return sorted(files.values()), left_out


def _clips(media):
    """Clip -> its files, clip -> labels, and what was recognised."""
    takes, examples = {}, defaultdict(list)
    for path in media:
        corpus, take, labels = scheme_of(path.rpartition(".")[0])
        if corpus:
            takes[path] = (corpus, take), labels
            examples[corpus].append(path)
    reasons = [
        f"{corpus} names: {len(paths):,} of {len(media):,} media files, such as "
        f"{_name(paths[0])} ({SCHEMES[corpus].parts})"
        for corpus, paths in examples.items()
    ]
    named = label_by_folders([*takes])
    found = label_by_folders([path for path in media if path not in takes])
    if takes and "split" in named.reasons:
        reasons.append(f"split: {named.reasons['split']}")
    if len(takes) < len(media):
        others = "other files: " if takes else ""
        reasons += [f"{others}{c}: {text}" for c, text in found.reasons.items()]
    clips, labels = defaultdict(list), {}
    for path in media:
        if path in takes:
            key, known = takes[path]
            split = named.labels[path].get("split")
            known = {**known, "split": split} if split else known
        else:
            key, known = (None, found.places[path]), found.labels[path]
        clips[key].append(path)
        labels.setdefault(key, known)
    return clips, labels, reasons


def _media_columns(files):
    """Column -> file, of the files of a clip, the best format first."""
    audio = [path for path in files if is_audio(path)]
    video = [path for path in files if not is_audio(path)]
    if audio and video:
        return {"audio": audio[0], "video": video[0]}
    return {"file": files[0]}


def _name(path):
    return path.rpartition("/")[2]


def _suffix(path):
    return os.path.splitext(path)[1].lower()


def _same(path, other):
    return os.path.realpath(path) == os.path.realpath(other)


def count_labels(rows):
    """Counts the clips of a table by emotion.

    Arguments
    ---------
    rows : list of dict
        As in `FirstTable`.

    Returns
    -------
    dict
        Emotion, "" if unknown -> `clips`, `speakers`, `audio`, `video`.

    Example
    -------
    >>> count_labels([{"file": "a.wav", "emotion": "sad", "speaker": "anna"}])
    {'sad': {'clips': 1, 'speakers': 1, 'audio': 1, 'video': 0}}
    """
    by_emotion = defaultdict(list)
    for row in rows:
        by_emotion[row.get("emotion", "")].append(row)
    return {
        emotion: {
            "clips": len(found),
            "speakers": len({r["speaker"] for r in found if r.get("speaker")}),
            "audio": sum(_has_audio(row) for row in found),
            "video": sum(_has_video(row) for row in found),
        }
        for emotion, found in sorted(by_emotion.items())
    }


def _has_audio(row):
    return "audio" in row or is_audio(row.get("file", ""))


def _has_video(row):
    return "video" in row or ("file" in row and not is_audio(row["file"]))
