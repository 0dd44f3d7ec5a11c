"""Copied encoders: their configurations ask for nothing but themselves."""

import json

import pytest

from auxformer_lobes.sharing.encoders import find_encoder
from auxformer_lobes.utils.errors import UserError


@pytest.fixture
def encoder(tmp_path):
    """A copied encoder that is all right so far."""
    folder = tmp_path / "encoders" / "audio"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "x", "_attn_implementation_autoset": True})
    )
    find(tmp_path)
    return folder


def find(model):
    return find_encoder({"source": "encoders/audio"}, model, model, "a/model")


CODE = {"attn_implementation": "somebody/kernel"}
DEEP = f"{'[' * 500}{']' * 500}"
REFUSED = {
    "of a version": ("config.4.0.0.json", json.dumps(CODE), "asks for code"),
    "deep": ("config.json", f'{{"a": {DEEP}}}', "not JSON, or damaged"),
    "an index of nothing": ("model.safetensors.index.json", "[]", "weight_map"),
    "an index of numbers": (
        "model.safetensors.index.json",
        '{"weight_map": {"a": 1}}',
        "weight_map",
    ),
}
for kind in ("model.safetensors", "pytorch_model.bin"):
    for file in ("../secret.bin", "/secret.bin", "a/secret.bin", "..", ""):
        REFUSED[f"{kind} of {file!r}"] = (
            f"{kind}.index.json",
            json.dumps({"weight_map": {"a": "model-1.bin", "b": file}}),
            "weight_map",
        )


@pytest.mark.parametrize("case", REFUSED)
def test_what_leads_to_others_is_refused(tmp_path, encoder, case):
    name, text, reason = REFUSED[case]
    (encoder / name).write_text(text)
    with pytest.raises(UserError, match=f"{name}: .*{reason}"):
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
