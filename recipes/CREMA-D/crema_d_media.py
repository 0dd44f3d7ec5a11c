"""Locates the wav and video files of CREMA-D and finds the unusable ones."""

from multiprocessing.pool import ThreadPool

from auxformer_lobes.dataio import media_check
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import is_lfs_pointer
from auxformer_lobes.utils.modalities import MODALITIES

WAV_FILE = "AudioWAV/{}.wav"
VIDEO_FILE = "VideoFlash/{}.flv"

# The published work truncates here; the sentences last 1.3 s to 5 s.
MAX_SECONDS = 12.0


def media_files(clip, modalities=MODALITIES):
    """Paths of a clip's wav and video file.

    Arguments
    ---------
    clip : str
        Name of the clip.
    modalities : collection of str
        Those that the copy of the corpus has files of.

    Returns
    -------
    MediaFiles
        Relative to the corpus; None for a modality that it lacks.

    Example
    -------
    >>> media_files("1001_IEO_SAD_HI")[0]
    'AudioWAV/1001_IEO_SAD_HI.wav'
    """
    files = dict(zip(MODALITIES, (WAV_FILE, VIDEO_FILE)))
    return media_check.MediaFiles(
        *(
            file.format(clip) if modality in modalities else None
            for modality, file in files.items()
        )
    )


def check_media(data_folder, files, num_workers=0, open_video=True):
    """Opens all media files to find the unusable ones.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    files : dict
        Clip -> `MediaFiles`.
    num_workers : int
        Number of threads; 0 for one per CPU.
    open_video : bool
        Whether to open the video files; if not, they count as usable and as
        long as the wav files.

    Returns
    -------
    media : dict
        Clip -> seconds of the wav file and of the video, None if unusable.
    problems : list of dict
        `file` (relative to the corpus) and `reason` of each unusable file.
    notes : list of dict
        `file` and `note` of each other file that has one.

    Raises
    ------
    UserError
        If files are Git LFS pointers.
    """
    opened = [
        data_folder / file
        for clip_files in files.values()
        for file in clip_files[: 1 + open_video]
        if file is not None
    ]
    with ThreadPool(num_workers or None) as pool:
        pointers = sum(pool.map(_is_pointer, opened))
    if pointers:
        raise UserError(
            f"{data_folder}: {pointers:,} of {len(opened):,} media files are "
            "Git LFS pointers: run `git lfs pull` in that folder"
        )
    return media_check.check_media(
        data_folder, files, MAX_SECONDS, num_workers, open_video
    )


def _is_pointer(path):
    """Whether a file is there, as a Git LFS pointer."""
    return path.is_file() and is_lfs_pointer(path)
