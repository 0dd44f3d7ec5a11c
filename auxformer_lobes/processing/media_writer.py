"""Writes changed copies of media files, which are complete or absent."""

import errno
from contextlib import contextmanager, suppress
from fractions import Fraction

import numpy as np
from scipy.io import wavfile

from auxformer_lobes.processing.media import open_media
from auxformer_lobes.processing.segments import StreamSegment
from auxformer_lobes.utils.files import atomic_write

# The best that this build of FFmpeg has: nearly lossless, or lossless and ten
# times as large. One thread, since more would give other bytes on machines with
# another number of CPUs.
CODECS = {
    "libx264": {"crf": "8", "preset": "veryfast", "threads": "1"},
    "ffv1": {"threads": "1"},
}
# The clock of MPEG: exact for 24, 25, 29.97, 30, 50, 60 frames/s, and for ms.
TIME_BASE = Fraction(1, 90000)
# Errors of the disk; all others are those of a damaged source.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def write_wav(path, waveform, sample_rate):
    """Writes a WAV file of 32-bit floats: nothing is rounded, or clipped.

    Arguments
    ---------
    path : str or Path
        The file to write.
    waveform : np.ndarray
        `[time]`; may exceed the full scale from -1 to 1.
    sample_rate : int
        Hz.

    Example
    -------
    >>> from auxformer_lobes.processing.audio import read_audio
    >>> path = getfixture("tmp_path") / "loud.wav"
    >>> write_wav(path, np.array([0.5, -3.0]), 16000)
    >>> read_audio(path)
    tensor([ 0.5000, -3.0000])
    """
    # Not by libsndfile, which writes the date into files of floats.
    with atomic_write(path, "wb") as file:
        wavfile.write(file, sample_rate, waveform.astype(np.float32))


def write_video(path, source, frames):
    """Writes an MP4 file of changed images, each at its own time.

    Arguments
    ---------
    path : str or Path
        The file to write.
    source : str
        The video file with the original images, or a segment of one, from
        whose start times count then. Its audio is copied as it is, unless MP4
        does not take it.
    frames : iterable
        Time (s) and image (`[height, width, 3]`, uint8, RGB), in order; at
        least one.

    Raises
    ------
    MediaError
        If `source` cannot be decoded, or its images cannot be encoded.
    OSError
        If the disk is full.

    Example
    -------
    >>> from auxformer_lobes.processing.video import read_frames
    >>> from auxformer_lobes.testing.videos import write_video as make_video
    >>> folder = getfixture("tmp_path")
    >>> images = np.full((3, 48, 64, 3), 200, np.uint8)
    >>> rest = np.zeros(3200), 16000, ("flv", "mp3"), 22050, "grey"
    >>> make_video(folder / "grey.flv", images, 15, *rest)
    >>> source = str(folder / "grey.flv")
    >>> dark = ((time, image // 2) for time, image in read_frames(source))
    >>> write_video(folder / "dark.mp4", source, dark)
    >>> [
    ...     (round(time, 3), round(float(image.mean())))
    ...     for time, image in read_frames(folder / "dark.mp4")
    ... ]
    [(0.0, 100), (0.067, 100), (0.133, 100)]
    """
    import av

    with open_media(source) as original, _open_output(path) as container:
        video = audio = None
        for time, image in frames:
            if video is None:
                video = _add_video(container, *image.shape[:2])
                audio = _copy_stream(container, original.streams.audio)
                pts = -1
                start = max(0, StreamSegment(source, original, video).start)
            # Damaged files may give the same time to several frames.
            pts = max(pts + 1, round((time - start) / TIME_BASE))
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image), format="rgb24"
            )
            frame.pts, frame.time_base = pts, TIME_BASE
            _write(container.mux, video.encode(frame))
        _write(container.mux, video.encode())
        if audio is None:
            return
        segment = StreamSegment(source, original, original.streams.audio[0])
        for packet in segment.packets():
            if packet.dts is None or segment.is_before(packet):
                continue
            if start:
                packet.pts = packet.dts = packet.dts - int(
                    start / packet.time_base
                )
            packet.stream = audio
            _write(container.mux, packet)


@contextmanager
def _open_output(path):
    """Opens an MP4 file that takes its name when it is complete."""
    import av

    with atomic_write(path, "wb") as file:
        # By name: FFmpeg does not pass errors of Python's files on.
        container = av.open(file.name, "w", format="mp4")
        try:
            yield container
        except BaseException:
            with suppress(av.FFmpegError):
                container.close()
            raise
        _write(container.close)


def _write(action, *arguments):
    """Calls what writes; a full disk is not taken for a damaged source."""
    import av

    try:
        action(*arguments)
    except av.FFmpegError as error:
        if error.errno in DISK_ERRORS:
            raise OSError(error.errno, error.strerror)
        raise


def _add_video(container, height, width):
    import av

    name = next(name for name in CODECS if name in av.codecs_available)
    video = container.add_stream(name, options=CODECS[name])
    video.height, video.width = height, width
    # Colours at full resolution: for odd sizes too, and without the loss of one
    # level of 256 with which FFmpeg reads yuv420p, much in a dark image.
    video.pix_fmt = "yuv444p"
    video.time_base = video.codec_context.time_base = TIME_BASE
    return video


def _copy_stream(container, streams):
    if not streams:
        return None
    codec = streams[0].codec_context.codec.canonical_name
    if codec not in container.supported_codecs:
        return None
    return container.add_stream_from_template(streams[0])
