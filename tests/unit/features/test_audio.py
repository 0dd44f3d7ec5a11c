"""Filterbanks, openSMILE descriptors, and the audio that both read."""

import logging
import pickle
import sys

import numpy as np
import opensmile
import pytest
import soundfile
import torch
from torch.testing import assert_close

from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.opensmile import OpenSmileFeatures
from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import grey_images, tone, write_media
from tests.unit.speech_models import save_model


@pytest.fixture
def tone_file(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000)
    return path


def test_filterbanks_come_every_10_ms_with_their_derivatives(tone_file):
    features = FbankFeatures()
    values = features("tone", tone_file)
    assert features.dim == 120
    assert values.shape == (101, 120)
    assert values.dtype == torch.float32
    static, first, second = values[10:-10].chunk(3, dim=1)
    # A steady tone: one band on top, and nothing changes.
    assert (static.argmax(1) == static[0].argmax()).all()
    assert static.max() - static.min() <= 80
    assert first.abs().max() < 0.5
    assert second.abs().max() < 0.5


@pytest.mark.parametrize("hertz", [220, 880, 3520])
def test_the_band_on_top_is_that_of_the_tone(tmp_path, hertz):
    soundfile.write(tmp_path / "tone.wav", tone(hertz=hertz), 16000)
    values = FbankFeatures(deltas=False)("tone", tmp_path / "tone.wav")
    mel = 2595 * np.log10(1 + np.array([hertz, 8000]) / 700)
    assert values.shape == (101, 40)
    assert abs(values[50].argmax() - 40 * mel[0] / mel[1]) < 1.5


@pytest.mark.parametrize("rate", [8000, 48000])
def test_filterbanks_do_not_depend_on_the_file_s_sample_rate(
    tmp_path, tone_file, rate
):
    soundfile.write(tmp_path / "other.wav", tone(rate=rate), rate)
    features = FbankFeatures(deltas=False)
    other = features("other", tmp_path / "other.wav")
    band = features("tone", tone_file)[50].argmax()
    assert other[50].argmax() == band


@pytest.mark.parametrize("samples", [1, 100, 161])
def test_the_shortest_audio_and_silence_have_finite_filterbanks(
    tmp_path, samples
):
    soundfile.write(tmp_path / "short.wav", np.zeros(samples), 16000)
    values = FbankFeatures()("short", tmp_path / "short.wav")
    assert values.shape == (samples // 160 + 1, 120)
    assert values.isfinite().all()


def test_filterbanks_of_another_sample_rate_hear_all_of_it(tmp_path):
    soundfile.write(tmp_path / "tone.wav", tone(rate=8000), 8000)
    features = FbankFeatures(sample_rate=8000, n_mels=20, hop_length=20)
    assert features("tone", tmp_path / "tone.wav").shape == (51, 60)
    assert features.settings == {
        "class": "FbankFeatures",
        "sample_rate": 8000,
        "n_mels": 20,
        "hop_length": 20,
        "win_length": 25,
        "deltas": True,
    }


@pytest.mark.parametrize("name", ["n_mels", "hop_length", "win_length"])
def test_filterbanks_of_nothing_are_reported(name):
    with pytest.raises(
        UserError, match=f"{name} must be greater than 0, not 0"
    ):
        FbankFeatures(**{name: 0})


@pytest.fixture(scope="module")
def compare():
    return OpenSmileFeatures()


def test_compare_is_65_descriptors_and_their_65_deltas_every_10_ms(
    compare, tone_file
):
    values = compare("tone", tone_file)
    assert compare.dim == 130
    # Windows of 60 ms; openSMILE gives one frame more than fit.
    assert values.shape == ((16000 - 960) // 160 + 2, 130)
    assert values.dtype == torch.float32
    names = compare.smile.feature_names
    deltas = [name.replace("_sma", "_sma_de") for name in names[:65]]
    assert deltas == names[65:]
    pitch = values[:, names.index("F0final_sma")]
    assert (pitch[5:-5] - 440).abs().max() < 1


def test_compare_is_what_opensmile_gives_level_by_level(compare, tone_file):
    waveform, rate = soundfile.read(tone_file, dtype="float32")
    levels = [
        opensmile.Smile(
            opensmile.FeatureSet.ComParE_2016, level
        ).process_signal(waveform, rate)
        for level in (
            opensmile.FeatureLevel.LowLevelDescriptors,
            opensmile.FeatureLevel.LowLevelDescriptors_Deltas,
        )
    ]
    # Alone, the deltas go on for two frames.
    expected = np.concatenate([levels[0], levels[1][:-2]], axis=1)
    np.testing.assert_allclose(compare("tone", tone_file), expected)


def test_descriptors_follow_a_tone_that_changes(tmp_path, compare):
    waveform = np.concatenate([tone(hertz=200), tone(hertz=400)])
    soundfile.write(tmp_path / "rising.wav", waveform, 16000)
    values = compare("rising", tmp_path / "rising.wav")
    pitch = values[:, compare.smile.feature_names.index("F0final_sma")]
    assert abs(pitch[50] - 200) < 1
    assert abs(pitch[150] - 400) < 1


@pytest.mark.parametrize("feature_set", ["ComParE_2016", "eGeMAPSv02"])
@pytest.mark.parametrize("samples", [1, 959, 960])
def test_the_shortest_audio_has_finite_descriptors(
    tmp_path, feature_set, samples
):
    features = OpenSmileFeatures(feature_set)
    soundfile.write(tmp_path / "short.wav", tone()[:samples], 16000)
    values = features("short", tmp_path / "short.wav")
    assert values.shape == (2, features.dim)
    assert values.isfinite().all()


def test_audio_at_full_scale_does_not_wrap_around(tmp_path, compare):
    """In 16 bits, 32768 is -32768: a square wave would be a constant."""
    values = []
    for level in (0.999, 1.0, 1.5):
        path = tmp_path / "loud.wav"
        waveform = level * np.sign(tone(hertz=441))
        soundfile.write(path, waveform, 16000, subtype="FLOAT")
        values.append(compare("loud", path))
    crossings = compare.smile.feature_names.index("pcm_zcr_sma")
    assert (values[0][:, crossings] > 0.05).all()
    assert_close(values[0][:, crossings], values[1][:, crossings])
    assert_close(values[1], values[2])


def test_descriptors_that_are_not_finite_become_0_and_are_counted(
    tone_file, caplog
):
    features = OpenSmileFeatures()
    values = features("tone", tone_file)
    assert values.isfinite().all()
    frames = features.smile.process_signal(tone(), 16000)
    frames.iloc[3, 7] = np.nan
    frames.iloc[4, 0] = -np.inf
    features.smile.process_signal = lambda waveform, rate: frames
    with caplog.at_level(logging.WARNING, "auxformer_lobes.features.opensmile"):
        broken = features("tone", tone_file)
    assert broken[3, 7] == broken[4, 0] == 0
    assert "tone: 2 of 12480 openSMILE values are not finite" in caplog.text


def test_descriptors_are_the_same_in_workers(compare, tone_file):
    sent = pickle.loads(pickle.dumps(compare))
    assert sent.settings == compare.settings
    assert_close(sent("tone", tone_file), compare("tone", tone_file))


def test_another_feature_set_is_another_store_and_a_typo_is_reported(compare):
    features = OpenSmileFeatures("eGeMAPSv02")
    assert features.dim == 25
    assert features.settings != compare.settings
    with pytest.raises(UserError, match="one of ComParE_2016, eGeMAPSv02"):
        OpenSmileFeatures("ComParE2016")


def test_without_opensmile_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(UserError, match=r"'auxformer-lobes\[opensmile\]'"):
        OpenSmileFeatures()


@pytest.fixture(scope="module")
def extractors(tmp_path_factory):
    """One of each kind, a tiny model for the speech models."""
    source = save_model(tmp_path_factory.mktemp("model"))
    return {
        "fbank": FbankFeatures(),
        "compare": OpenSmileFeatures(),
        "speech": SpeechModelFeatures(source, source),
    }


# Frames of a second, and of a minute.
FRAMES = {"fbank": (101, 6001), "compare": (96, 5996), "speech": (49, 2999)}
every_kind = pytest.mark.parametrize("kind", FRAMES)


@every_kind
@pytest.mark.parametrize("rate", [8000, 11025, 48000])
def test_any_sample_rate_gives_as_many_frames(tmp_path, extractors, kind, rate):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate=rate), rate)
    values = extractors[kind]("tone", path)
    assert values.shape == (FRAMES[kind][0], extractors[kind].dim)
    assert values.isfinite().all()


