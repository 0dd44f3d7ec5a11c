"""Where a waveform has speech, and how loud it is there.

After ITU-T P.56 (12/2011), "Objective measurement of active speech level",
method B, clause 8. Silence at both ends of a clip must not change the ratio of
speech to noise, as it does with the power over the whole clip.
"""

import numpy as np
import torchaudio
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

# Clause 8.3 of P.56.
TIME_CONSTANT = 0.03  # s, of the two filters that smooth the envelope
HANGOVER = 0.2  # s for which speech goes on after the envelope has fallen
MARGIN = 15.9  # dB between the active level and the threshold
LOUDNESS_BLOCK = 0.4  # s, of ITU-R BS.1770-4


def active_part(waveform, sample_rate):
    """Finds the samples in which there is speech.

    P.56 tries thresholds in steps of 6 dB and interpolates; here each value of
    the envelope is a threshold, so that there is nothing to interpolate.

    Arguments
    ---------
    waveform : np.ndarray
        `[time]`, float.
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray
        Boolean `[time]`; no sample of a silent clip.

    Example
    -------
    >>> tone = np.sin(np.arange(16000) / 5)
    >>> clip = np.concatenate([np.zeros(16000), tone, np.zeros(32000)])
    >>> active = active_part(clip, 16000)
    >>> round(float(active.mean()), 2)  # a quarter, and the hangover
    0.32
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    waveform = waveform - waveform.mean()
    energy = np.square(waveform).sum()
    if energy == 0:
        return np.zeros(len(waveform), dtype=bool)
    decay = np.exp(-1 / (TIME_CONSTANT * sample_rate))
    envelope = np.abs(waveform)
    for _ in range(2):
        envelope = lfilter([1 - decay], [1, -decay], envelope)
    half = round(HANGOVER * sample_rate / 2)
    # The maximum of the past: a window of 2 * half + 1 that ends here, with
    # silence before the clip.
    envelope = maximum_filter1d(
        envelope, 2 * half + 1, mode="constant", origin=half
    )
    thresholds = np.sort(envelope)
    # Samples that reach each threshold, and the active level that this gives.
    counts = np.arange(len(thresholds), 0, -1)
    thresholds = np.maximum(thresholds, np.finfo(float).tiny)
    margins = 10 * np.log10(energy / counts) - 20 * np.log10(thresholds)
    low_enough = margins <= MARGIN
    if not low_enough.any():  # a click
        return np.ones(len(waveform), dtype=bool)
    return envelope >= thresholds[low_enough.argmax()]


def active_power(waveform, active):
    """Mean power of the active part.

    Arguments
    ---------
    waveform : np.ndarray
        `[time]`, float.
    active : np.ndarray
        Boolean `[time]`, with at least one sample.

    Returns
    -------
    float
        A constant offset does not count.

    Example
    -------
    >>> float(active_power(np.array([9.0, 3.0, 1.0]), np.array([0, 1, 1]) > 0))
    1.0
    """
    return np.var(np.asarray(waveform, dtype=np.float64)[active])


def signal_to_noise(speech, noise, active):
    """Ratio of speech to noise in the active part of the speech.

    Arguments
    ---------
    speech : np.ndarray
        `[time]`, float.
    noise : np.ndarray
        `[time]`, float.
    active : np.ndarray
        Boolean `[time]`: `active_part` of the speech.

    Returns
    -------
    float
        dB.

    Example
    -------
    >>> speech = np.array([4.0, -4.0, 4.0, -4.0])
    >>> noise = np.array([0.4, 0.4, -0.4, -0.4])
    >>> signal_to_noise(speech, noise, speech != 0)
    20.0
    """
    ratio = active_power(speech, active) / active_power(noise, active)
    return round(float(10 * np.log10(ratio)), 6)


def normalize_loudness(waveform, sample_rate, target):
    """Scales a waveform to an integrated loudness, ITU-R BS.1770-4.

    Arguments
    ---------
    waveform : torch.Tensor
        `[time]`, full scale from -1 to 1. One of less than 0.4 s, the block of
        the standard, is measured as if it were repeated.
    sample_rate : int
        Hz.
    target : float
        LUFS; None to leave the waveform as it is.

    Returns
    -------
    torch.Tensor
        `[time]`; it may exceed full scale. What is below the absolute gate of
        -70 LUFS, such as silence, is left as it is.

    Example
    -------
    >>> import torch
    >>> tone = torch.sin(torch.arange(16000) * 0.4)
    >>> quiet, loud = (
    ...     normalize_loudness(level * tone, 16000, -23.0)
    ...     for level in (0.01, 0.1)
    ... )
    >>> torch.allclose(quiet, loud, atol=1e-4)
    True
    """
    if target is None or not len(waveform):
        return waveform
    block = round(LOUDNESS_BLOCK * sample_rate)
    measured = waveform.repeat(-(-block // len(waveform)))
    loudness = torchaudio.functional.loudness(measured[None], sample_rate)
    if not loudness.isfinite():
        return waveform
    return waveform * 10 ** ((target - loudness) / 20)
