"""Finds the wav and video files of a corpus that cannot be used.

Every corpus has a few damaged files, and every copy may have more. A list of
known ones would miss the latter, so each file is opened and measured.
"""

from multiprocessing.pool import ThreadPool
from typing import NamedTuple, Optional

from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from auxformer_lobes.processing.audio import is_silent, read_audio
from auxformer_lobes.processing.media import MIN_SECONDS, reading, too_short
from auxformer_lobes.processing.video import video_seconds
from auxformer_lobes.utils.errors import MediaError

SAMPLE_RATE = 16000  # Hz

logger = get_logger(__name__)


class MediaFiles(NamedTuple):
    """Files of a clip, relative to the corpus folder.

    Arguments
    ---------
    wav : str
        The wav file.
    video : str
        The video file.
    """

    wav: str
    video: str


class MediaSeconds(NamedTuple):
    """Durations of the files of a clip, None for unusable ones.

    Arguments
    ---------
    wav : float or None
        Duration of the wav file, s.
    video : float or None
        Time from the first to the last frame of the video file, s.
    """

    wav: Optional[float]
    video: Optional[float]


def check_media(
    data_folder, files, max_seconds, num_workers=0, open_video=True
):
    """Measures the wav and video files of clips, in parallel.

    Arguments
    ---------
    data_folder : pathlib.Path
        Folder of the corpus.
    files : dict
        Clip -> `MediaFiles`.
    max_seconds : float
        Duration above which a file is not a single clip.
    num_workers : int
        Number of threads; 0 for one per CPU.
    open_video : bool
        Whether to open the video files; if not, they are assumed to last as
        long as the wav files.

    Returns
    -------
    media : dict
        Clip -> `MediaSeconds`.
    problems : list of dict
        `file` (relative to the corpus) and `reason` for each unusable file.
    notes : list of dict
        `file` and `note` for each file that is used though something of it is
        lost, or was chosen. Their number is logged.
    """

    def _check(clip_files):
        return check_clip(data_folder, clip_files, max_seconds, open_video)

    with ThreadPool(num_workers or None) as pool:
        jobs = pool.imap(_check, files.values())
        checked = list(
            tqdm(jobs, "checking audio and video", len(files), unit="clip")
        )
    media = {clip: found[0] for clip, found in zip(files, checked)}
    problems = [problem for _, found, _ in checked for problem in found]
    notes = [note for _, _, found in checked for note in found]
    if notes:
        logger.warning(
            f"{len(notes):,} files are used, but such as "
            "{file}: {note}".format(**notes[0])
        )
    return media, problems, notes


def check_clip(data_folder, files, max_seconds, open_video=True):
    """Measures the wav and the video file of a clip.

    Arguments
    ---------
    data_folder : pathlib.Path
        Folder of the corpus.
    files : MediaFiles
        Its files.
    max_seconds : float
        Duration above which a file is not a single clip.
    open_video : bool
        Whether to open the video file.

    Returns
    -------
    media : MediaSeconds
        Durations of the usable files.
    problems : list of dict
        `file` and `reason` for each unusable file.
    notes : list of dict
        `file` and `note` for each other file that has one.
    """
    wav = video = None
    problems, notes = [], []
    try:
        with reading() as found:
            wav = _wav_seconds(data_folder / files.wav, max_seconds)
        notes += [{"file": files.wav, "note": n} for n in found.notes.values()]
    except MediaError as error:
        problems.append(_problem(files.wav, error, data_folder))
    if not open_video:
        return MediaSeconds(wav, wav), problems, notes
    try:
        with reading() as found:
            video = video_seconds(data_folder / files.video)
        if reason := too_short(video, wav):
            raise MediaError(reason)
        _check_seconds(video, max_seconds)
        notes += [
            {"file": files.video, "note": note} for note in found.notes.values()
        ]
        if wav and (reason := too_short(wav, video)):
            problems.append({"file": files.wav, "reason": reason})
            notes = [note for note in notes if note["file"] != files.wav]
            wav = None
    except MediaError as error:
        problems.append(_problem(files.video, error, data_folder))
        # Raters saw the video file: if it is not a single clip, their votes do
        # not belong to this wav file either.
        if wav and video and video > max_seconds:
            reason = f"{files.video} {error}"
            problems.append({"file": files.wav, "reason": reason})
            wav = None
        video = None
    return MediaSeconds(wav, video), problems, notes


def _wav_seconds(path, max_seconds):
    """Duration of a wav file that is not silent."""
    waveform = read_audio(path, SAMPLE_RATE)
    seconds = len(waveform) / SAMPLE_RATE
    _check_seconds(seconds, max_seconds)
    if is_silent(waveform):
        raise MediaError("is silent")
    return seconds


def _check_seconds(seconds, max_seconds):
    if not MIN_SECONDS <= seconds <= max_seconds:
        raise MediaError(
            f"lasts {seconds:.1f} s, not {MIN_SECONDS} to {max_seconds:.0f} s"
        )


def _problem(file, error, data_folder):
    """File and reason, the latter without the name of the file."""
    reason = str(error).removeprefix(f"{data_folder / file}: ")
    return {"file": file, "reason": reason}
