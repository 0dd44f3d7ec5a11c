"""Media files of a folder tree."""

import os
from typing import NamedTuple

AUDIO_SUFFIXES = (
    *(".wav", ".w64", ".aif", ".aiff", ".aifc", ".au", ".caf", ".flac", ".wv"),
    *(".ape", ".mp2", ".mp3", ".m4a", ".m4b", ".aac", ".ac3", ".eac3", ".amr"),
    *(".awb", ".wma", ".ogg", ".oga", ".opus", ".spx", ".mka"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".ogv"),
    *(".avi", ".divx", ".flv", ".f4v", ".wmv", ".asf", ".mpg", ".mpeg", ".vob"),
    *(".ts", ".mts", ".m2ts", ".mxf", ".dv", ".rm", ".rmvb"),
)
# Written by file managers into every folder. Those of macOS are hidden.
IGNORED = ("thumbs.db", "desktop.ini", "icon\r")


class FolderTree(NamedTuple):
    """Files of a folder and its subfolders; hidden ones are ignored.

    Arguments
    ---------
    media : list of str
        Audio and video files, by their suffixes, sorted.
    others : list of str
        Files with other suffixes, sorted.
    unreadable : dict
        Folder -> why it cannot be listed.
    """

    media: list
    others: list
    unreadable: dict


def read_tree(folder):
    """Lists a folder tree. Links are followed; each folder is listed once.

    Arguments
    ---------
    folder : str or Path
        The folder.

    Returns
    -------
    FolderTree

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("b.MP4", "a.wav", "notes.txt", "._a.wav", "Thumbs.db"):
    ...     (folder / name).touch()
    >>> tree = read_tree(folder)
    >>> [os.path.basename(path) for path in tree.media + tree.others]
    ['a.wav', 'b.MP4', 'notes.txt']
    """
    tree, visited = FolderTree([], [], {}), set()

    def _note(error):
        tree.unreadable[error.filename] = error.strerror

    for here, folders, names in os.walk(
        folder, onerror=_note, followlinks=True
    ):
        if os.path.realpath(here) in visited:  # links may form circles
            folders.clear()
            continue
        visited.add(os.path.realpath(here))
        folders[:] = sorted(x for x in folders if not x.startswith("."))
        for name in names:
            path = os.path.join(here, name)
            if name.startswith(".") or name.lower() in IGNORED:
                continue
            if os.path.isfile(path):  # no broken link, pipe or device
                suffixes = AUDIO_SUFFIXES + VIDEO_SUFFIXES
                is_media = name.lower().endswith(suffixes)
                (tree.media if is_media else tree.others).append(path)
    return FolderTree(sorted(tree.media), sorted(tree.others), tree.unreadable)


def is_audio(path):
    """Whether a media file is of audio only, by its suffix.

    Arguments
    ---------
    path : str
        The file.

    Returns
    -------
    bool
    """
    return path.lower().endswith(AUDIO_SUFFIXES)
