"""Copied encoders: their configurations ask for nothing but themselves."""

import json

import pytest

from auxformer_lobes.sharing.encoders import find_encoder
from auxformer_lobes.sharing.layout import ModelFolder
from auxformer_lobes.utils.errors import UserError


@pytest.fixture
def encoder(tmp_path):
    """A copied encoder that is all right so far."""
    folder = tmp_path / "encoders" / "audio"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "hubert", "_attn_implementation_autoset": True}
        )
    )
    find(tmp_path)
    return folder


def find(model):
    source = {"source": "encoders/audio"}
    return find_encoder(source, ModelFolder(model), {}, "audio")


def index_of(file):
    return json.dumps({"weight_map": {"a": "model-1.bin", "b": file}})


DEEP = f"{'[' * 500}{']' * 500}"
INDEX = "model.safetensors.index.json"
REFUSED = {
    "code": ("config.json", '{"auto_map": {"AutoConfig": "evil.Config"}}'),
    "code in a part": (
        "config.json",
        '{"a": [{"attn_implementation": "x/y"}]}',
    ),
    "a private name": ("config.json", '{"_attn_implementation": "x/y"}'),
    "an internal name": (
        "config.json",
        '{"_attn_implementation_internal": "x/y"}',
    ),
    "experts": ("config.json", '{"experts_implementation": "x/y"}'),
    "quantization": ("config.json", '{"quantization_config": {"a": "x/y"}}'),
    "another file": (
        "config.json",
        '{"configuration_files": ["config.4.json"]}',
    ),
    "of a version": ("config.4.0.0.json", '{"attn_implementation": "x/y"}'),
    "deep": ("config.json", f'{{"a": {DEEP}}}'),
    "an index of nothing": (INDEX, "[]"),
    "an index of numbers": (INDEX, '{"weight_map": {"a": 1}}'),
    "an index of pickles": (
        "pytorch_model.bin.index.json",
        index_of("../secret.bin"),
    ),
    **{
        f"an index of {file!r}": (INDEX, index_of(file))
        for file in ("../secret.bin", "/secret.bin", "a/secret.bin", "..", "")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_leads_to_others_is_refused(tmp_path, encoder, case):
    name, text = REFUSED[case]
    (encoder / name).write_text(text)
    with pytest.raises(UserError, match=name):
        find(tmp_path)


def test_an_index_of_files_beside_it_is_fine(tmp_path, encoder):
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-2.bin"}}
    path = encoder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps(index))
    assert find(tmp_path)["source"] == str(encoder)


def test_what_is_no_file_is_refused(tmp_path, encoder):
    (encoder / "x.json").mkdir()
    with pytest.raises(UserError, match="x.json: not a file"):
        find(tmp_path)


def test_an_encoder_is_a_folder(tmp_path, encoder):
    (encoder / "config.json").unlink()
    encoder.rmdir()
    encoder.write_text("x")
    with pytest.raises(UserError, match="audio: not a folder"):
        find(tmp_path)
