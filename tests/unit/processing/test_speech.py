"""The active part of speech, after ITU-T P.56."""

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.processing.speech import (
    active_part,
    active_power,
    signal_to_noise,
)

RATE = 16000


def speech(seconds=1.0, seed=0):
    """Noise with the envelope of syllables."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(times))
    return 0.1 * noise * np.abs(np.sin(8 * times))


def level(waveform):
    """Active level, dB: the total energy over the active samples."""
    active = active_part(waveform, RATE)
    return 10 * np.log10(np.square(waveform).sum() / active.sum())


def test_continuous_noise_is_active_throughout():
    noise = np.random.default_rng(0).standard_normal(2 * RATE)
    assert active_part(noise, RATE).mean() > 0.98
    assert level(noise) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("seconds", [1, 5, 20])
def test_silence_around_speech_does_not_count(seconds):
    silence = 1e-5 * speech(seconds, seed=1)
    padded = np.concatenate([silence, speech(3), silence])
    # But for the hangover of 0.2 s; over the whole clip, it would be 2 to 12.
    assert level(padded) == pytest.approx(level(speech(3)), abs=0.5)


def test_speech_goes_on_in_short_pauses_and_not_in_long_ones():
    parts = speech(1), np.zeros(RATE // 10), speech(1), np.zeros(2 * RATE)
    active = active_part(np.concatenate([*parts, speech(1)]), RATE)
    short, long = (round(x * RATE) for x in (1.05, 3.1))
    assert active[short] and not active[long]


@pytest.mark.parametrize("pause", [0.05, 0.15, 1.0])
def test_a_pause_at_the_start_is_no_speech(pause):
    before = round(pause * RATE)
    active = active_part(np.concatenate([np.zeros(before), speech(1)]), RATE)
    assert not active[:before].any()
    assert active[before + RATE // 10 :].all()


@settings(max_examples=30)
@given(gain=st.floats(1e-4, 1e3), offset=st.floats(-1, 1))
def test_neither_level_nor_offset_change_the_active_part(gain, offset):
    clip = np.concatenate([1e-3 * speech(0.5), speech(0.5)])
    changed = active_part(gain * (clip + offset), RATE)
    assert (changed != active_part(clip, RATE)).sum() < 10


@pytest.mark.parametrize("constant", [0.0, 0.25])
def test_a_silent_clip_has_no_active_part(constant):
    assert not active_part(np.full(RATE, constant), RATE).any()


def test_a_click_is_no_speech_but_has_a_level():
    click = np.zeros(2 * RATE)
    click[RATE] = 1
    assert active_part(click, RATE).all()


def test_the_ratio_is_that_of_the_active_part():
    clip = np.concatenate([np.zeros(RATE), speech(1)])
    active = np.arange(2 * RATE) >= RATE
    noise = np.concatenate([np.ones(RATE), 0.1 * speech(1, seed=1)])
    powers = [active_power(x, active) for x in (clip, noise)]
    expected = 10 * np.log10(powers[0] / powers[1])
    assert signal_to_noise(clip, noise, active) == pytest.approx(expected)
    assert expected == pytest.approx(20, abs=0.5)
