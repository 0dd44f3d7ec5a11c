"""What `auxformer experiment` does: plan a study, run it, show its results."""

import shlex
import shutil
import sys
import time

from ruamel.yaml import YAML, YAMLError

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.grid import Grid
from auxformer_lobes.experiments.hparams import split_options
from auxformer_lobes.experiments.launchers import LocalLauncher, SlurmLauncher
from auxformer_lobes.experiments.results import (
    Results,
    show_results,
    write_results,
)
from auxformer_lobes.experiments.study import Study, expand
from auxformer_lobes.reporting.tables import count_of
from auxformer_lobes.utils.errors import UserError


def plan_study(script, hparams, words, vary, output_folder, launcher=None):
    """Plans a study; checks all that can be checked before it runs.

    Arguments
    ---------
    script : str
        `train.py` of a recipe.
    hparams : str
        Its YAML file.
    words : list of str
        Options of the recipe, the same for all cells.
    vary : list of str
        `key=value,value`, see `expand`.
    output_folder : str
        Folder of the study.
    launcher : str, optional
        Command in place of `python`.

    Returns
    -------
    study : Study
        The study; nothing is written yet.
    grid : Grid
        Its commands, with the cells that it has already.

    Raises
    ------
    UserError
        If an option is wrong, or the folder holds something else.
    """
    cells = expand(vary)
    keys = [*next(iter(cells.values()))]
    options = split_options(words)
    if both := [key for key in keys if key in options]:
        raise UserError(f"--{both[0]}: given twice: it is varied")
    study = Study(output_folder)
    plan = {
        "script": script,
        "hparams": hparams,
        "options": options,
        "vary": keys,
        "cells": cells,
    }
    plan = study.planned(plan)
    python = _split_launcher(launcher) if launcher else [sys.executable]
    return study, Grid(plan, study.cells_of(plan["cells"]), python)


def _split_launcher(text):
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--launcher {text}: {error}")
    if not words or shutil.which(words[0]) is None:
        raise UserError(
            f"--launcher {text}: no such command: name one, such as "
            "'torchrun --standalone --nproc_per_node=2'"
        )
    return words


def run_study(study, grid, jobs=None, slurm=None):
    """Runs the cells that are not finished, and shows the results.

    Arguments
    ---------
    study : Study
        The study.
    grid : Grid
        Its commands.
    jobs : int, optional
        Cells at once; by default 1, or all of them on Slurm.
    slurm : str, optional
        YAML: options of Slurm.

    Returns
    -------
    int or None
        Exit code: 1 if a cell failed.

    Raises
    ------
    UserError
        If an option is wrong, another process runs the study, no cell
        finished, or, once the report is
        written, if systems cannot be compared.
    """
    with Run(study.folder).lock():
        return _run_study(study, grid, jobs, slurm)


def _run_study(study, grid, jobs, slurm):
    can_prepare = grid.check()
    if slurm is None:
        launcher = LocalLauncher(jobs or 1)
    else:
        launcher = SlurmLauncher(
            study.folder / "slurm", jobs or len(grid.cells), _mapping(slurm)
        )
    grid.plan["failed"] = {}
    study.write(grid.plan)

    def _fail(cell, reason):
        grid.plan["failed"][cell.name] = reason
        study.write(grid.plan)
        print(f"failed: {cell.name}: {reason}", flush=True)

    unfinished = [c for c in grid.cells if not c.run.is_complete()]
    print(
        f"{study.folder}: {count_of(len(grid.cells), 'cell')}, "
        f"{len(grid.cells) - len(unfinished)} finished before, "
        f"{launcher.jobs} at once",
        flush=True,
    )
    if can_prepare:
        for cell, reason in grid.prepare(launcher):
            if reason:
                _fail(cell, reason)
            else:
                print(f"prepared: {cell.name}", flush=True)
    failed = grid.plan["failed"]
    todo = [cell for cell in unfinished if cell.name not in failed]
    began = time.monotonic()
    for done, (cell, reason, seconds) in enumerate(
        grid.run(launcher, todo), start=1
    ):
        if reason:
            _fail(cell, reason)
        left = (time.monotonic() - began) / done * (len(todo) - done)
        print(
            f"[{done}/{len(todo)}] {cell.name}: {seconds / 60:.1f} min; "
            f"about {left / 60:.0f} min left",
            flush=True,
        )
    results = Results(grid.cells)
    write_results(study, results)
    print(f"report: {study.report_file.resolve()}")
    show_results(results)
    return 1 if failed else None


def _mapping(text):
    try:
        settings = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(f"--slurm {text}: {error}")
    if not isinstance(settings, dict):
        raise UserError(f"--slurm {text}: write '{{partition: gpu}}'")
    return settings
