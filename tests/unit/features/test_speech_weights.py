"""Weights of speech models: all of them pretrained, or an error."""

import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import soundfile
import torch
from torch.testing import assert_close

from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import tone
from tests.unit.speech_models import (
    FAMILIES,
    features_of,
    save_model,
    tiny_model,
)


@pytest.fixture
def tone_file(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000)
    return path


def test_damaged_weights_are_reported_in_one_line(tmp_path):
    source = save_model(tmp_path / "model")
    tmp_path.joinpath("model", "model.safetensors").write_text("<html>")
    with pytest.raises(UserError, match=f"^{source}.*: ") as error:
        features_of(source).encode([torch.randn(400)])
    assert "\n" not in str(error.value)


def save_tensors(source, state, architecture=None):
    """Puts other tensors into a saved model."""
    folder = Path(source)
    safetensors.torch.save_file(
        {name: x.contiguous() for name, x in state.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    if architecture:
        config = json.loads(folder.joinpath("config.json").read_text())
        config["architectures"] = [architecture]
        folder.joinpath("config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_tensor_is_an_error_and_never_random(tmp_path, family):
    source = save_model(tmp_path / family, family=family)
    whole = safetensors.torch.load_file(f"{source}/model.safetensors")
    name = "encoder.layers.1.attention.k_proj.weight"
    save_tensors(source, {k: x for k, x in whole.items() if k != name})
    features = features_of(source)
    with pytest.raises(UserError, match=f"{source}: .*{re.escape(name)}"):
        features.encode([torch.randn(400)])
    # Above the layers that are kept, nothing is missed.
    (values,) = features_of(source, keep_layers=1).encode([torch.randn(400)])
    assert values.isfinite().all()


def test_the_mask_of_training_alone_may_be_missing(tmp_path, tone_file):
    source = save_model(tmp_path / "model")
    expected = features_of(source)("tone", tone_file)
    whole = safetensors.torch.load_file(f"{source}/model.safetensors")
    whole.pop("masked_spec_embed")
    save_tensors(source, whole)
    assert_close(features_of(source)("tone", tone_file), expected)


def test_a_model_with_a_head_on_top_is_read_without_it(tmp_path, tone_file):
    """The layout of `audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim`."""
    source = save_model(tmp_path / "model")
    expected = features_of(source)("tone", tone_file)
    whole = safetensors.torch.load_file(f"{source}/model.safetensors")
    headed = {f"wav2vec2.{name}": x for name, x in whole.items()}
    for name in ("dense", "out_proj"):
        headed[f"classifier.{name}.weight"] = torch.randn(32, 32)
        headed[f"classifier.{name}.bias"] = torch.randn(32)
    save_tensors(source, headed, "Wav2Vec2ForSpeechClassification")
    assert_close(features_of(source)("tone", tone_file), expected)
    # As on the hub, where not everything is a safetensors file.
    Path(source, "model.safetensors").unlink()
    old = {_old_name(name): x for name, x in headed.items()}
    torch.save(old, f"{source}/pytorch_model.bin")
    assert_close(features_of(source)("tone", tone_file), expected)


def _old_name(name):
    """As torch called the two halves of a normalised weight before 2.0."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


@pytest.fixture
def published(tmp_path):
    """Configuration of four layers, and a state dict of two."""
    source = save_model(tmp_path / "model")
    Path(source, "model.safetensors").unlink()
    return source, tiny_model(layers=2, seed=1)


@pytest.mark.parametrize(
    "prefix, rename",
    [("", str), ("module.", _old_name), ("model.wav2vec2.", str)],
)
def test_the_authors_own_state_dict_is_read_as_it_may_come(
    tmp_path, published, tone_file, prefix, rename
):
    source, model = published
    path = tmp_path / "final_wav2vec.pt"
    state = model.state_dict()
    torch.save({prefix + rename(name): x for name, x in state.items()}, path)
    features = features_of(source, keep_layers=2, weights=str(path))
    values = features("tone", tone_file)
    expected = features_of(save_model(tmp_path / "expected", model))
    assert_close(values, expected("tone", tone_file))
    # The mask of training may be missing, or be one that the model has not.
    state.pop("masked_spec_embed")
    torch.save(state, path)
    again = features_of(source, keep_layers=2, weights=str(path))
    assert_close(again("tone", tone_file), values)
    assert again.settings != features.settings


def test_a_mask_of_training_that_the_model_has_not_is_left_out(tmp_path):
    path = tmp_path / "final_wav2vec.pt"
    torch.save(tiny_model().state_dict(), path)
    source = save_model(tmp_path / "model", mask_time_prob=0.0)
    features = features_of(source, weights=str(path))
    assert features.encode([torch.randn(400)])[0].isfinite().all()


def test_the_same_weights_in_another_model_are_other_features(tmp_path):
    path = tmp_path / "final_wav2vec.pt"
    torch.save(tiny_model().state_dict(), path)
    keys = {
        features_of(
            save_model(tmp_path / "model", num_attention_heads=heads),
            weights=str(path),
        ).settings["weights"]
        for heads in (2, 4)
    }
    assert len(keys) == 2


class Malicious:
    """A pickle that would run code."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def _lacking(state):
    return {k: x for k, x in state.items() if "k_proj" not in k}


def _with_more(state):
    return {**state, "classifier.weight": torch.zeros(3)}


def _misshapen(state):
    return {**state, "encoder.layer_norm.bias": torch.zeros(5)}


@pytest.mark.parametrize(
    "change, reason",
    [
        (_lacking, "4 tensors are missing, .*k_proj"),
        (_with_more, r"1 tensors .*classifier.weight: \[3\] instead of none"),
        (_misshapen, r"encoder.layer_norm.bias: \[5\] instead of \[32\]"),
        (lambda state: {"state": state, "epoch": 3}, "not a state dict"),
        (lambda state: [*state.values()], "not a state dict"),
        (lambda state: Malicious(), "not a state dict"),
    ],
)
def test_a_state_dict_that_is_not_the_model_s_is_named(
    tmp_path, published, change, reason
):
    source, model = published
    path = tmp_path / "final_wav2vec.pt"
    torch.save(change(model.state_dict()), path)
    features = features_of(source, keep_layers=2, weights=str(path))
    with pytest.raises(UserError, match=f"{path}: .*{reason}") as error:
        features.encode([torch.randn(400)])
    assert "\n" not in str(error.value)


def test_a_file_without_weights_is_named(tmp_path, published):
    source, model = published
    path = tmp_path / "final_wav2vec.pt"
    torch.save(model.state_dict(), path)
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:100], b"<!DOCTYPE html><html>"):
        path.write_bytes(content)
        features = features_of(source, keep_layers=2, weights=str(path))
        with pytest.raises(UserError, match=f"{path}: not a state dict"):
            features.encode([torch.randn(400)])
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=f"{path}: a Git LFS pointer"):
        features_of(source, weights=str(path))
    path.unlink()
    with pytest.raises(UserError, match=f"{path}: No such file"):
        features_of(source, weights=str(path))


def test_a_single_layer_needs_those_below_it_only(
    tmp_path, published, tone_file
):
    source, _ = published
    model = tiny_model(layers=3, seed=1)
    path = tmp_path / "final_wav2vec.pt"
    torch.save(model.state_dict(), path)
    features = features_of(source, keep_layers=3, layer=2, weights=str(path))
    expected = features_of(save_model(tmp_path / "expected", model), layer=2)
    values = features("tone", tone_file)
    assert_close(values, expected("tone", tone_file))
    # A file of another number of layers is another model's.
    features = features_of(source, keep_layers=4, layer=2, weights=str(path))
    with pytest.raises(UserError, match=r"layers\.2\..* instead of none"):
        features.encode([torch.randn(400)])


def test_more_layers_than_the_file_has_are_reported(tmp_path, published):
    source, model = published
    path = tmp_path / "final_wav2vec.pt"
    torch.save(model.state_dict(), path)
    with pytest.raises(
        UserError, match=r"32 tensors are missing, .*layers\.2\."
    ):
        features_of(source, weights=str(path)).encode([torch.randn(400)])
