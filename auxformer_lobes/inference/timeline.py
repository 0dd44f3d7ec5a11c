"""Emotion over time, in files of any length.

Memory does not grow with the file: at most some tens of seconds are held. The
audio is cut into windows, each read like a file of its own. The video is cut
at key frames into sections, without re-encoding, so that the extractor sees
each frame once; what it read is then cut into windows.
"""

from collections import deque
from itertools import count, islice

import av
import numpy as np
import soundfile
import torch
from speechbrain.utils.logger import get_logger

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.inference.clip_input import Clip, reason_of
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.inference.sections import (
    LONGEST_SECTION,
    NotCut,
    sections_of,
)
from auxformer_lobes.processing.audio import audio_blocks, choose_track
from auxformer_lobes.processing.media import open_media, reading
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.segments import split_segment
from auxformer_lobes.utils.temporary import full_disk_errors, temporary_folder
from auxformer_lobes.utils.text import printable

logger = get_logger(__name__)

SLACK = 0.1  # s by which a stream may end before its last window
SHORTEST_GAP = 0.05  # s; less is imprecision of the timestamps
ROUNDING = 0.001  # s, of the timestamps in many containers
ALWAYS_VALID = 255  # above any `min_face_quality`


class _Ended(str):
    """Why a stream has no more windows."""


def timeline(
    recognizer, path, window=2.0, hop=0.5, faces="largest", batch_size=8
):
    """Recognises emotion window by window, in a file of any length.

    Each window gives what `classify_file` gives for a file cut out there,
    except that it may be shorter than a file must be, and that faces are
    tracked across windows. Only the largest face is followed; after each
    section, the choice is made again. The windows go on until both streams end;
    a last one that is not filled is left out, unless it is the first.

    With all faces, a window comes once per face that is visible in it, each
    time with the whole audio: the active speaker is not detected. A face that
    leaves for long gets a new number.

    Arguments
    ---------
    recognizer : AudioVisualEmotionRecognizer
        The model.
    path : str or Path
        A wav or video file.
    window : float
        Length of a window, s.
    hop : float
        From one window to the next, s.
    faces : str
        Which faces are followed: "largest" or "all".
    batch_size : int
        Windows on the device at a time.

    Yields
    ------
    start : float
        s.
    end : float
        s.
    emotion : Emotion
        Of the window. Where both modalities are missing, it has no outputs.

    Raises
    ------
    MediaError
        If the file has neither audio nor video, or cannot be decoded.
    UserError
        If an option is out of range, the file is a segment, or the visual
        features are not of faces.
    """
    if faces not in ("largest", "all"):
        raise UserError(f"faces: {faces!r} is neither largest nor all")
    if not (0 < hop and 0.1 <= window <= LONGEST_SECTION):
        raise UserError(
            f"window {window} s, hop {hop} s: a window lasts 0.1 to "
            f"{LONGEST_SECTION:.0f} s, and the hop is more than 0"
        )
    if not split_segment(path).is_whole:
        raise UserError(f"{path}: a timeline is of a whole file: omit #t=")
    reader = recognizer.reader
    with temporary_folder() as folder:
        sections = sections_of(path, folder)
        if faces == "all":
            sections = _all_faces(reader, path, sections)
        else:
            sections = _largest_face(reader, path, sections)
        clips = _clips(
            path,
            _audio_windows(reader, path, folder, window, hop),
            _visual_windows(sections, window, hop),
        )
        while batch := list(islice(clips, batch_size)):
            emotions = recognizer.classify_clips(clip for _, clip in batch)
            for (index, clip), emotion in zip(batch, emotions):
                if isinstance(emotion, MediaError):
                    emotion = Emotion(
                        None, {}, {}, {}, clip.missing, clip.notes, clip.face
                    )
                yield index * hop, index * hop + window, emotion


