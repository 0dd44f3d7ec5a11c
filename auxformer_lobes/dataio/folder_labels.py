"""Labels that the names of folders and files give away."""

import re
from collections import defaultdict
from difflib import get_close_matches
from typing import NamedTuple

from auxformer_lobes.dataio.name_schemes import EMOTION_WORDS, emotion_of
from auxformer_lobes.dataio.split_names import SPLIT_NAMES

_GENDERS = {
    **dict.fromkeys(("female", "females", "women", "woman", "f"), "female"),
    **dict.fromkeys(("male", "males", "men", "man", "m"), "male"),
}
_MEDIA = dict.fromkeys(
    "audio audios audiowav audiomp3 wav wavs mp3 flac video videos videoflash "
    "visual mp4 avi flv media".split(),
    "media",
)
# Names of folders of which all must be known.
_VOCABULARIES = {"split": SPLIT_NAMES, "gender": _GENDERS, "media": _MEDIA}
_SPEAKER = re.compile(
    r"(speaker|spk|actor|subject|subj|sub|participant|person|s|p|id)"
    r"[-_ ]?\d+$",
    re.I,
)
# A name, or its letters and numbers, before a number: anna_001, spk12-3.
_PREFIX = re.compile(r"([^\W\d_]+\d*)[-_ ]+.*\d")
_UNKNOWN_SPEAKER = (
    "not recognised: fill in the column, one name per person: clips of a person "
    "in both training and test would make results look better than they are"
)
SHOWN = 5  # names of a level
_NO_SPEAKER = set(
    "audio clip clips file img mov movie rec record recording sample segment "
    "seg sentence take track utt utterance vid video wav dsc".split()
)


class FolderLabels(NamedTuple):
    """Labels of files, and why they have them.

    Arguments
    ---------
    labels : dict
        File -> labels, by column.
    places : dict
        File -> its folders and name without suffix, apart from folders such
        as `audio` and `video`: the same for the files of a clip.
    reasons : dict
        Column -> where it was recognised, or that it was not.
    """

    labels: dict
    places: dict
    reasons: dict


def label_by_folders(paths):
    """Labels files by the names of their folders, or by their own names.

    A level of folders has one meaning for all files: the emotion where at
    least half of its folders have the name of one; split, gender or medium
    where all have. The speaker is the one level of several folders that is
    left, if there is an emotion, or the folders are numbered like speakers.

    Arguments
    ---------
    paths : list of str
        Paths of files in the tree, with "/" between folders.

    Returns
    -------
    FolderLabels

    Example
    -------
    >>> paths = ["anna/joy/1.wav", "anna/fear/1.wav", "ben/joy/1.wav"]
    >>> found = label_by_folders(paths)
    >>> found.labels["anna/joy/1.wav"]
    {'emotion': 'happy', 'speaker': 'anna'}
    >>> found.reasons["emotion"], found.reasons["speaker"]
    ('folders of level 2 (fear, joy)', 'folders of level 1 (anna, ben)')
    """
    if not paths:
        return FolderLabels({}, {}, {})
    parts = {path: path.split("/")[:-1] for path in paths}
    levels = [
        {
            path: folders[i]
            for path, folders in parts.items()
            if i < len(folders)
        }
        for i in range(max(map(len, parts.values())))
    ]
    roles = _find_roles(levels, len(paths))
    reasons = {
        role: f"folders of level {level + 1} ({_some(levels[level])})"
        for role, level in roles.items()
        if role != "media"
    }
    if "emotion" in roles:
        reasons["emotion"] += _unknown(levels[roles["emotion"]].values())
    labels = {
        path: {
            role: _READERS[role](folders[level])
            for role, level in roles.items()
            if role != "media" and level < len(folders)
        }
        for path, folders in parts.items()
    }
    places = {}
    for path, folders in parts.items():
        kept = [x for i, x in enumerate(folders) if i != roles.get("media")]
        places[path] = "/".join([*kept, _stem(path)])
    if "emotion" not in roles:
        reasons["emotion"] = _find_emotions_in_names(labels)
    if "speaker" not in roles:
        reasons["speaker"] = _find_speakers_in_names(labels)
    return FolderLabels(labels, places, reasons)


def _find_roles(levels, count):
    """Role -> level of folders that has it."""
    roles, free = {}, []
    share = [0.0] * len(levels)
    for level, folders in enumerate(levels):
        names = {*folders.values()}
        for role, words in _VOCABULARIES.items():
            if all(x.lower() in words for x in names) and role not in roles:
                roles[role] = level
                break
        else:
            free.append(level)
            known = [name for name in names if emotion_of(name)]
            share[level] = len(known) / len(names)
    # A speaker may be called Joy: most names of the level decide.
    best = max(free, key=lambda level: (share[level], level), default=None)
    if best is not None and share[best] >= 0.5:
        roles["emotion"] = best
        free.remove(best)
    # Of all files, or it would tell the speakers of some.
    free = [level for level in free if len(levels[level]) == count]
    numbered = [x for x in free if all(map(_SPEAKER.match, levels[x].values()))]
    several = [x for x in free if len({*levels[x].values()}) > 1]
    if len(numbered) == 1:
        roles["speaker"] = numbered[0]
    elif len(several) == 1 and "emotion" in roles:
        roles["speaker"] = several[0]
    return roles


def _unknown(names):
    """Names of emotions that may be misspelt, for the end of a sentence."""
    texts = []
    for name in sorted({name for name in names if not emotion_of(name)}):
        near = get_close_matches(name.lower(), EMOTION_WORDS, n=1)
        texts.append(name + (f" (did you mean {near[0]}?)" if near else ""))
    return f"; kept though not known: {', '.join(texts)}" if texts else ""


def _find_emotions_in_names(labels):
    """Labels files that all have an emotion in their names; says so."""
    found = {path: emotion_of(_stem(path)) for path in labels}
    if not all(found.values()):
        return "not recognised: fill in the column"
    for path, emotion in found.items():
        labels[path]["emotion"] = emotion
    return f"names of files, such as {_stem(next(iter(found)))}"


def _find_speakers_in_names(labels):
    """Labels files that evidently begin with the speaker; says so."""
    found, emotions = {}, defaultdict(set)
    for path, known in labels.items():
        match = _PREFIX.match(_stem(path))
        prefix = match[1] if match else ""
        if not match or prefix.lower() in _NO_SPEAKER or emotion_of(prefix):
            return _UNKNOWN_SPEAKER
        found[path] = prefix
        emotions[prefix].add(known.get("emotion"))
    # A prefix of one emotion, or of one file, may be anything.
    several = len(emotions) > 1 and min(map(len, emotions.values())) > 1
    if not (several or all(map(_SPEAKER.match, emotions))):
        return _UNKNOWN_SPEAKER
    for path, prefix in found.items():
        labels[path]["speaker"] = prefix
    return f"guessed from the names of files ({_some(found)}): check it"


def _stem(path):
    return path.rpartition("/")[2].rpartition(".")[0]


def _some(names_of):
    """The first names of a level, in brackets of a sentence."""
    names = sorted({*names_of.values()})
    return ", ".join([*names[:SHOWN], *["…"] * (len(names) > SHOWN)])


def _read_emotion(name):
    # A further class, in a level of emotions.
    return emotion_of(name) or name.lower()


_READERS = {
    "emotion": _read_emotion,
    "speaker": str,
    "split": lambda name: SPLIT_NAMES[name.lower()],
    "gender": lambda name: _GENDERS[name.lower()],
}