@every_kind
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "ULAW"])
def test_stereo_in_any_width_of_sample_is_as_good_as_mono(
    tmp_path, extractors, kind, subtype
):
    values = []
    for channels in (1, 2):
        path = tmp_path / f"{channels}.wav"
        waveform = np.stack([tone()] * channels, axis=1)
        soundfile.write(path, waveform, 16000, subtype=subtype)
        values.append(extractors[kind]("tone", path))
    assert values[0].shape == (FRAMES[kind][0], extractors[kind].dim)
    assert values[0].isfinite().all()
    assert_close(*values)


@every_kind
def test_ten_milliseconds_and_a_minute_have_features(
    tmp_path, extractors, kind
):
    for seconds in (0.01, 60):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, tone(seconds), 16000)
        values = extractors[kind]("tone", path)
        assert values.isfinite().all()
        if seconds == 60:
            assert len(values) == FRAMES[kind][1]
        else:
            assert len(values) in (1, 2)


@every_kind
def test_a_file_without_audio_is_named(tmp_path, extractors, kind):
    silent = write_media(tmp_path / "silent.flv", grey_images([0] * 3))
    with pytest.raises(MediaError, match="silent.flv: has no audio stream"):
        extractors[kind].read("silent", silent)
    soundfile.write(tmp_path / "empty.wav", [], 16000)
    with pytest.raises(MediaError, match="empty.wav: .* no samples"):
        extractors[kind].read("empty", tmp_path / "empty.wav")


def test_a_level_is_a_setting_only_where_it_is_given(tmp_path):
    assert "normalize_level" not in FbankFeatures().settings
    leveled = FbankFeatures(normalize_level=-23)
    assert leveled.settings["normalize_level"] == -23
    for name, level in (("loud", 0.5), ("quiet", 0.05)):
        soundfile.write(
            tmp_path / f"{name}.wav",
            tone(level=level),
            16000,
            subtype="FLOAT",
        )
    loud, quiet = (
        leveled("clip", tmp_path / f"{name}.wav") for name in ("loud", "quiet")
    )
    assert torch.allclose(loud, quiet, atol=1e-2)
    with pytest.raises(UserError, match="normalize_level must be"):
        FbankFeatures(normalize_level=3)
