"""Emotion over time, in files of any length.

Never is more of a file in memory than some tens of seconds. The sound is cut
into windows, each of which is read like a file of its own. The pictures are
cut at key frames, without being encoded again, into files for the extractor,
so that each picture is looked at once; what was read is then cut into
windows.
"""

from collections import deque
from itertools import count, islice
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
import torch
from matplotlib.figure import Figure

from auxformer_lobes.clips import WORDS, Clip, Emotion, reason_of
from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features.extractor import Reading
from auxformer_lobes.features.media import open_media

SECTION = 20.0  # s of pictures that are read at a time, at least
LONGEST_SECTION = 60.0  # s
SLACK = 0.1  # s, by which sound and picture may end before a window does
ROUNDING = 0.001  # s, of the times in many containers


class _Ending(str):
    """Why there are no more windows, as a reason."""


def timeline(recognizer, path, window=2.0, hop=0.5, batch_size=8):
    """Recognises emotion in a file of any length, window by window.

    What is said of a window is what `classify_file` says of a file that was
    cut out, but for the pictures: faces are followed across the ends of
    windows, which is better than to look for them in each window anew. The
    face that is followed is the largest; after some tens of seconds the
    choice is made again. There are windows as long as both sound and picture
    last; one that they do not fill is left out, but for the first.

    Arguments
    ---------
    recognizer : AudioVisualEmotionRecognizer
        The model.
    path : str or Path
        A sound or video file.
    window : float
        s.
    hop : float
        s, from one window to the next.
    batch_size : int
        Windows that are on the device at a time.

    Yields
    ------
    start : float
        s.
    end : float
        s.
    emotion : Emotion
        What the window shows. Where both modalities are missing, it has the
        reasons and no outputs.

    Raises
    ------
    MediaError
        If the file has neither sound nor pictures, or cannot be read.
    UserError
        If there are no such windows.
    """
    if not (0 < hop and 0.1 <= window <= LONGEST_SECTION):
        raise UserError(
            f"window {window} s, hop {hop} s: windows last from 0.1 to "
            f"{LONGEST_SECTION:.0f} s, and a hop is more than 0"
        )
    with TemporaryDirectory(prefix="timeline") as folder:
        clips = _clips(recognizer.features, path, folder, window, hop)
        number = 0
        while batch := list(islice(clips, batch_size)):
            for clip, emotion in zip(batch, recognizer.classify_clips(batch)):
                if isinstance(emotion, MediaError):
                    emotion = Emotion(None, {}, {}, {}, clip.missing)
                yield number * hop, number * hop + window, emotion
                number += 1


def _clips(features, path, folder, window, hop):
    """What is read of each window, as long as there is sound or picture."""
    modalities = {
        "audio": _sounds(features, path, folder, window, hop),
        "visual": _pictures(features, path, folder, window, hop),
    }
    windows = {m: _told(found, path) for m, found in modalities.items()}
    for number in count():
        clip = Clip(str(path))
        for modality, found in windows.items():
            reading = next(found)
            if isinstance(reading, Reading):
                clip.readings[modality] = reading
            else:
                clip.missing[modality] = reading
        ends = [isinstance(why, _Ending) for why in clip.missing.values()]
        if len(ends) == len(WORDS) and all(ends):
            if number == 0:
                raise clip.error()
            return
        yield clip


def _told(windows, path):
    """What the windows give; when they end, or fail, the reason for ever."""
    reason = "has ended"
    try:
        yield from windows
    except MediaError as error:
        reason = reason_of(error, path)
    while True:
        yield _Ending(reason)


def _sounds(features, path, folder, window, hop):
    """Reads the sound of each window, or says what is wrong with it."""
    file = f"{folder}/window.wav"
    for samples, rate in _samples(path, window, hop):
        soundfile.write(file, samples.T, rate, subtype="FLOAT")
        try:
            yield features.read("audio", file)
        except MediaError as error:
            yield reason_of(error, file)


def _samples(path, window, hop):
    """Samples of each window, `[channels, time]`, and their rate."""
    with open_media(path) as container:
        if not container.streams.audio:
            raise MediaError(f"{path}: has no audio stream")
        start = (container.start_time or 0) / av.time_base
        floats = av.AudioResampler(format="fltp")
        held, first, number = None, 0, 0  # held samples, from which one
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            (frame,) = floats.resample(frame)
            new = frame.to_ndarray()
            if held is None:
                late = round(((frame.time or start) - start) * rate)
                held = np.zeros((len(new), max(0, late)), np.float32)
            held = np.concatenate([held, new], axis=1)
            while True:
                begin = round(number * hop * rate) - first
                end = begin + round(window * rate)
                if held.shape[1] < end:
                    break
                yield held[:, begin:end], rate
                number += 1
                gone = min(round(number * hop * rate) - first, held.shape[1])
                held, first = held[:, gone:], first + gone
        if held is None:
            raise MediaError(f"{path}: its audio stream has no samples")
        if number == 0 or held.shape[1] >= end - SLACK * rate:
            yield held[:, max(0, begin) :], rate


