"""Filterbanks, and wav2vec 2.0 without its upper layers."""

import gc
import pickle
import shutil
import weakref

import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features.audio import FbankFeatures, Wav2Vec2Features
from tests.unit.media_files import grey_pictures, tone, write_media


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
def test_the_shortest_sound_and_silence_have_finite_filterbanks(
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


def test_a_video_without_sound_is_named(tmp_path):
    path = write_media(tmp_path / "silent.flv", grey_pictures([0] * 3))
    with pytest.raises(MediaError, match="no audio stream"):
        FbankFeatures()("silent", path)


def save_model(folder, do_normalize=True, layers=4, seed=0):
    """Writes a tiny model of the kind of wav2vec2-large-robust."""
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=[16] * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return str(folder)


def load(source, keep_layers=2):
    """Reads a tiny model."""
    return Wav2Vec2Features(source, f"{source}/saved", keep_layers, "cpu")


@pytest.mark.parametrize("do_normalize", [True, False])
def test_wav2vec2_equals_the_published_cut_of_the_model(
    tmp_path, tone_file, do_normalize
):
    source = save_model(tmp_path / "model", do_normalize)
    features = load(source)("tone", tone_file)
    # What the published system does.
    model = Wav2Vec2Model.from_pretrained(source).eval()
    del model.encoder.layers[2:]
    waveform = torch.from_numpy(soundfile.read(tone_file, dtype="float32")[0])
    if do_normalize:
        waveform = (waveform - waveform.mean()) / waveform.std()
    with torch.no_grad():
        expected = model(waveform[None]).last_hidden_state[0]
    assert features.shape == (49, 32)
    assert not features.requires_grad
    assert torch.allclose(features, expected, atol=1e-4)


def test_nothing_of_the_upper_layers_stays_in_memory(tmp_path, monkeypatch):
    source = save_model(tmp_path / "model")
    loaded = []
    from_pretrained = Wav2Vec2Model.from_pretrained.__func__

    def remember(cls, *args, **kwargs):
        model = from_pretrained(cls, *args, **kwargs)
        loaded.extend(
            weakref.ref(parameter)
            for layer in model.encoder.layers
            for parameter in layer.parameters()
        )
        return model

    monkeypatch.setattr(Wav2Vec2Model, "from_pretrained", classmethod(remember))
    features = load(source, keep_layers=1)
    gc.collect()
    alive = [parameter() is not None for parameter in loaded]
    quarter = len(alive) // 4
    assert alive == [True] * quarter + [False] * 3 * quarter
    assert len(features.encoder.model.encoder.layers) == 1


def test_a_sound_shorter_than_one_frame_is_padded_to_one(tmp_path):
    features = load(save_model(tmp_path / "model"))
    for samples, frames in [(1, 1), (399, 1), (400, 1), (719, 1), (720, 2)]:
        soundfile.write(tmp_path / "short.wav", tone()[:samples], 16000)
        values = features("short", tmp_path / "short.wav")
        assert values.shape == (frames, 32)
        assert values.isfinite().all()


def test_settings_follow_the_weights_wherever_they_lie(tmp_path):
    source = save_model(tmp_path / "a" / "model")
    settings = load(source).settings
    shutil.copytree(source, tmp_path / "b" / "model")
    assert load(str(tmp_path / "b" / "model")).settings == settings
    save_model(tmp_path / "b" / "model", seed=1)
    assert load(str(tmp_path / "b" / "model")).settings != settings
    assert load(source, keep_layers=1).settings != settings
    save_model(source, do_normalize=False)
    assert load(source).settings != settings


def test_workers_read_without_getting_the_model(tmp_path, tone_file):
    features = load(save_model(tmp_path / "model"))
    pickled = pickle.dumps(features)
    assert len(pickled) < 2000
    reading = pickle.loads(pickled).read("tone", tone_file)
    assert torch.equal(
        features.encode([reading.values])[0], features("tone", tone_file)
    )


def test_more_layers_than_there_are_is_told(tmp_path):
    source = save_model(tmp_path / "model")
    with pytest.raises(UserError, match="keep_layers: 12, .* has 4 layers"):
        load(source, keep_layers=12)
    assert load(source, keep_layers=None).settings["keep_layers"] == 4


def test_a_wrong_source_is_told_in_one_line(tmp_path):
    damaged = save_model(tmp_path / "damaged")
    tmp_path.joinpath("damaged", "model.safetensors").write_text("version")
    tmp_path.joinpath("empty").mkdir()
    for source in [damaged, f"{tmp_path}/empty", f"{tmp_path}/typo"]:
        with pytest.raises(UserError, match=f"{source}: neither") as error:
            load(source)
        assert "\n" not in str(error.value)
