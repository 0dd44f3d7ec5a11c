"""Finds the sound and video files of CREMA-D that cannot be used."""

from multiprocessing.pool import ThreadPool

from auxformer_lobes.dataio import media_check
from auxformer_lobes.processing.media import LFS_POINTER
from auxformer_lobes.utils.errors import UserError

SOUND_FILE = "AudioWAV/{}.wav"
VIDEO_FILE = "VideoFlash/{}.flv"

# Seconds. This is where the published work cuts; sentences last from 1.3 s to
# 5 s.
LONGEST = 12.0


def media_files(clip):
    """Where the files of a clip are.

    Arguments
    ---------
    clip : str
        Name of the clip.

    Returns
    -------
    MediaFiles
        Relative to the corpus.

    Example
    -------
    >>> media_files("1001_IEO_SAD_HI")[0]
    'AudioWAV/1001_IEO_SAD_HI.wav'
    """
    return media_check.MediaFiles(
        SOUND_FILE.format(clip), VIDEO_FILE.format(clip)
    )


def check_media(data_folder, files, num_workers=0, open_video=True):
    """Opens the sound and video files of clips to see which can be used.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    files : dict
        Clip -> `MediaFiles`.
    num_workers : int
        Number of threads; 0 for one a CPU.
    open_video : bool
        Whether to open the video files; if not, they are taken to be as long
        as the sound.

    Returns
    -------
    media : dict
        Clip -> seconds of the wav file and of the video, None if unusable.
    problems : list of dict
        `file` (relative to the corpus) and `reason` for each unusable file.

    Raises
    ------
    UserError
        If there are Git LFS pointers among the files.
    """
    opened = [
        data_folder / file
        for clip_files in files.values()
        for file in clip_files[: 1 + open_video]
    ]
    with ThreadPool(num_workers or None) as pool:
        pointers = sum(pool.map(_is_pointer, opened))
    if pointers:
        raise UserError(
            f"{data_folder}: {pointers:,} of {len(opened):,} sound and "
            "video files are Git LFS pointers, not the media: run "
            "`git lfs pull` in that folder"
        )
    return media_check.check_media(
        data_folder, files, LONGEST, num_workers, open_video
    )


def _is_pointer(path):
    """Whether a file is the text that stands for a file in Git LFS."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER
