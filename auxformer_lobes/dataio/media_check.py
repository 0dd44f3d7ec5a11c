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
STREAMS = {"wav": "audio", "video": "video"}

logger = get_logger(__name__)


class MediaFiles(NamedTuple):
    """Files of a clip, relative to the corpus folder.

    Both may be segments of long files, and the same file.

    Arguments
    ---------
    wav : str or None
        The file of the audio; None if the clip has none.
    video : str or None
        The file of the video; None if the clip has none.
    """

    wav: Optional[str]
    video: Optional[str]


class MediaSeconds(NamedTuple):
    """Durations of the files of a clip, None for missing or unusable ones.

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
    problems, notes = {}, {}  # "wav" or "video" -> text
    if files.wav is not None:
        path = data_folder / files.wav
        try:
            with reading() as found:
                wav = _wav_seconds(path, max_seconds)
            notes["wav"] = found.notes.get("audio")
        except MediaError as error:
            problems["wav"] = str(error).removeprefix(f"{path}: ")
    if files.video is not None and not open_video:
        video = wav
    elif files.video is not None:
        path = data_folder / files.video
        try:
            with reading() as found:
                video = video_seconds(path)
            if reason := too_short(video, wav):
                raise MediaError(reason)
            _check_seconds(video, max_seconds)
            notes["video"] = found.notes.get("visual")
            if wav and (reason := too_short(wav, video)):
                problems["wav"], wav = reason, None
        except MediaError as error:
            problems["video"] = str(error).removeprefix(f"{path}: ")
            # Raters saw the video file: if it is not a single clip, their votes
            # do not belong to this wav file either.
            if wav and video and video > max_seconds:
                problems["wav"], wav = f"{files.video} {error}", None
            video = None
    for kind in problems:
        notes.pop(kind, None)
    return (
        MediaSeconds(wav, video),
        _entries(files, "reason", problems),
        _entries(files, "note", notes),
    )


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


def _entries(files, key, texts):
    """Entries of a report; the modality is named if both are in one file."""
    texts = {kind: text for kind, text in texts.items() if text}
    if files.wav != files.video:
        return [
            {"file": getattr(files, kind), key: text}
            for kind, text in texts.items()
        ]
    if len(texts) == 2 and len({*texts.values()}) == 1:  # of the whole file
        return [{"file": files.wav, key: texts["wav"]}]
    return [
        {"file": files.wav, key: _of_stream(f"{STREAMS[kind]} stream", text)}
        for kind, text in texts.items()
    ]


def _of_stream(stream, text):
    return text if stream in text else f"its {stream}: {text}"
