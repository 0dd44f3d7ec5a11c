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
from speechbrain.utils.logger import get_logger

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.inference.results import Clip, Emotion, reason_of
from auxformer_lobes.processing.media import mono, open_media
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.modalities import MODALITIES

logger = get_logger(__name__)

SECTION = 20.0  # s of pictures that are read at a time, at least
LONGEST_SECTION = 60.0  # s
SLACK = 0.1  # s, by which sound and picture may end before a window does
SHORTEST_GAP = 0.05  # s, below which times in a file are but imprecise
ROUNDING = 0.001  # s, of the times in many containers


class _Ending(str):
    """Why there are no more windows, as a reason."""


def timeline(
    recognizer, path, window=2.0, hop=0.5, faces="largest", batch_size=8
):
    """Recognises emotion in a file of any length, window by window.

    What is said of a window is what `classify_file` says of a file that was
    cut out, but for the pictures: faces are followed across the ends of
    windows, which is better than to look for them in each window anew. The
    face that is followed is the largest; after some tens of seconds the
    choice is made again. There are windows as long as sound or picture lasts;
    one that they do not fill is left out, but for the first.

    Where all faces are asked for, a window comes once for each face that is
    seen in it, each with all of the sound: who speaks is not told apart. A
    face that was away for long has a new number.

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
    faces : str
        "largest", or "all".
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
        If there are no such windows, or the model does not look at faces.
    """
    if faces not in ("largest", "all"):
        raise UserError(f"faces: {faces!r} is neither largest nor all")
    if not (0 < hop and 0.1 <= window <= LONGEST_SECTION):
        raise UserError(
            f"window {window} s, hop {hop} s: windows last from 0.1 to "
            f"{LONGEST_SECTION:.0f} s, and a hop is more than 0"
        )
    with TemporaryDirectory(prefix="timeline") as folder:
        sections = _sections(path, folder)
        if faces == "all":
            sections = _each_face(recognizer.features, sections)
        else:
            sections = _largest_face(recognizer.features, sections)
        clips = _clips(
            path,
            _sounds(recognizer.features, path, folder, window, hop),
            _pictures(sections, window, hop),
        )
        while batch := list(islice(clips, batch_size)):
            emotions = recognizer.classify_clips(clip for _, clip in batch)
            for (number, clip), emotion in zip(batch, emotions):
                if isinstance(emotion, MediaError):
                    emotion = Emotion(None, {}, {}, {}, clip.missing, clip.face)
                yield number * hop, number * hop + window, emotion


def _clips(path, sounds, pictures):
    """What is read of each window: yields its number, and a clip a face."""
    sounds, pictures = _told(sounds, path), _told(pictures, path)
    for number, sound, picture in zip(count(), sounds, pictures):
        # A reason stands for a face, too.
        faces = picture if isinstance(picture, dict) else {None: picture}
        for face, seen in faces.items():
            clip = Clip(str(path), face=face)
            for modality, reading in zip(MODALITIES, (sound, seen)):
                if isinstance(reading, ClipInput):
                    clip.readings[modality] = reading
                else:
                    clip.missing[modality] = reading
            ends = [isinstance(why, _Ending) for why in clip.missing.values()]
            if len(ends) == len(MODALITIES) and all(ends):
                if number == 0:
                    raise clip.error()
                return
            yield number, clip


def _told(windows, path):
    """What the windows give; when they end, or fail, the reason for ever."""
    reason, number = "has ended", 0
    try:
        for window in windows:
            yield window
            number += 1
    except MediaError as error:
        reason = reason_of(error, path)
        if number > 0:  # else each window tells
            logger.warning(f"{error}: from there on, it is missing")
    while True:
        yield _Ending(reason)


def _sounds(features, path, folder, window, hop):
    """Reads the sound of each window, or says what is wrong with it."""
    file = f"{folder}/window.wav"
    for samples, rate in _samples(path, window, hop):
        soundfile.write(file, samples, rate, subtype="FLOAT")
        try:
            yield features.read("audio", file)
        except MediaError as error:
            yield reason_of(error, file)


def _samples(path, window, hop):
    """Samples of each window, `[time]`, and their rate."""
    held, first, number = None, 0, 0  # held samples, from which one
    for new, rate in _without_gaps(path):
        held = new if held is None else np.concatenate([held, new])
        while True:
            begin = round(number * hop * rate) - first
            end = begin + round(window * rate)
            if len(held) < end:
                break
            yield held[begin:end], rate
            number += 1
            gone = min(round(number * hop * rate) - first, len(held))
            held, first = held[gone:], first + gone
    if held is None:
        raise MediaError(f"{path}: its audio stream has no samples")
    if number == 0 or len(held) >= end - _slack(window) * rate:
        yield held[max(0, begin) :], rate


