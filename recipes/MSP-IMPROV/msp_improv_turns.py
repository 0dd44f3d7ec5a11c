"""What the turns of MSP-IMPROV are called, and where their files are."""

import os
import re

from auxformer_lobes.dataio.media_check import MediaFiles

PREFIX = "MSP-IMPROV-"
CONDITIONS = {
    "P": "natural",
    "R": "target, read",
    "S": "other, improvised",
    "T": "target, improvised",
}
SESSIONS = tuple("123456")
TARGETS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
GENDERS = {"F": "female", "M": "male"}

_TURN = re.compile(
    r"(?:\w+-IMPROV-)?"
    r"(S(\d\d)([AHNS])-(([FM])0([1-6]))-([PRST])-[FM]{2}\d{2,3})"
    r"(?:\.\w+)?",
    re.IGNORECASE,
)
# Kinds of files, the preferred one first.
_SUFFIXES = {"sound": (".wav",), "picture": (".avi", ".mp4")}


def find_clip(name):
    """The turn that a file name speaks of.

    Copies of the corpus differ in how files are called: the sound MSP-IMPROV,
    the video UTD-IMPROV, in capitals or not.

    Arguments
    ---------
    name : str
        Name of a file, without folder.

    Returns
    -------
    str or None
        Name of the clip, None if it is no turn.

    Example
    -------
    >>> find_clip("UTD-IMPROV-S01A-F01-P-FM01.avi")
    'MSP-IMPROV-S01A-F01-P-FM01'
    """
    match = _TURN.fullmatch(name)
    return PREFIX + match[1].upper() if match else None


def describe(clip):
    """What a clip's name says: who speaks, in which scene.

    Arguments
    ---------
    clip : str
        Name of the clip.

    Returns
    -------
    dict
        The fields of a manifest.

    Example
    -------
    >>> describe("MSP-IMPROV-S01A-F02-P-FM01")["target_emotion"]
    'angry'
    """
    match = _TURN.fullmatch(clip)
    return {
        "spk_id": match[4],
        "gender": GENDERS[match[5]],
        "condition": match[7],
        "session": int(match[6]),
        "target_emotion": TARGETS[match[3]],
        "sentence": int(match[2]),
    }


def find_media(data_folder):
    """Finds sound and video files, wherever they are in a folder.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.

    Returns
    -------
    found : dict
        "sound" and "picture" -> clip -> path, relative to the folder.
    spare : list of str
        Further files of the same clips, which are not used.
    """
    files = {kind: {} for kind in _SUFFIXES}
    for path in _walk(data_folder):
        stem, suffix = os.path.splitext(os.path.basename(path))
        clip = find_clip(stem)
        for kind, suffixes in _SUFFIXES.items():
            if clip and suffix.lower() in suffixes:
                rank = suffixes.index(suffix.lower())
                files[kind].setdefault(clip, []).append((rank, path))
    found = {
        kind: {clip: min(paths)[1] for clip, paths in clips.items()}
        for kind, clips in files.items()
    }
    spare = [
        path
        for clips in files.values()
        for paths in clips.values()
        for _, path in sorted(paths)[1:]
    ]
    return found, sorted(spare)


def media_files(clip, found):
    """The files of a clip; one that is missing is looked for in vain.

    Arguments
    ---------
    clip : str
        Name of the clip.
    found : dict
        What `find_media` finds.

    Returns
    -------
    MediaFiles
        Relative to the corpus.
    """
    return MediaFiles(
        found["sound"].get(clip, f"{clip}.wav"),
        found["picture"].get(clip, f"{clip}.avi"),
    )


def _walk(data_folder):
    """All files below a folder, links followed, each folder once."""
    seen = set()
    for folder, folders, files in os.walk(data_folder, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        where = os.path.relpath(folder, data_folder).replace(os.sep, "/")
        for name in files:
            yield name if where == "." else f"{where}/{name}"
