"""Prepares CREMA-D for SpeechBrain.

CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset, holds 7,442
clips in which 91 actors speak 12 sentences in six emotions, and the emotions
that 2,443 raters perceived in them: from the voice alone, from the face alone
and from both. Cooper et al., "CREMA-D: Crowd-sourced Emotional Multimodal
Actors Dataset", IEEE Transactions on Affective Computing, 2014.

The corpus is public under the Open Database License:
https://github.com/CheyneyComputerScience/CREMA-D. Its sound and video files
are in Git LFS, so that a clone needs `git lfs pull`.

A clip is called actor_sentence_emotion_level, for instance 1001_DFA_ANG_XX:
what the actor was asked to show, which is not always what raters saw. Labels
are the raters' votes.
"""

import os
from pathlib import Path

from crema_d_labels import (
    describe,
    read_actors,
    read_released,
    read_votes,
    split_clips,
)
from crema_d_media import SOUND_FILE, VIDEO_FILE, check_media, media_files

from auxformer_lobes.dataio.label_tables import find_released
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.dataio.manifests import (
    fill_manifests,
    fingerprint,
    is_prepared,
    write_manifests,
)
from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError

SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D"
FOLDERS = (os.path.dirname(SOUND_FILE), os.path.dirname(VIDEO_FILE))
ACTORS = "VideoDemographics.csv"
VOTES = "processedResults/tabulatedVotes.csv"
# For the cards of models that are trained on it.
CARD = {
    "name": "CREMA-D",
    "language": "en",
    "about": "Its corpus is acted (CREMA-D, Cao et al., 2014): 91 actors of 20 "
    "to 74 years say 12 given English sentences in emotions that they were "
    "asked for, one at a time, filmed from the front. Labels are votes of "
    "raters on the web, not what anyone felt.",
    "licence": f"[CREMA-D]({SOURCE}), [Open Database License]"
    "(https://opendatacommons.org/licenses/odbl/1-0/).",
}


def prepare_crema_d(
    data_folder,
    save_folder,
    label_rule="P",
    num_classes=6,
    partition=1,
    condition="audiovisual",
    released_labels=None,
    require_both=False,
    open_video=True,
    num_workers=0,
):
    """Writes train.json, valid.json, test.json and prepare_report.json.

    A manifest has, for each clip: `wav` and `video` (null where that modality
    is unusable), `duration` (s, of the sound, else of the picture), `emotion`,
    `votes` (shares over the classes, in the order of `class_names`),
    `spk_id`, `gender`, `age`, `sentence`, `intended_emotion` and
    `intended_level`.

    The consensus is taken over all six classes. With four classes, clips whose
    top class is another one are left out, and the votes are shares among the
    four. Under rule D every clip is kept (with four classes, if a top class is
    among them); a clip with a tie has `emotion` null: its label is the
    distribution, and metrics of classes leave it out.

    All sound and video files are opened. A clip with one usable modality is
    kept for training; selection and test are on clips that have both. What is
    unusable or left out, and why, is in prepare_report.json.

    Nothing is done if the same options were prepared from the same tables
    before; delete prepare_report.json to have the media checked again.

    Arguments
    ---------
    data_folder : str
        The corpus: holds AudioWAV, VideoFlash, processedResults.
    save_folder : str
        Where to write.
    label_rule : str
        "P" (plurality), "M" (majority) or "D" (distributional).
    num_classes : int
        6, or 4 (angry, happy, neutral, sad).
    partition : int or dict
        1 to 5, the published ones, or two lists of actors, `valid` and
        `test`; all other actors train.
    condition : str
        What the raters were given: "audiovisual", "voice" or "face".
    released_labels : str, optional
        A label file published with AuxFormer, or the folder of the five, to
        be used in place of the table of votes. It gives labels and splits:
        `condition` does not count then, and `partition` chooses the file in
        the folder.
    require_both : bool
        Whether to train on clips that have both modalities only.
    open_video : bool
        Whether the video files are needed, and so opened; not where visual
        features come from elsewhere.
    num_workers : int
        Threads that check the media; 0 for one a CPU.

    Raises
    ------
    UserError
        If an option is unknown, the folder is not the corpus or lacks a
        table, files are Git LFS pointers, or a split is left without clips.
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    classes = class_names(num_classes, choices=(6, 4))
    actor_table, label_table = _find_tables(
        data_folder, released_labels, partition, label_rule, open_video
    )
    options = {
        "data_folder": str(data_folder.resolve()),
        "label_rule": label_rule,
        "num_classes": num_classes,
        "partition": partition,
        "condition": condition,
        "released_labels": bool(released_labels),
        "require_both": require_both,
        "open_video": open_video,
        "tables": [fingerprint(actor_table), fingerprint(label_table)],
    }
    if is_prepared(save_folder, options):
        return

    actors = read_actors(actor_table)
    if released_labels:
        labels, splits, left_out = read_released(
            label_table, classes, label_rule
        )
    else:
        labels, left_out = read_votes(
            label_table, label_rule, classes, condition
        )
        splits = split_clips(labels, partition, actors)
    entries = {
        clip: {**label._asdict(), **describe(clip, actors)}
        for clip, label in labels.items()
    }
    files = {clip: media_files(clip) for clip in labels}
    media, problems = check_media(data_folder, files, num_workers, open_video)
    manifests, unusable = fill_manifests(
        entries, splits, files, media, require_both
    )
    write_manifests(
        "CREMA-D",
        save_folder,
        manifests,
        options,
        {**left_out, **unusable},
        problems,
        card={**CARD, "synthetic": (data_folder / MARKER).is_file()},
    )


def _find_tables(
    data_folder, released_labels, partition, label_rule, open_video
):
    """Paths of the table of actors and of the table that has the labels."""
    folders = FOLDERS if open_video else FOLDERS[:1]
    expected = [*folders, ACTORS] + ([] if released_labels else [VOTES])
    missing = [name for name in expected if not (data_folder / name).exists()]
    if missing == expected:
        raise UserError(
            f"data_folder {data_folder} is not CREMA-D: it has no "
            f"{', '.join(missing)}; give it a clone of {SOURCE}"
        )
    if missing:
        raise UserError(
            f"{data_folder} has no {missing[0]}: get it from {SOURCE}"
        )
    if released_labels:
        label_table = find_released(
            Path(released_labels), partition, label_rule
        )
    else:
        label_table = data_folder / VOTES
    return data_folder / ACTORS, label_table
