"""Results of a study, or of a few runs: pooled metrics and comparisons."""

from dataclasses import asdict
from pathlib import Path

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.comparison import compare_all
from auxformer_lobes.evaluation.pooled_metrics import CellScores, pooled_metrics
from auxformer_lobes.experiments.study import Cell, Study
from auxformer_lobes.reporting.comparisons import (
    describe_comparison,
    print_comparisons,
    print_pooled_metrics,
)
from auxformer_lobes.reporting.missing_file import read_if_there
from auxformer_lobes.reporting.predictions_csv import read_predictions
from auxformer_lobes.reporting.run_report import versions_of
from auxformer_lobes.reporting.study_report import study_report
from auxformer_lobes.reporting.tables import count_of
from auxformer_lobes.tasks import task_of
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

ALL = "all"


class Results:
    """Scores of all systems of finished runs.

    Arguments
    ---------
    cells : list of Cell
        Cells; those that are not finished are left out.

    Raises
    ------
    UserError
        If no cell is finished, or they are of several tasks.
    """

    def __init__(self, cells):
        self.cells = [cell for cell in cells if cell.run.is_complete()]
        self.unfinished = len(cells) - len(self.cells)
        if not self.cells:
            raise UserError("no finished cell: train first")
        self.metrics = {cell.name: cell.run.metrics() for cell in self.cells}
        self.task = task_of(self.metrics[self.cells[0].name]["task"])
        self.systems = {}  # condition → system → list of CellScores
        # In the order of the study, whatever is finished so far.
        self._names = dict.fromkeys(
            [*(c.system for c in cells), *(c.baseline for c in cells)]
        )
        for cell in self.cells:
            self._add(cell)

    def _add(self, cell):
        metrics = self.metrics[cell.name]
        task = task_of(metrics["task"], metrics["fitted"])
        if type(task) is not type(self.task) or task.names != self.task.names:
            raise UserError(
                f"{cell.run.folder}: predicts {', '.join(task.names)}, "
                f"{self.cells[0].run.folder} predicts "
                f"{', '.join(self.task.names)}: compare runs of one task"
            )
        for condition, made in read_predictions(
            cell.run.predictions_file, task
        ).items():
            systems = self.systems.setdefault(
                condition, {name: [] for name in self._names}
            )
            systems[cell.system].append(
                CellScores.of(made, task, cell.partition, cell.seed)
            )
            fitted = metrics.get("linear_baseline", {}).get(condition)
            others = systems[cell.baseline]
            # It has no seed: one a partition is all.
            if fitted and cell.partition not in {s.partition for s in others}:
                own = task_of(metrics["task"], fitted["fitted"])
                others.append(
                    CellScores.of(
                        made, own, cell.partition, None, "linear_baseline"
                    )
                )

    def pooled(self):
        """Metrics of each system over its cells.

        Returns
        -------
        dict
            System → condition → what `pooled_metrics` returns.
        """
        found = {}
        for condition, systems in self.systems.items():
            for system, scores in systems.items():
                if scores:
                    found.setdefault(system, {})[condition] = pooled_metrics(
                        self.task, scores
                    )
        return found

    def compare(self, condition, metric=None, reference=None):
        """Compares systems, see `compare_all`.

        Arguments
        ---------
        condition : str
            Name of the condition.
        metric : str, optional
            One of the task's metrics; the first one by default.
        reference : str, optional
            The system that all others are compared with, or "all" for each
            pair; by default the first system.

        Returns
        -------
        dict of Comparison
            (name of A, name of B) → their comparison; empty if there is one
            system only.

        Raises
        ------
        UserError
            If there is no such condition, metric or system, or systems cannot
            be paired.
        """
        self.check_names(condition, metric)
        systems = {k: v for k, v in self.systems[condition].items() if v}
        reference = reference or next(iter(systems))
        _check_name("reference", reference, [*systems, ALL])
        return compare_all(
            self.task,
            systems,
            metric,
            reference=None if reference == ALL else reference,
        )

    def check_names(self, condition, metric=None):
        """Checks that there is such a condition, and such a metric.

        Arguments
        ---------
        condition : str
            Name of the condition.
        metric : str, optional
            One of the task's metrics.

        Raises
        ------
        UserError
            Otherwise.
        """
        _check_name("condition", condition, self.systems)
        if metric is not None:
            _check_name("metric", metric, self.task.metrics)


def _check_name(option, name, known):
    if name not in known:
        raise UserError(
            f"--{option} {name}: unknown: choose one of {', '.join(known)}"
        )


