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

import json
import os
from collections import Counter
from pathlib import Path

from crema_d_labels import (
    describe,
    find_released,
    read_actors,
    read_released,
    read_votes,
    split_clips,
)
from crema_d_media import SOUND_FILE, VIDEO_FILE, check_media
from speechbrain.utils.logger import get_logger

from auxformer_lobes.errors import UserError
from auxformer_lobes.files import whole_file
from auxformer_lobes.labels import class_names

logger = get_logger(__name__)

SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D"
FOLDERS = (os.path.dirname(SOUND_FILE), os.path.dirname(VIDEO_FILE))
ACTORS = "VideoDemographics.csv"
VOTES = "processedResults/tabulatedVotes.csv"

SPLITS = ("train", "valid", "test")
REPORT = "prepare_report.json"


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
    classes = class_names(num_classes)
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
        "tables": [_fingerprint(actor_table), _fingerprint(label_table)],
    }
    if _is_prepared(save_folder, options):
        logger.info(f"{save_folder} is up to date, skipping preparation")
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
    facts = {clip: describe(clip, actors) for clip in labels}
    media, problems = check_media(
        data_folder, list(labels), num_workers, open_video
    )

    manifests = {split: {} for split in SPLITS}
    for clip, usable in media.items():
        unusable = usable.count(None)
        allowed = 1 if splits[clip] == "train" and not require_both else 0
        if unusable > allowed:
            why = f"{unusable} of 2 modalities unusable"
            left_out.setdefault(why, []).append(clip)
        else:
            entry = {**_media_fields(clip, usable), **labels[clip]._asdict()}
            manifests[splits[clip]][clip] = {**entry, **facts[clip]}
    _check_splits(manifests, problems)
    report = {
        "options": options,
        "counts": _count(manifests, left_out, problems),
        "left_out": left_out,
        "problems": problems,
    }
    _write(save_folder, manifests, report)
    logger.info(
        f"CREMA-D: {', '.join(f'{len(manifests[s]):,} {s}' for s in SPLITS)} "
        f"clips, {sum(map(len, left_out.values())):,} left out; "
        f"{len(problems)} unusable files, named in {save_folder / REPORT}"
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


def _fingerprint(path):
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def _is_prepared(save_folder, options):
    files = [f"{split}.json" for split in SPLITS] + [REPORT]
    if not all((save_folder / name).is_file() for name in files):
        return False
    done = json.loads((save_folder / REPORT).read_text("utf-8"))
    # Through JSON, because the report went through it: tuples are lists there.
    return done["options"] == json.loads(json.dumps(options))


def _media_fields(clip, media):
    wav = "{data_root}/" + SOUND_FILE.format(clip)
    video = "{data_root}/" + VIDEO_FILE.format(clip)
    return {
        "wav": wav if media.sound else None,
        "video": video if media.picture else None,
        "duration": media.sound or media.picture,
    }


def _check_splits(manifests, problems):
    for split, clips in manifests.items():
        if not clips:
            cure = "choose another partition or label rule"
            if problems:
                cure = (
                    f"{len(problems):,} files are unusable, such as "
                    "{file} ({reason})".format(**problems[0])
                )
            raise UserError(f"CREMA-D: no clip is left for {split}: {cure}")


def _count(manifests, left_out, problems):
    counts = {
        split: Counter(sorted(c["emotion"] or "tie" for c in clips.values()))
        for split, clips in manifests.items()
    }
    counts["left_out"] = {why: len(clips) for why, clips in left_out.items()}
    counts["problems"] = len(problems)
    return counts


def _write(save_folder, manifests, report):
    """Writes all files; the report, which says that they are done, last."""
    save_folder.mkdir(parents=True, exist_ok=True)
    (save_folder / REPORT).unlink(missing_ok=True)
    files = {f"{split}.json": clips for split, clips in manifests.items()}
    for name, content in {**files, REPORT: report}.items():
        with whole_file(save_folder / name) as file:
            json.dump(content, file, indent=2)
