"""Results of studies and of runs, from the files that runs leave."""

import json
from dataclasses import replace
from html import unescape

import pytest

from auxformer_lobes.evaluation.collection import collect_metrics
from auxformer_lobes.experiments.results import (
    Results,
    cells_at,
    show_results,
    write_results,
)
from auxformer_lobes.experiments.study import Study, expand
from auxformer_lobes.reporting.predictions_csv import write_predictions
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_sweeps import make_study_sweep, write_sweep
from tests.unit.small_tasks import make_task, random_clips, random_predictions

VARY = ["partition=1,2", "seed=0,1", "network=mult,late_fusion"]


def finish(run, task, seed, partition=0, renamed=""):
    """Writes what a run leaves, its predictions drawn by the seed."""
    made = random_predictions(task)
    predictions, baseline, fitted = {}, {}, {}
    for name, of in made.items():
        clips = [f"{renamed}{partition}_{clip}" for clip in of.clips]
        outputs = random_clips(task, len(clips), seed)[1].tolist()
        of = replace(of, clips=clips, outputs={"combined": outputs})
        predictions[name] = of
        outputs = {"linear_baseline": made[name].outputs["combined"]}
        baseline[name] = replace(of, outputs=outputs)
        fitted[name] = task.settings
    run.folder.mkdir(parents=True, exist_ok=True)
    metrics = collect_metrics(predictions, task, num_samples=20)
    metrics["linear_baseline"] = {
        name: {"fitted": settings} for name, settings in fitted.items()
    }
    run.write_metrics({**metrics, "complete": True})
    write_predictions(run.predictions_file, predictions, task, baseline, fitted)


@pytest.fixture
def study(tmp_path):
    """A study of two partitions, two seeds and two networks."""
    study = Study(tmp_path / "study")
    plan = {
        "script": "train.py",
        "hparams": "hparams.yaml",
        "options": {"data_folder": "corpus"},
        "vary": ["partition", "seed", "network"],
        "cells": expand(VARY),
        "failed": {},
    }
    study.write(plan)
    task = make_task("categories")
    for place, cell in enumerate(study.cells()):
        finish(cell.run, task, 50 + place, cell.settings["partition"])
    return study


def test_systems_are_pooled_over_partitions_and_seeds(study):
    pooled = Results(study.cells()).pooled()
    assert [*pooled] == ["mult", "late_fusion", "linear baseline"]
    assert {of["audio_visual"]["cells"] for of in pooled.values()} == {2, 4}
    # Partition by partition it is the same: it has no seed.
    assert pooled["linear baseline"]["audio_only"]["cells"] == 2
    values = [
        cell.run.metrics()["test"]["audio_only"]["combined"]["uar"]["value"]
        for cell in study.cells()
        if cell.system == "mult"
    ]
    mean = pooled["mult"]["audio_only"]["uar"]["value"]
    assert mean == pytest.approx(sum(values) / 4)


def test_the_first_system_is_compared_with_all_others(study):
    results = Results(study.cells())
    pairs = [*results.compare("audio_visual")]
    assert pairs == [("mult", "late_fusion"), ("mult", "linear baseline")]
    assert all(
        each.cells == 4 and each.comparisons == 2
        for each in results.compare("audio_visual").values()
    )
    pairs = [*results.compare("audio_visual", reference="late_fusion")]
    assert pairs == [
        ("late_fusion", "mult"),
        ("late_fusion", "linear baseline"),
    ]
    assert len(results.compare("audio_visual", reference="all")) == 3


def test_unfinished_cells_are_left_out(study):
    lost, *_ = study.cells()
    lost.run.metrics_file.unlink()
    results = Results(study.cells())
    assert results.pooled()["mult"]["audio_visual"]["cells"] == 3
    pair = "mult", "late_fusion"
    assert results.compare("audio_visual")[pair].cells == 3


def test_a_study_without_a_finished_cell_is_one_line(study):
    for cell in study.cells():
        cell.run.metrics_file.unlink()
    with pytest.raises(UserError, match="no finished cell"):
        Results(study.cells())


def test_results_are_in_study_json_and_in_the_report(study):
    (study.cells()[0].run.audit_file).write_text(
        json.dumps({"findings": [], "splits": {}, "class_distance": None})
    )
    write_results(study, Results(study.cells()))
    content = study.read()
    assert content["vary"] == ["partition", "seed", "network"]
    assert len(content["systems"]) == 3 * 3
    assert len(content["comparisons"]) == 2 * 3
    assert content["comparisons"][0]["sentence"].startswith(
        "In F1-macro (audio + visual), "
    )
    page = unescape(study.report_file.read_text("utf-8"))
    assert content["comparisons"][0]["sentence"] in page


def test_a_study_that_was_swept_has_a_section(study):
    write_sweep(study.missing_file, make_study_sweep(["mult"]))
    write_results(study, Results(study.cells()))
    assert "Missing modalities" in study.report_file.read_text("utf-8")


def test_a_study_with_a_damaged_sweep_has_a_page(study):
    write_sweep(study.missing_file, [])
    write_results(study, Results(study.cells()))
    assert "missing.json: damaged" in study.report_file.read_text("utf-8")


def test_a_study_of_several_labels_has_results_and_says_what_is_missing(
    study, capsys
):
    """Hours of training are not lost to what cannot be paired."""
    task = make_task("categories")
    for cell in study.cells():
        if cell.system == "late_fusion":
            finish(cell.run, task, 1, cell.partition, renamed="other_")
    results = Results(study.cells())
    write_results(study, results)
    content = study.read()
    assert len(content["systems"]) == 3 * 3 and not content["comparisons"]
    assert "no test clip" in content["not_compared"]["audio_visual"]
    page = unescape(study.report_file.read_text("utf-8"))
    assert "Not compared, audio + visual: mult and late_fusion" in page
    with pytest.raises(UserError, match="mult and late_fusion cannot be"):
        show_results(results)
    assert "late_fusion" in capsys.readouterr().out  # what there is


