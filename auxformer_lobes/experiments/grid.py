"""Runs the cells of a study, each once, several at a time."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections import deque
from io import StringIO
from pathlib import Path

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML

from auxformer_lobes.dataio.run import SPLITS
from auxformer_lobes.experiments.hparams import parse_arguments
from auxformer_lobes.experiments.study import PARTITION_KEYS
from auxformer_lobes.utils.errors import UserError

POLL = 0.5  # seconds between two looks at what runs
PREPARE_ONLY = re.compile(r"^prepare_only:.*\n", re.M)


class Grid:
    """The commands of a study, and how far they are.

    Arguments
    ---------
    plan : dict
        What `Study.planned` returns.
    cells : list of Cell
        The cells.
    python : list of str
        The command before the script: `python`, or torchrun.
    """

    def __init__(self, plan, cells, python=(sys.executable,)):
        self.plan = plan
        self.cells = cells
        self.python = [*python]

    def command(self, cell, **more):
        """The command that trains and evaluates a cell.

        Arguments
        ---------
        cell : Cell
            The cell.
        **more
            Further options.

        Returns
        -------
        list of str
        """
        script, hparams = self.plan["script"], self.plan["hparams"]
        return [*self.python, script, hparams, *self._options(cell, **more)]

    def _options(self, cell, **more):
        options = {
            **self.plan["options"],
            **cell.settings,
            **more,
            "output_folder": cell.run.folder,
        }
        # Options of SpeechBrain may have no value.
        return [
            f"--{key}={text}" if text != "" else f"--{key}"
            for key, text in options.items()
        ]

    def state(self, cell):
        """How far a cell is.

        Arguments
        ---------
        cell : Cell
            The cell.

        Returns
        -------
        str
            "finished", "running", "failed" or "waiting".
        """
        failed = cell.state == "waiting" and cell.name in self.plan["failed"]
        return "failed" if failed else cell.state

    def check(self):
        """Checks all options, and that no folder holds another run.

        Returns
        -------
        bool
            Whether the recipe has an option `prepare_only`.

        Raises
        ------
        SystemExit
            With one line, if an option or a value is invalid.
        UserError
            If a cell was started with other settings.
        """
        for path in (self.plan["script"], self.plan["hparams"]):
            if not os.path.isfile(path):
                raise UserError(f"{path}: no such file")
        data_defaults = _data_defaults(self.plan["script"])
        for cell in self.cells:
            hparams = self.plan["hparams"]
            _, _, overrides = parse_arguments(
                [hparams, *self._options(cell)], data_defaults
            )
            with open(hparams, encoding="utf-8") as file:
                settings = resolve_references(file, overrides).getvalue()
            if cell.run.hyperparams.exists():
                before = cell.run.hyperparams.read_text("utf-8")
                _check_same(cell, before, settings)
        return bool(PREPARE_ONLY.search(settings))

    def prepare(self, launcher):
        """Prepares the corpus once for all cells that differ in nothing there.

        Each cell gets the manifests of one that was prepared with the same
        settings. Were that wrong, the recipe would notice and prepare anew.

        Arguments
        ---------
        launcher : LocalLauncher or SlurmLauncher
            Where to run.

        Yields
        ------
        cell : Cell
            A cell for which the corpus was prepared.
        failure : str or None
            Why it could not be.
        """
        prepared = [cell for cell in self.cells if cell.run.is_complete()]
        for cell in self.cells:
            if cell in prepared:
                continue
            model = next(
                (p.run for p in prepared if _prepared_alike(p, cell)),
                None,
            )
            if model is not None:
                _copy_manifests(model, cell.run)
                continue
            while cell.run.is_locked():  # of a study that was killed
                time.sleep(POLL)
            log, start = _open_log(cell)
            command = self.command(cell, prepare_only=True)
            job = launcher.start(command, log, slot=0)
            try:
                while (code := job.poll()) is None:
                    time.sleep(POLL)
            finally:
                job.stop()
            failure = _reason(cell, start, code) if code else None
            yield cell, failure
            if failure:
                continue
            prepared.append(cell)

    def run(self, launcher, cells):
        """Runs cells, several at a time.

        Arguments
        ---------
        launcher : LocalLauncher or SlurmLauncher
            Where to run.
        cells : list of Cell
            Those to run.

        Yields
        ------
        cell : Cell
            A cell that ended.
        failure : str or None
            Why it failed.
        seconds : float
            How long it took.
        """
        waiting, running = deque(cells), {}
        try:
            while waiting or running:
                free = [s for s in range(launcher.jobs) if s not in running]
                for slot in free[: len(waiting)]:
                    cell = waiting.popleft()
                    if cell.run.is_locked():
                        job, start = _OtherJob(cell.run), 0
                    else:
                        log, start = _open_log(cell)
                        job = launcher.start(self.command(cell), log, slot)
                    running[slot] = cell, job, start, time.monotonic()
                for slot, (cell, job, start, began) in [*running.items()]:
                    code = job.poll()
                    if code is not None:
                        del running[slot]
                        failure = None
                        if not cell.run.is_complete():
                            failure = _reason(cell, start, code)
                        yield cell, failure, time.monotonic() - began
                time.sleep(POLL if running else 0)
        finally:
            for _, job, _, _ in running.values():
                job.stop()


class _OtherJob:
    """A run that another process trains, perhaps of a study that was killed."""

    def __init__(self, run):
        self.run = run

    def poll(self):
        """See `LocalJob.poll`; whether it failed, the run tells."""
        return None if self.run.is_locked() else 0

    def stop(self):
        """Leaves it alone."""


def shell(command):
    """A command as it is typed.

    Arguments
    ---------
    command : list of str
        Its words.

    Returns
    -------
    str

    Example
    -------
    >>> shell(["python", "train.py", "--network={num_layers: 1}"])
    "python train.py '--network={num_layers: 1}'"
    """
    return shlex.join(map(str, command))


def _data_defaults(script):
    """The function of that name of a script, if it has one."""
    name = "data_defaults"
    # Without it, a script is not imported, which might start it.
    if not re.search(rf"^def {name}\b", Path(script).read_text("utf-8"), re.M):
        return None
    spec = importlib.util.spec_from_file_location("train", script)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[0]
    return getattr(module, name)


def _check_same(cell, before, now):
    """SpeechBrain writes three lines of comment before the settings."""
    before, now = (
        PREPARE_ONLY.sub("", text) for text in (before.split("\n", 3)[-1], now)
    )
    if before != now:
        before, now = (YAML().load(StringIO(x)) for x in (before, now))
        changed = [k for k in {**before, **now} if before.get(k) != now.get(k)]
        raise UserError(
            f"{cell.run.folder}: holds a run with other settings (changed: "
            f"{', '.join(changed[:5])}): name another --output_folder, or "
            "delete this one"
        )


def _prepared_alike(one, other):
    """Whether cells agree in all that decides what is prepared or extracted."""
    run, options = one.run, {}
    if run.prepare_report.exists():  # not with manifests of one's own
        report = run.read_json(run.prepare_report, "delete it: prepare again")
        options = report["options"]
    return all(
        other.settings[key] == text
        for key, text in one.settings.items()
        if key in options or key in PARTITION_KEYS or key.endswith("_features")
    )


def _copy_manifests(source, target):
    target.folder.mkdir(parents=True, exist_ok=True)
    # The report last: it marks the manifests as complete.
    paths = [*map(source.manifest, SPLITS), source.prepare_report]
    for path in paths:
        copy = target.folder / path.name
        if path.exists() and not copy.exists():
            shutil.copyfile(path, copy)


def _open_log(cell):
    """The log of a run, and where in it the next output starts."""
    cell.run.folder.mkdir(parents=True, exist_ok=True)
    cell.run.output_log.touch()
    return cell.run.output_log, cell.run.output_log.stat().st_size


def _signal_of(code):
    """What killed a process; a shell adds 128 to the signal's number."""
    number = -code if code < 0 else code - 128
    if number not in {*signal.Signals}:
        return None
    memory = ", perhaps for want of memory" if number == signal.SIGKILL else ""
    return f"killed by {signal.Signals(number).name}{memory}"


def _reason(cell, start, code):
    """The error line of a run's output, or its last one, or a signal."""
    with open(cell.run.output_log, errors="replace") as file:
        file.seek(start)
        lines = [line.strip() for line in file if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if killed := _signal_of(code):
        errors.append(killed)  # the last line is of a run that went well
    last = (errors or lines or [f"exit code {code}"])[-1]
    return f"{last.removeprefix('error: ')} (see {cell.run.output_log})"
