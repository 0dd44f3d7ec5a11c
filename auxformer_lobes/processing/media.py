"""Reads audio and images from any file that FFmpeg decodes: WAV, FLV, MP4, AVI.

Durations and frame counts come from the streams: those in headers are often
wrong.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from math import gcd

import numpy as np
import torch
import torchaudio

from auxformer_lobes.utils.errors import MediaError

LFS_POINTER = b"version https://git-lfs"
MAX_GAP = 60  # s between two images; a longer gap means a damaged file

_decoded = ContextVar("decoded", default=None)  # path -> waveform, rate


def check_file(path):
    """Checks that a file can be read and is not a placeholder.

    Arguments
    ---------
    path : str
        Any file.

    Raises
    ------
    MediaError
        If it is missing, not readable, empty or a Git LFS pointer.

    Example
    -------
    >>> check_file("nowhere.flv")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.MediaError: nowhere.flv: No such file or directory
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}")
    if not start:
        raise MediaError(f"{path}: empty file")
    if start == LFS_POINTER:
        raise MediaError(
            f"{path}: a Git LFS pointer in place of the file: run `git lfs "
            "install` and `git lfs pull` in the corpus folder"
        )


@contextmanager
def open_media(path):
    """Opens a media file; errors of FFmpeg become `MediaError`s.

    Arguments
    ---------
    path : str
        A wav or video file.

    Yields
    ------
    container : av.container.InputContainer
        The open file.

    Raises
    ------
    MediaError
        If the file cannot be decoded.
    """
    import av

    check_file(path)
    try:
        # Tags of old files may be in any encoding; they are not used.
        with av.open(str(path), metadata_errors="ignore") as container:
            yield container
    except av.FFmpegError as error:
        raise MediaError(f"{path}: cannot be decoded: {error.strerror}")


def read_audio(path, sample_rate=16000):
    """Reads the audio of a wav or video file, averaged over its channels.

    Arguments
    ---------
    path : str
        A wav or video file.
    sample_rate : int
        Sample rate of the returned waveform, Hz.

    Returns
    -------
    torch.Tensor
        Waveform `[time]`, float32, full scale from -1 to 1.

    Raises
    ------
    MediaError
        If the file cannot be decoded, or has no audio, no valid sample rate,
        or samples that are not finite.

    Example
    -------
    >>> import soundfile, tempfile
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> soundfile.write(path, torch.rand(8000, 2).numpy(), 8000)
    >>> read_audio(path).shape
    torch.Size([16000])
    """
    waveform, rate = _decode_audio(path)
    # Resampling from a rate without a large common divisor takes minutes.
    if rate < 4000 or rate / gcd(rate, sample_rate) > 5000:
        raise MediaError(
            f"{path}: its sample rate of {rate} Hz is implausible: damaged?"
        )
    return torchaudio.functional.resample(waveform, rate, sample_rate)


@contextmanager
def decode_once():
    """Within it, `read_audio` decodes a file once, at whatever sample rates.

    Example
    -------
    >>> import soundfile, tempfile
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> soundfile.write(path, torch.rand(16000).numpy(), 16000)
    >>> with decode_once():
    ...     print(len(read_audio(path, 16000)), len(read_audio(path, 8000)))
    16000 8000
    """
    token = _decoded.set({})
    try:
        yield
    finally:
        _decoded.reset(token)


def _decode_audio(path):
    """Decodes an audio stream: `[time]`, and its sample rate."""
    decoded = _decoded.get()
    if decoded is not None and path in decoded:
        return decoded[path]
    with open_media(path) as container:
        if not container.streams.audio:
            raise MediaError(f"{path}: has no audio stream")
        rates, samples = set(), []
        for frame in container.decode(audio=0):
            rates.add(frame.sample_rate)
            samples.append(mono(frame))
    if not samples:
        raise MediaError(f"{path}: its audio stream has no samples")
    if len(rates) > 1:
        raise MediaError(f"{path}: its sample rate changes")
    waveform = torch.from_numpy(np.concatenate(samples))
    if not waveform.isfinite().all():
        raise MediaError(f"{path}: has samples that are not finite")
    if decoded is not None:
        decoded[path] = waveform, *rates
    return waveform, *rates


def mono(frame):
    """Averages the channels of a decoded audio frame.

    Arguments
    ---------
    frame : av.AudioFrame
        In any sample format.

    Returns
    -------
    np.ndarray
        Waveform `[time]`, float32, full scale from -1 to 1.
    """
    samples = frame.to_ndarray()
    if frame.format.is_packed:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    mean = samples.mean(0, dtype=np.float32)
    if samples.dtype == np.uint8:
        return mean / 128 - 1
    if samples.dtype.kind == "i":
        return mean / 2.0 ** (8 * samples.itemsize - 1)
    return mean


def read_frames(path, frames_per_second=None):
    """Reads the images of a video file, one at a time.

    Arguments
    ---------
    path : str
        A video file.
    frames_per_second : float
        Constant rate at which to sample the images, each the nearest in time,
        frames/s. By default every image, at its own time.

    Yields
    ------
    time : float
        s.
    image : np.ndarray
        `[height, width, 3]`, uint8, RGB, upright.

    Raises
    ------
    MediaError
        If the file cannot be decoded, or has no images, or none with times.

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
    for time, frame in frames:
        # An upright phone stores landscape images, and a rotation.
        turns = round(frame.rotation / 90)
        image = converter.reformat(frame, format="rgb24").to_ndarray()
        yield time, np.rot90(image, turns)


def video_seconds(path):
    """Time from the first to the last frame of a video file.

    Only the first frame is decoded; decoding all takes ten times as long.

    Arguments
    ---------
    path : str
        A video file.

    Returns
    -------
    float
        s.

    Raises
    ------
    MediaError
        If the file cannot be decoded, or has no images.
    """
    times = []
    frames = []
    with open_media(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            frames = frames or packet.decode()
            if packet.pts is not None:
                times.append(packet.pts)
        if not frames:
            raise MediaError(f"{path}: its video stream has no images")
        return float((max(times) - min(times)) * stream.time_base)


def _decoded_frames(path):
    """Yields time (s) and frame, in order."""
    with open_media(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: has no video stream")
        frame = time = None
        for frame in container.decode(video=0):
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
            yield time, frame
    if frame is None:
        raise MediaError(f"{path}: its video stream has no images")


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