def _clips(path, audio_windows, visual_windows):
    """Joins the windows of both streams: yields index and `Clip`, per face."""
    audio_windows = _until_ended(audio_windows, path)
    visual_windows = _until_ended(visual_windows, path)
    for index, audio, visual in zip(count(), audio_windows, visual_windows):
        # `visual` is a reason, or face -> `ClipInput`.
        by_face = visual if isinstance(visual, dict) else {None: visual}
        for face, visual_input in by_face.items():
            clip = Clip(str(path), face=face)
            for modality, given in zip(MODALITIES, (audio, visual_input)):
                if isinstance(given, ClipInput):
                    clip.inputs[modality] = given
                else:
                    clip.missing[modality] = given
            ended = [isinstance(r, _Ended) for r in clip.missing.values()]
            if len(ended) == len(MODALITIES) and all(ended):
                if index == 0:
                    raise clip.error()
                return
            yield index, clip


def _until_ended(windows, path):
    """The windows of a stream; once it ends or fails, the reason for ever."""
    reason, is_first = "has ended", True
    try:
        for window in windows:
            yield window
            is_first = False
    except MediaError as error:
        reason = reason_of(error, path)
        if not is_first:  # else it is the reason of every window
            logger.warning(printable(f"{error}: missing from there on"))
    while True:
        yield _Ended(reason)


def _audio_windows(reader, path, folder, window, hop):
    """Yields the `ClipInput` of each window, or why it has none."""
    file = f"{folder}/window.wav"
    for samples, rate in _samples(path, window, hop, reader.audio_track):
        with full_disk_errors(folder):
            soundfile.write(file, samples, rate, subtype="FLOAT")
        try:
            with reading():
                clip_input = reader.read("audio", file)
            yield clip_input
        except MediaError as error:
            yield reason_of(error, file)


def _samples(path, window, hop, audio_track=None):
    """Samples of each window, `[time]`, and their rate."""
    held, first, index = None, 0, 0  # samples, and where `held` begins
    for new, rate in _without_gaps(path, audio_track):
        held = new if held is None else np.concatenate([held, new])
        while True:
            start = round(index * hop * rate) - first
            end = start + round(window * rate)
            if len(held) < end:
                break
            yield held[start:end], rate
            index += 1
            passed = min(round(index * hop * rate) - first, len(held))
            held, first = held[passed:], first + passed
    if held is None:
        raise MediaError(f"{path}: its audio stream has no samples")
    if index == 0 or len(held) >= end - _slack(window) * rate:
        yield held[max(0, start) :], rate


def _without_gaps(path, audio_track=None):
    """All samples, with zeros in gaps: yields parts `[time]`, and the rate."""
    with open_media(path) as container:
        start = (container.start_time or 0) / av.time_base
    with reading(audio_track) as found:
        track = choose_track(path)
    for note in found.notes.values():
        logger.warning(f"{path}: {note}")
    length = 0
    for time, rate, samples in audio_blocks(path, track):
        gap = 0
        if time is not None:
            gap = round((time - start) * rate) - length
        if length == 0 or gap > SHORTEST_GAP * rate:
            # A second at a time, since gaps may last for hours.
            for at in range(0, gap, rate):
                zeros = np.zeros(min(rate, gap - at), np.float32)
                length += len(zeros)
                yield zeros, rate
        length += len(samples)
        yield samples, rate


def _slack(window):
    """SLACK, but at most half a window, lest one lie beyond the end."""
    return min(SLACK, window / 2)


def _largest_face(reader, path, sections):
    """Reads sections: yields frame times, and {None: `ClipInput`} or reason."""
    for file, times in sections:
        if isinstance(file, NotCut):
            yield times, file
            continue
        try:
            with reading() as found:
                clip_input = reader.read("visual", file)
            _log_notes(path, times, found)
            yield times, {None: clip_input}
        except MediaError as error:
            yield times, reason_of(error, file)


def _all_faces(reader, path, sections):
    """Reads sections: yields frame times, and face -> `ClipInput` or reason."""
    numbers, last_boxes = count(1), {}  # face -> its last box, in a section
    for file, times in sections:
        if isinstance(file, NotCut):
            yield times, file
            continue
        try:
            with reading() as found:
                faces = reader.read_faces(file)
            _log_notes(path, times, found)
        except MediaError as error:
            yield times, reason_of(error, file)
            continue
        previous, last_boxes, inputs = last_boxes, {}, {}
        for face, clip_input in faces:
            (seen,) = np.nonzero(face.quality)
            number = None
            if len(seen):
                number = _number_of(face.boxes[seen[0]], previous, numbers)
                last_boxes[number] = face.boxes[seen[-1]]
            inputs[number] = clip_input
        yield times, inputs


