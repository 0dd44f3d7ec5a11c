"""Synthetic faces that move with speech and emotion."""

import numpy as np

from auxformer_lobes.testing.portraits import Expression, Face

# Skins from light to dark, hair and irises from dark to light. Darker skins use
# the front of the other two lists only, since detectors need contrast.
_SKINS = ((244, 208, 184), (232, 188, 156), (206, 156, 122), (172, 122, 92))
_HAIRS = ((36, 30, 28), (76, 50, 36), (120, 74, 46), (166, 122, 72))
_IRISES = ((88, 56, 34), (70, 96, 60), (70, 104, 140))


def invent_face(rng, gender):
    """Draws a random face.

    Arguments
    ---------
    rng : numpy.random.Generator
        Random generator.
    gender : str
        "female" or "male".

    Returns
    -------
    Face

    Example
    -------
    >>> invent_face(np.random.default_rng(0), "female").long_hair
    True
    """
    female = gender == "female"
    tone = rng.integers(len(_SKINS))
    return Face(
        size=rng.uniform(0.25, 0.29),
        length=rng.uniform(1.25, 1.4),
        eye_distance=rng.uniform(0.39, 0.45),
        eye_size=rng.uniform(0.19, 0.22) + 0.02 * female,
        brow_height=rng.uniform(0.27, 0.31),
        brow_weight=rng.uniform(0.06, 0.1) - 0.02 * female,
        mouth_height=rng.uniform(0.72, 0.8),
        mouth_width=rng.uniform(0.28, 0.36),
        nose_width=rng.uniform(0.12, 0.18),
        skin=_SKINS[tone] + rng.normal(0, 4, size=3),
        hair=rng.choice(_HAIRS[: 4 - tone]) + rng.normal(0, 6, size=3),
        iris=rng.choice(_IRISES[: max(1, 3 - tone)]),
        wall=rng.uniform(90, 210) + rng.normal(0, 14, size=3),
        shirt=rng.uniform(40, 200, size=3),
        long_hair=female,
        fringe=rng.uniform(0.1, 0.22),
        light=rng.uniform(-1, 1),
        brightness=rng.uniform(0.85, 1.02),
    )


def animate(portrait, expression, waveform, sample_rate, frame_rate, rng):
    """Animates a speaking face, from near rest to an expression.

    Arguments
    ---------
    portrait : Portrait
        The person.
    expression : Expression
        The expression at its apex.
    waveform : numpy.ndarray
        Speech, `[samples]`: its loudness opens the mouth.
    sample_rate : int
        Hz.
    frame_rate : int
        frames/s.
    rng : numpy.random.Generator
        Draws onset, blinks and head movements.

    Returns
    -------
    numpy.ndarray
        As long as the waveform: `[frames, height, width, 3]`, uint8, RGB.

    Example
    -------
    >>> from auxformer_lobes.testing.portraits import Portrait
    >>> rng = np.random.default_rng(0)
    >>> portrait = Portrait(invent_face(rng, "male"))
    >>> relaxed = Expression(0, 0, 0, 0, 0, 0, 0)
    >>> animate(portrait, relaxed, np.zeros(16000), 16000, 5, rng).shape
    (5, 144, 192, 3)
    """
    frames = round(len(waveform) / sample_rate * frame_rate)
    progress = np.arange(frames) / frames
    onset, rise = rng.uniform(0, 0.2), rng.uniform(0.1, 0.3)
    strength = 0.3 + 0.7 * np.clip((progress - onset) / rise, 0, 1)
    poses = strength[:, None] * np.array(expression)
    poses += 0.08 * _drift(frames, len(expression), rng)
    moves = _drift(frames, 4, rng) + rng.normal(0, 0.5, size=4)

    parts = np.array_split(waveform, frames)
    loudness = [np.sqrt(np.mean(x**2)) for x in parts]
    speech = np.array(loudness) / (max(loudness) + 1e-6)
    lids = np.ones(frames)
    if rng.random() < 0.5:
        lids[rng.integers(frames) :][:2] = 0.1

    return np.array(
        [
            portrait.draw(Expression(*pose), *rest)
            for pose, *rest in zip(poses, speech, lids, moves)
        ]
    )


def _drift(frames, channels, rng):
    """Slow random movement of about unit size: `[frames, channels]`."""
    knots = rng.normal(size=(channels, 4))
    times = np.linspace(0, 3, frames)
    return np.array([np.interp(times, np.arange(4), row) for row in knots]).T
