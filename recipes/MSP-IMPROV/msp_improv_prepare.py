"""Prepares MSP-IMPROV for SpeechBrain.

MSP-IMPROV holds 8,438 turns of twelve actors, who improvise, read and talk
with each other in six sessions of two, and what raters perceived in each:
emotions, and activation, valence and dominance. Busso et al., "MSP-IMPROV: An
Acted Corpus of Dyadic Interactions to Study Emotion Perception", IEEE
Transactions on Affective Computing, 2017.

The corpus is licensed by the University of Texas at Dallas:
https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html

A turn is called MSP-IMPROV-S01A-F02-P-FM03, for instance: sentence and target
emotion of the scene, speaker (the number is the session), condition of the
recording, listener and talker, number of the turn.
"""

from itertools import chain
from pathlib import Path

from msp_improv_counts import count_turns, differences, print_counts
from msp_improv_labels import (
    choose_classes,
    choose_conditions,
    free_words,
    label_turns,
    split_clips,
)
from msp_improv_ratings import log_notes, read_ratings
from msp_improv_released import find_released, read_released
from msp_improv_turns import describe, find_media, media_files
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.manifests import (
    fill_manifests,
    fingerprint,
    is_prepared,
    write_manifests,
)
from auxformer_lobes.dataio.media_check import check_media
from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

SOURCE = (
    "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html"
)
# For the cards of models that are trained on it.
CARD = {
    "name": "MSP-IMPROV",
    "language": "en",
    "about": "Its corpus is acted (MSP-IMPROV, Busso et al., 2017): twelve "
    "students with acting experience, in pairs, improvise scenes in English "
    "that were made for an emotion, read sentences of them, and talk in the "
    "breaks. Labels are what raters on the web perceived, not what anyone felt.",
    "licence": f"[MSP-IMPROV]({SOURCE}), by agreement with the University of "
    "Texas at Dallas, for research: before a model that was trained on it is "
    "made public, ask there.",
}
LABEL_FILES = ("evalution.txt", "evaluation.txt")  # the first one is no typo


