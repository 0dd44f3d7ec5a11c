"""A model that cannot work is refused when it is loaded."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.sharing.layout import write_config
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import make_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    work = tmp_path_factory.mktemp("probe")
    make_run(work / "run")
    return export(work / "run", work / "model")


@pytest.fixture
def model(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "model")


def change(model, changes=(), weights=None):
    """Changes a model as its author could, checksums included."""
    path = model / "hyperparams.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    path = model / "model.safetensors"
    tensors = load_file(path)
    if weights:
        tensors.update({k: weights(k, x) for k, x in tensors.items()})
    save_file(tensors, path)
    write_config(model, json.loads((model / "config.json").read_text()))


def of_width(width):
    """The audio norm of another width."""

    def _weights(name, tensor):
        is_norm = name in ("audio_norm.mean", "audio_norm.std")
        return torch.ones(width) if is_norm else tensor

    return [("Norm\n  dim: 4\n", f"Norm\n  dim: {width}\n")], _weights


def overflow(name, tensor):
    """Finite weights, of which sums are not."""
    is_matrix = name.startswith("network") and tensor.ndim > 1
    return torch.full_like(tensor, 3e38) if is_matrix else tensor


# One channel would be spread over all of them.
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_norm_of_another_width_is_refused(model, width):
    change(model, *of_width(width))
    with pytest.raises(UserError, match=f"model: audio_norm .* 4 .* {width}"):
        load(model)


@pytest.mark.parametrize("trusted", [False, True])
def test_outputs_that_are_not_finite_are_refused(model, trusted):
    change(model, weights=overflow)
    with pytest.raises(UserError, match="model: its outputs are not finite"):
        load(model, trust_source=trusted)


def test_no_class_is_there_twice(model):
    change(model, [("  - happy\n", "  - angry\n")])
    with pytest.raises(UserError, match="hyperparams.yaml: line 4.*twice"):
        load(model)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e308", "-1"])
@pytest.mark.parametrize(
    "line", ["  n_mels: 4\n", "  frames_per_second: 10\n", "  dim: 4\n"]
)
def test_absurd_settings_are_refused(model, line, value):
    name = line.split(":")[0]
    change(model, [(line, f"{name}: {value}\n")])
    with pytest.raises(UserError, match="hyperparams.yaml: line .*not a "):
        load(model)


INFINITE = float("inf")


@pytest.mark.parametrize(
    "overrides, reason",
    [
        ({"audio_features": {"hop_length": INFINITE}}, "hop_length is inf"),
        ({"audio_features": {"hop_length": 1e308}}, "hop_length is 1e.308"),
        ({"audio_features": {"n_mels": 10**400}}, "n_mels is .*, not a whole"),
        ({"audio_features": {"win_length": -1}}, "win_length is -1, not"),
        ({"visual_features": {"faces": {"margin": INFINITE}}}, "margin is inf"),
        ({"visual_features": {"faces": {"margin": -9}}}, "margin is -9, not"),
        ({"min_face_quality": float("nan")}, "min_face_quality is nan"),
        ({"network": {"num_heads": [INFINITE]}}, "num_heads is inf"),
    ],
)
def test_overrides_are_finite_and_within_limits(exported, overrides, reason):
    with pytest.raises(UserError, match=f"^[^\n]*{reason}[^\n]*$"):
        load(exported, overrides=overrides)


def test_overrides_are_finite_where_the_limits_are_not_known(exported):
    overrides = {"audio_features": {"hop_length": INFINITE}}
    with pytest.raises(UserError, match="hop_length is inf"):
        load(exported, trust_source=True, overrides=overrides)


def test_a_file_that_may_not_be_read_is_one_line(model, monkeypatch):
    def deny(*args):
        raise PermissionError(13, "Permission denied", str(args[0]))

    monkeypatch.setattr("auxformer_lobes.sharing.layout.check_pointer", deny)
    with pytest.raises(UserError, match="json: cannot be read: Permission de"):
        load(model)


@pytest.mark.parametrize(
    "name", ["config.json", "hyperparams.yaml", "model.safetensors"]
)
def test_a_pointer_of_git_lfs_is_named(model, name):
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=f"{name}: .*git lfs pull"):
        load(model)
