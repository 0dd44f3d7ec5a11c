"""Preparation of one's own clips, from a table: manifests, labels and splits.

The table is a CSV file with a clip a row, see `own_corpus_table`: its media,
its speaker, and an emotion, votes or attributes. `auxformer init FOLDER` writes
a first one. The licence is that of the clips.
"""

import os
from collections import Counter, defaultdict
from pathlib import Path

from own_corpus_split import split_by_column, split_by_folds
from own_corpus_table import (
    class_of,
    classes_of,
    find_clips,
    find_labels,
    further_columns,
    modalities_of,
    open_table,
)
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.labels import Label, label_clip
from auxformer_lobes.dataio.manifests import (
    fill_manifests,
    fingerprint,
    is_prepared,
    write_manifests,
)
from auxformer_lobes.dataio.media_check import check_media
from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import NAMES, shown
from auxformer_lobes.utils.segments import split_segment

logger = get_logger(__name__)

# Fields of a manifest entry that other parts read.
FIELDS = ("gender", "age", "sentence")
MIN_CLIPS = 3  # of a class: one each for training, development and test


def prepare_own_corpus(
    data_folder,
    table,
    save_folder,
    labels="classes",
    votes=None,
    classes=None,
    label_rule="P",
    attributes=None,
    scale=(1, 5),
    num_folds=5,
    fold=1,
    split_seed=0,
    require_both=False,
    longest=120.0,
    num_workers=0,
    card=None,
):
    """Writes train.json, valid.json, test.json and prepare_report.json.

    A manifest entry has `wav` and `video` (null where there is none),
    `duration` (s), `emotion`, `votes` or `attributes`, `spk_id`, `gender`,
    `age` and `sentence` where the table has them, and `columns`, the further
    ones. Clips whose media cannot be used are left out; the report has the
    cell of each.

    Nothing is done if the folder was prepared with the same options and table;
    delete prepare_report.json to check the media again.

    Arguments
    ---------
    data_folder : str
        Folder that file names in the table start from.
    table : str
        The table; looked for in `data_folder` too.
    save_folder : str
        Folder to write to.
    labels : str
        "classes" or "attributes".
    votes : list of str, optional
        Columns of votes, see `find_labels`.
    classes : list of str, optional
        The classes to keep; by default all.
    label_rule : str
        For votes: "P" (plurality), "M" (majority) or "D" (distributional).
    attributes : list of str, optional
        Columns of attributes, see `find_labels`.
    scale : sequence of float
        Ends of the raters' scale of the attributes.
    num_folds : int
        Folds that the speakers are drawn into, if the table has no column
        `split`.
    fold : int
        Which of them is the test set, from 1.
    split_seed : int
        Of the draw.
    require_both : bool
        Whether training clips need both modalities.
    longest : float
        Longest clip, s.
    num_workers : int
        Threads that check the media; 0 for one per CPU.
    card : dict, optional
        `name`, `language`, `about` and `licence` of the corpus, for the model
        card.

    Raises
    ------
    UserError
        If the table is damaged, a class has fewer than three clips, no media
        file is there, or a split is empty.
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    found = open_table(table, data_folder)
    has_split = any(row.cells.get("split") for row in found.rows)
    modalities = modalities_of(found, data_folder)
    options = {
        "data_folder": str(data_folder.resolve()),
        "table": fingerprint(found.path),
        "labels": labels,
        "votes": votes and [*votes],
        "classes": classes and [*classes],
        "label_rule": label_rule,
        "attributes": attributes and [*attributes],
        "scale": [*scale],
        "partition": "column split of the table"
        if has_split
        else f"fold {fold} of {num_folds}, seed {split_seed}",
        "require_both": require_both,
        "longest": longest,
        "modalities": modalities,
        "card": card,
    }
    if is_prepared(save_folder, options):
        return

    labels = find_labels(found, labels, votes, attributes)
    clips = find_clips(found, data_folder, modalities)
    _check_files(found, clips, data_folder)
    if labels.kind == "attributes":
        read, excluded = _read_attributes(found, clips, labels, scale)
    else:
        names = classes_of(found, labels)
        kept = _check_classes(found, names, classes)
        read, excluded = _read_classes(
            found, clips, labels, names, kept, label_rule
        )
        _check_counts(found, clips, read)
    further = further_columns(found, labels)
    if further:
        logger.info(f"{found.path}: further columns: {', '.join(further)}")
    entries = {
        clip: {**label, **_describe(clips[clip].row, further)}
        for clip, label in read.items()
    }
    held_out = []
    if has_split:
        splits, held_out = split_by_column(found, clips, entries)
        without = [clip for clip in entries if clip not in splits]
        if without:
            excluded["no split"] = without
    else:
        splits = split_by_folds(
            found.path, entries, num_folds, fold, split_seed
        )
    files = {clip: clips[clip].files for clip in splits}
    media, problems, notes = check_media(
        data_folder, files, longest, num_workers
    )
    _log_problems(found, clips, problems)
    manifests, unusable = fill_manifests(
        entries, splits, files, media, require_both, modalities
    )
    is_synthetic = (data_folder / MARKER).is_file()
    write_manifests(
        "own corpus",
        save_folder,
        manifests,
        options,
        {**excluded, **unusable},
        problems,
        notes=notes,
        held_out=held_out,
        card={
            "name": "OwnCorpus" if is_synthetic else data_folder.resolve().name,
            "about": f"{len(entries):,} clips of "
            f"{len({entry['spk_id'] for entry in entries.values()}):,} "
            "speakers, from a table of their own.",
            **{key: of for key, of in (card or {}).items() if of},
            "synthetic": is_synthetic,
        },
    )


def _check_files(table, clips, data_folder):
    """Refuses a table none of whose files is there."""
    named = [
        (clip.row, column, split_segment(file)[0])
        for clip in clips.values()
        for column, file in zip(clip.columns, clip.files)
        if file
    ]
    missing = [
        each for each in named if not os.path.exists(data_folder / each[2])
    ]
    if len(missing) == len(named):
        row, column, file = missing[0]
        raise table.error(
            row,
            column,
            f"{file}: no such file in {data_folder}, nor any other of the "
            "table: is --data_folder right?",
        )


def _check_classes(table, names, classes):
    """The classes to keep; refuses unknown ones, and odd names."""
    if isinstance(classes, str):
        raise UserError(f"classes: {classes}: write '[{classes}, …]'")
    kept = names if classes is None else [class_of(str(c)) for c in classes]
    unknown = sorted({*kept} - {*names})
    if unknown:
        raise UserError(
            f"{table.path}: classes {', '.join(unknown)}: choose among "
            f"{', '.join(names)}"
        )
    if len(kept) < 2:
        raise UserError(
            f"{table.path}: has the class {', '.join(kept) or 'none'} only: "
            "two are needed"
        )
    if not NAMES.accepts(kept):
        odd = next(name for name in kept if not NAMES.accepts([name]))
        raise UserError(
            f"{table.path}: the class {shown(odd)}: use letters, digits, "
            "spaces, - and ."
        )
    return kept


def _read_classes(table, clips, labels, names, kept, rule):
    """Labels by clip, and the clips that have none by reason."""
    if labels.kind == "emotion" and rule != "P":
        raise UserError(
            f"label_rule {rule}: {table.path} has one emotion a clip, and no "
            "votes: use rule P"
        )
    read, excluded = {}, defaultdict(list)
    for clip, (row, *_) in clips.items():
        if labels.kind == "emotion":
            emotion = class_of(row.cells["emotion"])
            label = Label(emotion, None) if emotion in kept else None
            reason = f"not one of the {len(kept)} classes"
            reason = reason if emotion else "no emotion"
        else:
            counts = [_votes(table, row, name) for name in names]
            label, reason = label_clip(counts, names, kept, rule)
        if label is None:
            excluded[reason].append(clip)
        else:
            read[clip] = label._asdict()
    return read, dict(excluded)


def _votes(table, row, column):
    value = table.number(row, column) or 0.0
    if value < 0:
        raise table.error(row, column, f"{value:g} votes: at least 0")
    return value


def _check_counts(table, clips, read):
    """Refuses a class that cannot be trained, selected and tested on."""
    emotions = {clip: label["emotion"] for clip, label in read.items()}
    for name, count in Counter(emotions.values()).items():
        if name is not None and count < MIN_CLIPS:
            rows = [clips[c].row for c in emotions if emotions[c] == name]
            other = "".join(f" and line {row.line}" for row in rows[1:])
            column = "emotion" if "emotion" in rows[0].cells else name
            raise table.error(
                rows[0],
                column,
                f"only here{other} is the class {name}: a class needs "
                f"{MIN_CLIPS} clips; correct it, or leave it out by --classes",
            )


def _read_attributes(table, clips, labels, scale):
    """Attributes by clip, and the clips that have none."""
    low, high = scale
    read, excluded = {}, defaultdict(list)
    for clip, (row, *_) in clips.items():
        values = {name: table.number(row, name) for name in labels.columns}
        for name, value in values.items():
            if value is not None and not low <= value <= high:
                raise table.error(
                    row,
                    name,
                    f"{value:g} is not within {low:g} to {high:g}: correct it, "
                    "or give the scale, --low and --high",
                )
        if all(value is None for value in values.values()):
            excluded["no attributes"].append(clip)
        else:
            read[clip] = {"emotion": None, "attributes": values}
    if not read:
        raise UserError(f"{table.path}: no clip has attributes")
    return read, dict(excluded)


def _describe(row, further):
    """The fields of the speaker and the further columns."""
    cells = {name: row.cells[name] for name in further if row.cells[name]}
    return {
        "spk_id": row.cells["speaker"],
        **{name: cells.pop(name) for name in FIELDS if name in cells},
        "columns": cells,
    }


def _log_problems(table, clips, problems):
    """One line for the first unusable file of each reason, with its cell."""
    at = {}
    for clip in clips.values():
        for column, file in zip(clip.columns, clip.files):
            at.setdefault(file, f"line {clip.row.line}, column {column}")
    first, count = {}, Counter()
    for problem in problems:
        reason = problem["reason"]
        problem["cell"] = at[problem["file"]]
        first.setdefault(reason, problem)
        count[reason] += 1
    for reason, problem in first.items():
        others = f", and {count[reason] - 1:,} others"
        logger.warning(
            f"{table.path}: {problem['cell']}: {problem['file']}: {reason}"
            + others * (count[reason] > 1)
        )
