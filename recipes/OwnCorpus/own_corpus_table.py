"""The columns of a table of one's own clips, and what they hold.

| column | content |
|---|---|
| `file`, or `audio` and `video` | media files, absolute or in the data folder |
| `speaker` | who speaks |
| `emotion` | a class; or else |
| one column a class | the raters' votes on it; or else |
| `arousal`, `valence`, … | attributes |
| `split` | train, valid (or dev) or test |
| `clip` | name of the clip; else that of its file |
| `start`, `end` | of the clip in its file, s or h:mm:ss |

Further columns are kept: `gender`, `age` and `sentence`, and any other, by
which the test set is divided into subgroups.
"""

import difflib
import re
import unicodedata
from collections import Counter
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, Optional

from auxformer_lobes.dataio.clip_table import as_number, read_clip_table
from auxformer_lobes.dataio.folder_tree import is_audio
from auxformer_lobes.dataio.labels import ATTRIBUTES, class_names
from auxformer_lobes.dataio.media_check import MediaFiles
from auxformer_lobes.processing.media import open_media, video_streams
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import shown
from auxformer_lobes.utils.segments import join_segment, split_segment

PROBED = 10  # files whose streams tell which modalities a corpus has
FILES = ("file", "audio", "video")
KNOWN = (*FILES, "speaker", "emotion", "split", "clip", "start", "end")
# Emotions whose columns are votes without being listed.
EMOTIONS = class_names(10)


class Clip(NamedTuple):
    """A row of the table: where its media are.

    Arguments
    ---------
    row : Row
        The row.
    files : MediaFiles
        Of each modality, with its segment; None where there is none.
    columns : MediaFiles
        The columns that name them.
    """

    row: object
    files: MediaFiles
    columns: MediaFiles


def open_table(table, data_folder):
    """Reads the table, and checks its columns.

    Arguments
    ---------
    table : str
        The file; if there is none of that name, the one in `data_folder`.
    data_folder : str
        Folder of the corpus.

    Returns
    -------
    ClipTable

    Raises
    ------
    UserError
        If it lacks a column, see also `read_clip_table`.
    """
    path = Path(table)
    if not path.is_file():
        path = Path(data_folder) / table
        if not path.is_file():
            raise UserError(
                f"table {table}: no such file: `auxformer init {data_folder}` "
                "writes a first one"
            )
    found = read_clip_table(path)
    if not {*FILES} & {*found.columns}:
        _lacks(found, "file", "or columns audio and video")
    if "speaker" not in found.columns:
        _lacks(found, "speaker", "which keeps test speakers out of training")
    return found


def _lacks(table, column, why):
    near = difflib.get_close_matches(column, table.columns, n=1)
    cure = f"rename column {near[0]!r}" if near else f"it needs one, {why}"
    raise UserError(
        f"{table.path}: has no column {column}: {cure}; it has "
        f"{', '.join(table.columns)}"
    )


