"""Finds the sound and video files of CREMA-D that cannot be used.

The distributed corpus has a few broken files, and a copy of it often has some
more. Each file is opened and measured: a list of known cases would miss what
a download damages.
"""

from multiprocessing.pool import ThreadPool
from typing import NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features.media import (
    LFS_POINTER,
    picture_seconds,
    read_audio,
)

SOUND_FILE = "AudioWAV/{}.wav"
VIDEO_FILE = "VideoFlash/{}.flv"

# Seconds. The longest is where the published work cuts; sentences last from
# 1.3 s to 5 s.
SHORTEST, LONGEST = 0.3, 12.0
SAMPLE_RATE = 16000  # Hz
# Peak to peak, full scale being 2: 60 dB below it, which is under the quietest
# speech and above the noise of an empty recording.
SILENCE = 0.002


class Media(NamedTuple):
    """Seconds of sound and of picture in a clip, None where unusable.

    Arguments
    ---------
    sound : float or None
        Duration of the sound file.
    picture : float or None
        Time from the first to the last frame of the video file.
    """

    sound: Optional[float]
    picture: Optional[float]


def check_media(data_folder, clips, num_workers=0, open_video=True):
    """Opens the sound and video files of clips to see which can be used.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    clips : list of str
        Names of the clips.
    num_workers : int
        Number of threads; 0 for one a CPU.
    open_video : bool
        Whether to open the video files; if not, they are taken to be as long
        as the sound.

    Returns
    -------
    media : dict
        Clip -> `Media`.
    problems : list of dict
        `file` (relative to the corpus) and `reason` for each unusable file.

    Raises
    ------
    UserError
        If there are Git LFS pointers among the files.
    """
    files = [
        data_folder / pattern.format(clip)
        for clip in clips
        for pattern in [SOUND_FILE] + [VIDEO_FILE] * open_video
    ]
    with ThreadPool(num_workers or None) as pool:
        pointers = sum(pool.map(_is_pointer, files))
        if pointers:
            raise UserError(
                f"{data_folder}: {pointers:,} of {len(files):,} sound and "
                "video files are Git LFS pointers, not the media: run "
                "`git lfs pull` in that folder"
            )
        jobs = pool.imap(
            lambda clip: check_clip(data_folder, clip, open_video), clips
        )
        checked = list(
            tqdm(jobs, "checking sound and video", len(clips), unit="clip")
        )
    media = {clip: usable for clip, (usable, _) in zip(clips, checked)}
    return media, [problem for _, problems in checked for problem in problems]


def check_clip(data_folder, clip, open_video=True):
    """Opens a clip's sound and video file and measures them.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    clip : str
        Name of the clip.
    open_video : bool
        Whether to open the video file.

    Returns
    -------
    media : Media
        What of the clip can be used.
    problems : list of dict
        `file` and `reason` for what cannot.
    """
    wav, flv = SOUND_FILE.format(clip), VIDEO_FILE.format(clip)
    sound = picture = None
    problems = []
    try:
        sound = _sound_seconds(data_folder / wav)
    except MediaError as error:
        problems.append(
            {"file": wav, "reason": _reason(error, data_folder / wav)}
        )
    if not open_video:
        return Media(sound, sound), problems
    try:
        picture = picture_seconds(data_folder / flv)
        if sound and picture < sound / 2:
            raise MediaError(
                f"{picture:.1f} s of picture for {sound:.1f} s of sound"
            )
        _check_length(picture)
    except MediaError as error:
        problems.append(
            {"file": flv, "reason": _reason(error, data_folder / flv)}
        )
        # Raters saw the video file: when that is no single sentence, their
        # votes are not on this sound either.
        if sound and picture and picture > LONGEST:
            problems.append({"file": wav, "reason": f"{flv} {error}"})
            sound = None
        picture = None
    return Media(sound, picture), problems


def _sound_seconds(path):
    """Duration of a wav file that holds sound."""
    sound = read_audio(path, SAMPLE_RATE).numpy()
    seconds = len(sound) / SAMPLE_RATE
    _check_length(seconds)
    if np.ptp(sound) < SILENCE:
        raise MediaError("is silent")
    return seconds


def _check_length(seconds):
    if not SHORTEST <= seconds <= LONGEST:
        raise MediaError(
            f"lasts {seconds:.1f} s, not {SHORTEST} to {LONGEST:.0f} s"
        )


def _reason(error, path):
    """What is wrong; the file's name stands beside it."""
    return str(error).removeprefix(f"{path}: ")


def _is_pointer(path):
    """Whether a file is the text that stands for a file in Git LFS."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER
