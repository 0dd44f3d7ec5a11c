"""Emotion over time in one file, within limits."""

import csv
import io
import json
from typing import NamedTuple

import av
import numpy as np

from auxformer_lobes.inference.rows import timeline_header, timeline_row
from auxformer_lobes.processing.media import open_media, video_streams
from auxformer_lobes.tasks.base import Task
from auxformer_lobes.utils.errors import MediaError


class Limits(NamedTuple):
    """How large a file may be.

    Arguments
    ---------
    megabytes : float
        Its size, MB (10^6 bytes).
    seconds : float
        Its duration, s.
    """

    megabytes: float = 200.0
    seconds: float = 600.0

    def check(self, name, seconds):
        """Refuses a file that lasts too long.

        Arguments
        ---------
        name : str
            The file.
        seconds : float
            Its duration, or how far it has been read.

        Raises
        ------
        MediaError
            If it does.

        Example
        -------
        >>> Limits(seconds=60).check("talk.mp4", 61.0)
        Traceback (most recent call last):
        auxformer_lobes.utils.errors.MediaError: talk.mp4: longer than 1:00 ...
        """
        if seconds > self.seconds:
            raise MediaError(
                f"{name}: longer than {clock(self.seconds)} (minutes:seconds): "
                "cut out a part, or use `auxformer timeline`"
            )


class Analysis(NamedTuple):
    """What was recognised in a file.

    Arguments
    ---------
    name : str
        The file.
    task : Task
        What the model predicts.
    windows : list of tuple
        What `AudioVisualEmotionRecognizer.timeline` yields.
    seconds : float
        Where the timeline ends, s.
    has_video : bool
        Whether the file has a video stream, that is no cover image.
    """

    name: str
    task: Task
    windows: list
    seconds: float
    has_video: bool

    def csv(self):
        """The timeline as CSV, as `auxformer timeline --csv` prints it.

        Returns
        -------
        str
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(timeline_header(self.task))
        for window in self.windows:
            table.writerow(timeline_row(self.task, *window))
        return text.getvalue()

    def json(self):
        """The timeline as JSON: a list of one object a window.

        Returns
        -------
        str
        """
        rows = [
            json.dumps({"start": start, "end": end, **emotion.as_dict()})
            for start, end, emotion in self.windows
        ]
        return "[\n" + ",\n".join(rows) + "\n]\n"

    def mean(self):
        """Average outputs, `[outputs]`; None where no window has any."""
        known = [
            [*emotion.outputs.values()]
            for _, _, emotion in self.windows
            if emotion.outputs
        ]
        return np.mean(known, axis=0).tolist() if known else None


def analyse(recognizer, path, name, limits, progress=None, **options):
    """Recognises emotion over time in a file.

    Arguments
    ---------
    recognizer : AudioVisualEmotionRecognizer
        The model.
    path : str or Path
        A wav or video file.
    name : str
        What its user calls it.
    limits : Limits
        How long it may be.
    progress : callable, optional
        Given the share that is done, from 0 to 1, after each window.
    **options
        Of `AudioVisualEmotionRecognizer.timeline`.

    Returns
    -------
    Analysis

    Raises
    ------
    MediaError
        If the file is too long or cannot be decoded, under its `name`.
    """
    try:
        duration, has_video = _streams(path)
        limits.check(name, duration)
        windows = []
        for window in recognizer.timeline(path, **options):
            windows.append(window)
            # What a browser records does not say how long it is.
            limits.check(name, window[0])
            if progress and duration:
                progress(min(1.0, window[1] / duration))
    except MediaError as error:
        raise MediaError(str(error).replace(str(path), name))
    seconds = windows[-1][1]
    # The first window may be longer than the file.
    if duration:
        seconds = min(seconds, duration)
    task = recognizer.hparams.task
    return Analysis(name, task, windows, seconds, has_video)


def _streams(path):
    """Duration in s, 0 if it is not known, and whether there is video."""
    with open_media(path) as container:
        seconds = (container.duration or 0) / av.time_base
        return seconds, bool(video_streams(container))


def clock(seconds):
    """A time as minutes and seconds.

    Arguments
    ---------
    seconds : float
        s.

    Returns
    -------
    str

    Example
    -------
    >>> clock(65.4), clock(3600)
    ('1:05', '60:00')
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
