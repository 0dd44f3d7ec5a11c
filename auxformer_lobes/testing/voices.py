"""Invented voices: source-filter synthesis of a text in a crude spelling.

A train of glottal pulses and some noise go through a filter that moves from
letter to letter. It is babble rather than speech, but it has what a listener
judges an emotion by: pitch, tempo, loudness, brightness and tremor.
"""

from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 16000
_HOP = 80  # samples between two settings of the filter, 5 ms
_WINDOW = 512

# Formants in Hz, after Peterson and Barney, "Control methods used in a study
# of the vowels", JASA 1952.
_VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
# Voicing, noise (both 0 to 1), and where the noise lies in Hz.
_CONSONANTS = {
    "b": (0.4, 0.3, 900),
    "d": (0.4, 0.4, 3500),
    "f": (0.0, 0.4, 4500),
    "g": (0.4, 0.4, 1800),
    "h": (0.0, 0.4, 1500),
    "j": (0.5, 0.1, 2500),
    "k": (0.0, 0.9, 1900),
    "l": (0.6, 0.0, 1000),
    "m": (0.5, 0.0, 1000),
    "n": (0.5, 0.0, 1000),
    "p": (0.0, 0.8, 800),
    "r": (0.6, 0.0, 1000),
    "s": (0.0, 0.9, 6000),
    "t": (0.0, 0.9, 4200),
    "v": (0.4, 0.2, 4000),
    "w": (0.5, 0.0, 1000),
    "z": (0.4, 0.6, 5500),
}
_MURMUR = (280, 1200, 2300)  # formants between vowels


class Voice(NamedTuple):
    """What stays the same in all that one person says."""

    pitch: float
    """Mean fundamental frequency in Hz."""
    formants: float
    """Factor on all formants: a shorter vocal tract has higher ones."""
    tilt: float
    """Brightness in dB per octave, relative to a common voice."""
    breath: float
    """Share of noise in vowels, 0 to 1."""
    tempo: float
    """Factor on the speed."""
    loudness: float
    """In dB, relative to a common voice."""
    room: float
    """Level of the noise in the room, in dB relative to full scale."""


class VoiceStyle(NamedTuple):
    """How something is said; all zeros is a matter-of-fact tone."""

    pitch: float
    """Semitones above the person's own mean."""
    melody: float
    """Additional height of the accents in semitones."""
    tempo: float
    """0.1 is a tenth faster."""
    energy: float
    """In dB."""
    tilt: float
    """Brightness in dB per octave."""
    tremor: float
    """Depth of the 6 Hz tremor of the pitch, in semitones."""
    smile: float = 0
    """1: spread lips, which shorten the vocal tract; -1: pouted ones."""


def invent_voice(rng, gender):
    """Invents a voice.

    Arguments
    ---------
    rng : numpy.random.Generator
        Where the chance comes from.
    gender : str
        ``female`` or ``male``.

    Returns
    -------
    Voice
        Of somebody new.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> invent_voice(rng, "female").pitch > invent_voice(rng, "male").pitch
    True
    """
    pitch, formants = (200, 1.16) if gender == "female" else (115, 1.0)
    return Voice(
        pitch=pitch * 2 ** rng.normal(0, 0.12),
        formants=formants * rng.uniform(0.95, 1.06),
        tilt=rng.normal(0, 0.6),
        breath=rng.uniform(0.02, 0.15),
        tempo=rng.uniform(0.94, 1.06),
        loudness=rng.normal(0, 1.5),
        room=rng.uniform(-62, -50),
    )


