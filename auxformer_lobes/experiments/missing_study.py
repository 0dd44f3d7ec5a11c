"""Sweeps a study over what is missing, and compares its systems."""

import json
from dataclasses import asdict
from itertools import chain

from auxformer_lobes.augment.frame_loss import BOTH, BURST
from auxformer_lobes.evaluation.comparison import correct_all
from auxformer_lobes.evaluation.missing_modality import compare_areas
from auxformer_lobes.evaluation.sweep import SEVERITIES
from auxformer_lobes.experiments.missing_sweep import sweep_run
from auxformer_lobes.experiments.recipe import logged_failure
from auxformer_lobes.experiments.results import Results, write_results
from auxformer_lobes.experiments.study import Study
from auxformer_lobes.experiments.swept import (
    curves_of,
    read_swept,
    shared_kinds,
    twins_of,
)
from auxformer_lobes.reporting.comparisons import describe_comparison
from auxformer_lobes.reporting.missing_figures import save_sweep_figures
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.reporting.missing_tables import print_study
from auxformer_lobes.reporting.tables import count_of
from auxformer_lobes.tasks import describe_task
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write
from auxformer_lobes.utils.modalities import MODALITIES

NUM_SAMPLES = 2000


def sweep_study(folder, seeds=3, **options):
    """Sweeps the finished cells of a study, and writes its `missing.json`.

    The figure `missing.png` and the page of the study follow it.
    Cells that have the sweep of their checkpoint already are not swept again.

    Arguments
    ---------
    folder : str
        The study. The hyperparams.yaml of its cells is executed.
    seeds : int
        How often each loss is drawn.
    **options
        Further arguments of `sweep_run`.

    Returns
    -------
    dict
        The content of `missing.json`: `systems` (name → its curves, pooled
        over cells), `comparisons` of the areas under them, `twins`.

    Raises
    ------
    UserError
        If it has no finished cell, or one cannot be swept.
    """
    study = Study(folder)
    cells = study.cells()
    finished = [cell for cell in cells if cell.run.is_complete()]
    if not finished:
        raise UserError(f"{study.folder}: no finished cell: train first")
    for place, cell in enumerate(finished, start=1):
        if not _is_current(cell.run, seeds):
            print(f"{place} of {len(finished)}: {cell.name}")
            sweep_run(cell.run.folder, seeds=seeds, quiet=True, **options)
    systems = {}
    for cell in finished:
        swept = read_swept(cell.run, cell.system, cell.partition, cell.seed)
        systems.setdefault(cell.system, []).append(swept)
    content = collect_sweeps(systems)
    try:
        with atomic_write(study.missing_file) as file:
            json.dump(content, file, indent=1)
    except OSError as error:
        raise UserError(f"{study.missing_file}: {error.strerror}")
    task = next(iter(systems.values()))[0].task
    with logged_failure("missing.png"):
        made = read_sweep(study.missing_file)
        save_sweep_figures(study, made, task.scale)
    with logged_failure("report.html"):
        write_results(study, Results(cells))
    print_study(content, task)
    if left_out := len(cells) - len(finished):
        print(f"{count_of(left_out, 'cell')} not finished, left out")
    print(f"results: {study.missing_file.resolve()}")
    return content


def _is_current(run, seeds):
    """Whether a run has the sweep of its best checkpoint."""
    try:
        content = run.read_json(run.missing_file, "sweep it")
        metrics = run.metrics()
        now = {
            # What was fitted tells a training from another one.
            **{key: metrics.get(key) for key in ("epoch", "fitted")},
            **{"seeds": seeds, "burst": BURST},
        }
        is_same = all(content.get(key) == now[key] for key in now)
        return is_same and run.missing_predictions.exists()
    except (AttributeError, UserError):  # damaged
        return False


def collect_sweeps(systems):
    """Pools the curves of each system over its cells, and compares systems.

    Arguments
    ---------
    systems : dict of list
        Name → each `SweptRun` of it.

    Returns
    -------
    dict
        See `sweep_study`. Systems that read both modalities are compared, the
        first one with each of the others, with Holm's correction over all
        kinds and modalities; `not_compared` has the reasons of those that
        cannot be.
    """
    first = next(iter(systems.values()))[0]
    task = first.task
    late = {n: of for n, of in systems.items() if _is_late_fusion(of[0])}
    alone = {n: of for n, of in systems.items() if len(of[0].modalities) == 1}
    curves, twins = {}, []
    for name, runs in systems.items():
        others = {other: of for other, of in late.items() if other != name}
        curves[name] = curves_of(runs, others, NUM_SAMPLES)
        twins += [
            {"system": name, **twin}
            for twin in twins_of(runs, alone, NUM_SAMPLES)
        ]
    comparisons, not_compared = {}, {}
    fused = {n: of for n, of in systems.items() if n not in alone}
    for kind in shared_kinds([*chain(*fused.values())]):
        for modality in (*MODALITIES, BOTH) if len(fused) > 1 else ():
            cells = {
                name: [run.cells(kind, modality)["combined"] for run in runs]
                for name, runs in fused.items()
            }
            try:
                found = compare_areas(
                    task,
                    cells,
                    SEVERITIES[kind],
                    reference=next(iter(cells)),
                    num_samples=NUM_SAMPLES,
                )
            except UserError as error:
                not_compared[f"{kind} {modality}"] = str(error)
                continue
            for pair, each in found.items():
                comparisons[(*pair, kind, modality)] = each
    comparisons = correct_all(comparisons)
    return {
        "task": describe_task(task),
        "metric": task.metrics[0],
        "seeds": first.content["seeds"],
        "burst": BURST,
        "cells": {name: len(runs) for name, runs in systems.items()},
        "systems": curves,
        "comparisons": [
            _describe(*key, each, task) for key, each in comparisons.items()
        ],
        "not_compared": not_compared,
        "twins": twins,
    }


def _describe(a, b, kind, modality, comparison, task):
    """A comparison of areas, for JSON."""
    made = asdict(comparison)
    made["band"] = made.pop("kind")  # as that of a curve
    of = f"area under the curve of {kind}, {modality}"
    return {
        **{"a": a, "b": b, "kind": kind, "modality": modality},
        **made,
        "sentence": describe_comparison(a, b, comparison, task, of),
    }


def _is_late_fusion(run):
    """Whether its network averages heads on one modality each."""
    reads = [*run.content["heads"].values()]
    return len(reads) == len(MODALITIES) and all(len(r) == 1 for r in reads)
