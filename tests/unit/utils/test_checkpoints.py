"""A killed run leaves no checkpoint that cannot be loaded."""

import errno
import shutil
import time
from unittest import mock

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from auxformer_lobes.nnet.losses import GradientBlending, SharedLoss
from auxformer_lobes.utils import checkpoints
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer
from auxformer_lobes.utils.errors import UserError


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


def flip(path):
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


SECOND = "2026-01-01+00-00-0"  # as SpeechBrain names checkpoints


def name_of(epoch):
    return f"CKPT+{SECOND}{epoch}+00"


@pytest.fixture
def saved(tmp_path, model):
    """Checkpoints of three epochs, of which the second is best."""
    checkpointer = make(tmp_path, model)
    for epoch, score in enumerate((0.1, 0.9, 0.5), start=1):
        model.weight.data.fill_(epoch)
        saved = time.strptime(f"{SECOND}{epoch}", "%Y-%m-%d+%H-%M-%S")
        meta = {"score": score, "unixtime": time.mktime(saved)}
        checkpointer.save_checkpoint(name=f"{SECOND}{epoch}+00", meta=meta)
    return tmp_path


BEST = {"max_key": "score"}
FILES = ("model.ckpt", "CKPT.yaml", "sha256.json")


@pytest.mark.parametrize("damage", [flip, empty, replace_by_a_folder])
@pytest.mark.parametrize("name", FILES)
def test_where_the_last_checkpoint_is_damaged_a_run_goes_on_from_the_one_before(
    saved, model, name, damage, caplog
):
    damage(saved / name_of(3) / name)
    again = make(saved, model)
    again.drop_damaged(**BEST)
    assert f"{name_of(3)}: damaged: " in caplog.text
    assert f"from {name_of(2)}" in caplog.text
    assert again.recover_if_possible().path.name == name_of(2)
    assert model.weight.item() == 2
    assert not (saved / name_of(3)).exists()


@pytest.mark.parametrize("damage", [flip, empty, replace_by_a_folder])
@pytest.mark.parametrize("name", FILES)
def test_no_other_checkpoint_takes_the_place_of_the_best(
    saved, model, name, damage
):
    """Its figures would be of another epoch."""
    damage(saved / name_of(2) / name)
    again = make(saved, model)
    for use in (again.recover_if_possible, again.drop_damaged):
        with pytest.raises(
            UserError, match=r"02\+00: damaged: .* or delete it"
        ):
            use(**BEST)
    shutil.rmtree(saved / name_of(2))
    again.drop_damaged(**BEST)
    assert again.recover_if_possible(**BEST).path.name == name_of(3)


def test_a_copy_has_the_order_of_the_original(saved, tmp_path, model):
    """Folders that are copied have new times."""
    flip(saved / name_of(2) / "CKPT.yaml")
    shutil.copytree(saved, tmp_path / "copy", copy_function=shutil.copyfile)
    with pytest.raises(UserError, match="or may have been"):
        make(tmp_path / "copy", model).drop_damaged(**BEST)


def test_a_checkpoint_is_gone_before_its_first_file_is(saved, model):
    def _die(folder, **options):
        raise Killed

    dying = make(saved, model)
    with mock.patch.object(shutil, "rmtree", _die), pytest.raises(Killed):
        dying.delete_checkpoints(max_keys=["score"])
    again = make(saved, model)
    assert len(again.list_checkpoints()) == 2
    again.drop_damaged(**BEST)
    again.clear()
    assert {p.name for p in saved.iterdir()} == {name_of(2), name_of(3)}


@pytest.mark.parametrize(
    "error, message",
    [
        (PermissionError(errno.EACCES, "no"), "grant yourself access"),
        (OSError(errno.EIO, "no"), "check the disk"),
    ],
)
def test_what_the_system_refuses_is_no_damage(saved, model, error, message):
    def _fail(*arguments):
        raise error

    again = make(saved, model, custom_load_hooks={"model": _fail})
    with pytest.raises(UserError, match=message) as refused:
        again.recover_if_possible()
    assert "delete" not in str(refused.value)


def test_a_damaged_checkpoint_that_nothing_needs_is_removed(saved, model):
    flip(saved / name_of(1) / "model.ckpt")
    make(saved, model).drop_damaged(**BEST)
    assert sorted(p.name for p in saved.iterdir()) == [name_of(2), name_of(3)]


def test_where_all_are_damaged_the_run_stops(saved, model):
    for folder in saved.iterdir():
        flip(folder / "model.ckpt")
    with pytest.raises(UserError, match="no other checkpoint: .* delete"):
        make(saved, model).drop_damaged(**BEST)
    assert len([*saved.iterdir()]) == 3


def test_checkpoints_without_checksums_load_as_before(saved, model):
    for folder in saved.iterdir():
        (folder / "sha256.json").unlink()
    again = make(saved, model)
    again.drop_damaged(**BEST)
    assert again.recover_if_possible(**BEST).path.name == name_of(2)
    empty(saved / name_of(2) / "model.ckpt")
    with pytest.raises(UserError, match=r"02\+00: cannot be loaded: "):
        again.recover_if_possible(**BEST)


def test_the_one_before_the_last_is_kept(tmp_path, model):
    checkpointer = make(tmp_path, model)
    for epoch in range(1, 6):
        checkpointer.save_and_keep_only(
            name=f"{epoch}", meta={"score": epoch != 2}, min_keys=["score"]
        )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["CKPT+2", "CKPT+4", "CKPT+5"]


def fill_the_disk(obj, path):
    """Raises what the system does."""
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def fill_the_disk_of_torch(obj, path):
    """Raises what torch does, and not as the system does."""
    path.write_bytes(b"half")
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected")


@pytest.mark.parametrize("hook", [fill_the_disk, fill_the_disk_of_torch])
def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_before(
    saved, model, hook
):
    full = make(saved, model, custom_save_hooks={"model": hook})
    with pytest.raises(UserError, match="saved: No space left .*: make room"):
        full.save_checkpoint(name="4")
    names = sorted(path.name for path in saved.iterdir())
    assert names == [name_of(n) for n in (1, 2, 3)]


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(saved, model):
    error = PermissionError(errno.EACCES, "Permission denied")
    with mock.patch.object(checkpoints, "_digest", side_effect=error):
        with pytest.raises(UserError, match="denied: grant yourself access"):
            make(saved, model).drop_damaged(**BEST)
