"""Reads the images of any video that FFmpeg decodes.

Durations and frame counts come from the stream: those in headers are often
wrong.
"""

import numpy as np

from auxformer_lobes.processing.media import (
    Decoder,
    current_reading,
    open_media,
    video_stream,
)
from auxformer_lobes.processing.segments import StreamSegment
from auxformer_lobes.utils.errors import MediaError

MAX_GAP = 60  # s between two images; a longer gap means a damaged file
# Width to height of a pixel; beyond, it is a damaged header.
MAX_ASPECT = 4


def read_frames(path, frames_per_second=None):
    """Reads the images of a video file, one at a time.

    What cannot be decoded is left out; a decoder may also return images that
    are wrong after it, which are up to the face tracker.

    Arguments
    ---------
    path : str
        A video file, or a segment of one; times are those in the file.
    frames_per_second : float
        Constant rate at which to sample the images, each the nearest in time,
        frames/s. By default every image, at its own time.

    Yields
    ------
    time : float
        s.
    image : np.ndarray
        `[height, width, 3]`, uint8, RGB, upright, of square pixels.

    Raises
    ------
    MediaError
        If the file cannot be decoded, or has no images, or none with times, or
        is longer than the `max_seconds` of `reading`.

    Example
    -------
    >>> import av, tempfile
    >>> path = tempfile.mkdtemp() + "/grey.avi"
    >>> with av.open(path, "w") as container:
    ...     stream = container.add_stream("mpeg4", rate=25)
    ...     grey = np.full((stream.height, stream.width, 3), 128, np.uint8)
    ...     for _ in range(5):
    ...         frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
    ...         container.mux(stream.encode(frame))
    ...     container.mux(stream.encode(None))
    >>> [round(time, 2) for time, image in read_frames(path)]
    [0.0, 0.04, 0.08, 0.12, 0.16]
    """
    from av.video.reformatter import VideoReformatter

    frames = _decoded_frames(path)
    if frames_per_second is not None:
        frames = _at_constant_rate(frames, frames_per_second)
    # Shared by all frames: creating it takes longer than using it.
    converter = VideoReformatter()
    for time, (frame, aspect) in frames:
        # Square pixels, as players show them: the width changes.
        width = max(1, round(frame.width * aspect))
        image = converter.reformat(frame, width=width, format="rgb24")
        # An upright phone stores landscape images, and a rotation.
        turns = round(frame.rotation / 90)
        yield time, np.rot90(image.to_ndarray(), turns)


def video_seconds(path):
    """Time from the first to the last frame of a video file.

    Only the first frame is decoded; decoding all takes ten times as long.

    Arguments
    ---------
    path : str
        A video file, or a segment of one.

    Returns
    -------
    float
        s.

    Raises
    ------
    MediaError
        If the file cannot be decoded, or has no images.
    """
    found = False
    first, last = np.inf, -np.inf
    with open_media(path) as container:
        stream = video_stream(container, path)
        decoder = Decoder(path, container, stream)
        for packet in decoder.demux():
            # An edit list hides some frames.
            is_shown = packet.pts is not None and not packet.is_discard
            if is_shown and decoder.segment.has(packet):
                first, last = min(first, packet.pts), max(last, packet.pts)
            found = found or bool(decoder.decode(packet))
        if not found or first > last:
            decoder.check()
            raise MediaError(f"{path}: its video stream has no images")
        return float((last - first) * stream.time_base)


def _decoded_frames(path):
    """Yields time (s), and frame and aspect of its pixels, in order."""
    found = current_reading()
    with open_media(path) as container:
        stream = video_stream(container, path)
        _check_length(path, container, stream)
        first = time = None
        for frame in Decoder(path, container, stream).frames():
            if frame.time is None:
                raise MediaError(
                    f"{path}: its images have no times: convert it with "
                    f"`ffmpeg -i {path} {path}.mp4`"
                )
            if time is not None and abs(frame.time - time) > MAX_GAP:
                raise MediaError(
                    f"{path}: its times jump from {time:.1f} s to "
                    f"{frame.time:.1f} s: damaged?"
                )
            time = frame.time
            first = time if first is None else first
            found.check_length(path, time - first)
            yield time, (frame, _aspect(stream))
    if first is None:
        raise MediaError(f"{path}: its video stream has no images")
    found.seconds["visual"] = time - first


def _check_length(path, container, stream):
    """Ends early where the packets too say that a file is too long."""
    found = current_reading()
    stated = StreamSegment(path, container, stream).seconds
    if found.max_seconds is None or stated <= found.max_seconds:
        return
    first = None
    with open_media(path) as again:
        same = again.streams[stream.index]
        decoder = Decoder(path, again, same)
        for packet in decoder.demux():
            if packet.pts is not None and decoder.segment.has(packet):
                first = packet.pts if first is None else first
                length = float((packet.pts - first) * same.time_base)
                found.check_length(path, length)


def _aspect(stream):
    """Width to height of a pixel."""
    # The stream's comes from the container, the decoder's from the frame.
    ratio = stream.sample_aspect_ratio or (
        stream.codec_context.sample_aspect_ratio
    )
    ratio = float(ratio or 1)
    return ratio if 1 / MAX_ASPECT <= ratio <= MAX_ASPECT else 1.0


def _at_constant_rate(frames, rate):
    """Repeats or drops frames, starting with the first at its own time."""
    count = 0
    previous = None
    for time, frame in frames:
        if previous is None:
            start, previous = time, (time, frame)
        # All target times nearer to the previous frame than to this one.
        while (target := start + count / rate) < (previous[0] + time) / 2:
            yield target, previous[1]
            count += 1
        previous = time, frame
    # Many containers round times to ms.
    while (target := start + count / rate) < previous[0] + 0.001:
        yield target, previous[1]
        count += 1
