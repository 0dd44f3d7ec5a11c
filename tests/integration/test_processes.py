"""Runs that are killed, that meet in one folder, and that train together."""

import csv
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer
from tests.integration.kills import kill_again_and_again
from tests.integration.recipes import (
    CREMA_D,
    ENVIRONMENT,
    GLOO,
    NO_WORKERS,
    assert_refused,
    flags,
    run_script,
    torchrun,
    train,
)

EPOCHS = 3
# Halts in the middle of the second checkpoint.
HALTING = """
import os, runpy, signal, sys
import torch

def save(obj, path, whole=torch.save):
    if len([*path.parents[1].glob("CKPT+*")]) == 1:
        return whole(obj, path)
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGSTOP)

torch.save = save
del sys.argv[0]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def arguments(work, crema_d, crema_d_features):
    """The arguments of train.py."""

    def _arguments(run, number_of_epochs=EPOCHS):
        return [
            "hparams/demo.yaml",
            *flags(
                data_folder=crema_d,
                feature_folder=crema_d_features,
                output_folder=work / run,
                valid_actors="[1002]",
                test_actors="[1003, 1004]",
                number_of_epochs=number_of_epochs,
                warmup_steps=2,
                bootstrap_samples=50,
            ),
            *NO_WORKERS,
        ]

    return _arguments


@pytest.fixture(scope="module")
def whole(work, arguments):
    """The folder of a run that nothing interrupts."""
    result = train(*arguments("whole"), figures=False)
    assert result.returncode == 0, result.stderr
    return work / "whole"


@pytest.fixture(scope="module")
def killed(work, arguments):
    """A run that is killed while it saves its second epoch.

    Beside its folder: how another run ended that was started there meanwhile,
    which checkpoint a reader found, and the content before and after that.
    """
    folder = work / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", HALTING, "train.py", *arguments("killed")],
        cwd=CREMA_D,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_halted(process)
        before = content(folder)
        second = train(*arguments("killed"))
        found = AtomicCheckpointer(folder / "save").find_checkpoint()
        after = content(folder)
    finally:
        process.kill()
        process.wait()
    return SimpleNamespace(
        folder=folder, second=second, found=found, before=before, after=after
    )


def wait_until_halted(process):
    deadline = time.monotonic() + 300
    halted = 0
    while not halted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        halted, how = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
    assert os.WIFSTOPPED(how)


def content(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def epochs(folder):
    history = json.loads((folder / "history.json").read_text())
    return [entry["epoch"] for entry in history]


def probabilities(folder):
    """(Clip, condition, head) -> those of the six classes."""
    with open(folder / "predictions.csv", newline="") as file:
        return {
            (row["clip"], row["condition"], row["head"]): [
                float(row[f"p_{name}"]) for name in class_names(6)
            ]
            for row in csv.DictReader(file)
        }


def assert_same_predictions(folder, other, tolerance):
    one, two = probabilities(folder), probabilities(other)
    assert [*one] == [*two]
    for key, shares in one.items():
        assert shares == pytest.approx(two[key], abs=tolerance)


def test_a_second_run_in_the_folder_is_refused_and_changes_nothing(killed):
    assert_refused(killed.second, "another process is training there")
    assert killed.after == killed.before


def test_a_checkpoint_that_is_being_saved_does_not_count(killed):
    assert len([*killed.folder.glob("save/CKPT+*")]) == 2
    assert killed.found.meta["epoch"] == 1


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    killed, whole, arguments
):
    assert epochs(killed.folder) == [1, 2]
    # It has left no lock.
    result = train(*arguments("killed"), figures=False)
    assert result.returncode == 0, result.stderr
    assert epochs(killed.folder) == [1, 2, 3]
    # Its first epoch was computed in another process, where memory may be
    # aligned otherwise, which sums of floats can show.
    assert_same_predictions(killed.folder, whole, tolerance=1e-4)


def test_a_run_that_is_killed_at_any_moment_goes_on(
    work, whole, arguments, request, counts
):
    def _train(number):
        run = train(*arguments(f"kill{number}"), figures=False)
        sys.exit(run.returncode)

    def _check(number):
        folder = work / f"kill{number}"
        assert epochs(folder) == [1, 2, 3]
        assert_same_predictions(folder, whole, tolerance=1e-4)
        return folder

    kill_again_and_again("training", _train, _check, request, counts)


def test_two_processes_train_together_and_report_once(
    work, whole, arguments, monkeypatch, capfd
):
    monkeypatch.chdir(CREMA_D)
    torchrun(run_script, CREMA_D / "train.py", *arguments("pair", 1), *GLOO)
    assert capfd.readouterr().out.count("results: ") == 1
    pair, single = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (work / "pair", whole)
    )
    assert pair["test_clips"] == single["test_clips"]
    # They have the same features and labels.
    for condition, scores in single["linear_baseline"].items():
        other = pair["linear_baseline"][condition]
        for metric in CategoricalEmotion.metrics:
            value = scores[metric]["value"]
            assert other[metric]["value"] == pytest.approx(value, abs=1e-6)
