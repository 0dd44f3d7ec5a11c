"""Writes pictures and sound into a video file."""

import av
import numpy as np


def write_film(
    path, pictures, frame_rate, sound, sample_rate, codecs, audio_rate, title
):
    """Writes a film; the ending of its name says which container.

    Arguments
    ---------
    path : str or pathlib.Path
        The file to write.
    pictures : numpy.ndarray
        RGB pictures, ``[frames, height, width, 3]``, uint8.
    frame_rate : int
        Pictures a second.
    sound : numpy.ndarray
        One channel in [-1, 1], ``[samples]``.
    sample_rate : int
        Of ``sound``, in Hz.
    codecs : tuple of str
        FFmpeg's names of the picture's and the sound's codec.
    audio_rate : int
        Sample rate in the file, in Hz; FLV takes 11025, 22050 and 44100.
    title : str
        Stands in the file's metadata.

    Example
    -------
    >>> path = getfixture("tmp_path") / "black.flv"
    >>> pictures = np.zeros((3, 96, 128, 3), np.uint8)
    >>> write_film(
    ...     path,
    ...     pictures,
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
    with av.open(path, "w") as film:
        film.metadata["title"] = title
        video = film.add_stream(codecs[0], rate=frame_rate)
        video.height, video.width = pictures.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.bit_rate = 300_000
        audio = film.add_stream(
            codecs[1],
            rate=audio_rate,
            layout="mono",
            options={"compression_level": "9"},  # the quickest MP3
        )
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            film.mux(video.encode(frame))
        film.mux(video.encode())
        samples = np.round(32767 * sound).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = sample_rate
        film.mux(audio.encode(frame))
        film.mux(audio.encode())