def speak(text, voice, style, rng):
    """Says a text.

    Arguments
    ---------
    text : str
        Lower-case letters and spaces, spelt as it sounds, ``it woz kold``;
        anything else is a murmur.
    voice : Voice
        Who says it.
    style : VoiceStyle
        How it is said.
    rng : numpy.random.Generator
        Where the chance comes from: nobody says a thing twice alike.

    Returns
    -------
    numpy.ndarray
        The sound at 16 kHz, ``[samples]``, float64 in [-1, 1]. About 1.2 to
        1.9 s for texts of 15 to 40 letters.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> calm = VoiceStyle(0, 0, 0, 0, 0, 0)
    >>> sound = speak("it woz kold", invent_voice(rng, "male"), calm, rng)
    >>> 1 < len(sound) / SAMPLE_RATE < 2
    True
    """
    tempo = voice.tempo * (1 + style.tempo) * rng.uniform(0.96, 1.04)
    track = _articulate(text, (0.92 + 0.014 * len(text)) / tempo, rng)
    voicing, noise, place = track[:3]
    formants = track[3:] * voice.formants * (1 + 0.08 * style.smile)
    samples = _HOP * track.shape[1]

    pitch = voice.pitch * 2 ** (_melody(track.shape[1], style, rng) / 12)
    pitch = np.interp(np.arange(samples), _HOP * np.arange(len(pitch)), pitch)
    pulses = np.diff(np.floor(np.cumsum(pitch) / SAMPLE_RATE), prepend=0)
    # A pulse carries its period's energy, so that high voices are not louder.
    pulses *= np.sqrt(SAMPLE_RATE / pitch)
    hiss = rng.normal(size=samples)

    frequency = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)[:, None]
    octaves = np.log2(np.maximum(frequency, 100) / 500)
    tract = sum(
        level / (1 + ((frequency - formant) / bandwidth) ** 2)
        for formant, bandwidth, level in zip(
            formants, (70, 100, 150), (1.0, 0.6, 0.35)
        )
    )
    tract = tract * 10 ** ((voice.tilt + style.tilt) * octaves / 20)
    friction = np.exp(-(((frequency - place) / 1500) ** 2))
    sound = _filter(pulses, voicing * tract)
    sound += _filter(
        hiss, voice.breath * voicing * tract + 0.2 * noise * friction
    )
    sound *= 0.2 * 10 ** ((voice.loudness + style.energy) / 20)
    sound += 10 ** (voice.room / 20) * rng.normal(size=samples)
    return np.tanh(sound)


def _articulate(text, seconds, rng):
    """`[6, steps]`: voicing, noise, its place and three formants over time."""
    silence = (0, 0, 1000, *_MURMUR)
    letters, lengths = [silence], [0.12]
    share = seconds / sum(_duration(letter) for letter in text)
    for letter in text:
        if letter in _VOWELS:
            letters.append((1, 0, 1000, *_VOWELS[letter]))
        elif letter in _CONSONANTS:
            letters.append((*_CONSONANTS[letter], *_MURMUR))
        else:
            letters.append((0.3, 0, 1000, *_MURMUR))
        lengths.append(share * _duration(letter) * rng.uniform(0.8, 1.2))
    letters.append(silence)
    lengths.append(0.12)
    steps = np.round(np.array(lengths) * SAMPLE_RATE / _HOP).astype(int)
    track = np.repeat(np.array(letters, dtype=float), steps, axis=0)
    return _smooth(track.T, 9)


def _duration(letter):
    """Relative duration of a letter."""
    return 2 if letter in _VOWELS else 0.5 if letter == " " else 1


def _smooth(track, width):
    """Runs a bell over the last axis; the ends are held."""
    bell = np.hanning(width + 2)[1:-1]
    bell /= bell.sum()
    padded = np.pad(track, ((0, 0), (width // 2, width // 2)), mode="edge")
    return np.array([np.convolve(row, bell, mode="valid") for row in padded])


def _melody(steps, style, rng):
    """Semitones around the person's mean: `[steps]`."""
    seconds = np.arange(steps) * _HOP / SAMPLE_RATE
    accents = _smooth(rng.normal(size=(1, steps)), 81)[0]
    accents /= np.abs(accents).max()
    tremor = np.sin(2 * np.pi * (6 * seconds + rng.uniform()))
    decline = np.linspace(1, -1, steps)
    return (
        style.pitch
        + (1.5 + style.melody) * (accents + 0.5 * decline)
        + style.tremor * tremor
    )


def _filter(source, response):
    """Filters `[samples]` by a response that changes, `[bins, steps]`."""
    window = np.hanning(_WINDOW)
    starts = _HOP * np.arange(response.shape[1])
    padded = np.pad(source, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)
    spectra = np.fft.rfft(frames[starts] * window) * response.T
    sound = np.zeros(len(padded) + _WINDOW)
    for start, frame in zip(starts, np.fft.irfft(spectra) * window):
        sound[start : start + _WINDOW] += frame
    sound *= _HOP / (window**2).sum()
    return sound[_WINDOW // 2 :][: len(source)]