def cells_at(paths):
    """Cells of a study, or of runs.

    Arguments
    ---------
    paths : list of str
        One study, or run folders: each of these is a system.

    Returns
    -------
    list of Cell
    """
    studies = [path for path in paths if Study(path).file.exists()]
    if studies and len(paths) > 1:
        raise UserError(
            f"{studies[0]}: is a study: name it alone, or name runs"
        )
    if studies:
        return Study(paths[0]).cells()
    folders = [Path(path).resolve() for path in paths]
    for i, folder in enumerate(folders):
        if folder in folders[:i]:
            raise UserError(f"{paths[i]}: given twice")
    cells = [
        Cell(name, {"run": name}, Run(path))
        for name, path in zip(_short_names(folders), paths)
    ]
    for cell in cells:
        cell.run.metrics()  # an error tells what is missing
        if not cell.run.is_complete():
            raise UserError(
                f"{cell.run.folder}: not finished, or of an older version: "
                "start train.py with this output_folder again"
            )
    return cells


def _short_names(folders):
    """The ends of paths, as short as they are still distinct."""
    for length in range(1, max(len(f.parts) for f in folders)):
        names = ["/".join(f.parts[-length:]) for f in folders]
        if len({*names}) == len(names):
            return names
    return [str(folder) for folder in folders]


def show_results(results, condition=None, metric=None, reference=None):
    """Prints pooled metrics and comparisons.

    Arguments
    ---------
    results : Results
        The scores.
    condition : str, optional
        Condition of the comparisons; the first one by default.
    metric : str, optional
        One of the task's metrics; the first one by default.
    reference : str, optional
        See `Results.compare`.

    Raises
    ------
    UserError
        If there is no such condition, metric or system, or, after the pooled
        metrics, if systems cannot be paired.
    """
    condition = condition or next(iter(results.systems))
    results.check_names(condition, metric)
    print_pooled_metrics(results.pooled(), results.task, metric)
    comparisons = results.compare(condition, metric, reference)
    if comparisons:
        print_comparisons(comparisons, results.task, condition)
    if results.unfinished:
        left_out = count_of(results.unfinished, "cell")
        print(f"{left_out} not finished, left out")


def write_results(study, results):
    """Writes all results of a study into `study.json` and `report.html`.

    Where systems cannot be paired, the reason is written.

    Arguments
    ---------
    study : Study
        The study.
    results : Results
        Its scores.
    """
    task, plan = results.task, study.read()
    comparisons, not_compared = [], {}
    for condition in results.systems:
        try:
            found = results.compare(condition)
        except UserError as error:
            not_compared[condition] = str(error)
            continue
        for (a, b), each in found.items():
            sentence = describe_comparison(a, b, each, task, condition)
            comparisons.append(
                {
                    "a": a,
                    "b": b,
                    "condition": condition,
                    **asdict(each),
                    "sentence": sentence,
                }
            )
    content = {
        **plan,
        "versions": versions_of(),
        "systems": [
            {"name": name, "condition": condition, **metrics}
            for name, of_system in results.pooled().items()
            for condition, metrics in of_system.items()
        ],
        "comparisons": comparisons,
        "not_compared": not_compared,
        "metric_names": list(task.metrics),
        "scale": task.scale,
    }
    study.write(content)
    settings = {key: plan[key] for key in ("script", "hparams")}
    page = study_report(
        {
            **content,
            "name": study.folder.resolve().name,
            "settings": {**settings, **plan["options"]},
            "cells": [
                _describe_cell(cell, plan["failed"].get(cell.name), task)
                for cell in study.cells()
            ],
            "audits": _audits(results.cells),
            "missing": read_if_there(study.missing_file),
        }
    )
    with atomic_write(study.report_file) as file:
        file.write(page)


def _describe_cell(cell, failure, task):
    """A cell, with the metrics of all heads combined."""
    metrics = cell.run.metrics()["test"] if cell.run.is_complete() else {}
    return {
        "name": cell.name,
        "settings": cell.settings,
        "state": "failed" if failure else cell.state,
        "reason": failure,
        "folder": cell.name,
        "metrics": {
            condition: {
                name: heads["combined"][name]["value"] for name in task.metrics
            }
            for condition, heads in metrics.items()
        },
    }


def _audits(cells):
    """Partition → the audit of its split."""
    runs = {cell.partition: cell.run for cell in reversed(cells)}
    return {
        partition: run.read_json(run.audit_file, "start train.py there again")
        for partition, run in sorted(runs.items())
        if run.audit_file.exists()
    }