def _without_gaps(path):
    """All samples, with zeros where there are none: yields parts, and rate."""
    with open_media(path) as container:
        if not container.streams.audio:
            raise MediaError(f"{path}: has no audio stream")
        start = (container.start_time or 0) / av.time_base
        rate, length = None, 0
        for frame in container.decode(audio=0):
            if rate not in (None, frame.sample_rate):
                raise MediaError(f"{path}: changes its sample rate")
            rate = frame.sample_rate
            gap = 0
            if frame.time is not None:
                gap = round((frame.time - start) * rate) - length
            if length == 0 or gap > SHORTEST_GAP * rate:
                # A second at a time, since gaps may last for hours.
                for at in range(0, gap, rate):
                    zeros = np.zeros(min(rate, gap - at), np.float32)
                    length += len(zeros)
                    yield zeros, rate
            samples = mono(frame)
            length += len(samples)
            yield samples, rate


def _slack(window):
    """SLACK, but no window may lie beyond the end."""
    return min(SLACK, window / 2)


def _largest_face(features, sections):
    """Reads sections: yields times of frames, and `{None: ClipInput}`."""
    for file, times in sections:
        try:
            yield times, {None: features.read("visual", file)}
        except MediaError as error:
            yield times, reason_of(error, file)


def _each_face(features, sections):
    """Reads sections: yields times of frames, and face -> `ClipInput`."""
    numbers, last = count(1), {}  # where each face was at the end
    for file, times in sections:
        try:
            faces = features.read_each(file)
        except MediaError as error:
            yield times, reason_of(error, file)
            continue
        before, last, found = last, {}, {}
        for face, reading in faces:
            (seen,) = np.nonzero(face.quality)
            number = None
            if len(seen):
                number = _number_of(face.boxes[seen[0]], before, numbers)
                last[number] = face.boxes[seen[-1]]
            found[number] = reading
        yield times, found


def _number_of(box, before, numbers):
    """The number of the face that was there before, or a new one."""
    away = {n: np.hypot(*(box - other)[:2]) for n, other in before.items()}
    nearest = min(away, key=away.get, default=None)
    if nearest is None or away[nearest] > before[nearest][2] / 2:
        return next(numbers)
    del before[nearest]
    return nearest


def _pictures(sections, window, hop):
    """What is read of each window: of each face, or what is wrong with it."""
    held = deque()  # sections: (times, face -> ClipInput, or reason)
    number, reached, lasts = 0, 0.0, 0.0
    for times, found in sections:
        held.append((times, found))
        reached = max(reached, times[-1])
        lasts = (times[-1] - times[0]) / len(times)  # a picture
        while number * hop + window <= reached:
            yield _cut(held, number * hop, number * hop + window)
            number += 1
            while held and held[0][0][-1] < number * hop:
                held.popleft()
    end = reached + lasts + _slack(window)
    if number == 0 or number * hop + window <= end:
        yield _cut(held, number * hop, number * hop + window)


def _cut(sections, start, end):
    """What was read of a window: of each face that is seen, if any is."""
    cuts, reason = {}, "no pictures"
    for times, found in sections:
        if not isinstance(found, dict):
            reason = found
            continue
        for face, reading in found.items():
            cuts.setdefault(face, []).append(
                _cut_section(times, reading, start, end)
            )
    faces = {}
    for face, parts in cuts.items():
        values, quality = zip(*parts)
        if sum(map(len, values)):
            known = [part for part in quality if part is not None]
            quality = torch.cat(known) if known else None
            faces[face] = ClipInput(torch.cat(values), quality)
    seen = {
        face: reading
        for face, reading in faces.items()
        if reading.frame_validity is None or reading.frame_validity.any()
    }
    if seen or not faces:
        return seen or reason
    return {None: next(iter(faces.values()))}


def _cut_section(times, reading, start, end):
    """Values and quality in a window, of a part of the pictures."""
    values, quality = reading
    # Constant rates, and windows of pictures, are even in time.
    if len(values) != len(times):
        times = np.linspace(times[0], times[-1], len(values))
    a, b = np.searchsorted(times, [start - ROUNDING, end - ROUNDING])
    values = values[a:b]
    if quality is not None:
        # Of windows of pictures there are fewer.
        per = len(quality) / len(times)
        a, b = int(a * per), max(int(a * per) + (b > a), round(b * per))
        quality = quality[a:b]
    return values, quality


def _sections(path, folder):
    """Cuts the pictures at key frames: yields files, and times of frames."""
    with open_media(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        start = (container.start_time or 0) / av.time_base
        file, section, times, last = None, None, [], None
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
            # Those of MPEG-1 and 2 are guessed, and may go back.
            if packet.dts is not None:
                if last is not None:
                    packet.dts = min(max(packet.dts, last + 1), packet.pts)
                last = packet.dts
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
