"""Evaluates a trained run on another manifest, perhaps of another corpus."""

from dataclasses import replace
from pathlib import Path

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.collection import (
    collect_details,
    collect_metrics,
)
from auxformer_lobes.experiments.opened_run import (
    open_run,
    restrict_outputs,
    writing,
)
from auxformer_lobes.experiments.recipe import (
    logged_failure,
    save_figures,
    write_report,
)
from auxformer_lobes.reporting.detail_figures import figures_of_details
from auxformer_lobes.reporting.figures import figures_of_test
from auxformer_lobes.reporting.predictions_csv import write_predictions
from auxformer_lobes.reporting.tables import print_table
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError


def evaluate_run(
    run,
    manifest,
    data_folder,
    output_folder=None,
    num_workers=2,
    run_opts=None,
    feature_folder=None,
):
    """Evaluates the best checkpoint of a run on any manifest.

    Features are extracted as in the run, unless they are stored. Classes that
    the model or the manifest lacks are excluded, with their clips: the model
    then chooses among those that both have. There is no linear baseline, since
    a run does not keep its own.

    Arguments
    ---------
    run : str
        A run's output folder. Its hyperparams.yaml is executed: name a run
        that you trust.
    manifest : str
        JSON manifest, as a recipe's preparation writes it.
    data_folder : str
        What `{data_root}` in the manifest stands for.
    output_folder : str, optional
        Where to write metrics, predictions, figures and the report; by default
        a folder in the run, named after the manifest and its folder.
    num_workers : int
        Processes that read media files.
    run_opts : dict, optional
        SpeechBrain's options, such as `device`.
    feature_folder : str, optional
        Where features are stored; by default that of the run, which may be
        relative to the folder that it was trained in.

    Returns
    -------
    dict
        The content of metrics.json.

    Raises
    ------
    UserError
        If the run is not finished, the manifest cannot be read, the corpora
        share fewer than two classes, or the output folder has other results.
    """
    run = Run(run)
    output = output_of(run, manifest, output_folder)
    _check_unused(output, Path(manifest))
    output.check_unlocked()  # now, and not after the work
    opened = open_run(
        run, manifest, data_folder, num_workers, run_opts, feature_folder
    )
    hparams, task, common = opened.hparams, opened.task, opened.common
    predictions = opened.brain.predict_conditions(
        None,
        opened.dataset,
        hparams["test_conditions"],
        hparams["test_dataloader_opts"],
    )
    entries = opened.dataset.data
    if isinstance(task, CategoricalEmotion):
        predictions = {
            condition: _restrict(made, task, common)
            for condition, made in predictions.items()
        }
        if common.names != task.names:
            # What the votes are on is not known.
            entries = {c: {**e, "votes": None} for c, e in entries.items()}
        task = common
    raw = predictions
    predictions = {name: of.calibrated(task) for name, of in raw.items()}
    bootstrap = {"num_samples": hparams["bootstrap_samples"]}
    metrics = {
        "run": str(run.folder.resolve()),
        "manifest": str(Path(manifest).resolve()),
        "excluded": dict(opened.excluded),
        **collect_metrics(predictions, task, **bootstrap),
        **collect_details(raw, predictions, task, entries, **bootstrap),
        "complete": True,
    }
    with writing(output):
        write_predictions(output.predictions_file, predictions, task)
        # Then: it marks the evaluation as finished.
        output.write_metrics(metrics)
        save_figures(
            output,
            {
                **figures_of_test(task, predictions),
                **figures_of_details(task, metrics),
            },
        )
    with logged_failure("report.html"):
        write_report(output, task, predictions, entries)
    print_table(metrics, task)
    print_excluded(opened.excluded)
    print(f"results: {output.folder.resolve()}")
    return metrics


def output_of(run, manifest, output_folder=None):
    """Where the results on a manifest go.

    Arguments
    ---------
    run : Run
        The run that is evaluated.
    manifest : str
        The manifest.
    output_folder : str, optional
        The folder that the user has named.

    Returns
    -------
    Run
    """
    manifest = Path(manifest)
    name = f"on_{manifest.resolve().parent.name}_{manifest.stem}"
    return Run(output_folder or run.folder / name)


def print_excluded(excluded):
    """Prints how many clips are excluded.

    Arguments
    ---------
    excluded : Counter
        Emotion → number of clips.
    """
    if excluded:
        counts = ", ".join(f"{n} {name}" for name, n in excluded.most_common())
        print(f"excluded, as the model or the manifest lacks them: {counts}")


def _check_unused(output, manifest):
    """Refuses a folder with the results on another manifest."""
    if output.metrics_file.exists():
        other = output.metrics().get("manifest")
        if other != str(manifest.resolve()):
            raise UserError(
                f"{output.folder}: has the results on {other or 'a run'}: "
                "name another --output_folder"
            )


def _restrict(made, task, common):
    """Predictions among fewer classes."""
    truth, outputs = restrict_outputs(made.truth, made.outputs, task, common)
    outputs = {head: rows.tolist() for head, rows in outputs.items()}
    return replace(made, truth=truth.tolist(), outputs=outputs)
