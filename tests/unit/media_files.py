"""Makes small media files for the tests."""

from fractions import Fraction

import av
import cv2
import numpy as np
import skimage.data

MILLISECOND = Fraction(1, 1000)


def tone(seconds=1.0, rate=16000, hertz=440, level=0.5):
    """Returns a sine, `[time]`, float32."""
    times = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def grey_images(levels, height=48, width=64):
    """Returns one image of even grey for each level, 0 to 255."""
    return [np.full((height, width, 3), x, dtype=np.uint8) for x in levels]


def astronaut(seconds=1.0, height=360, width=480, frames_per_second=30):
    """Returns images of a real face that sways, and its centres.

    The centres are between the eyes and the mouth, pixels, `[time, 2]`.
    """
    times = np.arange(round(seconds * frames_per_second)) / frames_per_second
    zoom = width / 512
    astronaut = skimage.data.astronaut()  # decoded anew at each call
    shifts = np.stack(
        [40 * np.sin(2 * times) - 20, 20 * np.cos(3 * times) - 20], axis=1
    )
    images = [
        cv2.warpAffine(
            astronaut,
            np.array([[zoom, 0, zoom * x], [0, zoom, zoom * y]]),
            (width, height),
            borderMode=cv2.BORDER_REFLECT,
        )
        for x, y in shifts
    ]
    return images, zoom * (shifts + [222, 115])


def write_media(
    path,
    images=None,
    waveform=None,
    *,
    video_codec="flv",
    audio_codec="pcm_s16le",
    rate=22050,
    times=None,
):
    """Writes images and audio to a file; its suffix gives the container.

    Images come at 30 frames/s, or at the given times in s; the waveform is
    `[time]`, float.
    """
    with av.open(str(path), "w") as container:
        streams = []
        if images is not None:
            video = container.add_stream(video_codec, rate=30)
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.bit_rate = 2_000_000
            video.time_base = video.codec_context.time_base = MILLISECOND
            if times is None:
                times = np.arange(len(images)) / 30
            frames = []
            for time, image in zip(times, images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = round(time * 1000), MILLISECOND
                frames.append(frame)
            streams.append((video, frames))
        if waveform is not None:
            audio = container.add_stream(audio_codec, rate=rate, layout="mono")
            samples = (waveform * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = rate, 0
            streams.append((audio, [frame] if samples.size else []))
        for stream, frames in streams:
            for frame in [*frames, None]:
                container.mux(stream.encode(frame))
    return path