def test_runs_may_have_the_same_name(tmp_path):
    task = make_task("attributes")
    paths = [tmp_path / study / "seed-1" for study in "ab"]
    for seed, path in enumerate(paths):
        finish(cells_at_new(path), task, seed)
    results = Results(cells_at([*map(str, paths)]))
    first, second = (results.metrics[name] for name in ("a/seed-1", "b/seed-1"))
    assert first["test"] != second["test"]


def test_a_damaged_audit_is_one_line(study):
    study.cells()[0].run.audit_file.write_text("{")
    with pytest.raises(UserError, match="audit.json: not JSON, or damaged"):
        write_results(study, Results(study.cells()))


def test_runs_are_systems(tmp_path, capsys):
    task = make_task("attributes")
    paths = [tmp_path / "first", tmp_path / "second"]
    for seed, path in enumerate(paths):
        finish(cells_at_new(path), task, seed)
    show_results(Results(cells_at([str(path) for path in paths])))
    shown = " ".join(capsys.readouterr().out.split())
    assert "first" in shown and "second" in shown
    assert "after Holm over 2 comparisons" in shown  # and the linear baseline
    show_results(Results(cells_at([str(paths[0])])))
    shown = " ".join(capsys.readouterr().out.split())
    assert "linear baseline" in shown and "second" not in shown


def test_runs_are_named_by_the_ends_of_their_paths(tmp_path):
    paths = [tmp_path / name for name in ("mult/P6", "late/P6", "late/P4")]
    for path in paths:
        finish(cells_at_new(path), make_task("categories"), 1)
    names = [cell.name for cell in cells_at([f"{path}/" for path in paths])]
    assert names == ["mult/P6", "late/P6", "late/P4"]
    assert [cell.system for cell in cells_at(paths[1:])] == ["P6", "P4"]


def test_long_names_are_not_cut_in_tables(tmp_path, capsys):
    paths = [tmp_path / f"{'x' * 40}{letter}" for letter in "ab"]
    for path in paths:
        finish(cells_at_new(path), make_task("categories"), 1)
    show_results(Results(cells_at(paths)))
    shown = capsys.readouterr().out
    assert "…" not in shown.partition("\nIn F1-macro")[0]


def test_a_run_that_is_not_complete_is_not_left_out_in_silence(tmp_path):
    for name in "ab":
        finish(cells_at_new(tmp_path / name), make_task("categories"), 1)
    run = cells_at_new(tmp_path / "b")
    metrics = run.metrics()
    for key in ("complete", "task"):  # as an older version wrote them
        del metrics[key]
    run.write_metrics(metrics)
    with pytest.raises(UserError, match="b: not finished.*start train.py"):
        cells_at([str(tmp_path / "a"), str(tmp_path / "b")])


def test_cells_that_are_not_finished_are_counted(study, capsys):
    study.cells()[0].run.metrics_file.unlink()
    show_results(Results(study.cells()))
    assert "1 cell not finished, left out" in capsys.readouterr().out


def cells_at_new(path):
    """The run of a folder that has none yet."""
    (cell,) = Study(path.parent).cells_of({path.name: {}})
    return cell.run


def test_runs_that_cannot_be_paired_are_refused_with_the_reason(tmp_path):
    paths = [str(tmp_path / name) for name in "abc"]
    task = make_task("categories")
    finish(cells_at_new(tmp_path / "a"), task, 1)
    finish(cells_at_new(tmp_path / "b"), task, 1, renamed="other_corpus_")
    finish(cells_at_new(tmp_path / "c"), make_task("attributes"), 1)
    with pytest.raises(UserError, match="no test clip is in both"):
        Results(cells_at(paths[:2])).compare("audio_visual")
    with pytest.raises(UserError, match="c: predicts arousal.*one task"):
        Results(cells_at([paths[0], paths[2]]))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"condition": "audio"}, "--condition audio: unknown: choose one of"),
        ({"metric": "f1"}, "--metric f1: unknown: choose one of f1_macro"),
        ({"reference": "multi"}, "--reference multi: unknown: .* all"),
    ],
)
def test_unknown_names_are_one_line_with_those_that_exist(
    study, options, message
):
    with pytest.raises(UserError, match=message):
        show_results(Results(study.cells()), **options)


def test_folders_that_are_no_runs_are_one_line(study, tmp_path):
    with pytest.raises(UserError, match="train and evaluate first"):
        cells_at([str(tmp_path / "nothing")])
    with pytest.raises(UserError, match="is a study: name it alone"):
        cells_at([str(study.folder), "run"])
    with pytest.raises(UserError, match="is a study: name it alone"):
        cells_at(["run", str(study.folder)])
    with pytest.raises(UserError, match="given twice"):
        cells_at(["run", "./run/"])


def test_predictions_of_a_run_need_not_be_in_order(study):
    first = Results(study.cells()).compare("audio_only")
    cell = study.cells()[0]
    head, *rows = cell.run.predictions_file.read_bytes().splitlines(True)
    cell.run.predictions_file.write_bytes(b"".join([head, *reversed(rows)]))
    again = Results(study.cells()).compare("audio_only")
    for pair, each in first.items():
        assert again[pair].difference == pytest.approx(each.difference)
        assert again[pair].p == pytest.approx(each.p)