def prepare_msp_improv(
    data_folder,
    save_folder,
    labels="primary",
    label_rule="P",
    num_classes=4,
    partition=1,
    conditions=("P", "R", "S", "T"),
    released_labels=None,
    require_both=False,
    open_video=True,
    longest=120.0,
    num_workers=0,
):
    """Writes train.json, valid.json, test.json and prepare_report.json.

    A manifest has, for each turn: `wav` and `video` (null where that modality
    is unusable), `duration` (s, of the sound, else of the picture), `emotion`,
    `votes` (shares over the classes, in the order of `class_names`),
    `attributes` (arousal, valence, dominance: means over raters, 1 to 5, null
    where nobody answered), `raters` (how many), `spk_id`, `gender`,
    `condition`, `session`, `target_emotion` and `sentence`.

    How votes become labels is told in `msp_improv_labels`. Under rule D a
    turn with a tie has `emotion` null: its label is the distribution. With
    attributes as labels, rule P and M keep turns with a consensus on the
    primary emotion, and D all; `emotion` and `votes` are null where there is
    none.

    Sound and video files may be in any folders, and all of them are opened. A
    turn with one usable modality is kept for training; selection and test are
    on turns that have both. What is unusable or left out, and why, is in
    prepare_report.json, with the lines of the label file that are not used.

    Nothing is done if the same options were prepared from the same label
    files before; delete prepare_report.json to have the media checked again.

    Arguments
    ---------
    data_folder : str
        The corpus: holds Evalution.txt, and somewhere below it the media.
    save_folder : str
        Where to write.
    labels : str
        "primary" or "secondary" emotions, or "attributes".
    label_rule : str
        "P" (plurality), "M" (majority) or "D" (distributional).
    num_classes : int
        4 (angry, happy, neutral, sad), or 10 secondary emotions.
    partition : int or dict
        1 to 5, the published ones, or two lists of sessions, `valid` and
        `test`; all other sessions train.
    conditions : str or list of str
        Recordings to keep: P (natural interaction), R (target sentence,
        read), S (other improvised turns), T (target sentence, improvised).
    released_labels : str, optional
        A label file published with AuxFormer, or the folder of the five, to
        be used in place of the votes. It gives labels and splits:
        `partition` chooses the file in the folder.
    require_both : bool
        Whether to train on turns that have both modalities only.
    open_video : bool
        Whether the video files are needed, and so opened; not where visual
        features come from elsewhere.
    longest : float
        s, beyond which a file counts as damaged. People in conversation may
        talk for a minute or more.
    num_workers : int
        Threads that check the media; 0 for one a CPU.

    Raises
    ------
    UserError
        If an option is unknown, the folder is not the corpus or lacks a label
        file or media, or a split is left without turns.
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    classes = choose_classes(labels, num_classes)
    conditions = choose_conditions(conditions)
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
        "partition": partition,
        "conditions": conditions,
        "released_labels": bool(released_labels),
        "require_both": require_both,
        "open_video": open_video,
        "longest": longest,
        "tables": [fingerprint(table) for table in tables],
    }
    if is_prepared(save_folder, options):
        return

    synthetic = _is_synthetic(data_folder, label_file)
    turns, facts = _read_label_file(label_file) if label_file else ({}, {})
    if released_labels:
        entries, splits, left_out = read_released(
            released, labels, label_rule, classes, turns
        )
    else:
        entries, left_out = label_turns(turns, labels, label_rule, classes)
        splits = split_clips(entries, partition)
    found, spare = _find_media(data_folder, open_video)
    strangers = {*found["sound"], *found["picture"]} - {*entries}
    strangers -= {*chain.from_iterable(left_out.values())}
    left_out["not in the label file"] = sorted(strangers)
    kept, left_out = _choose(conditions, entries, left_out)
    files = {clip: media_files(clip, found) for clip in kept}
    media, problems = check_media(
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
        {**left_out, **unusable},
        problems,
        spare_files=spare,
        card={**CARD, "synthetic": synthetic},
        **facts,
    )


def _choose(conditions, entries, left_out):
    """Leaves turns of other conditions out, for that reason above all."""
    asked = {}
    for clip in chain(entries, *left_out.values()):
        asked[clip] = describe(clip)["condition"] in conditions
    kept = {
        clip: {**entry, **describe(clip)}
        for clip, entry in entries.items()
        if asked[clip]
    }
    left_out = {
        reason: [clip for clip in clips if asked[clip]]
        for reason, clips in left_out.items()
    }
    left_out["of another condition"] = [c for c in asked if not asked[c]]
    return kept, {reason: clips for reason, clips in left_out.items() if clips}


def _find_label_file(data_folder, is_optional):
    """The label file: in the folder, or one level below."""
    if not data_folder.is_dir():
        raise UserError(
            f"data_folder {data_folder} is no folder: name the one that has "
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
            f"{found[0]} is used, and not {', '.join(map(str, found[1:]))}: "
            "keep only the right one"
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
    """Whether it is a demo corpus: in the folder, or one level below."""
    below = [label_file.parent] if label_file else data_folder.glob("*")
    return any((path / MARKER).is_file() for path in (data_folder, *below))


def _read_label_file(path):
    """The turns in the label file, and what the report says of it."""
    turns, notes = read_ratings(path)
    log_notes(path, notes)
    facts = {
        "turns": count_turns(turns),
        "label_file_notes": [note._asdict() for note in notes],
        "free_words": free_words(turns),
    }
    return turns, facts


def _with_media(turns, found, media, open_video):
    """The turns whose media are usable, or there where nobody opened them."""
    kinds = ["sound"] + ["picture"] * open_video
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
    """Prints how many turns are usable, and warns if they are not all."""
    title = "MSP-IMPROV: usable turns/documented"
    print_counts(
        usable, "Synthetic turns" if synthetic else title, not synthetic
    )
    wrong = [] if synthetic else differences(turns)
    if wrong:
        logger.warning(
            f"{label_file} is not MSP-IMPROV as documented: it has "
            f"{', '.join(wrong)} turns; results on it cannot be compared: get "
            "it again"
        )
    missing = [] if synthetic else differences(usable)
    if missing and missing != wrong:
        logger.warning(
            "Sound or video of MSP-IMPROV is missing or damaged: it is usable "
            f"for {', '.join(missing)} turns; results on it cannot be "
            "compared: get the files again"
        )


def _find_media(data_folder, open_video):
    found, spare = find_media(data_folder)
    for kind, suffix in [("sound", ".wav")] + [
        ("picture", ".avi")
    ] * open_video:
        if not found[kind]:
            raise UserError(
                f"data_folder {data_folder} has no {suffix} file of MSP-IMPROV "
                f"in it, such as MSP-IMPROV-S01A-F01-P-FM01{suffix}: get them "
                f"from {SOURCE}"
            )
    if spare:
        logger.warning(
            f"{len(spare):,} files are of turns that have another one already, "
            f"and are not used, such as {spare[0]}"
        )
    return found, spare
