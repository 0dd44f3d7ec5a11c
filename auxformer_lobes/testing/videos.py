"""Writes images and audio to a video file."""

import av
import numpy as np


def write_video(
    path, images, frame_rate, waveform, sample_rate, codecs, audio_rate, title
):
    """Writes a video; the suffix of the path determines the container.

    Arguments
    ---------
    path : str or pathlib.Path
        The file to write.
    images : numpy.ndarray
        `[frames, height, width, 3]`, uint8, RGB.
    frame_rate : int
        frames/s.
    waveform : numpy.ndarray
        `[samples]`, from -1 to 1.
    sample_rate : int
        Sample rate of the waveform, Hz.
    codecs : tuple of str
        FFmpeg's names of the video and the audio codec.
    audio_rate : int
        Sample rate in the file, Hz; FLV takes 11025, 22050 and 44100.
    title : str
        Title in the metadata of the file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "black.flv"
    >>> images = np.zeros((3, 96, 128, 3), np.uint8)
    >>> write_video(
    ...     path,
    ...     images,
    ...     15,
    ...     np.zeros(3200),
    ...     16000,
    ...     ("flv", "mp3"),
    ...     22050,
    ...     "A",
    ... )
    >>> av.open(path).streams.video[0].width
    128
    """
    with av.open(path, "w") as container:
        container.metadata["title"] = title
        video = container.add_stream(codecs[0], rate=frame_rate)
        video.height, video.width = images.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.bit_rate = 300_000
        audio = container.add_stream(
            codecs[1],
            rate=audio_rate,
            layout="mono",
            options={"compression_level": "9"},  # the fastest MP3
        )
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        samples = np.round(32767 * waveform).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = sample_rate
        container.mux(audio.encode(frame))
        container.mux(audio.encode())
