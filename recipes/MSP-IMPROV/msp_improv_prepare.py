"""Preparation of MSP-IMPROV: manifests of turns, labels and splits.

MSP-IMPROV has 8,438 turns of twelve actors in six dyadic sessions, improvised,
read and in natural conversation, rated for primary and secondary emotions,
activation, valence and dominance: Busso et al., "MSP-IMPROV: An Acted Corpus
of Dyadic Interactions to Study Emotion Perception", IEEE Transactions on
Affective Computing, 2017.

The corpus is licensed by the University of Texas at Dallas:
https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html

A turn's name, such as MSP-IMPROV-S01A-F02-P-FM03, gives sentence and target
emotion of the scene, speaker (the number is the session), kind of recording,
genders of listener and talker, and number of the turn.
"""

from itertools import chain
from pathlib import Path

from msp_improv_counts import count_turns, differences, print_counts
from msp_improv_labels import (
    choose_classes,
    choose_recordings,
    free_words,
    label_turns,
    split_clips,
)
from msp_improv_ratings import log_notes, read_ratings
from msp_improv_released import find_released, read_released
from msp_improv_turns import describe, find_clip, find_media, media_files
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.manifests import (
    fill_manifests,
    fingerprint,
    is_prepared,
    write_manifests,
)
from auxformer_lobes.dataio.media_check import check_media
from auxformer_lobes.dataio.split_files import find_split_file, split_by_file
from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

SOURCE = (
    "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html"
)
# For the model cards of models trained on it.
CARD = {
    "name": "MSP-IMPROV",
    "language": "en",
    "about": "MSP-IMPROV (Busso et al., 2017) is acted: twelve students with "
    "acting experience, in pairs, improvise English scenes designed to elicit "
    "an emotion, read sentences from them, and talk during breaks. Labels are "
    "the ratings of crowd-sourced raters, not what the actors felt.",
    "licence": f"[MSP-IMPROV]({SOURCE}), for research, by agreement with the "
    "University of Texas at Dallas: ask there before publishing a model "
    "trained on it.",
}
LABEL_FILES = ("evalution.txt", "evaluation.txt")  # the corpus has the first


