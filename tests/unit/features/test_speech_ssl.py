"""Hidden states of wav2vec 2.0, HuBERT and WavLM."""

import gc
import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from transformers import BertConfig, Wav2Vec2FeatureExtractor

from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import tone
from tests.unit.speech_models import (
    FAMILIES,
    features_of,
    save_model,
    tiny_model,
)

PRESETS = Path(__file__).parents[3] / "recipes/CREMA-D/hparams/encoders"
KINDS = [(family, norm) for family in FAMILIES for norm in ("layer", "group")]


@pytest.fixture
def tone_file(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a tiny model of each kind."""
    root = tmp_path_factory.mktemp("models")
    return {
        kind: save_model(root / "-".join(kind), family=kind[0], norm=kind[1])
        for kind in KINDS
    }


def hidden_states(kind, source, layers=4):
    """Reference by transformers: last hidden state of the tone, and all."""
    model = FAMILIES[kind[0]][1].from_pretrained(
        source, num_hidden_layers=layers
    )
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(source)
    values = extractor(tone(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        out = model(values.input_values, output_hidden_states=True)
    return out.last_hidden_state[0], [x[0] for x in out.hidden_states]


def close(features, expected):
    # Batches and machines sum float32 in different orders.
    return torch.allclose(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize("keep_layers", [None, 2])
def test_the_last_state_is_that_of_the_model_with_so_many_layers(
    folders, tone_file, kind, keep_layers
):
    features = features_of(folders[kind], keep_layers=keep_layers)
    values = features("tone", tone_file)
    expected, _ = hidden_states(kind, folders[kind], keep_layers or 4)
    assert values.shape == (49, 32)
    assert (features.dim, features.layers) == (32, 1)
    assert not values.requires_grad
    assert close(values, expected)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_layer_equals_its_output_in_the_whole_model(folders, tone_file, kind):
    _, expected = hidden_states(kind, folders[kind])
    for layer in (1, 3, 4):
        features = features_of(folders[kind], layer=layer)
        assert (features.dim, features.layers) == (32, 1)
        assert close(features("tone", tone_file), expected[layer])


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_all_layers_lie_side_by_side_after_the_first_one_s_input(
    folders, tone_file, kind
):
    _, expected = hidden_states(kind, folders[kind], 3)
    features = features_of(folders[kind], keep_layers=3, layer="all")
    assert (features.dim, features.layers) == (4 * 32, 4)
    values = features("tone", tone_file)
    assert values.shape == (49, 4 * 32)
    assert close(values, torch.cat(expected, 1))


def test_waveforms_are_normalised_where_the_model_wants_it(tmp_path, tone_file):
    for wanted in (True, False):
        source = save_model(tmp_path / f"{wanted}", do_normalize=wanted)
        waveform = features_of(source).read("tone", tone_file).data
        expected = Wav2Vec2FeatureExtractor(do_normalize=wanted)(
            tone(), sampling_rate=16000, return_tensors="pt"
        )
        assert close(waveform, expected.input_values[0])


def test_nothing_of_the_upper_layers_is_in_memory(tmp_path):
    # No other tensor has 61 rows or columns.
    source = save_model(tmp_path / "model", intermediate_size=61)
    features = features_of(source, layer=1)
    model = features.encoder.model
    gc.collect()
    alive = [x for x in gc.get_objects() if isinstance(x, torch.Tensor)]
    of_layers = [x for x in alive if 61 in x.shape]
    assert len(of_layers) == 3  # in: weights and bias; out: weights
    assert model.config.num_hidden_layers == 1
    assert len(model.encoder.layers) == 1
    numbers = re.findall(
        r"encoder\.layers\.(\d+)", " ".join(model.state_dict())
    )
    assert set(numbers) == {"0"}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_clip_in_a_batch_is_the_clip_alone(folders, kind):
    features = features_of(folders[kind], layer="all", batch_seconds=1.5)

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.sampled_from([400, 719, 720, 4000]) | st.integers(400, 9000),
            min_size=2,
            max_size=6,
        )
    )
    def _check(lengths):
        torch.manual_seed(len(lengths))
        waveforms = [torch.randn(length) for length in lengths]
        together = features.encode(waveforms)
        for values, waveform in zip(together, waveforms):
            (alone,) = features.encode([waveform])
            assert close(values, alone)

    _check()
    assert features.encode([]) == []


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_batches_keep_to_their_seconds_and_group_norm_to_one_length(
    folders, norm
):
    features = features_of(folders["hubert", norm], batch_seconds=1)
    shapes = []
    features.encoder.model.register_forward_pre_hook(
        lambda model, inputs: shapes.append(tuple(inputs[0].shape))
    )
    lengths = [4000, 20000, 8000, 4000, 6000, 4000]
    features.encode([torch.randn(length) for length in lengths])
    expected = {
        "layer": [(1, 20000), (2, 8000), (3, 4000)],
        "group": [(1, 6000), (1, 8000), (1, 20000), (3, 4000)],
    }
    assert sorted(shapes) == expected[norm]


def test_padding_is_not_taken_for_harmless_where_a_batch_norm_sees_it(tmp_path):
    source = save_model(
        tmp_path / "model", family="hubert", conv_pos_batch_norm=True
    )
    features = features_of(source)
    features.encoder.model.encoder.pos_conv_embed.batch_norm.bias.data += 1
    waveforms = [torch.randn(4000), torch.randn(9000)]
    short, _ = features.encode(waveforms)
    assert close(short, features.encode(waveforms[:1])[0])


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm"])
def test_an_adapter_behind_the_transformer_is_left_out(
    tmp_path, tone_file, family
):
    options = {"add_adapter": True, "output_hidden_size": 24}
    source = save_model(tmp_path / "model", family=family, **options)
    features = features_of(source)
    values = features("tone", tone_file)
    assert values.shape == (49, features.dim) == (49, 32)
    model = FAMILIES[family][1].from_pretrained(source)
    taken = []
    model.adapter.register_forward_pre_hook(lambda _, x: taken.append(x[0][0]))
    with torch.no_grad():
        model(features.read("tone", tone_file).data[None])
    assert close(values, taken[0])
    weights = tmp_path / "final_wav2vec.pt"
    torch.save(tiny_model(family, **options).state_dict(), weights)
    again = features_of(source, weights=str(weights))
    assert close(again("tone", tone_file), values)


def test_a_clip_shorter_than_one_frame_is_padded_to_one(folders, tmp_path):
    features = features_of(folders["wav2vec2", "layer"])
    for samples, frames in [(1, 1), (399, 1), (400, 1), (719, 1), (720, 2)]:
        soundfile.write(tmp_path / "short.wav", tone()[:samples], 16000)
        values = features("short", tmp_path / "short.wav")
        assert values.shape == (frames, 32)
        assert values.isfinite().all()


def test_an_encoder_is_frozen_until_it_is_asked_to_train(folders):
    features = features_of(folders["wav2vec2", "layer"])
    waveforms = [torch.randn(4000), torch.randn(900)]
    assert not any(
        x.requires_grad for x in features.encode_with_grad(waveforms)
    )
    features.encoder.requires_grad_(True)
    states = features.encode_with_grad(waveforms)
    for trained, encoded in zip(states, features.encode(waveforms)):
        assert close(trained, encoded)
        assert not encoded.requires_grad
    sum(x.square().sum() for x in states).backward()
    layers = features.encoder.model.encoder.layers
    assert layers[0].attention.k_proj.weight.grad.abs().max() > 0


def test_half_precision_weights_give_features_in_float32(tmp_path, tone_file):
    model = tiny_model()
    source = save_model(tmp_path / "model", model.half())
    values = features_of(source)("tone", tone_file)
    assert values.dtype == torch.float32


def test_settings_follow_the_weights_wherever_they_lie(tmp_path):
    source = save_model(tmp_path / "a" / "model")
    found = features_of(source).settings
    assert found == {
        "class": "SpeechModelFeatures",
        "source": "model",
        "keep_layers": 4,
        "layer": "last",
        "normalize": True,
        "weights": found["weights"],
    }
    shutil.copytree(source, tmp_path / "b" / "model")
    copy = str(tmp_path / "b" / "model")
    assert features_of(copy, keep_layers=4).settings == found
    others = [
        features_of(source, keep_layers=1),
        features_of(source, layer=4),
        features_of(source, layer="all"),
        features_of(save_model(copy, seed=1)),
        features_of(save_model(copy, num_attention_heads=2)),
        features_of(save_model(copy, do_normalize=False)),
    ]
    keys = {json.dumps(features.settings) for features in others}
    assert len(keys - {json.dumps(found)}) == len(others)


def test_the_model_is_loaded_when_it_is_needed_and_not_sent_to_workers(
    folders, tone_file
):
    features = features_of(folders["wavlm", "layer"])
    clip_input = features.read("tone", tone_file)
    assert "encoder" not in vars(features)
    (values,) = features.encode([clip_input.data])
    pickled = pickle.dumps(features)
    assert len(pickled) < 2000
    sent = pickle.loads(pickled)
    assert "encoder" not in vars(sent)
    assert torch.equal(sent.read("tone", tone_file).data, clip_input.data)
    assert close(sent.encode([clip_input.data])[0], values)


def test_a_choice_of_layers_that_there_is_not_is_reported(folders):
    source = folders["wav2vec2", "layer"]
    for keep_layers in (0, 5, 2.0):
        with pytest.raises(
            UserError, match="keep_layers must be .* has 4 layers"
        ):
            features_of(source, keep_layers=keep_layers)
    for layer in (0, 3, "first", 1.5):
        with pytest.raises(
            UserError, match=f"layer must be .* from 1 to 2, not {layer}"
        ):
            features_of(source, keep_layers=2, layer=layer)


def test_a_wrong_source_is_reported_in_one_line(tmp_path):
    tmp_path.joinpath("empty").mkdir()
    for source in ("empty", "typo"):
        with pytest.raises(UserError, match=f"/{source}: ") as error:
            features_of(f"{tmp_path}/{source}")
        assert "\n" not in str(error.value)
    source = save_model(tmp_path / "stands")
    config = tmp_path / "stands" / "config.json"
    strides = json.loads(config.read_text())
    strides["conv_stride"][0] = 0
    config.write_text(json.dumps(strides))
    with pytest.raises(UserError, match="stands: conv_kernel and conv_stride"):
        features_of(source)
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(
        UserError, match="bert: choose one of wav2vec2, hubert, wavlm"
    ):
        features_of(f"{tmp_path}/bert")


@pytest.mark.parametrize(
    "preset",
    [
        path
        for path in PRESETS.glob("*.yaml")
        if "speech_ssl." in path.read_text()
    ],
    ids=lambda path: path.stem,
)
def test_a_preset_is_one_line_in_a_recipe(tmp_path, preset, tone_file):
    source = save_model(tmp_path / "model", layers=12)
    weights = tmp_path / "final_wav2vec.pt"
    torch.save(tiny_model(layers=12).state_dict(), weights)
    text = preset.read_text("utf-8")
    text = re.sub(r"source: \S+", f"source: {source}", text)
    text = re.sub(r"weights: \S+", f"weights: {weights}", text)
    tmp_path.joinpath("preset.yaml").write_text(text)
    hparams = load_hyperpyyaml(f"features: !include:{tmp_path}/preset.yaml\n")
    assert hparams["features"]("tone", tone_file).shape == (49, 32)
