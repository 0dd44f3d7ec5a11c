"""Runs that were swept over what is missing: their curves, and their twins."""

from itertools import chain
from typing import NamedTuple

import numpy as np

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.missing_modality import (
    check_twin,
    curve_values,
    effective_robustness,
    measure_curve,
    or_none,
)
from auxformer_lobes.evaluation.sweep import SEVERITIES, Sweep
from auxformer_lobes.reporting.missing_file import LATE_FUSION, OWN, read_sweep
from auxformer_lobes.tasks import task_of
from auxformer_lobes.tasks.base import Task
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES


class SweptRun(NamedTuple):
    """A run that was swept.

    Arguments
    ---------
    run : Run
        The folder with its sweep.
    name : str
        Its name in tables.
    content : dict
        That of `missing.json`.
    sweep : Sweep
        Its predictions.
    task : Task
        What was predicted, with what was fitted.
    partition : str
        Partition of the cell; empty for a run that is of no study.
    seed : str
        Seed of the cell, likewise.
    """

    run: Run
    name: str
    content: dict
    sweep: Sweep
    task: Task
    partition: str = ""
    seed: str = ""

    @property
    def modalities(self):
        """The modalities that its network reads."""
        read = {m for reads in self.content["heads"].values() for m in reads}
        return [m for m in MODALITIES if m in read]

    def cells(self, kind, modality):
        """The statistics of a curve, see `Sweep.cells`."""
        cell = self.partition, self.seed
        return self.sweep.cells(self.task, kind, modality, *cell)

    def end(self, lost):
        """The statistics of the end of a curve, see `Sweep.end`."""
        cell = self.partition, self.seed
        return self.sweep.end(self.task, lost, *cell)


def read_swept(run, name, partition="", seed=""):
    """Reads what a sweep has written.

    Arguments
    ---------
    run : Run
        The folder with it.
    name : str
        Its name in tables.
    partition : str
        Partition of the cell.
    seed : str
        Seed of the cell.

    Returns
    -------
    SweptRun

    Raises
    ------
    UserError
        If there is no sweep, a file is damaged, or the metrics are of another
        epoch.
    """
    cure = f"first start `auxformer evaluate {run.folder} --missing`"
    content = run.read_json(run.missing_file, cure)
    read_sweep(run.missing_file, run.metrics().get("epoch"))
    try:
        task = task_of(content["task"], content["fitted"])
        sweep = Sweep.load(run.missing_predictions)
    except (LookupError, OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{run.missing_predictions}: {reason}: {cure}")
    return SweptRun(run, name, content, sweep, task, partition, seed)


def check_clips(other, clips, task):
    """Checks that a run was swept over the same clips, for the same task.

    Arguments
    ---------
    other : SweptRun
        The run.
    clips : collection of str
        The clips.
    task : Task
        What is predicted.

    Raises
    ------
    UserError
        Otherwise.
    """
    if {*other.sweep.clips} != {*clips}:
        raise UserError(
            f"{other.run.folder}: was swept over other test clips "
            f"({len(other.sweep.clips)}, here {len(clips)}): name a run of the "
            "same partition"
        )
    if other.task.names != task.names:
        raise UserError(
            f"{other.run.folder}: predicts {', '.join(other.task.names)}, not "
            f"{', '.join(task.names)}: name a run of the same task"
        )


def curves_of(runs, others, num_samples):
    """All curves of a system.

    Arguments
    ---------
    runs : list of SweptRun
        Its cells.
    others : dict of list
        Name → the cells of another system; one that reads both modalities is
        a baseline of effective robustness.
    num_samples : int
        Number of bootstrap samples.

    Returns
    -------
    list of dict
        `kind`, `modality`, `head`, what `measure_curve` returns, `measured`
        (the share that was lost) and `effective_robustness` by baseline.
    """
    first, curves = runs[0], []
    baselines = {
        name: of for name, of in others.items() if len(of[0].modalities) > 1
    }
    for kind in shared_kinds([*runs, *chain(*baselines.values())]):
        severities = SEVERITIES[kind]
        for modality in first.sweep.modalities:
            cells = [run.cells(kind, modality) for run in runs]
            beside = {
                name: [run.cells(kind, modality)["combined"] for run in of]
                for name, of in baselines.items()
            }
            shares = _measured(runs, kind, modality)
            for head in cells[0]:
                own = [of_run[head] for of_run in cells]
                against = beside
                if head != LATE_FUSION and LATE_FUSION in cells[0]:
                    late = [of_run[LATE_FUSION] for of_run in cells]
                    against = {OWN: late, **beside}
                curves.append(
                    {
                        "kind": kind,
                        "modality": modality,
                        "head": head,
                        "measured": shares,
                        **measure_curve(
                            first.task, own, severities, num_samples
                        ),
                        "effective_robustness": {
                            name: _effective(first.task, own, of)
                            for name, of in against.items()
                        },
                    }
                )
    return curves


def shared_kinds(runs):
    """The kinds of loss that all of some runs were swept over.

    Arguments
    ---------
    runs : list of SweptRun
        The runs.

    Returns
    -------
    list of str
    """
    return [
        kind
        for kind in SEVERITIES
        if all(kind in run.sweep.kinds for run in runs)
    ]


def _measured(runs, kind, modality):
    """Mean share lost at each severity."""
    shares = {severity: [] for severity in SEVERITIES[kind]}
    for run in runs:
        for severity, _, measured, _ in run.sweep.points(kind, modality):
            shares[severity].append(measured)
    return [float(np.mean(of)) for of in shares.values()]


def _effective(task, cells, baseline):
    """Effective robustness, mean over the cells that both have."""
    places = {(cell.partition, cell.seed): cell for cell in baseline}
    found = [
        effective_robustness(
            curve_values(task, cell),
            curve_values(task, places[cell.partition, cell.seed]),
        )
        for cell in cells
        if (cell.partition, cell.seed) in places
    ]
    return or_none(np.mean(found)) if found else None


def twins_of(runs, others, num_samples):
    """Whether a system keeps the twin rule.

    Arguments
    ---------
    runs : list of SweptRun
        Its cells.
    others : dict of list
        Name → the cells of another system; one that reads a single modality is
        a twin.
    num_samples : int
        Number of bootstrap samples.

    Returns
    -------
    list of dict
        `lost` (the modality), `twin` (its name), and what `check_twin` returns,
        or the `reason` why they cannot be compared; empty for a system that
        reads one modality.
    """
    if len(runs[0].modalities) < 2:
        return []
    found = []
    for name, twins in others.items():
        if len(twins[0].modalities) > 1:
            continue
        (lost,) = {*MODALITIES} - {*twins[0].modalities}
        cells = [run.end(lost) for run in runs]
        alone = [run.end(None) for run in twins]
        try:
            row = check_twin(
                runs[0].task, cells, alone, num_samples=num_samples
            )
        except UserError as error:  # a long sweep is not lost to it
            keys = ("difference", "low", "high", "band", "p", "holds")
            row = {**dict.fromkeys(keys), "reason": str(error)}
        found.append({"lost": lost, "twin": name, **row})
    return found
