"""Preparation of CREMA-D: manifests of clips, labels and splits.

CREMA-D (Crowd-sourced Emotional Multimodal Actors Dataset) has 7,442 clips in
which 91 actors speak 12 sentences in six emotions, and the emotions that 2,443
raters perceived from the voice, from the face and from both: Cao et al.,
"CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE Transactions
on Affective Computing, 2014.

The corpus is public under the Open Database License:
https://github.com/CheyneyComputerScience/CREMA-D. Its media are stored in Git
LFS: a clone needs `git lfs pull`.

A clip's name is actor_sentence_emotion_level, such as 1001_DFA_ANG_XX. It
gives the emotion that the actor intended; labels are what raters perceived.
"""

import os
from pathlib import Path

from crema_d_labels import (
    describe,
    find_clip,
    read_actors,
    read_released,
    read_votes,
    split_clips,
)
from crema_d_media import VIDEO_FILE, WAV_FILE, check_media, media_files

from auxformer_lobes.dataio.label_tables import find_released
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.dataio.manifests import (
    fill_manifests,
    fingerprint,
    is_prepared,
    write_manifests,
)
from auxformer_lobes.dataio.split_files import find_split_file, split_by_file
from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D"
FOLDERS = (os.path.dirname(WAV_FILE), os.path.dirname(VIDEO_FILE))
ACTORS = "VideoDemographics.csv"
VOTES = "processedResults/tabulatedVotes.csv"
# For the model cards of models trained on it.
CARD = {
    "name": "CREMA-D",
    "language": "en",
    "about": "CREMA-D (Cao et al., 2014) is acted: 91 actors aged 20 to 74 "
    "say 12 given English sentences in given emotions, one actor at a time, "
    "recorded from the front. Labels are the votes of crowd-sourced raters, "
    "not what the actors felt.",
    "licence": f"[CREMA-D]({SOURCE}), [Open Database License]"
    "(https://opendatacommons.org/licenses/odbl/1-0/).",
}


def prepare_crema_d(
    data_folder,
    save_folder,
    label_rule="P",
    num_classes=6,
    partition=1,
    presentation="audiovisual",
    released_labels=None,
    split_file=None,
    require_both=False,
    open_video=True,
    num_workers=0,
):
    """Writes train.json, valid.json, test.json and prepare_report.json.

    A manifest entry has `wav` and `video` (null if unusable), `duration` (s,
    of the wav file, or else of the video), `emotion`, `votes` (distribution
    over the classes, in the order of `class_names`), `spk_id`, `gender`,
    `age`, `sentence`, `intended_emotion` and `intended_level`.

    The consensus is taken over all six classes. With four classes, clips with
    another class on top are excluded, and `votes` is over the four. Rule D
    keeps all clips (with four classes, those with one of the four on top);
    `emotion` is null in a tie, and class metrics ignore the clip.

    All media files are opened. Training keeps clips with one usable modality;
    the development and test sets need both, in a copy that has both. The report lists excluded clips
    and unusable files with the reasons.

    Nothing is done if the folder was prepared with the same options and
    tables; delete prepare_report.json to check the media again.

    Arguments
    ---------
    data_folder : str
        The corpus, with AudioWAV, VideoFlash and processedResults.
    save_folder : str
        Folder to write to.
    label_rule : str
        "P" (plurality), "M" (majority) or "D" (distributional).
    num_classes : int
        6, or 4 (angry, happy, neutral, sad).
    partition : int or dict
        A published partition, 1 to 5, or lists of actors `valid` and `test`;
        all other actors train.
    presentation : str
        What the raters were presented: "audiovisual", "voice" or "face".
    released_labels : str, optional
        A label file released with AuxFormer, or the folder of the five; it
        replaces the votes. It gives labels and splits: `presentation` is
        ignored, and `partition` selects the file in the folder.
    split_file : str, optional
        CSV file with the columns `clip` and `split`, in place of `partition`
        and without `released_labels`. Other clips are excluded. Where it has no
        development set, training actors are held out for it.
    require_both : bool
        Whether training clips need both modalities too.
    open_video : bool
        Whether to open the video files; False if they are not needed, as with
        precomputed visual features.
    num_workers : int
        Threads that check the media; 0 for one per CPU.

    Raises
    ------
    UserError
        If an option is unknown, the folder is not the corpus or lacks a
        table, files are Git LFS pointers, or a split is empty.
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
        "partition": None if split_file else partition,
        "presentation": presentation,
        "released_labels": bool(released_labels),
        "require_both": require_both,
        "open_video": open_video,
        "modalities": modalities_of_copy(data_folder, open_video),
        "tables": [fingerprint(actor_table), fingerprint(label_table)],
        "split_file": split_file and fingerprint(find_split_file(split_file)),
    }
    if is_prepared(save_folder, options):
        return

    actors = read_actors(actor_table)
    if released_labels:
        labels, splits, excluded = read_released(
            label_table, classes, label_rule
        )
    else:
        labels, excluded = read_votes(
            label_table, label_rule, classes, presentation
        )
        splits = split_clips(labels, partition, actors)
    entries = {
        clip: {**label._asdict(), **describe(clip, actors)}
        for clip, label in labels.items()
    }
    held_out = []
    if split_file:
        splits, excluded, held_out = split_by_file(
            split_file, entries, excluded, find_clip
        )
    modalities = options["modalities"]
    files = {clip: media_files(clip, modalities) for clip in splits}
    media, problems, notes = check_media(
        data_folder, files, num_workers, open_video
    )
    manifests, unusable = fill_manifests(
        entries, splits, files, media, require_both, modalities
    )
    write_manifests(
        "CREMA-D",
        save_folder,
        manifests,
        options,
        {**excluded, **unusable},
        problems,
        notes=notes,
        held_out=held_out,
        card={**CARD, "synthetic": (data_folder / MARKER).is_file()},
    )


def modalities_of_copy(data_folder, open_video=True):
    """The modalities of a copy of CREMA-D.

    Arguments
    ---------
    data_folder : str or Path
        The corpus.
    open_video : bool
        False: the visual features do not come from the video files.

    Returns
    -------
    list of str
        "audio" alone for a copy with AudioWAV, and without VideoFlash, where
        that is needed; else both.
    """
    wav, video = (os.path.isdir(Path(data_folder) / f) for f in FOLDERS)
    is_audio = wav and open_video and not video
    return ["audio"] if is_audio else [*MODALITIES]


def _find_tables(
    data_folder, released_labels, partition, label_rule, open_video
):
    """Paths of the table of actors and of the table with the labels."""
    is_audio = modalities_of_copy(data_folder, open_video) == ["audio"]
    folders = FOLDERS if open_video and not is_audio else FOLDERS[:1]
    expected = [*folders, ACTORS] + ([] if released_labels else [VOTES])
    missing = [name for name in expected if not (data_folder / name).exists()]
    if missing == expected:
        raise UserError(
            f"data_folder {data_folder} is not CREMA-D: it has no "
            f"{', '.join(missing)}; use a clone of {SOURCE}"
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
