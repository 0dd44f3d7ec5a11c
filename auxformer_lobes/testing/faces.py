"""Invented faces that move with a sound and an emotion."""

import numpy as np

from auxformer_lobes.testing.portraits import Expression, Face

# From light to dark, and from dark to light: darker skins take from the front
# of the other two lists, for detectors look for contrast.
_SKINS = ((244, 208, 184), (232, 188, 156), (206, 156, 122), (172, 122, 92))
_HAIRS = ((36, 30, 28), (76, 50, 36), (120, 74, 46), (166, 122, 72))
_IRISES = ((88, 56, 34), (70, 96, 60), (70, 104, 140))


def invent_face(rng, gender):
    """Invents a face.

    Arguments
    ---------
    rng : numpy.random.Generator
        Where the chance comes from.
    gender : str
        ``female`` or ``male``.

    Returns
    -------
    Face
        Of somebody new.

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


def animate(portrait, expression, sound, sample_rate, frame_rate, rng):
    """Films a face that speaks, from near rest to an expression.

    Arguments
    ---------
    portrait : Portrait
        Who is filmed.
    expression : Expression
        The expression at its apex.
    sound : numpy.ndarray
        What is said, ``[samples]``: the mouth opens with its loudness.
    sample_rate : int
        Of the sound, in Hz.
    frame_rate : int
        Pictures a second.
    rng : numpy.random.Generator
        Where the chance comes from: onset, blinks, movements of the head.

    Returns
    -------
    numpy.ndarray
        RGB pictures, as long as the sound: ``[frames, height, width, 3]``,
        uint8.

    Example
    -------
    >>> from auxformer_lobes.testing.portraits import Portrait
    >>> rng = np.random.default_rng(0)
    >>> portrait = Portrait(invent_face(rng, "male"))
    >>> relaxed = Expression(0, 0, 0, 0, 0, 0, 0)
    >>> animate(portrait, relaxed, np.zeros(16000), 16000, 5, rng).shape
    (5, 144, 192, 3)
    """
    frames = round(len(sound) / sample_rate * frame_rate)
    progress = np.arange(frames) / frames
    onset, rise = rng.uniform(0, 0.2), rng.uniform(0.1, 0.3)
    strength = 0.3 + 0.7 * np.clip((progress - onset) / rise, 0, 1)
    poses = strength[:, None] * np.array(expression)
    poses += 0.08 * _drift(frames, len(expression), rng)
    moves = _drift(frames, 4, rng) + rng.normal(0, 0.5, size=4)

    loudness = [np.sqrt(np.mean(x**2)) for x in np.array_split(sound, frames)]
    speech = np.array(loudness) / (max(loudness) + 1e-6)
    lids = np.ones(frames)
    if rng.random() < 0.5:
        lids[rng.integers(frames) :][:2] = 0.1

    return np.array(
        [
            portrait.paint(Expression(*pose), *rest)
            for pose, *rest in zip(poses, speech, lids, moves)
        ]
    )


def _drift(frames, channels, rng):
    """Slow random movement of about unit size: `[frames, channels]`."""
    knots = rng.normal(size=(channels, 4))
    times = np.linspace(0, 3, frames)
    return np.array([np.interp(times, np.arange(4), row) for row in knots]).T