def prepare_msp_improv(
    data_folder,
    save_folder,
    labels="primary",
    label_rule="P",
    num_classes=4,
    partition=1,
    recordings=("P", "R", "S", "T"),
    released_labels=None,
    split_file=None,
    require_both=False,
    open_video=True,
    longest=120.0,
    num_workers=0,
):
    """Writes train.json, valid.json, test.json and prepare_report.json.

    A manifest entry has `wav` and `video` (null if unusable), `duration` (s,
    of the wav file, or else of the video), `emotion`, `votes` (distribution
    over the classes, in the order of `class_names`), `attributes` (arousal,
    valence, dominance: means over raters, 1 to 5, null without an answer),
    `raters` (their number), `spk_id`, `gender`, `recording`, `session`,
    `target_emotion` and `sentence`.

    `msp_improv_labels` explains the labels. Under rule D, `emotion` is null
    in a tie. With attributes as labels, rules P and M keep turns with a
    consensus on the primary emotion; rule D keeps all, with null `emotion` and
    `votes` for those without.

    Media files may be anywhere below the folder, and all of them are opened.
    Training keeps turns with one usable modality; the development and test
    sets need both. The report lists excluded turns, unusable and duplicate
    files, and unused lines of the label file, with the reasons.

    Nothing is done if the folder was prepared with the same options and
    label files; delete prepare_report.json to check the media again.

    Arguments
    ---------
    data_folder : str
        The corpus, with Evalution.txt and the media files below it.
    save_folder : str
        Folder to write to.
    labels : str
        "primary" or "secondary" emotions, or "attributes".
    label_rule : str
        "P" (plurality), "M" (majority) or "D" (distributional).
    num_classes : int
        4 (angry, happy, neutral, sad), or 10 secondary emotions.
    partition : int or dict
        A published partition, 1 to 5, or lists of sessions `valid` and
        `test`; all other sessions train.
    recordings : str or list of str
        Kinds of recordings to keep: P (natural interaction), R (target
        sentence, read), S (other improvised turns), T (target sentence,
        improvised).
    released_labels : str, optional
        A label file released with AuxFormer, or the folder of the five; it
        replaces the votes. It gives labels and splits: `partition` selects
        the file in the folder.
    split_file : str, optional
        CSV file with the columns `clip` and `split`, in place of `partition`
        and without `released_labels`. Other clips are excluded. Where it has no
        development set, training sessions are held out for it.
    require_both : bool
        Whether training turns need both modalities too.
    open_video : bool
        Whether to open the video files; False if they are not needed, as with
        precomputed visual features.
    longest : float
        Maximum duration in s; a longer file counts as damaged. Turns in
        conversation can last a minute or more.
    num_workers : int
        Threads that check the media; 0 for one per CPU.

    Raises
    ------
    UserError
        If an option is unknown, the folder is not the corpus or lacks a label
        file or media, or a split is empty.
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    classes = choose_classes(labels, num_classes)
    recordings = choose_recordings(recordings)
    label_file = _find_label_file(data_folder, bool(released_labels))
    tables = [label_file] if label_file else []
    if released_labels:
        released = find_released(
            Path(released_labels), partition, labels, label_rule
        )
        tables.append(released)
    options = {
        "data_folder": str(data_folder.resolve()),
        "labels": labels,
        "label_rule": label_rule,
        "num_classes": num_classes,
        "partition": None if split_file else partition,
        "recordings": recordings,
        "released_labels": bool(released_labels),
        "require_both": require_both,
        "open_video": open_video,
        "longest": longest,
        "tables": [fingerprint(table) for table in tables],
        "split_file": split_file and fingerprint(find_split_file(split_file)),
    }
    if is_prepared(save_folder, options):
        return

    synthetic = _is_synthetic(data_folder, label_file)
    turns, facts = _read_label_file(label_file) if label_file else ({}, {})
    if released_labels:
        entries, splits, excluded = read_released(
            released, labels, label_rule, classes, turns
        )
    else:
        entries, excluded = label_turns(turns, labels, label_rule, classes)
        splits = split_clips(entries, partition)
    found, duplicates = _find_media(data_folder, open_video)
    unmatched = {*found["wav"], *found["video"]} - {*entries}
    unmatched -= {*chain.from_iterable(excluded.values())}
    excluded["not in the label file"] = sorted(unmatched)
    kept, excluded = _select_recordings(recordings, entries, excluded)
    held_out = []
    if split_file:
        # Both speakers of a session, as in the published partitions.
        splits, excluded, held_out = split_by_file(
            split_file, kept, excluded, find_clip, group="session"
        )
    else:
        splits = {clip: splits[clip] for clip in kept}
    files = {clip: media_files(clip, found) for clip in splits}
    media, problems, notes = check_media(
        data_folder, files, longest, num_workers, open_video
    )
    if label_file:
        usable = count_turns(_with_media(turns, found, media, open_video))
        _compare(label_file, facts["turns"], usable, synthetic)
        facts["usable_turns"] = usable
    manifests, unusable = fill_manifests(
        kept, splits, files, media, require_both
    )
    write_manifests(
        "MSP-IMPROV",
        save_folder,
        manifests,
        options,
        {**excluded, **unusable},
        problems,
        notes=notes,
        duplicates=duplicates,
        held_out=held_out,
        card={**CARD, "synthetic": synthetic},
        **facts,
    )


def _select_recordings(recordings, entries, excluded):
    """Excludes turns of other kinds of recordings, before any other reason."""
    selected = {
        clip: describe(clip)["recording"] in recordings
        for clip in chain(entries, *excluded.values())
    }
    kept = {
        clip: {**entry, **describe(clip)}
        for clip, entry in entries.items()
        if selected[clip]
    }
    excluded = {
        reason: [clip for clip in clips if selected[clip]]
        for reason, clips in excluded.items()
    }
    excluded["of another kind of recording"] = [
        clip for clip in selected if not selected[clip]
    ]
    return kept, {reason: clips for reason, clips in excluded.items() if clips}


def _find_label_file(data_folder, is_optional):
    """Path of the label file, in the folder or one level below."""
    if not data_folder.is_dir():
        raise UserError(
            f"data_folder {data_folder} is not a folder: name the one with "
            "Evalution.txt of MSP-IMPROV"
        )
    files = sorted(data_folder.glob("*")) + sorted(data_folder.glob("*/*"))
    found = [
        path
        for path in files
        if path.name.lower() in LABEL_FILES and path.is_file()
    ]
    if found[1:]:
        logger.warning(
            f"{found[0]} is used, not {', '.join(map(str, found[1:]))}: keep "
            "only the right one"
        )
    if found:
        return found[0]
    if is_optional:
        return None
    raise UserError(
        f"data_folder {data_folder} is not MSP-IMPROV: it has no Evalution.txt "
        f"or Evaluation.txt; the corpus is licensed, see {SOURCE}"
    )


def _is_synthetic(data_folder, label_file):
    """Whether the folder, or one level below, holds a synthetic corpus."""
    below = [label_file.parent] if label_file else data_folder.glob("*")
    return any((path / MARKER).is_file() for path in (data_folder, *below))


def _read_label_file(path):
    """Turns of the label file, and its fields of the report."""
    turns, notes = read_ratings(path)
    log_notes(path, notes)
    facts = {
        "turns": count_turns(turns),
        "label_file_notes": [note._asdict() for note in notes],
        "free_words": free_words(turns),
    }
    return turns, facts


def _with_media(turns, found, media, open_video):
    """Turns with usable media, or with media if these were not opened."""
    kinds = _needed_kinds(open_video)
    return {
        clip: turn
        for clip, turn in turns.items()
        if (
            None not in media[clip]
            if clip in media
            else all(clip in found[kind] for kind in kinds)
        )
    }


def _compare(label_file, turns, usable, synthetic):
    """Prints the usable turns, and warns of differences."""
    title = "MSP-IMPROV: usable turns/documented"
    print_counts(
        usable, "Synthetic turns" if synthetic else title, not synthetic
    )
    wrong = [] if synthetic else differences(turns)
    if wrong:
        logger.warning(
            f"{label_file} differs from the documented corpus: it has "
            f"{', '.join(wrong)} turns; results are not comparable: get it "
            "again"
        )
    missing = [] if synthetic else differences(usable)
    if missing and missing != wrong:
        logger.warning(
            "Media of MSP-IMPROV are missing or damaged: they are usable for "
            f"{', '.join(missing)} turns; results are not comparable: get the "
            "files again"
        )


def _needed_kinds(open_video):
    """Kinds of media that the turns need."""
    return ("wav", "video") if open_video else ("wav",)


def _find_media(data_folder, open_video):
    """The media files, with a check that there are some of each kind."""
    found, duplicates = find_media(data_folder)
    for kind in _needed_kinds(open_video):
        if not found[kind]:
            suffix = {"wav": ".wav", "video": ".avi"}[kind]
            raise UserError(
                f"data_folder {data_folder} has no {suffix} file of MSP-IMPROV "
                f"such as MSP-IMPROV-S01A-F01-P-FM01{suffix}: get them from "
                f"{SOURCE}"
            )
    if duplicates:
        logger.warning(
            f"{len(duplicates):,} duplicate files of the same turns are not "
            f"used, such as {duplicates[0]}"
        )
    return found, duplicates
