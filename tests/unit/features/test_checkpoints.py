"""Files of pretrained models: found, identified and loaded completely."""

import json
import logging
import os
import shutil

import pytest
import torch
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)
from safetensors.torch import load_file, save_file

from auxformer_lobes.features.checkpoints import (
    assign_weights,
    digest,
    download,
    load_model,
    read_weights,
)
from auxformer_lobes.utils.errors import UserError
from tests.unit.vision_models import save_model


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", "vit")
    return tmp_path / "model"


def without_pooler(folder):
    """Loads a ViT as the features do."""
    return load_model("a/model", folder, add_pooling_layer=False)


def change_weights(folder, change):
    """Rewrites the weights of a model."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


def test_a_local_folder_is_taken_as_it_is(folder, tmp_path):
    assert download(str(folder), tmp_path / "downloads") == str(folder)
    assert not (tmp_path / "downloads").exists()


def test_what_was_downloaded_once_needs_no_hub(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    kept = tmp_path / "downloads" / "models--people--vit"
    shutil.copytree(folder, kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    found = download("people/vit", tmp_path / "downloads")
    assert digest(found) == digest(folder)
    without_pooler(found)


def test_weights_of_the_older_kind_are_loaded_too(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "all.bin")
    (folder / "model.safetensors").unlink()
    os.rename(folder / "all.bin", folder / "pytorch_model.bin")
    assert download(str(folder), "") == str(folder)
    without_pooler(folder)
    digest(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: save_model(folder, "vit", seed=1),
        lambda folder: save_model(folder, "vit", image_std=[0.2] * 3),
        lambda folder: folder.joinpath("config.json").write_text("{}"),
    ],
    ids=["weights", "processor", "configuration"],
)
def test_the_digest_follows_the_model_wherever_it_lies(
    folder, tmp_path, change
):
    first = digest(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("A copy.")
    assert digest(tmp_path / "copy") == first
    change(folder)
    assert digest(folder) != first


def test_weights_in_half_precision_are_loaded_in_full(folder):
    def halve(weights):
        weights.update({k: v.half() for k, v in weights.items()})

    change_weights(folder, halve)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "dtype": "float16"})
    )
    model = without_pooler(folder)
    assert {w.dtype for w in model.parameters()} == {torch.float32}


def lacks_one(weights):
    """Removes one weight."""
    del weights["encoder.layer.0.layernorm_before.weight"]


def lacks_all(weights):
    """Puts the weights of another model in place of these."""
    other = torch.zeros(3)
    weights.clear()
    weights["bert.embeddings"] = other


def has_another_shape(weights):
    """Gives one weight another shape."""
    weights["layernorm.bias"] = torch.zeros(7)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lacks_one, "1 tensors of ViTModel.*layernorm_before"),
        (lacks_all, "38 tensors of ViTModel"),
        (has_another_shape, "1 tensors .*layernorm.bias"),
    ],
)
def test_random_weights_are_never_taken_for_pretrained_ones(
    folder, change, reason, caplog, monkeypatch
):
    change_weights(folder, change)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with pytest.raises(UserError, match=f"^a/model: lacks {reason}"):
        without_pooler(folder)
    assert not caplog.records  # the error has it all


def test_no_memory_is_taken_for_what_files_do_not_hold(folder):
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 10**12
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="too few for .* of ViTModel"):
        without_pooler(folder)


def test_only_what_masks_inputs_in_training_may_lack(tmp_path):
    save_model(tmp_path, "dinov2")
    change_weights(
        tmp_path, lambda weights: weights.pop("embeddings.mask_token")
    )
    load_model("a/model", tmp_path)


def test_a_wrong_source_is_reported_in_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    for source in (f"{tmp_path}/empty", f"{tmp_path}/typo", "people/typo"):
        with pytest.raises(
            UserError, match=f"^{source}: no pretrained"
        ) as error:
            download(source, tmp_path / "downloads")
        assert "\n" not in str(error.value)


def test_an_adapter_is_not_loaded_as_a_model(folder, tmp_path):
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "someone/else"}'
    )
    with pytest.raises(UserError, match=f"{folder}: an adapter .*: merge it"):
        download(folder, tmp_path)


@pytest.mark.parametrize(
    "name, content",
    [
        ("model.safetensors", b""),
        ("model.safetensors", bytes(999)),
        ("pytorch_model.bin", b"version https"),
        ("pytorch_model.bin", bytes(999)),
    ],
)
def test_damaged_weights_are_reported_in_one_line(folder, name, content):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="^a/model: no pretrained") as error:
        without_pooler(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"num_attention_heads": 0}, {"hidden_act": "x"}]
)
def test_values_that_no_model_can_have_are_reported_in_one_line(
    folder, changes
):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match="^a/model: no pretrained") as error:
        without_pooler(folder)
    assert "\n" not in str(error.value)


def test_code_that_comes_with_a_model_does_not_run(folder, tmp_path):
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "new", "auto_map": {"AutoModel": "evil.Evil"}}
        )
    )
    with pytest.raises(UserError, match="^a/model: no pretrained"):
        load_model("a/model", folder)
    assert not (tmp_path / "ran").exists()


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    torch.save({"weight": Evil(str(tmp_path / "ran"))}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="evil.pth: not a state dict"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {"a": 1}, {1: torch.ones(1)}]
)
def test_anything_but_a_state_dict_is_reported(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth: not a state dict"):
        read_weights(tmp_path / "a.pth")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    cut=st.booleans(),
    legacy=st.booleans(),
)
def test_a_damaged_state_dict_gives_its_names_or_an_error(
    tmp_path, place, byte, cut, legacy
):
    path = tmp_path / "a.pth"
    state = torch.nn.Linear(3, 2).state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    data = bytearray(path.read_bytes())
    place = int(place * len(data))
    if cut:
        del data[place:]
    else:
        data[place] = byte
    path.write_bytes(data)
    try:
        assert all(isinstance(name, str) for name in read_weights(path))
    except UserError as error:
        assert "a.pth" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "state, reason",
    [
        ({"weight": torch.ones(2, 3)}, r"bias: none instead of \[2\]"),
        ({}, "2 tensors are missing"),
        (
            {"weight": torch.ones(3, 2), "bias": torch.ones(2)},
            r"weight: \[3, 2\] instead of \[2, 3\]",
        ),
        (
            {
                "weight": torch.ones(2, 3),
                "bias": torch.ones(2),
                "scale": torch.ones(2),
            },
            r"scale: \[2\] instead of none",
        ),
    ],
)
def test_a_model_takes_all_of_its_weights_and_no_others(state, reason):
    with pytest.raises(UserError, match=f"a.pth: .*{reason}"):
        assign_weights(torch.nn.Linear(3, 2), state, "a.pth")


def test_a_model_without_memory_is_filled(tmp_path):
    with torch.device("meta"):
        model = torch.nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3).half(), "bias": torch.zeros(2)}
    assign_weights(model, state, "a.pth")
    assert model(torch.ones(1, 3)).tolist() == [[3, 3]]
