"""Manifests of a corpus: splits, entries and the preparation report."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping

from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.run import SPLITS, Run
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write
from auxformer_lobes.utils.modalities import MODALITIES

logger = get_logger(__name__)


def fingerprint(path):
    """Path, size in bytes and modification time in ns of a file.

    Arguments
    ---------
    path : pathlib.Path
        The file.

    Returns
    -------
    list
        Differs once the file has changed.
    """
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def is_prepared(save_folder, options):
    """Whether a folder holds the manifests for these options already.

    Arguments
    ---------
    save_folder : pathlib.Path
        Folder of the manifests.
    options : dict
        Options of the preparation, with the fingerprints of the tables that
        it reads.

    Returns
    -------
    bool
    """
    run = Run(save_folder)
    files = [run.prepare_report, *map(run.manifest, SPLITS)]
    if not all(file.is_file() for file in files):
        return False
    try:
        done = run.read_json(run.prepare_report, "prepare again")
        for split in SPLITS:
            run.read_json(run.manifest(split), "prepare again")
    except UserError as error:  # damaged: they are written anew
        logger.warning(error)
        return False
    # Compared as JSON, which has no tuples.
    if done.get("options") != json.loads(json.dumps(options)):
        return False
    logger.info(f"{save_folder} is up to date, skipping preparation")
    return True


def read_manifest(path):
    """Reads a manifest as data.

    Arguments
    ---------
    path : str or Path
        JSON file that a preparation wrote, or of the user's own.

    Returns
    -------
    dict
        Clip -> entry.

    Raises
    ------
    UserError
        If it is missing or damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}")
    except ValueError as error:
        raise UserError(
            f"{path}: not JSON ({error}): name a manifest prepared by a "
            "recipe, such as train.json"
        )
    if not isinstance(manifest, dict):
        raise UserError(
            f"{path}: not a manifest: name one prepared by a recipe, such as "
            "train.json"
        )
    return manifest


def read_partition(partition, published, groups, kind):
    """Speakers or sessions held out for the development and test sets.

    Arguments
    ---------
    partition : int or dict
        Number of a published partition, or lists `valid` and `test`.
    published : pathlib.Path
        JSON file of the published partitions.
    groups : collection of str
        All speakers or sessions of the corpus.
    kind : str
        "actor" or "session", for errors.

    Returns
    -------
    dict
        Group -> "valid" or "test"; all other groups train.

    Raises
    ------
    UserError
        If the partition is unknown, not two disjoint lists, or names a group
        that the corpus lacks.

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


def fill_manifests(
    entries, splits, files, media, require_both, modalities=MODALITIES
):
    """Distributes the usable clips over the three manifests.

    Training keeps clips with one usable modality; the development and test
    sets need all that the corpus has.

    Arguments
    ---------
    entries : dict
        Clip -> manifest fields other than `wav`, `video`, `duration`.
    splits : dict
        Clip -> "train", "valid" or "test"; or a list of them, since some
        published splits repeat clips.
    files : dict
        Clip -> `MediaFiles`.
    media : dict
        Clip -> seconds of the wav file and of the video, None if unusable.
    require_both : bool
        Whether training clips need both modalities too.
    modalities : collection of str
        Those that the corpus has.

    Returns
    -------
    manifests : dict
        Split -> clip -> entry.
    excluded : dict
        Reason -> list of clips.
    """
    manifests = {split: {} for split in SPLITS}
    excluded = defaultdict(list)
    count = len(modalities)
    for clip, usable in media.items():
        # What the corpus lacks is unusable in every clip.
        unusable = usable.count(None) - (len(MODALITIES) - count)
        chosen = splits[clip]
        kept = [
            split
            for split in ([chosen] if isinstance(chosen, str) else chosen)
            if unusable == 0
            or (split == "train" and unusable < count and not require_both)
        ]
        if not kept:
            reason = f"{unusable} of {count} modalities unusable"
            excluded[reason if count > 1 else "unusable"].append(clip)
            continue
        wav, video = (
            None if seconds is None else _in_manifest(file)
            for file, seconds in zip(files[clip], usable)
        )
        for split in kept:
            manifests[split][clip] = {
                "wav": wav,
                "video": video,
                "duration": next(filter(None, usable)),  # s, audio first
                **entries[clip],
            }
    return manifests, dict(excluded)


def _in_manifest(file):
    """A file of the corpus as a manifest names it, or one elsewhere."""
    return file if os.path.isabs(file) else f"{{data_root}}/{file}"


def write_manifests(
    corpus, save_folder, manifests, options, excluded, problems, **facts
):
    """Writes the manifests and the report, and logs the counts.

    The report is written last: it marks the manifests as complete.

    Arguments
    ---------
    corpus : str
        Name of the corpus.
    save_folder : pathlib.Path
        Folder of the manifests.
    manifests : dict
        Split -> clip -> entry.
    options : dict
        As in `is_prepared`.
    excluded : dict
        Reason -> list of clips.
    problems : list of dict
        `file` and `reason` of each unusable file.
    **facts
        Further fields of the report.

    Raises
    ------
    UserError
        If a split is empty.
    """
    _check_splits(corpus, manifests, problems)
    report = {
        "options": options,
        "counts": _count(manifests, excluded, problems),
        "excluded": excluded,
        "problems": problems,
        **facts,
    }
    run = Run(save_folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.prepare_report.unlink(missing_ok=True)
    files = {run.manifest(split): clips for split, clips in manifests.items()}
    for path, content in {**files, run.prepare_report: report}.items():
        with atomic_write(path) as file:
            json.dump(content, file, indent=2)
    logger.info(
        f"{corpus}: {', '.join(f'{len(manifests[s]):,} {s}' for s in SPLITS)} "
        f"clips, {sum(map(len, excluded.values())):,} excluded; "
        f"{len(problems)} unusable files, see {run.prepare_report}"
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
            raise UserError(f"{corpus}: no clip left in {split}: {cure}")


def _count(manifests, excluded, problems):
    counts = {
        split: Counter(
            sorted(c["emotion"] or "no class" for c in clips.values())
        )
        for split, clips in manifests.items()
    }
    counts["excluded"] = {why: len(clips) for why, clips in excluded.items()}
    counts["problems"] = len(problems)
    return counts
