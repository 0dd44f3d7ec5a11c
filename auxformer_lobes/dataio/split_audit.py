"""Audit of a split: what leaks from the test set into training and selection.

Public splits of this field share speakers between training and test, or use
the test set as the development set. Scores on them are too high, and cannot be
compared with scores on other splits.
"""

import os
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from itertools import combinations

from auxformer_lobes.dataio.run import SPLITS
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import fingerprint
from auxformer_lobes.utils.segments import split_segment

LEVELS = ("error", "warning", "note")
MAX_EXAMPLES = 5
SAMPLE = 256  # bytes
MEDIA = ("wav", "video")  # keys of a manifest entry
TITLES = {"train": "train", "valid": "development", "test": "test"}


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Arguments
    ---------
    level : str
        "error" (a leak, or no training on a class), "warning" or "note".
    kind : str
        What it is, for programs, such as "speaker_overlap".
    text : str
        One sentence.
    examples : list of str
        Up to five.
    """

    level: str
    kind: str
    text: str
    examples: list


@dataclass(frozen=True)
class SplitAudit:
    """The result of an audit.

    Arguments
    ---------
    findings : list of Finding
        Errors first.
    splits : dict
        Split -> `clips`, `minutes` (None if unknown), `speakers` (names),
        `gender` and `classes` (name -> clips).
    class_distance : float or None
        Total variation between the classes of train and test, 0 to 1; None
        without classes.
    """

    findings: list
    splits: dict
    class_distance: float

    def of_level(self, level):
        """Findings of one level.

        Arguments
        ---------
        level : str
            One of `LEVELS`.

        Returns
        -------
        list of Finding
        """
        return [found for found in self.findings if found.level == level]

    def as_dict(self):
        """The content of `audit.json`, but for what the run adds.

        Returns
        -------
        dict
        """
        return asdict(self)


def audit_split(manifests, data_root=None, classes=None):
    """Audits a split.

    Arguments
    ---------
    manifests : dict
        "train", "valid" and "test" -> clip -> manifest entry. Of an entry,
        `spk_id` is needed; `wav`, `video`, `duration`, `gender`, `sentence`
        and `emotion` are read where there are any.
    data_root : str, optional
        What `{data_root}` in file names stands for; without it, media are not
        compared.
    classes : sequence of str, optional
        The classes that clips should have; by default those of any clip. Empty
        for a task without classes.

    Returns
    -------
    SplitAudit

    Raises
    ------
    UserError
        If an entry has no `spk_id`, or an `emotion` that is no name.

    Example
    -------
    >>> anna, ben = {"spk_id": "anna"}, {"spk_id": "ben"}
    >>> split = {
    ...     "train": {"1": anna, "2": ben},
    ...     "valid": {},
    ...     "test": {"3": ben},
    ... }
    >>> for found in audit_split(split).findings:
    ...     print(found.level, found.text)
    error 1 of 1 speakers of test is in train too
    warning there is no development set to select the best epoch on
    """
    _check_entries(manifests)
    if classes is None:
        classes = sorted({*_values(manifests, "emotion")})
    findings = [
        *_empty_splits(manifests),
        *_overlaps(manifests),
        *_media_overlaps(manifests, data_root),
        *_lacking_classes(manifests, classes),
        *_shared_sentences(manifests),
    ]
    splits = {split: _describe(clips) for split, clips in manifests.items()}
    return SplitAudit(
        sorted(findings, key=lambda found: LEVELS.index(found.level)),
        splits,
        total_variation(*(splits[s]["classes"] for s in ("train", "test"))),
    )


def total_variation(one, other):
    """Total variation distance between two distributions.

    Arguments
    ---------
    one : dict
        Name -> count.
    other : dict
        Name -> count.

    Returns
    -------
    float or None
        From 0 (the same) to 1 (disjoint); None if one of them is empty.

    Example
    -------
    >>> total_variation({"angry": 1, "sad": 1}, {"angry": 8})
    0.5
    """
    sums = sum(one.values()), sum(other.values())
    if not all(sums):
        return None
    return 0.5 * sum(
        abs(one.get(name, 0) / sums[0] - other.get(name, 0) / sums[1])
        for name in {*one, *other}
    )


def _check_entries(manifests):
    for split, clips in manifests.items():
        for clip, entry in clips.items():
            if not isinstance(entry, dict) or entry.get("spk_id") is None:
                raise UserError(
                    f"{split} manifest: clip {clip} has no spk_id: an audit "
                    "needs the speaker of each clip"
                )
            if not isinstance(entry.get("emotion"), (str, type(None))):
                raise UserError(
                    f"{split} manifest: clip {clip} has the emotion "
                    f"{entry['emotion']!r}: name one class, or null"
                )


def _values(manifests, key):
    """The values of a field, of all clips that have one."""
    for clips in manifests.values():
        for entry in clips.values():
            if entry.get(key) is not None:
                yield entry[key]


def _speakers(clips):
    return {str(entry["spk_id"]) for entry in clips.values()}


def _finding(level, kind, text, examples=()):
    return Finding(level, kind, text, sorted(examples)[:MAX_EXAMPLES])


def _empty_splits(manifests):
    for split in ("train", "test"):
        if not manifests[split]:
            text = f"there is no clip in {split}"
            yield _finding("error", "empty_split", text)
    if not manifests["valid"]:
        yield _finding(
            "warning",
            "no_development_set",
            "there is no development set to select the best epoch on",
        )


def _overlaps(manifests):
    """Speakers and clips that two splits share."""
    for one, other in combinations(SPLITS, 2):
        first, second = manifests[one], manifests[other]
        pair = {one, other}
        if second and pair == {"valid", "test"} and {*first} == {*second}:
            yield _finding(
                "error",
                "development_is_test",
                f"the development set is the test set ({len(second):,} of "
                f"{len(second):,} clips): the best epoch is selected on the "
                "test set",
                second,
            )
            continue  # all else that they share follows from that
        clips = {*first} & {*second}
        if clips and pair == {"valid", "test"}:
            yield _finding(
                "error",
                "test_clips_in_selection",
                f"{_are(len(clips), len(second), 'clip', 'test')} in the "
                "development set too: the best epoch is selected on test "
                "clips",
                clips,
            )
        elif clips:
            text = _are(len(clips), len(second), "clip", TITLES[other])
            yield _finding(
                "error", "clip_overlap", f"{text} in {TITLES[one]} too", clips
            )
        speakers = _speakers(first) & _speakers(second)
        if speakers:
            known = len(_speakers(second))
            text = _are(len(speakers), known, "speaker", TITLES[other])
            yield _finding(
                "error",
                "speaker_overlap",
                f"{text} in {TITLES[one]} too",
                speakers,
            )


def _are(count, total, noun, split):
    verb = "is" if count == 1 else "are"
    return f"{count:,} of {total:,} {noun}s of {split} {verb}"


def _media_overlaps(manifests, data_root):
    """The same media file under the names of different clips."""
    if data_root is None:
        return
    for key in MEDIA:
        crossing, within = [], []
        for clips in _same_files(manifests, key, data_root):
            example = " = ".join(sorted(clips))
            # A clip in several splits is found by its name already.
            splits = {split for found in clips.values() for split in found}
            alone = all(found == splits for found in clips.values())
            (within if alone else crossing).append(example)
        if crossing:
            yield _finding(
                "error",
                "media_overlap",
                f"{_files(len(crossing), key)} under different clip names in "
                "different splits",
                crossing,
            )
        if within:
            yield _finding(
                "note",
                "duplicate_media",
                f"{_files(len(within), key)} under different clip names "
                "within a split",
                within,
            )


def _files(count, key):
    return f"{count:,} {key} file{' is' if count == 1 else 's are'} there"


def _same_files(manifests, key, data_root):
    """Yields clip -> splits, of the clips that have the same file."""
    splits_of, files = defaultdict(set), {}
    for split, clips in manifests.items():
        for clip, entry in clips.items():
            if isinstance(entry.get(key), str):
                splits_of[clip].add(split)
                path = entry[key].replace("{data_root}", str(data_root))
                files[clip] = path
    candidates = defaultdict(list)
    for clip, path in files.items():
        # Preparation and extraction report missing files.
        if sample := _sample(path):
            candidates[sample].append(clip)
    for clips in candidates.values():
        if len(clips) == 1:
            continue
        same = defaultdict(list)
        for clip in clips:
            same[fingerprint(files[clip])].append(clip)
        for found in same.values():
            if len(found) > 1:
                yield {clip: splits_of[clip] for clip in found}


def _sample(path):
    """Size, times and middle of a file, which differ in most; None if it is empty.

    A fingerprint costs 20 times as much.
    """
    try:
        whole, *times = split_segment(path)
        with open(whole, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size // 2)
            return (size, *times, file.read(SAMPLE)) if size else None
    except (OSError, ValueError):  # such as a name with a NUL
        return None


def _lacking_classes(manifests, classes):
    for split, clips in manifests.items():
        counts = Counter(entry.get("emotion") for entry in clips.values())
        lacking = [name for name in classes if not counts[name]]
        if lacking and clips:
            yield _finding(
                "error" if split == "train" else "warning",
                "missing_class",
                f"{TITLES[split]} has no clip of {', '.join(lacking)}",
                lacking,
            )
    found = defaultdict(set)
    for clips in manifests.values():
        for entry in clips.values():
            found[str(entry["spk_id"])].add(entry.get("emotion"))
    pairs = [
        f"{speaker}: {name}"
        for speaker, present in found.items()
        for name in classes
        if name not in present
    ]
    if pairs:
        speakers = len({pair.split(": ")[0] for pair in pairs})
        verb = "lacks" if speakers == 1 else "lack"
        yield _finding(
            "note",
            "speaker_lacks_class",
            f"{speakers:,} of {len(found):,} speakers {verb} clips of a class "
            f"({len(pairs):,} of {len(found) * len(classes):,} combinations)",
            pairs,
        )


def _shared_sentences(manifests):
    train, test = (
        {*map(str, _values({split: manifests[split]}, "sentence"))}
        for split in ("train", "test")
    )
    if shared := train & test:
        yield _finding(
            "note",
            "shared_sentences",
            f"{_are(len(shared), len(test), 'sentence', 'test')} in train "
            "too: scores on new sentences would be lower",
            shared,
        )


def _describe(clips):
    """The row of a split in the tables of an audit."""
    seconds = [entry.get("duration") for entry in clips.values()]
    known = [s for s in seconds if isinstance(s, (int, float))]
    return {
        "clips": len(clips),
        "minutes": round(sum(known) / 60, 1) if known else None,
        "speakers": sorted(_speakers(clips)),
        "gender": _count(clips, "gender"),
        "classes": _count(clips, "emotion"),
    }


def _count(clips, key):
    values = sorted(map(str, _values({"": clips}, key)))
    return dict(Counter(values))
