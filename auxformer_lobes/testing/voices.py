"""Synthetic voices: source-filter synthesis of a text in phonetic spelling.

Glottal pulses and noise pass through a filter that changes from letter to
letter. The result is babble, but carries the cues of emotion: pitch, tempo,
loudness, brightness and tremor.
"""

from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 16000
_HOP = 80  # samples between two filter settings, 5 ms
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
# Voicing and noise (0 to 1), and the centre frequency of the noise in Hz.
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
    """Constant properties of a speaker."""

    pitch: float
    """Mean fundamental frequency, Hz."""
    formants: float
    """Factor on all formants: a shorter vocal tract has higher ones."""
    tilt: float
    """Spectral tilt relative to an average voice, dB per octave."""
    breath: float
    """Share of noise in vowels, 0 to 1."""
    tempo: float
    """Factor on the speaking rate."""
    loudness: float
    """Relative to an average voice, dB."""
    room: float
    """Level of the background noise, dB relative to full scale."""


class VoiceStyle(NamedTuple):
    """Speaking style; all zeros is neutral."""

    pitch: float
    """Semitones above the mean of the speaker."""
    melody: float
    """Additional height of pitch accents, semitones."""
    tempo: float
    """0.1 is a tenth faster."""
    energy: float
    """Additional loudness, dB."""
    tilt: float
    """Additional spectral tilt, dB per octave."""
    tremor: float
    """Depth of a 6 Hz pitch tremor, semitones."""
    smile: float = 0
    """1: spread lips, which shorten the vocal tract; -1: rounded lips."""


def invent_voice(rng, gender):
    """Draws a random voice.

    Arguments
    ---------
    rng : numpy.random.Generator
        Random generator.
    gender : str
        "female" or "male".

    Returns
    -------
    Voice

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
    """Synthesizes a text.

    Arguments
    ---------
    text : str
        Lower-case letters and spaces in phonetic spelling, "it woz kold"; other
        characters give a murmur.
    voice : Voice
        The speaker.
    style : VoiceStyle
        The speaking style.
    rng : numpy.random.Generator
        Draws what differs between repetitions.

    Returns
    -------
    numpy.ndarray
        Waveform `[samples]` at `SAMPLE_RATE`, float64, from -1 to 1; about 1.2
        to 1.9 s for 15 to 40 letters.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> calm = VoiceStyle(0, 0, 0, 0, 0, 0)
    >>> waveform = speak("it woz kold", invent_voice(rng, "male"), calm, rng)
    >>> 1 < len(waveform) / SAMPLE_RATE < 2
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
    waveform = _filter(pulses, voicing * tract)
    waveform += _filter(
        hiss, voice.breath * voicing * tract + 0.2 * noise * friction
    )
    waveform *= 0.2 * 10 ** ((voice.loudness + style.energy) / 20)
    waveform += 10 ** (voice.room / 20) * rng.normal(size=samples)
    return np.tanh(waveform)


def _articulate(text, seconds, rng):
    """`[6, steps]`: voicing, noise, its frequency and three formants."""
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
    """Smooths along the last axis with a Hann window; edges are repeated."""
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()
    padded = np.pad(track, ((0, 0), (width // 2, width // 2)), mode="edge")
    return np.array([np.convolve(row, window, mode="valid") for row in padded])


def _melody(steps, style, rng):
    """Pitch contour in semitones around the mean: `[steps]`."""
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
    """Filters `[samples]` by a time-varying response, `[bins, steps]`."""
    window = np.hanning(_WINDOW)
    starts = _HOP * np.arange(response.shape[1])
    padded = np.pad(source, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)
    spectra = np.fft.rfft(frames[starts] * window) * response.T
    waveform = np.zeros(len(padded) + _WINDOW)
    for start, frame in zip(starts, np.fft.irfft(spectra) * window):
        waveform[start : start + _WINDOW] += frame
    waveform *= _HOP / (window**2).sum()
    return waveform[_WINDOW // 2 :][: len(source)]
