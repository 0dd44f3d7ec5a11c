"""Runs a recipe's train.py: in this process, or as a command in another."""

import fcntl
import importlib.util
import io
import logging
import os
import random
import signal
import sys
from contextlib import (
    ExitStack,
    chdir,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

ROOT = Path(__file__).parents[2]
CREMA_D = ROOT / "recipes" / "CREMA-D"
# Of commands, which find the tests too.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    "OMP_NUM_THREADS": "1",
}
GLOO = ["--distributed_backend=gloo", "--device=cpu"]
FIGURES = ("figures.figures_of_test", "figures_of_details", "save_figures")
FIGURES += ("figures.learning_curves", "figures.prediction", "write_report")
# Worker processes would cost more than they bring.
NO_WORKERS = [
    "--num_workers=0",
    "--train_dataloader_opts={num_workers: 0}",
    "--test_dataloader_opts={num_workers: 0}",
]


def flags(**options):
    """Options of a command line."""
    return [f"--{name}={value}" for name, value in options.items()]


def train(*arguments, script="train.py", cwd=CREMA_D, figures=True):
    """Runs a recipe in this process.

    Returns what `subprocess.run` would: `returncode`, `stdout`, `stderr`. With
    `figures=False`, there are none, which takes half the time of a short run.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    with ExitStack() as stack:
        stack.enter_context(global_state_restored())
        stack.enter_context(chdir(cwd))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        # It would ask pip.
        asked = "speechbrain.utils.logger.get_environment_description"
        stack.enter_context(mock.patch(asked, return_value=""))
        if not figures:
            for name in FIGURES:
                name = f"auxformer_lobes.experiments.recipe.{name}"
                stack.enter_context(mock.patch(name, return_value={}))
        try:
            module_of(cwd / script).main([*map(str, arguments)])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
            print(error.code, file=err)
    return SimpleNamespace(
        returncode=code, stdout=out.getvalue(), stderr=err.getvalue()
    )


class InThisProcess:
    """Launches runs of a study here: how processes start has other tests."""

    jobs = 1

    def __init__(self, jobs):
        self.started = []

    def start(self, command, log, slot):
        # Without the interpreter and the script.
        result = train(*command[2:], figures=False)
        log.write_text(result.stdout + result.stderr)
        self.started.append(command)
        self.poll = lambda: result.returncode
        return self

    def stop(self):
        pass


def torchrun(function, *arguments):
    """Calls a function in two processes, as torchrun does; their results.

    Where it can, without two starts of Python. Their output goes where this
    process's goes.
    """
    launch = elastic_launch(
        LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=2,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            # A GPU, and the threads that compute gradients on it, do not fork.
            start_method="spawn" if torch.cuda.is_available() else "fork",
        ),
        function,
    )
    with global_state_restored():
        return launch(*arguments)


def run_script(script, *arguments):
    """Runs a recipe in this process, which is for nothing else."""
    module_of(script).main([*map(str, arguments)])


def assert_refused(result, message):
    """Whether a run ended in one line with this."""
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last


@lru_cache
def module_of(script):
    """Imports a train.py by a name of its own: each recipe has one."""
    name = f"train_{script.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, script)
    # SpeechBrain looks its caller up there, to copy the script.
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def global_state_restored():
    """Undoes what SpeechBrain, and torchrun, change for the whole process."""
    signals = {x: signal.getsignal(x) for x in signal.valid_signals()}
    log, hook = logging.getLogger(), sys.excepthook
    handlers, level = log.handlers[:], log.level
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with mock.patch.dict(os.environ), torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for handler in {*log.handlers} - {*handlers}:
                handler.close()
            log.handlers[:] = handlers
            log.setLevel(level)
            sys.excepthook = hook
            for number, handler in signals.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@contextmanager
def one_at_a_time(folder):
    """Has processes that test side by side take turns in a folder."""
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
