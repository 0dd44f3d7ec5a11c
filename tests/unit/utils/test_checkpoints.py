"""A killed run leaves no checkpoint that cannot be loaded."""

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from auxformer_lobes.nnet.losses import GradientBlending, SharedLoss
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer


class Killed(Exception):
    """Stands for a kill."""


def kill(obj, path):
    """Dies in the middle of writing a file."""
    path.write_bytes(b"half")
    raise Killed


@pytest.fixture
def model():
    return torch.nn.Linear(1, 1, bias=False)


def make(folder, model, **options):
    return AtomicCheckpointer(folder, recoverables={"model": model}, **options)


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path, model):
    model.weight.data.fill_(1.0)
    make(tmp_path, model).save_checkpoint(name="first")
    model.weight.data.fill_(2.0)
    dying = make(tmp_path, model, custom_save_hooks={"model": kill})
    with pytest.raises(Killed):
        dying.save_checkpoint(name="second")

    assert make(tmp_path, model).recover_if_possible().path.name == "CKPT+first"
    assert model.weight.item() == 1.0
    # Removed with the next save, by the process that trains.
    make(tmp_path, model).save_checkpoint(name="third")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["CKPT+first", "CKPT+third"]


def test_a_process_that_reads_deletes_nothing(tmp_path, model):
    """Another process may be saving a checkpoint."""
    make(tmp_path, model).save_checkpoint(name="first")

    def _read_meanwhile(obj, path):
        torch.save(obj.state_dict(), path)
        before = sorted(tmp_path.rglob("*"))
        reader = make(tmp_path, model)
        assert reader.find_checkpoint().path.name == "CKPT+first"
        assert sorted(tmp_path.rglob("*")) == before

    saving = make(tmp_path, model, custom_save_hooks={"model": _read_meanwhile})
    saving.save_checkpoint(name="second")
    assert len(make(tmp_path, model).list_checkpoints()) == 2


def test_checkpoints_of_speechbrains_own_are_left_alone(tmp_path, model):
    own = Checkpointer(tmp_path, recoverables={"model": model})
    own.save_checkpoint(name="own")
    assert make(tmp_path, model).find_checkpoint().path.name == "CKPT+own"


def test_the_best_and_the_last_are_kept(tmp_path, model):
    checkpointer = make(tmp_path, model)
    for name, score in (("a", 0.1), ("b", 0.9), ("c", 0.5)):
        checkpointer.save_and_keep_only(
            name=name, meta={"score": score}, max_keys=["score"]
        )
    assert {p.name for p in tmp_path.iterdir()} == {"CKPT+b", "CKPT+c"}
    assert checkpointer.find_checkpoint(max_key="score").path.name == "CKPT+b"


def test_a_module_without_state_is_no_part_of_a_checkpoint(
    tmp_path, model, caplog
):
    parts = {"model": model, "loss": SharedLoss()}
    AtomicCheckpointer(tmp_path, parts).save_checkpoint(name="plain")
    assert "empty state_dict" not in caplog.text
    assert not (tmp_path / "CKPT+plain" / "loss.ckpt").exists()
    parts["loss"] = GradientBlending(torch.nn.Identity())
    AtomicCheckpointer(tmp_path, parts).save_checkpoint(name="blending")
    assert (tmp_path / "CKPT+blending" / "loss.ckpt").exists()
