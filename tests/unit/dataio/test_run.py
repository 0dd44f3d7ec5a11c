"""The run folder has one owner, and opening it changes nothing."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer
from auxformer_lobes.utils.errors import UserError

TASK = CategoricalEmotion(["angry", "happy"])
# With a worker, as of a data loader, that outlives the kill for a while.
HOLD = """
import os, sys, time
from auxformer_lobes.dataio.run import Run
with Run(sys.argv[1]).lock():
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    """A run of three epochs."""
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    model = torch.nn.Linear(1, 1)
    checkpointer = AtomicCheckpointer(run.checkpoints, {"model": model})
    for epoch, (loss, uar) in enumerate([(0.9, 0.5), (0.4, 0.6), (0.5, 0.7)]):
        stats = {"loss": loss, "uar": uar}
        run.write_epoch({"epoch": epoch + 1, "valid": stats})
        checkpointer.save_checkpoint(
            name=str(epoch + 1), meta={"epoch": epoch + 1, **stats}
        )
    return run


@pytest.mark.parametrize("select_by, epoch", [("loss", 2), ("uar", 3)])
def test_the_best_epoch_and_the_best_checkpoint_agree(run, select_by, epoch):
    assert run.best_epoch(select_by, TASK) == epoch
    assert run.best_checkpoint(select_by, TASK).meta["epoch"] == epoch


def test_metrics_of_another_epoch_are_not_those_of_the_checkpoint(run):
    """As of a run that was trained further after its evaluation."""
    run.write_metrics({"epoch": 2})
    assert run.evaluated_checkpoint("loss", TASK).meta["epoch"] == 2
    with pytest.raises(UserError, match="metrics are of epoch 2, its best che"):
        run.evaluated_checkpoint("uar", TASK)


def test_opening_a_run_that_is_being_trained_changes_nothing(run):
    incomplete = run.checkpoints / "CKPT+4"
    incomplete.mkdir()
    (incomplete / "CKPT.yaml").write_text("loss: 0.1\n")
    (run.checkpoints / "saving.txt").write_text("CKPT+1\nCKPT+2\nCKPT+3\n")
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    again = Run(run.folder)
    assert again.best_checkpoint("loss", TASK).meta["epoch"] == 2
    assert len(again.history()) == 3
    with pytest.raises(UserError, match="metrics.json: No such file"):
        again.metrics()
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before


def test_epochs_that_are_run_again_replace_themselves(run):
    run.write_epoch({"epoch": 2, "valid": {"loss": 0.3}})
    assert [entry["epoch"] for entry in run.history()] == [1, 2]


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(UserError, match="has no checkpoint: train first"):
        Run(tmp_path).best_checkpoint("loss", TASK)
    assert not [*tmp_path.iterdir()]


DAMAGED = [b"", b'[{"epoch": 1, "va', bytes(range(128, 256)), b"null", b'"a"']


@pytest.mark.parametrize("content", [*DAMAGED, b"[1]"])
def test_a_damaged_metrics_file_is_named(run, content):
    run.metrics_file.write_bytes(content)
    with pytest.raises(
        UserError, match="metrics.json: not JSON, or damaged: t"
    ):
        run.metrics()
    assert not run.is_complete()


@pytest.mark.parametrize(
    "content", [*DAMAGED, b"{}", b"[1]", b'[{"epoch": 1}]']
)
def test_a_damaged_history_is_named_with_the_cure(run, content):
    run.history_file.write_bytes(content)
    with pytest.raises(UserError, match="history.json: .*damaged: .*or delete"):
        run.history()


@pytest.mark.parametrize("name", ["history_file", "metrics_file"])
def test_nobody_deletes_what_only_must_not_be_read(run, name):
    path = getattr(run, name)
    path.unlink(missing_ok=True)
    path.mkdir()
    error = PermissionError(errno.EACCES, "Permission denied")
    reason = "Is a directory: move the folder away$"
    read = {"history_file": run.history, "metrics_file": run.metrics}[name]
    with pytest.raises(UserError, match=f"{path.name}: {reason}"):
        read()
    with mock.patch.object(Path, "read_text", side_effect=error):
        with pytest.raises(
            UserError, match="Permission denied: grant yourself"
        ):
            read()


def test_the_best_checkpoint_is_whole_or_refused(run):
    best = run.best_checkpoint("loss", TASK)
    content = bytearray(best.paramfiles["model"].read_bytes())
    content[200] ^= 1
    best.paramfiles["model"].write_bytes(content)
    with pytest.raises(UserError, match=r"CKPT\+2: damaged: model.ckpt is not"):
        run.best_checkpoint("loss", TASK)
    assert run.best_checkpoint("uar", TASK).meta["epoch"] == 3


def test_a_training_that_starts_clears_what_a_killed_one_left(run):
    left = [run.folder / "history.json.9.tmp", run.checkpoints / "x.9.tmp"]
    incomplete = run.checkpoints / "CKPT+4"
    incomplete.mkdir()
    for path in (*left, incomplete / "model.ckpt"):
        path.write_text("half")
        os.utime(path, (0, 0))
    run.checkpoints.joinpath("saving.txt").write_text("CKPT+1\nCKPT+2\nCKPT+3")
    before = {*run.folder.rglob("*")} - {*left}
    with run.lock():
        pass
    gone = before - {*run.folder.rglob("*")}
    assert gone == {
        incomplete,
        incomplete / "model.ckpt",
        run.checkpoints / "saving.txt",
    }
    assert not any(path.exists() for path in left)


def test_a_folder_is_trained_by_one_process_and_a_killed_one_frees_it(run):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, run.folder],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(UserError, match="another process is training there"):
        with run.lock():
            pass
    holder.kill()
    holder.wait()
    with run.lock():
        pass
