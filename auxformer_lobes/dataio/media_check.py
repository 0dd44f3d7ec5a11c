"""Finds the sound and video files of a corpus that cannot be used.

A distributed corpus has a few broken files, and a copy of it often has some
more. Each file is opened and measured: a list of known cases would miss what
a download damages.
"""

from multiprocessing.pool import ThreadPool
from typing import NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from auxformer_lobes.processing.media import picture_seconds, read_audio
from auxformer_lobes.utils.errors import MediaError

SHORTEST = 0.3  # s
SAMPLE_RATE = 16000  # Hz
# Peak to peak, full scale being 2: 60 dB below it, which is under the quietest
# speech and above the noise of an empty recording.
SILENCE = 0.002


class MediaFiles(NamedTuple):
    """The files of a clip, relative to the corpus.

    Arguments
    ---------
    sound : str
        The sound file.
    picture : str
        The video file.
    """

    sound: str
    picture: str


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


def check_media(data_folder, files, longest, num_workers=0, open_video=True):
    """Opens the sound and video files of clips to see which can be used.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    files : dict
        Clip -> `MediaFiles`.
    longest : float
        s, beyond which a file is no single clip.
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
    """

    def _check(clip_files):
        return check_clip(data_folder, clip_files, longest, open_video)

    with ThreadPool(num_workers or None) as pool:
        jobs = pool.imap(_check, files.values())
        checked = list(
            tqdm(jobs, "checking sound and video", len(files), unit="clip")
        )
    media = {clip: usable for clip, (usable, _) in zip(files, checked)}
    return media, [problem for _, problems in checked for problem in problems]


def check_clip(data_folder, files, longest, open_video=True):
    """Opens a clip's sound and video file and measures them.

    Arguments
    ---------
    data_folder : pathlib.Path
        The corpus.
    files : MediaFiles
        The files.
    longest : float
        s, beyond which a file is no single clip.
    open_video : bool
        Whether to open the video file.

    Returns
    -------
    media : Media
        What of the clip can be used.
    problems : list of dict
        `file` and `reason` for what cannot.
    """
    sound = picture = None
    problems = []
    try:
        sound = _sound_seconds(data_folder / files.sound, longest)
    except MediaError as error:
        problems.append(_problem(files.sound, error, data_folder))
    if not open_video:
        return Media(sound, sound), problems
    try:
        picture = picture_seconds(data_folder / files.picture)
        if sound and picture < sound / 2:
            raise MediaError(
                f"{picture:.1f} s of picture for {sound:.1f} s of sound"
            )
        _check_length(picture, longest)
    except MediaError as error:
        problems.append(_problem(files.picture, error, data_folder))
        # Raters saw the video file: when that is no single clip, their votes
        # are not on this sound either.
        if sound and picture and picture > longest:
            reason = f"{files.picture} {error}"
            problems.append({"file": files.sound, "reason": reason})
            sound = None
        picture = None
    return Media(sound, picture), problems


def _sound_seconds(path, longest):
    """Duration of a sound file that holds sound."""
    sound = read_audio(path, SAMPLE_RATE).numpy()
    seconds = len(sound) / SAMPLE_RATE
    _check_length(seconds, longest)
    if np.ptp(sound) < SILENCE:
        raise MediaError("is silent")
    return seconds


def _check_length(seconds, longest):
    if not SHORTEST <= seconds <= longest:
        raise MediaError(
            f"lasts {seconds:.1f} s, not {SHORTEST} to {longest:.0f} s"
        )


def _problem(file, error, data_folder):
    """What is wrong; the file's name stands beside it."""
    reason = str(error).removeprefix(f"{data_folder / file}: ")
    return {"file": file, "reason": reason}
