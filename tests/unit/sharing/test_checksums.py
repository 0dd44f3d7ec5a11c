"""Exports are what was exported, to the last bit, or they are refused."""

import json
import random
import shutil

import pytest

from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load, push
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import make_run, speech_features
from tests.unit.speech_models import save_model

ENCODER = ("config.json", "model.safetensors", "preprocessor_config.json")
FILES = (
    *("config.json", "hyperparams.yaml", "model.safetensors"),
    *(f"encoders/audio/{name}" for name in ENCODER),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export with a copied encoder."""
    work = tmp_path_factory.mktemp("checksums")
    source = save_model(work / "speech", layers=1)
    features = speech_features(source=source, save_path=work, device="cpu")
    make_run(work / "run", changes=[features])
    return export(work / "run", work / "model", include_encoders=True)


@pytest.fixture
def model(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "model")


def flip_a_bit(path, seed):
    content, rng = bytearray(path.read_bytes()), random.Random(seed)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def drop_checksums(model):
    """As exports of older versions."""
    path = model / "config.json"
    config = json.loads(path.read_text())
    del config["files"]
    path.write_text(json.dumps(config))


def test_each_file_but_the_card_has_a_checksum(exported):
    config = json.loads((exported / "config.json").read_text())
    assert {*config["files"]} == {*FILES}
    assert config["format_version"] == 1  # older versions read it, too


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_in_one_line(model, name, trusted):
    whole = (model / name).read_bytes()
    for seed in range(2):
        flip_a_bit(model / name, seed)
        for use in (
            lambda: load(model, trust_source=trusted),
            lambda: push(model, "somebody/model", dry_run=True),
        ):
            with pytest.raises(UserError) as refused:
                use()
            message = str(refused.value)
            assert message.startswith(f"{model / name}: ")
            assert "damaged" in message and "copy or download" in message
            assert "\n" not in message
        (model / name).write_bytes(whole)


def test_a_file_that_was_not_exported_is_refused(model):
    shutil.copy(
        model / "encoders/audio/config.json",
        model / "encoders/audio/config.4.0.0.json",
    )
    with pytest.raises(UserError, match="config.4.0.0.json: damaged"):
        load(model)


def test_people_edit_the_card(model):
    card = model / "README.md"
    card.write_text(f"{card.read_text()}\nMore about this model.\n")
    load(model)
    push(model, "somebody/model", dry_run=True)


def test_exports_of_older_versions_are_loaded_as_before(model):
    drop_checksums(model)
    load(model)
    flip_a_bit(model / "encoders/audio/model.safetensors", 0)
    load(model)


@pytest.mark.parametrize("files", [None, [], {}, {"config.json": 1}, "x"])
def test_checksums_of_another_kind_are_refused(model, files):
    path = model / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "files": files}))
    with pytest.raises(UserError, match="config.json: damaged"):
        load(model)
