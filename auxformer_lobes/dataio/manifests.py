"""Writes the manifests of a corpus, once: what all preparations share."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

from speechbrain.utils.logger import get_logger

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

logger = get_logger(__name__)

SPLITS = ("train", "valid", "test")
REPORT = "prepare_report.json"


def fingerprint(path):
    """What changes when a file does.

    Arguments
    ---------
    path : pathlib.Path
        The file.

    Returns
    -------
    list
        Path, size in bytes, time of the last change in ns.
    """
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def is_prepared(save_folder, options):
    """Whether a folder holds what these options give.

    Arguments
    ---------
    save_folder : pathlib.Path
        Where the manifests are written.
    options : dict
        Options of the preparation, and fingerprints of what it reads.

    Returns
    -------
    bool
    """
    files = [f"{split}.json" for split in SPLITS] + [REPORT]
    if not all((save_folder / name).is_file() for name in files):
        return False
    done = json.loads((save_folder / REPORT).read_text("utf-8"))
    # Through JSON, because the report went through it: tuples are lists there.
    if done["options"] != json.loads(json.dumps(options)):
        return False
    logger.info(f"{save_folder} is up to date, skipping preparation")
    return True


def read_partition(partition, published, groups, kind):
    """Who is kept for development and test.

    Arguments
    ---------
    partition : int or dict
        1 to 5, the published ones, or two lists, `valid` and `test`.
    published : pathlib.Path
        JSON file of the published ones.
    groups : collection of str
        All speakers or sessions of the corpus.
    kind : str
        What they are: "actor", "session".

    Returns
    -------
    dict
        Group -> "valid" or "test"; who is missing trains.

    Raises
    ------
    UserError
        If there is no such partition.

    Example
    -------
    >>> partition = {"valid": [4], "test": [5]}
    >>> read_partition(partition, None, ["4", "5", "6"], "session")
    {'4': 'valid', '5': 'test'}
    """
    if isinstance(partition, Mapping):
        _check_partition(partition, groups, kind)
        held_out = partition
    else:
        known = json.loads(published.read_text("utf-8"))["partitions"]
        if str(partition) not in known:
            raise UserError(
                f"partition {partition!r} is unknown: choose 1 to 5, or give "
                f"lists of {kind}s, `valid` and `test`"
            )
        held_out = known[str(partition)]
    return {
        str(group): split
        for split, listed in held_out.items()
        for group in listed
    }


def _check_partition(partition, groups, kind):
    for split, listed in partition.items():
        if not isinstance(listed, (list, tuple)):
            example = ", ".join(sorted(groups)[:2])
            raise UserError(
                f"partition: the {kind}s of {split} are {listed!r}, not a "
                f"list: write [{example}]"
            )
    if set(partition) != {"valid", "test"}:
        raise UserError(
            f"partition: give the {kind}s of `valid` and of `test`, not of "
            f"{', '.join(map(str, partition)) or 'none'}"
        )
    valid, test = (set(map(str, partition[s])) for s in ("valid", "test"))
    if valid & test:
        raise UserError(
            f"partition: {kind} {min(valid & test)} is in `valid` and `test`"
        )
    unknown = (valid | test) - set(groups)
    if unknown:
        raise UserError(f"partition: the corpus has no {kind} {min(unknown)}")


def fill_manifests(entries, splits, files, media, require_both):
    """Puts clips into manifests, those that can be used.

    A clip with one usable modality is kept for training; selection and test
    are on clips that have both.

    Arguments
    ---------
    entries : dict
        Clip -> its fields, but for those of the media.
    splits : dict
        Clip -> "train", "valid" or "test".
    files : dict
        Clip -> `MediaFiles`.
    media : dict
        Clip -> seconds of the wav file and of the video, None if unusable.
    require_both : bool
        Whether training clips need both modalities too.

    Returns
    -------
    manifests : dict
        Split -> clip -> entry, with `wav`, `video` and `duration`.
    left_out : dict
        Reason -> list of clips.
    """
    manifests = {split: {} for split in SPLITS}
    left_out = defaultdict(list)
    for clip, usable in media.items():
        unusable = usable.count(None)
        allowed = 1 if splits[clip] == "train" and not require_both else 0
        if unusable > allowed:
            left_out[f"{unusable} of 2 modalities unusable"].append(clip)
            continue
        wav, video = (
            None if seconds is None else f"{{data_root}}/{file}"
            for file, seconds in zip(files[clip], usable)
        )
        manifests[splits[clip]][clip] = {
            "wav": wav,
            "video": video,
            "duration": next(filter(None, usable)),  # s, audio first
            **entries[clip],
        }
    return manifests, dict(left_out)


def write_manifests(
    corpus, save_folder, manifests, options, left_out, problems, **facts
):
    """Writes the manifests and the report on them, and says so.

    The report, which says that the manifests are done, is written last.

    Arguments
    ---------
    corpus : str
        Its name.
    save_folder : pathlib.Path
        Where to write.
    manifests : dict
        Split -> clip -> entry.
    options : dict
        What `is_prepared` is given.
    left_out : dict
        Reason -> list of clips.
    problems : list of dict
        `file` and `reason` for each unusable file.
    **facts
        What else the report says.

    Raises
    ------
    UserError
        If a split has no clip.
    """
    _check_splits(corpus, manifests, problems)
    report = {
        "options": options,
        "counts": _count(manifests, left_out, problems),
        "left_out": left_out,
        "problems": problems,
        **facts,
    }
    save_folder.mkdir(parents=True, exist_ok=True)
    (save_folder / REPORT).unlink(missing_ok=True)
    files = {f"{split}.json": clips for split, clips in manifests.items()}
    for name, content in {**files, REPORT: report}.items():
        with atomic_write(save_folder / name) as file:
            json.dump(content, file, indent=2)
    logger.info(
        f"{corpus}: {', '.join(f'{len(manifests[s]):,} {s}' for s in SPLITS)} "
        f"clips, {sum(map(len, left_out.values())):,} left out; "
        f"{len(problems)} unusable files, named in {save_folder / REPORT}"
    )


def _check_splits(corpus, manifests, problems):
    for split, clips in manifests.items():
        if not clips:
            cure = "choose another partition or label rule"
            if problems:
                cure = (
                    f"{len(problems):,} files are unusable, such as "
                    "{file} ({reason})".format(**problems[0])
                )
            raise UserError(f"{corpus}: no clip is left for {split}: {cure}")


def _count(manifests, left_out, problems):
    counts = {
        split: Counter(
            sorted(c["emotion"] or "no class" for c in clips.values())
        )
        for split, clips in manifests.items()
    }
    counts["left_out"] = {why: len(clips) for why, clips in left_out.items()}
    counts["problems"] = len(problems)
    return counts