def _log_notes(path, times, found):
    """Logs what was peculiar about a section."""
    for note in found.notes.values():
        where = f"from {times[0]:.1f} s to {times[-1]:.1f} s"
        logger.warning(printable(f"{path}: {where}: {note}"))


def _number_of(box, previous, numbers):
    """The number of the nearest face of the previous section, or a new one."""
    distances = {n: np.hypot(*(box - b)[:2]) for n, b in previous.items()}
    nearest = min(distances, key=distances.get, default=None)
    # Another face, if further away than half its width.
    if nearest is None or distances[nearest] > previous[nearest][2] / 2:
        return next(numbers)
    del previous[nearest]
    return nearest


def _visual_windows(sections, window, hop):
    """Yields face -> `ClipInput` of each window, or why it has none."""
    held = deque()  # sections that reach into the window
    index, reached, duration = 0, 0.0, 0.0
    for times, inputs in sections:
        held.append((times, inputs))
        reached = max(reached, times[-1])
        duration = (times[-1] - times[0]) / len(times)  # of a frame
        while index * hop + window <= reached:
            yield _cut(held, index * hop, index * hop + window)
            index += 1
            while held and held[0][0][-1] < index * hop:
                held.popleft()
    end = reached + duration + _slack(window)
    if index == 0 or index * hop + window <= end:
        yield _cut(held, index * hop, index * hop + window)


def _cut(sections, start, end):
    """face -> `ClipInput` of a window, for the faces that are visible."""
    reasons = [
        None if isinstance(inputs, dict) else inputs
        for times, inputs in sections
        if np.diff(np.searchsorted(times, _bounds(start, end)))
    ]
    if all(reasons):
        return reasons[-1] if reasons else "has no frames"
    known = {}  # face -> a section that has it
    for times, inputs in sections:
        if isinstance(inputs, dict):
            known.update({face: (times, x) for face, x in inputs.items()})
    faces = {}
    for face, section in known.items():
        parts = []
        for times, inputs in sections:
            found = inputs.get(face) if isinstance(inputs, dict) else None
            if found is None:
                found = _lost(times, *section)
            parts.append(_cut_section(times, found, start, end))
        values, validity = zip(*parts)
        if sum(map(len, values)):
            faces[face] = ClipInput(torch.cat(values), _joined(parts))
    visible = {
        face: clip_input
        for face, clip_input in faces.items()
        if clip_input.frame_validity is None or clip_input.frame_validity.any()
    }
    if visible or not faces:
        return visible or next(filter(None, reasons), "has no frames")
    return {None: next(iter(faces.values()))}


def _bounds(start, end):
    return start - ROUNDING, end - ROUNDING


def _lost(times, section_times, clip_input):
    """Frames of a section without a face, as many as it would have."""
    values, validity = clip_input
    share = len(times) / len(section_times)
    none = values.new_zeros(1, *values.shape[1:])
    num_valid = len(values) if validity is None else len(validity)
    return ClipInput(
        none.expand(round(share * len(values)), *values.shape[1:]),
        torch.zeros(round(share * num_valid), dtype=torch.uint8),
    )


def _joined(parts):
    """Validity of all parts; None if all frames of all of them are valid."""
    if all(validity is None for _, validity in parts):
        return None
    return torch.cat(
        [
            torch.full((len(values),), ALWAYS_VALID, dtype=torch.uint8)
            if validity is None
            else validity
            for values, validity in parts
        ]
    )


def _cut_section(times, clip_input, start, end):
    """Values and validity of the frames of a section that lie in a window."""
    values, validity = clip_input
    # At a constant rate, or of a video model, values are even in time.
    if len(values) != len(times):
        times = np.linspace(times[0], times[-1], len(values))
    a, b = np.searchsorted(times, _bounds(start, end))
    values = values[a:b]
    if validity is not None:
        # A video model has one validity value for several frames.
        per_value = len(validity) / len(times)
        first = int(a * per_value)
        validity = validity[first : max(first + (b > a), round(b * per_value))]
    return values, validity
