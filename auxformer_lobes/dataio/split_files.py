"""Split files: anyone's published split, as a CSV table of clips.

A split file has the columns `clip` and `split`, and perhaps `speaker`. Splits
have the names that are common in the field. A clip may be in several splits,
since some published splits have that fault.
"""

import csv
import re
from collections import defaultdict
from pathlib import Path

from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.run import SPLITS
from auxformer_lobes.dataio.split_names import SPLIT_NAMES
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import as_number
from auxformer_lobes.utils.schema import shown

logger = get_logger(__name__)

# As in the published partitions of CREMA-D: 14 actors, and 63 train.
DEVELOPMENT_SHARE = 14 / (14 + 63)
SEED = 0  # of the choice of speakers for the development set


def find_split_file(path):
    """Path of a split file.

    Arguments
    ---------
    path : str
        The file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UserError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise UserError(f"split_file {path}: no such file")
    return Path(path)


def read_split_file(path):
    """Reads a split file.

    Arguments
    ---------
    path : str or Path
        CSV file with the columns `clip` and `split`, in any order; Windows
        line ends and a byte order mark are fine.

    Returns
    -------
    dict
        Split -> clip -> row, a dict of all columns by name.

    Raises
    ------
    UserError
        If the file or a column is missing, it has no clips, a split is
        unknown, or a clip is in one split twice.

    Example
    -------
    >>> path = getfixture("tmp_path") / "split.csv"
    >>> _ = path.write_text("clip,split\\nanna_1,Train\\nben_1,test\\n")
    >>> {split: [*clips] for split, clips in read_split_file(path).items()}
    {'train': ['anna_1'], 'valid': [], 'test': ['ben_1']}
    """
    splits = {split: {} for split in SPLITS}
    try:
        with open(
            path, newline="", encoding="utf-8-sig", errors="replace"
        ) as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            if not names:
                raise UserError(f"{path}: is empty")
            for column in ("clip", "split"):
                if column not in names:
                    raise UserError(
                        f"{path}: has no column {column!r}: a split file "
                        "starts with the line clip,split"
                    )
            reader.fieldnames = names
            for row in reader:
                _add_row(splits, row, f"{path}: line {reader.line_num}")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}")
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}")
    if not any(splits.values()):
        raise UserError(f"{path}: has no clips")
    return splits


def _add_row(splits, row, where):
    # A truncated row has None for its missing values.
    clip, name = ((row[column] or "").strip() for column in ("clip", "split"))
    if not clip:
        raise UserError(f"{where}: has no clip")
    if name.lower() not in SPLIT_NAMES:
        raise UserError(
            f"{where}: split {shown(name)} is unknown: use train, valid or test"
        )
    clips = splits[SPLIT_NAMES[name.lower()]]
    if clip in clips:
        raise UserError(f"{where}: clip {clip:.100} is in {name} already")
    clips[clip] = row


def add_speakers(splits, path, pattern=None):
    """Manifest entries, as far as a split file tells them.

    Arguments
    ---------
    splits : dict
        As returned by `read_split_file`.
    path : str or Path
        The file, for errors.
    pattern : str, optional
        Regular expression, of which the first group in a clip's name is the
        speaker; by default, the column `speaker` names them.

    Returns
    -------
    dict
        Split -> clip -> `{"spk_id": speaker}`.

    Raises
    ------
    UserError
        If the pattern is invalid, or a clip has no speaker.

    Example
    -------
    >>> add_speakers({"test": {"1001_DFA": {}}}, "split.csv", r"^(\\d{4})_")
    {'test': {'1001_DFA': {'spk_id': '1001'}}}
    """
    if pattern is None:
        rows = [row for clips in splits.values() for row in clips.values()]
        if "speaker" not in rows[0]:
            raise UserError(
                f"{path}: has no column 'speaker': name a regular expression "
                "of which the first group is the speaker, as in --speaker "
                r"'^(\d{4})_'"
            )
        source, speaker_of = "column speaker", _read_speaker
    else:
        source, speaker_of = f"--speaker '{pattern}'", _speaker_by(pattern)
    found = {
        split: {clip: speaker_of(clip, row) for clip, row in clips.items()}
        for split, clips in splits.items()
    }
    lacking = [c for clips in found.values() for c in clips if not clips[c]]
    if lacking:
        raise UserError(
            f"{path}: {source} gives no speaker for {len(lacking):,} of the "
            f"clips, such as {lacking[0]:.100}"
        )
    return {
        split: {clip: {"spk_id": name} for clip, name in clips.items()}
        for split, clips in found.items()
    }


def _read_speaker(clip, row):
    return (row["speaker"] or "").strip()


def _speaker_by(pattern):
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"--speaker '{pattern}': not a regular expression: {error}"
        )
    if not compiled.groups:
        raise UserError(
            f"--speaker '{pattern}': has no group: put the part that is the "
            "speaker in brackets"
        )

    def _speaker_of(clip, row):
        match = compiled.search(clip)
        return match and match[1]

    return _speaker_of


def split_by_file(path, entries, excluded, find_clip, group="spk_id"):
    """Splits the clips of a corpus by a split file.

    Where the file has no development set, training speakers are held out for
    it: as many as in the published partitions, at least one, in the proportion
    of their genders. They are the same for any seed of the training.

    Arguments
    ---------
    path : str or Path
        The split file.
    entries : dict
        Clip -> manifest fields, with `group` and `gender`.
    excluded : dict
        Reason -> list of clips that have no entry.
    find_clip : callable
        Name in the file -> name of the clip, or None.
    group : str
        The field whose values are held out as a whole.

    Returns
    -------
    splits : dict
        Clip -> list of "train", "valid", "test", for the clips of the file.
    excluded : dict
        Reason -> list of clips, with those that only the file or only the
        corpus has.
    held_out : list
        Values of `group` that were held out.

    Raises
    ------
    UserError
        If the file is damaged, has no clip of the corpus, or a single
        training speaker.
    """
    splits, unknown = defaultdict(list), []
    known = {*entries}.union(*excluded.values())
    for split, clips in read_split_file(path).items():
        for name in clips:
            clip = find_clip(name)
            if clip not in known:
                unknown.append(name)
            elif clip in entries and split not in splits[clip]:
                splits[clip].append(split)
    splits = {clip: found for clip, found in splits.items() if found}
    if not splits:
        raise UserError(
            f"split_file {path}: none of its clips has a label in the corpus, "
            f"such as {(unknown or [*known])[0]:.100}"
        )
    absent = [clip for clip in entries if clip not in splits]
    if unknown or absent:
        logger.warning(
            f"split_file {path}: {len(unknown):,} of its clips are not in the "
            f"corpus, {len(absent):,} clips of the corpus are not in it: "
            "excluded"
        )
    held_out = []
    if not any("valid" in found for found in splits.values()):
        training = {c: entries[c] for c in splits if "train" in splits[c]}
        held_out = choose_held_out(f"split_file {path}", training, group)
        for clip, entry in training.items():
            if entry[group] in held_out:
                splits[clip][splits[clip].index("train")] = "valid"
    if unknown:
        excluded = {**excluded, "in split_file, not in the corpus": unknown}
    if absent:
        excluded = {**excluded, "not in split_file": absent}
    return splits, excluded, held_out


def choose_held_out(source, training, group="spk_id"):
    """Chooses training speakers to be held out for the development set.

    As many as in the published partitions, at least one, in the proportion of
    their genders; the same for any seed of the training.

    Arguments
    ---------
    source : str
        What has no development set, for messages.
    training : dict
        Clip -> manifest fields, with `group` and perhaps `gender`.
    group : str
        The field whose values are held out as a whole.

    Returns
    -------
    list
        Values of `group`.

    Raises
    ------
    UserError
        If there are fewer than two.
    """
    by_gender = defaultdict(set)
    for entry in training.values():
        gender = entry.get("gender") if group == "spk_id" else None
        by_gender[gender].add(entry[group])
    ranked = []
    for values in by_gender.values():
        order = sorted(values, key=lambda value: as_number(SEED, value))
        # Evenly spaced, so that the first k have the proportion of all.
        ranked += [((i + 0.5) / len(order), v) for i, v in enumerate(order)]
    if len(ranked) < 2:
        raise UserError(
            f"{source}: has no development set, and a single "
            f"training {'speaker' if group == 'spk_id' else group}, so that "
            "none can be held out for it: add a development set"
        )
    count = max(1, round(DEVELOPMENT_SHARE * len(ranked)))
    noun = "speakers" if group == "spk_id" else f"{group}s"
    held_out = sorted(value for _, value in sorted(ranked)[:count])
    logger.warning(
        f"{source}: has no development set: {count} of "
        f"{len(ranked)} training {noun} are held out for it "
        f"(seed {SEED}): {', '.join(map(str, held_out))}"
    )
    return held_out
