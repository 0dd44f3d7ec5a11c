"""Names of the turns of MSP-IMPROV, and their media files."""

import os
import re

from auxformer_lobes.dataio.media_check import MediaFiles

PREFIX = "MSP-IMPROV-"
RECORDINGS = {
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
# The preferred suffix first.
_SUFFIXES = {"wav": (".wav",), "video": (".avi", ".mp4")}


def find_clip(name):
    """Canonical clip name for the name of a file.

    File names differ between copies of the corpus: they start with MSP-IMPROV,
    UTD-IMPROV or neither, in upper or lower case.

    Arguments
    ---------
    name : str
        Name of a file, without its folder.

    Returns
    -------
    str or None
        None if the name is not that of a turn.

    Example
    -------
    >>> find_clip("UTD-IMPROV-S01A-F01-P-FM01.avi")
    'MSP-IMPROV-S01A-F01-P-FM01'
    """
    match = _TURN.fullmatch(name)
    return PREFIX + match[1].upper() if match else None


def describe(clip):
    """Manifest fields encoded in a clip's name.

    Arguments
    ---------
    clip : str
        Name of the clip.

    Returns
    -------
    dict
        `spk_id`, `gender`, `recording`, `session`, `target_emotion` and
        `sentence`.

    Example
    -------
    >>> describe("MSP-IMPROV-S01A-F02-P-FM01")["target_emotion"]
    'angry'
    """
    match = _TURN.fullmatch(clip)
    return {
        "spk_id": match[4],
        "gender": GENDERS[match[5]],
        "recording": match[7],
        "session": int(match[6]),
        "target_emotion": TARGETS[match[3]],
        "sentence": int(match[2]),
    }


def find_media(data_folder):
    """Finds the wav and video files anywhere below a folder.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.

    Returns
    -------
    found : dict
        "wav" and "video" -> clip -> path, relative to the folder.
    duplicates : list of str
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
    duplicates = [
        path
        for clips in files.values()
        for paths in clips.values()
        for _, path in sorted(paths)[1:]
    ]
    return found, sorted(duplicates)


def media_files(clip, found):
    """Paths of a clip's wav and video file.

    Arguments
    ---------
    clip : str
        Name of the clip.
    found : dict
        As returned by `find_media`.

    Returns
    -------
    MediaFiles
        Relative to the corpus. A missing file gets a path that does not exist,
        so that it is reported as unusable.
    """
    return MediaFiles(
        found["wav"].get(clip, f"{clip}.wav"),
        found["video"].get(clip, f"{clip}.avi"),
    )


def _walk(data_folder):
    """Yields all files below a folder, following links; each folder once."""
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
