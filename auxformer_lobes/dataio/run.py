"""The run folder: the one place that knows its files."""

import errno
import fcntl
import json
from contextlib import contextmanager
from pathlib import Path

from speechbrain.utils.distributed import if_main_process

from auxformer_lobes.utils.checkpoints import AtomicCheckpointer
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import (
    atomic_write,
    clear_temporaries,
    one_line_os_errors,
    reason_of,
)

SPLITS = ("train", "valid", "test")


class Run:
    """The output folder of a recipe.

    Opening a run reads nothing and changes nothing; another process may be
    training it. Only `lock` and the `write_…` methods write.

    Arguments
    ---------
    folder : str or Path
        The output folder.

    Example
    -------
    >>> run = Run(getfixture("tmp_path"))
    >>> run.history()
    []
    >>> run.write_epoch({"epoch": 1, "valid": {"loss": 0.5}})
    >>> run.write_epoch({"epoch": 2, "valid": {"loss": 0.7}})
    >>> [entry["epoch"] for entry in run.history()]
    [1, 2]
    >>> run.manifest("test").name
    'test.json'
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.hyperparams = self.folder / "hyperparams.yaml"
        self.prepare_report = self.folder / "prepare_report.json"
        self.audit_file = self.folder / "audit.json"
        self.metrics_file = self.folder / "metrics.json"
        self.predictions_file = self.folder / "predictions.csv"
        self.missing_table = self.folder / "missing.csv"
        self.missing_file = self.folder / "missing.json"
        self.missing_predictions = self.folder / "missing.npz"
        self.history_file = self.folder / "history.json"
        self.report_file = self.folder / "report.html"
        self.checkpoints = self.folder / "save"
        self.trained_on = self.checkpoints / "trained_on.json"
        self.output_log = self.folder / "output.log"

    def manifest(self, split):
        """The manifest of a split.

        Arguments
        ---------
        split : str
            One of `SPLITS`.

        Returns
        -------
        Path
        """
        return self.folder / f"{split}.json"

    def figure(self, name):
        """The file of a figure.

        Arguments
        ---------
        name : str
            What it shows.

        Returns
        -------
        Path
        """
        return self.folder / f"{name}.png"

    def history(self):
        """Losses and metrics by epoch.

        Returns
        -------
        list of dict
            For each epoch, `epoch`, `lr`, and the `train` and `valid`
            statistics.

        Raises
        ------
        UserError
            If it cannot be read, or is damaged.
        """
        if not self.history_file.exists():
            return []
        cure = (
            "put a copy in its place, or delete it: the curves then begin with "
            "the next epoch"
        )
        history = self.read_json(self.history_file, cure, list)
        for entry in history:
            if not (
                isinstance(entry, dict)
                and isinstance(entry.get("epoch"), int)
                and isinstance(entry.get("valid"), dict)
            ):
                raise UserError(f"{self.history_file}: damaged: {cure}")
        return history

    def write_epoch(self, entry):
        """Adds an epoch to the history; later ones are removed from it.

        Arguments
        ---------
        entry : dict
            See `history`.
        """
        before = [e for e in self.history() if e["epoch"] < entry["epoch"]]
        with atomic_write(self.history_file) as file:
            json.dump([*before, entry], file, indent=1)

    def metrics(self):
        """The metrics of the finished run.

        Returns
        -------
        dict
            The content of `metrics.json`.

        Raises
        ------
        UserError
            If the run is not finished.
        """
        return self.read_json(self.metrics_file, "train and evaluate first")

    def is_complete(self):
        """Whether the run was trained, evaluated and reported to its end.

        Returns
        -------
        bool
        """
        try:
            return self.metrics().get("complete", False)
        except UserError:  # not evaluated, or damaged
            return False

    def write_metrics(self, metrics):
        """Writes `metrics.json`.

        Arguments
        ---------
        metrics : dict
            What `collect_metrics` returns.
        """
        with atomic_write(self.metrics_file) as file:
            json.dump(metrics, file, indent=1)

    def read_json(self, path, cure, kind=dict):
        """Reads a file of the run.

        Arguments
        ---------
        path : Path
            One of its files.
        cure : str
            What to do if it is missing or damaged.
        kind : type
            What it holds: dict or list.

        Returns
        -------
        dict or list

        Raises
        ------
        UserError
            If it is missing or damaged, or must not be read.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
            if not isinstance(content, kind):
                raise ValueError("of another type")
            return content
        except FileNotFoundError as error:
            raise UserError(f"{path}: {error.strerror}: {cure}")
        except OSError as error:
            raise UserError(f"{path}: {reason_of(error)}")
        except (RecursionError, ValueError):
            raise UserError(f"{path}: not JSON, or damaged: {cure}")

    def best_epoch(self, select_by, task):
        """The epoch that is best on the development set.

        Arguments
        ---------
        select_by : str
            Quantity by which epochs are selected.
        task : Task
            What is predicted.

        Returns
        -------
        int

        Raises
        ------
        UserError
            If the history is damaged.
        """
        choose = {"min": min, "max": max}[task.direction(select_by)]
        try:
            best = choose(self.history(), key=lambda e: e["valid"][select_by])
        except (LookupError, TypeError, ValueError):  # ValueError: it is empty
            raise UserError(
                f"{self.history_file}: damaged, or without {select_by}: put a "
                "copy in its place"
            )
        return best["epoch"]

    def best_checkpoint(self, select_by, task):
        """The checkpoint that is best on the development set.

        Arguments
        ---------
        select_by : str
            Quantity by which epochs are selected.
        task : Task
            What is predicted.

        Returns
        -------
        speechbrain.utils.checkpoints.Checkpoint

        Raises
        ------
        UserError
            If there is none, or it is damaged.
        """
        found = None
        if self.checkpoints.is_dir():
            key = {f"{task.direction(select_by)}_key": select_by}
            try:
                checkpointer = AtomicCheckpointer(self.checkpoints)
                found = checkpointer.find_checkpoint(**key)
            except PermissionError as error:
                raise UserError(f"{self.checkpoints}: {reason_of(error)}")
            except UserError:
                if not self.is_locked():
                    raise
                raise UserError(
                    f"{self.folder}: a process is training there: wait for it"
                )
            except FileNotFoundError:
                raise UserError(
                    f"{self.checkpoints}: a training removed a checkpoint just "
                    "now: try again"
                )
        if found is None:
            raise UserError(
                f"{self.checkpoints}: has no checkpoint: train first"
            )
        return found

    def evaluated_checkpoint(self, select_by, task):
        """The best checkpoint, if `metrics.json` is of it.

        Arguments
        ---------
        select_by : str
            Quantity by which epochs are selected.
        task : Task
            What is predicted.

        Returns
        -------
        speechbrain.utils.checkpoints.Checkpoint

        Raises
        ------
        UserError
            If there is none, or the run was trained further since.
        """
        checkpoint = self.best_checkpoint(select_by, task)
        epoch, now = self.metrics().get("epoch"), checkpoint.meta["epoch"]
        if epoch != now:
            raise UserError(
                f"{self.folder}: its metrics are of epoch {epoch}, its best "
                f"checkpoint is of epoch {now}: run train.py to its end"
            )
        return checkpoint

    def is_locked(self):
        """Whether a process trains there, or writes results.

        Returns
        -------
        bool
        """
        try:
            file = open(self.folder / ".lock", "r+")
        except OSError:  # no run, or nobody may write there
            return False
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno in (errno.EACCES, errno.EAGAIN)
        return False

    def check_unlocked(self):
        """Refuses to write into a folder where another process does.

        Raises
        ------
        UserError
            If one does.
        """
        if self.is_locked():
            raise self._locked_error()

    @contextmanager
    def lock(self):
        """Keeps other runs from training into this folder.

        A process that is killed leaves no lock behind. Of processes that train
        together, the main one holds the lock.

        Raises
        ------
        UserError
            If another process trains there, or the folder is not writable.
        """
        if not if_main_process():
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / ".lock", "a")
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written: {reason_of(error)}: name "
                "another output_folder"
            )
        with file:
            try:
                # Not flock, which workers of a killed process keep for a while.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise UserError(f"{self.folder}: lock: {error.strerror}")
                raise self._locked_error()
            self._clear()
            yield

    def _locked_error(self):
        return UserError(
            f"{self.folder}: another process is training there, or writes its "
            "results: wait for it, or name another output_folder"
        )

    def _clear(self):
        """Removes what a process that was killed has left; needs the lock."""
        with one_line_os_errors(self.folder):
            clear_temporaries(self.folder)
            if self.checkpoints.is_dir():
                AtomicCheckpointer(self.checkpoints).clear()