def _pictures(features, path, folder, window, hop):
    """Reads the pictures of each window, or says what is wrong with them."""
    held = deque()  # sections: (times, Reading or reason)
    number, reached, lasts = 0, 0.0, 0.0
    for file, times in _sections(path, folder):
        try:
            reading = features.read("visual", file)
        except MediaError as error:
            reading = reason_of(error, file)
        else:
            n = len(reading.values)
            # Constant rates, and windows of pictures, are even in time.
            if n != len(times):
                times = np.linspace(times[0], times[-1], n)
        held.append((times, reading))
        reached = max(reached, times[-1])
        lasts = (times[-1] - times[0]) / len(times)  # a picture
        while number * hop + window <= reached:
            yield _cut(held, number * hop, number * hop + window)
            number += 1
            while held and held[0][0][-1] < number * hop:
                held.popleft()
    if number == 0 or number * hop + window - SLACK <= reached + lasts:
        yield _cut(held, number * hop, number * hop + window)


def _cut(sections, start, end):
    """What was read of a window."""
    values, quality, reason = [], [], "no pictures"
    for times, reading in sections:
        if not isinstance(reading, Reading):
            reason = reading
            continue
        a, b = np.searchsorted(times, [start - ROUNDING, end - ROUNDING])
        values.append(reading.values[a:b])
        if reading.quality is not None:
            # Of windows of pictures there are fewer.
            per = len(reading.quality) / len(times)
            a, b = int(a * per), max(int(a * per) + (b > a), round(b * per))
            quality.append(reading.quality[a:b])
    if not sum(map(len, values)):
        return reason
    return Reading(torch.cat(values), torch.cat(quality) if quality else None)


def _sections(path, folder):
    """Cuts the pictures at key frames: yields files, and times of frames."""
    with open_media(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        start = (container.start_time or 0) / av.time_base
        file, section, times = None, None, []
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None:  # some AVI files have but this
                packet.pts = packet.dts
            if packet.pts is None:
                raise MediaError(f"{path}: its pictures have no times")
            time = float(packet.pts * stream.time_base) - start
            if times and packet.is_keyframe and time - times[0] >= SECTION:
                section.close()
                yield file, np.sort(times)
                times = []
            if times and time - times[0] > LONGEST_SECTION:
                raise MediaError(
                    f"{path}: its pictures cannot be cut, there is no key "
                    f"frame for {LONGEST_SECTION:.0f} s: write some with "
                    f"`ffmpeg -i {path} -g 250 {path}.mp4`"
                )
            if not times:
                file, section, part = _section_like(stream, folder)
            times.append(time)
            packet.stream = part
            section.mux(packet)
        if not times:
            raise MediaError(f"{path}: its video stream has no pictures")
        section.close()
        yield file, np.sort(times)


def _section_like(stream, folder):
    """A new file for the packets of a stream."""
    # Matroska keeps how a phone was held; NUT takes old codecs too.
    for suffix in ("mkv", "nut"):
        file = f"{folder}/section.{suffix}"
        section = av.open(file, "w")
        try:
            return file, section, section.add_stream_from_template(stream)
        except ValueError:
            continue
    name = stream.codec_context.name
    raise MediaError(f"pictures in the form of {name} cannot be cut")


def plot_timeline(windows, task):
    """Emotion over time, and what was missing when.

    Arguments
    ---------
    windows : list of tuple
        What `timeline` yields.
    task : Task
        What is predicted.

    Returns
    -------
    matplotlib.figure.Figure
        Above, shares that fill the height, or a curve an output; below, where
        sound and picture were used.

    Example
    -------
    >>> from auxformer_lobes.tasks import Attributes
    >>> calm = Emotion(None, {"arousal": 1.5}, {}, {"audio": 1.0}, {})
    >>> figure = plot_timeline([(0.0, 2.0, calm)], Attributes(["arousal"]))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['arousal']
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    above, below = figure.subplots(2, height_ratios=[6, 1], sharex=True)
    begin, end = windows[0][0], windows[-1][1]
    middles = [(start + stop) / 2 for start, stop, _ in windows]
    # The first and the last value hold up to the ends of the file.
    times = np.array([begin, *middles, end])
    nothing = [float("nan")] * task.num_outputs
    values = np.array([[*e.outputs.values()] or nothing for *_, e in windows]).T
    values = np.pad(values, [(0, 0), (1, 1)], mode="edge")
    if np.allclose(np.nan_to_num(values.sum(0), nan=1.0), 1, atol=1e-3):
        above.stackplot(
            times, np.nan_to_num(values), labels=task.names, step="mid"
        )
    else:
        for name, curve in zip(task.names, values):
            above.plot(times, curve, label=name)
    above.set(xlim=(begin, end), ylim=task.limits)
    above.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    edges = [begin, *np.add(middles[1:], middles[:-1]) / 2, end]
    for row, modality in enumerate(WORDS):
        is_used = [modality in emotion.quality for *_, emotion in windows]
        for colour, wanted in (("silver", True), ("tab:red", False)):
            bars = [
                (a, b - a)
                for a, b, used in zip(edges, edges[1:], is_used)
                if used == wanted
            ]
            below.broken_barh(bars, (row + 0.1, 0.8), color=colour)
    below.set_yticks([0.5, 1.5], WORDS.values())
    below.set(ylim=(0, 2), xlabel="s (red: missing)")
    return figure
