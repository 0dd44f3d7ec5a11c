"""Noise, babble, blur, occlusion and darkness: corrupted copies of media.

Unlike the conditions of `auxformer_lobes.augment.missing`, which mask features,
a corruption changes samples and pixels, before any encoder. A new one is a
subclass of `Corruption` in `KINDS`.
"""

import cv2
import numpy as np

from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.faces.smoothing import FaceQuality
from auxformer_lobes.processing.faces.tracker import FaceTracker
from auxformer_lobes.processing.media_writer import write_video, write_wav
from auxformer_lobes.processing.speech import (
    active_part,
    active_power,
    signal_to_noise,
)
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import MediaError, UserError

SAMPLE_RATE = 16000  # Hz, that of all encoders
TALKERS = 6  # who babble, where the manifest has so many others
BURST = 0.5  # s, mean time for which a face is occluded
# The square over the lower face, in sides of the detected face, which reaches
# from the forehead to below the mouth: its side, and its centre below that of
# the face.
SQUARE_SIDE, SQUARE_BELOW = 0.6, 0.28


class Corruption:
    """One kind of corruption, at one severity.

    Arguments
    ---------
    severity : float
        From `minimum` to `maximum`.

    Raises
    ------
    UserError
        If the severity is out of range.
    """

    media = "video"  # key of a manifest
    suffix = ".mp4"
    unit = ""
    minimum, maximum = 0, 1

    def __init__(self, severity):
        # In this order, since NaN compares false.
        if not self.minimum <= severity <= self.maximum:
            raise UserError(
                f"severity {severity:g}: {type(self).__name__.lower()} takes "
                f"{self.minimum} to {self.maximum}{self.unit}"
            )
        self.severity = severity

    def corrupt(self, source, path, rng):
        """Writes a corrupted copy of a file.

        Arguments
        ---------
        source : str
            The wav or video file.
        path : Path
            The copy.
        rng : np.random.Generator
            Draws what is random.

        Returns
        -------
        dict
            What was measured: `snr`, dB, of audio; of video, `frames`, and
            those that are `occluded`, or should be but are `without_face`.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        count = 0

        def _corrupted():
            nonlocal count
            for time, image in read_frames(source):
                count += 1
                yield time, self.image(image)

        write_video(path, source, _corrupted())
        return {"frames": count}

    def image(self, image):
        """Corrupts one image.

        Arguments
        ---------
        image : np.ndarray
            `[height, width, 3]`, uint8.

        Returns
        -------
        np.ndarray
            Of the same shape.
        """
        raise NotImplementedError


class Noise(Corruption):
    """White noise; the severity is the ratio of speech to noise, dB.

    The ratio is that of the powers in the active part of the clip. SpeechBrain's
    `AddNoise` takes the power over the whole clip, so that pauses lower the
    noise, and attenuates the speech by 9 dB at -5 dB, which would be a second
    corruption; nothing of it is left once both are changed.

    Example
    -------
    >>> speech = np.sin(np.arange(16000) / 5)
    >>> noise = Noise(10.0).noise(None, len(speech), np.random.default_rng(0))
    >>> active = active_part(speech, SAMPLE_RATE)
    >>> scaled = scale_noise(speech, noise, active, snr=10)
    >>> signal_to_noise(speech, scaled, active)
    10.0
    """

    media = "wav"
    suffix = ".wav"
    unit = " dB"
    minimum, maximum = -100, 100

    def corrupt(self, source, path, rng):
        """Writes a noisy copy, see `Corruption.corrupt`."""
        speech = read_audio(source, SAMPLE_RATE).numpy()
        active = active_part(speech, SAMPLE_RATE)
        if not active.any():
            raise MediaError(f"{source}: is silent")
        noise = self.noise(source, len(speech), rng)
        if not active_power(noise, active):
            raise MediaError(f"{source}: the babble is silent while it speaks")
        noise = scale_noise(speech, noise, active, self.severity)
        mix = (speech + noise).astype(np.float32)
        write_wav(path, mix, SAMPLE_RATE)
        added = mix.astype(np.float64) - speech
        return {"snr": signal_to_noise(speech, added, active)}

    def noise(self, source, length, rng):
        """Draws the noise of a file.

        Arguments
        ---------
        source : str
            The file.
        length : int
            Samples.
        rng : np.random.Generator
            Draws it.

        Returns
        -------
        np.ndarray
            `[length]`, of any level.
        """
        return rng.standard_normal(length)


class Babble(Noise):
    """Up to six other speakers, equally loud; the severity is that of `Noise`.

    Arguments
    ---------
    severity : float
        Ratio of speech to babble, dB.
    speakers : dict
        File -> its speaker.

    Raises
    ------
    UserError
        If there is only one speaker.
    """

    def __init__(self, severity, speakers):
        super().__init__(severity)
        self.speakers = speakers
        self.files = {}
        for file, speaker in speakers.items():
            self.files.setdefault(speaker, []).append(file)
        if len(self.files) < 2:
            raise UserError(
                "babble is the speech of others, but the manifest has a single "
                "speaker: name a manifest with several, or choose noise"
            )

    def noise(self, source, length, rng):
        """Draws other speakers, and a clip of each, see `Noise.noise`."""
        others = [*self.files]
        others.remove(self.speakers[source])
        babble, talkers = np.zeros(length), 0
        for index in rng.permutation(len(others)):
            files = self.files[others[index]]
            file = files[rng.integers(len(files))]
            try:
                speech = read_audio(file, SAMPLE_RATE).numpy()
            except MediaError:
                continue  # it is named where its own turn comes
            active = active_part(speech, SAMPLE_RATE)
            if not active.any():
                continue
            speech = speech / np.sqrt(active_power(speech, active))
            # From anywhere in the clip, and again from its start.
            speech = np.roll(speech, rng.integers(len(speech)))
            babble += np.resize(speech, length)
            talkers += 1
            if talkers == TALKERS:
                break
        if not talkers:
            raise MediaError(
                f"{source}: no file of another speaker can be read"
            )
        return babble


class Blur(Corruption):
    """Low resolution: reduced by a factor, the severity, and enlarged again.

    Example
    -------
    >>> stripes = np.tile(np.uint8([0, 200]), (8, 4))[..., None]
    >>> int(Blur(2).image(stripes.repeat(3, 2)).max())
    100
    """

    minimum, maximum = 1, 64

    def image(self, image):
        """Blurs an image, see `Corruption.image`."""
        height, width = image.shape[:2]
        size = [max(1, round(x / self.severity)) for x in (width, height)]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(
            small, (width, height), interpolation=cv2.INTER_LINEAR
        )


class Dark(Corruption):
    """Darkness: all pixel values times a gain, the severity.

    Example
    -------
    >>> Dark(0.1).image(np.full((1, 1, 3), 200, np.uint8))
    array([[[20, 20, 20]]], dtype=uint8)
    """

    def image(self, image):
        """Darkens an image, see `Corruption.image`."""
        levels = np.rint(np.arange(256) * self.severity).astype(np.uint8)
        return cv2.LUT(image, levels)


class Occlusion(Corruption):
    """A black square over nose, mouth and chin in a share of the frames, in %.

    In bursts of half a second in the mean, as a hand or a cup hides a face. A
    frame without a face stays as it is.
    """

    unit = " %"
    maximum = 100

    def corrupt(self, source, path, rng):
        """Writes an occluded copy, see `Corruption.corrupt`."""
        times = []

        def _noted():
            for time, image in read_frames(source):
                times.append(time)
                yield time, image

        boxes, quality = FaceTracker().track(_noted())
        seconds = (times[-1] - times[0]) * len(times) / max(1, len(times) - 1)
        chosen = burst_mask(len(times), self.severity / 100, seconds, rng)
        occluded = chosen & (quality != FaceQuality.FALLBACK)
        frames = (
            (time, occlude(image, box) if hide else image)
            for (time, image), box, hide in zip(
                read_frames(source), boxes, occluded
            )
        )
        write_video(path, source, frames)
        return {
            "frames": len(times),
            "occluded": int(occluded.sum()),
            "without_face": int((chosen & ~occluded).sum()),
        }


KINDS = {
    kind.__name__.lower(): kind
    for kind in (Noise, Babble, Blur, Occlusion, Dark)
}


def scale_noise(speech, noise, active, snr):
    """Scales noise to a ratio of speech to noise.

    Arguments
    ---------
    speech : np.ndarray
        `[time]`.
    noise : np.ndarray
        `[time]`.
    active : np.ndarray
        Boolean `[time]`: where the ratio holds.
    snr : float
        dB.

    Returns
    -------
    np.ndarray
        `[time]`.
    """
    now = signal_to_noise(speech, noise, active)
    return noise * 10 ** ((now - snr) / 20)


def burst_mask(count, share, seconds, rng):
    """Draws the frames of bursts that cover a share of a clip.

    Arguments
    ---------
    count : int
        Frames of the clip.
    share : float
        Of the frames, 0 to 1; met exactly, but for rounding to frames.
    seconds : float
        Duration of the clip.
    rng : np.random.Generator
        Draws lengths and places.

    Returns
    -------
    np.ndarray
        Boolean `[count]`.

    Example
    -------
    >>> mask = burst_mask(60, 0.5, 2.0, np.random.default_rng(0))
    >>> int(mask.sum()), int((np.diff(mask.astype(int)) == 1).sum())
    (30, 2)
    """
    covered = round(share * count)
    free = count - covered
    # At least a free frame apart, and no burst without a frame.
    bursts = min(max(1, round(share * seconds / BURST)), free + 1, covered)
    if not bursts:
        return np.zeros(count, dtype=bool)
    ends = rng.choice(np.arange(1, covered), bursts - 1, replace=False)
    lengths = np.diff([0, *np.sort(ends), covered])
    places = np.sort(rng.choice(free + 1, bursts, replace=False))
    mask = np.zeros(count, dtype=bool)
    for place, before, length in zip(
        places, np.cumsum(lengths) - lengths, lengths
    ):
        mask[place + before :][:length] = True
    return mask


def occlude(image, box):
    """Covers the lower face by a black square.

    Arguments
    ---------
    image : np.ndarray
        `[height, width, 3]`, uint8.
    box : np.ndarray
        `[4]`: x, y of the centre and side of the face, pixels; its angle,
        degrees.

    Returns
    -------
    np.ndarray
        A copy.

    Example
    -------
    >>> white = np.full((100, 100, 3), 255, np.uint8)
    >>> black = occlude(white, [50, 50, 60, 0])[..., 0] == 0
    >>> [axis[0].item() for axis in np.nonzero(black)], int(black.sum())
    ([48, 32], 1369)
    """
    x, y, side, angle = box
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    across, down = side * np.array([[cos, sin], [-sin, cos]])
    centre = np.array([x, y]) - 0.5 + SQUARE_BELOW * down
    corners = centre + SQUARE_SIDE / 2 * np.array(
        [-across - down, across - down, across + down, down - across]
    )
    image = np.array(image)
    corners = np.rint(corners).astype(np.int32)
    return cv2.fillConvexPoly(image, corners, (0, 0, 0))
