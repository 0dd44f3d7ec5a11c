"""Weights are no larger in memory than on disk."""

import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from auxformer_lobes.features.checkpoints import (
    assign_weights,
    download,
    read_weights,
)
from auxformer_lobes.features.weight_files import (
    check_tensors,
    check_weight_file,
)
from auxformer_lobes.utils.errors import UserError
from tests.unit.vision_models import save_model

STATE = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}


def compress(path):
    """Packs a file of torch as a zip bomb is packed."""
    with zipfile.ZipFile(path) as file:
        parts = {x.filename: file.read(x) for x in file.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_fine(tmp_path, legacy):
    path = tmp_path / "a.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=not legacy)
    check_weight_file(path)
    assert {*read_weights(path)} == {*STATE}


def test_a_compressed_file_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({**STATE, "more": torch.zeros(10**6)}, path)
    compress(path)
    with pytest.raises(UserError, match="a.pt: its content is larger"):
        read_weights(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_number_is_no_endless_tensor(tmp_path, legacy):
    path = tmp_path / "a.pt"
    state = {**STATE, "bias": torch.ones(1).expand(10**12)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="a.pt: its tensors have 4000000"):
        check_tensors(path, read_weights(path).values())


def test_a_list_of_tensors_is_not_endless(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    check_weight_file(path)
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"{i}": empty for i in range(20000)}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match="not safetensors.*a header of"):
        check_weight_file(path)


def test_weights_that_are_not_finite_are_refused():
    state = {**STATE, "bias": torch.tensor([1.0, float("nan")])}
    with pytest.raises(UserError, match="a.pt: bias has values .* not finite"):
        assign_weights(torch.nn.Linear(3, 2), state, "a.pt")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_named(tmp_path, name):
    save_model(tmp_path, "vit")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=f"{name}: .*git lfs pull"):
        download(tmp_path, tmp_path)