def modalities_of(table, data_folder):
    """The modalities that a table has files of.

    Videos of a column `file` may be silent: where none of a few files has a
    stream of a modality, the corpus has not.

    Arguments
    ---------
    table : ClipTable
        Of `open_table`.
    data_folder : str or Path
        Folder of the corpus.

    Returns
    -------
    list of str
        "audio", "visual" or both.
    """
    found = [_names_of(row) for row in table.rows]
    named = [any(names) for names in zip(*found)]
    both = [wav for wav, video in found if wav and wav == video]
    if both and all(wav == video for wav, video in found):
        step = max(1, len(both) // PROBED)
        streams = [*map(partial(_streams, data_folder), both[::step])]
        there = [any(of) for of in zip(*filter(None, streams))]
        named = there if any(there) else named
    return [m for m, is_there in zip(MODALITIES, named) if is_there]


def _streams(data_folder, text):
    """Whether a file has audio, and video; None if it cannot be opened."""
    file = split_segment(str(_path(text, Path(data_folder)))).file
    try:
        with open_media(Path(data_folder) / file) as container:
            audio, video = container.streams.audio, video_streams(container)
            return bool(audio), bool(video)
    except MediaError:
        return None


def _names_of(row):
    """Texts that name the audio and the video file; None where there is none."""
    file, *both = (row.cells.get(column) or None for column in FILES)
    if file is None:
        return tuple(both)
    return file, None if is_audio(file) else file


def find_clips(table, data_folder, modalities=MODALITIES):
    """The clips of a table, and their files.

    Arguments
    ---------
    table : ClipTable
        Of `open_table`.
    data_folder : Path
        Folder of the corpus.
    modalities : collection of str
        Those that the corpus has.

    Returns
    -------
    dict
        Name of the clip -> `Clip`, in order.

    Raises
    ------
    UserError
        If a clip has no file, no speaker or a damaged segment, or two have the
        same name.
    """
    clips, speakers = {}, {}
    stems = Counter(map(_stem, table.rows))
    for row in table.rows:
        segment = _segment(table, row)
        name = row.cells.get("clip") or _name(row, stems, segment)
        if name in clips:
            raise table.error(
                row,
                "clip" if row.cells.get("clip") else _columns(row)[0],
                f"{shown(name)} is the clip of line {clips[name].row.line} "
                "too: delete one of the rows, or correct it",
            )
        speaker = row.cells["speaker"]
        spelt = speakers.setdefault(_folded(speaker), (speaker, row.line))
        if spelt[0] != speaker:
            raise table.error(
                row,
                "speaker",
                f"{shown(speaker)} is {shown(spelt[0])} in line {spelt[1]}: "
                "write a speaker in one way",
            )
        if speaker in ("", "?"):
            raise table.error(
                row,
                "speaker",
                "is empty: name who speaks, or delete the row",
            )
        clips[name] = Clip(
            row,
            MediaFiles(
                *(
                    join_segment(_path(text, data_folder), *segment)
                    if text and modality in modalities
                    else None
                    for modality, text in zip(MODALITIES, _names_of(row))
                )
            ),
            MediaFiles(*_columns(row)),
        )
    return clips


def _folded(name):
    """A name without differences in case, space and Unicode's forms."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _columns(row):
    is_file = row.cells.get("file") or not {*FILES[1:]} & {*row.cells}
    return ("file", "file") if is_file else FILES[1:]


def _stem(row):
    names = [name for name in _names_of(row) if name]
    return PureWindowsPath(names[0]).stem if names else ""


def _name(row, stems, segment):
    """Name of a clip: of its file, or its path if several have that name."""
    stem = _stem(row)
    if stems[stem] > 1:
        path = PureWindowsPath(next(filter(None, _names_of(row)), ""))
        stem = path.with_suffix("").as_posix().strip("/")
    if segment != (None, None):
        stem += "_" + "-".join("" if x is None else f"{x:g}" for x in segment)
    return stem


def _path(text, data_folder):
    """A file, relative to the data folder if it is in there."""
    path = Path(text)
    if not (data_folder / path).exists() and "\\" in text:
        path = Path(PureWindowsPath(text).as_posix())
    if path.is_absolute() and path.is_relative_to(data_folder.resolve()):
        path = path.relative_to(data_folder.resolve())
    return str(path)


def _segment(table, row):
    """Start and end of a clip in its file, s, or None; checks its files."""
    if not any(_names_of(row)):
        raise table.error(
            row, _columns(row)[0], "is empty: name a file, or delete the row"
        )
    twice = [c for c in FILES[1:] if row.cells.get(c) and row.cells.get("file")]
    if twice:
        raise table.error(
            row, twice[0], "is filled, and file too: leave one of them empty"
        )
    start, end = (_seconds(table, row, column) for column in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise table.error(
            row, "end", f"{end:g} s is not after the start, {start or 0:g} s"
        )
    return start, end


def _seconds(table, row, column):
    text = row.cells.get(column)
    if not text:
        return None
    try:
        parts = [*map(as_number, text.split(":"))]
        if len(parts) > 3 or min(parts) < 0:
            raise ValueError
    except ValueError:
        raise table.error(
            row, column, f"{shown(text)} is not a time: write 12.5 or 0:00:12.5"
        )
    return sum(part * 60**i for i, part in enumerate(reversed(parts)))


class LabelColumns(NamedTuple):
    """Where the labels of a table are.

    Arguments
    ---------
    kind : str
        "emotion", "votes" or "attributes".
    columns : list of str
        Names of the classes whose votes there are, or of the attributes.
    """

    kind: str
    columns: Optional[list]


def find_labels(table, labels, votes=None, attributes=None):
    """Finds the labels of a table.

    Arguments
    ---------
    table : ClipTable
        Of `open_table`.
    labels : str
        "classes" or "attributes".
    votes : list of str, optional
        Columns of votes; by default those with the name of a common emotion,
        in a table without a column `emotion`.
    attributes : list of str, optional
        Columns of attributes; by default arousal, valence and dominance, as far
        as the table has them.

    Returns
    -------
    LabelColumns

    Raises
    ------
    UserError
        If there are none, or not those that are named.
    """
    if labels not in ("classes", "attributes"):
        raise UserError(f"labels: {labels}: choose classes or attributes")
    is_classes = labels == "classes"
    given = {"votes": votes, "attributes": attributes}
    own, other = [*given] if is_classes else [*given][::-1]
    if given[other] is not None:
        raise UserError(
            f"--{other} has no effect on {labels}: use "
            f"hparams/auxformer{'_attributes' * is_classes}_offline.yaml"
        )
    if given[own] is not None:
        return LabelColumns(own, _check_named(table, own, given[own]))
    of_votes = [name for name in table.columns if name in EMOTIONS]
    common = [name for name in table.columns if name in ATTRIBUTES]
    if is_classes:
        if "emotion" in table.columns:
            return LabelColumns("emotion", None)
        if len(of_votes) > 1:
            return LabelColumns("votes", of_votes)
        if common:
            raise UserError(
                f"{table.path}: has no emotions, but {', '.join(common)}: use "
                "hparams/auxformer_attributes_offline.yaml"
            )
    elif common:
        return LabelColumns("attributes", common)
    elif "emotion" in table.columns or len(of_votes) > 1:
        raise UserError(
            f"{table.path}: has emotions, and no attributes: use "
            "hparams/auxformer_offline.yaml, or name the columns of others by "
            "--attributes"
        )
    raise UserError(
        f"{table.path}: has no labels: add a column emotion, or one of votes a "
        "class (name them: --votes '[calm, bored]'), or arousal, valence, "
        f"dominance; it has {', '.join(table.columns)}"
    )


def _check_named(table, option, named):
    """Columns that the user names."""
    if isinstance(named, str):
        raise UserError(f"{option}: {named}: write '[{named}]'")
    names = [str(name).lower() for name in named]
    for name in names:
        if name not in table.columns or name in KNOWN:
            raise UserError(
                f"{table.path}: {option} {name}: no such column among "
                f"{', '.join(table.columns)}"
            )
    return names


def further_columns(table, labels):
    """Columns that are neither files, nor labels, nor read otherwise.

    Arguments
    ---------
    table : ClipTable
        Of `open_table`.
    labels : LabelColumns
        Of `find_labels`.

    Returns
    -------
    list of str
    """
    known = {*KNOWN, *(labels.columns or ())}
    return [column for column in table.columns if column not in known]


def class_of(text):
    """The class that a cell names.

    Arguments
    ---------
    text : str
        The cell.

    Returns
    -------
    str or None
        In lower case; None if it is empty.

    Example
    -------
    >>> class_of("Angry ")
    'angry'
    """
    return re.sub(r"\s+", " ", text).strip().lower() or None


def classes_of(table, labels):
    """Names of the classes of a table.

    Arguments
    ---------
    table : ClipTable
        Of `open_table`.
    labels : LabelColumns
        Of `find_labels`.

    Returns
    -------
    list of str
        Alphabetical.
    """
    if labels.kind == "votes":
        return sorted(labels.columns)
    names = {class_of(row.cells["emotion"]) for row in table.rows}
    return sorted(names - {None})
