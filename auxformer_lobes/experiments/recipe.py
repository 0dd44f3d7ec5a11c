"""From the command line to the report: shared by the recipes' scripts."""

from contextlib import contextmanager

from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.batches import dynamic_batches
from auxformer_lobes.dataio.dataset import (
    add_features,
    extract_features,
    fit_norms,
    load_manifests,
)
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.collection import (
    collect_details,
    collect_metrics,
)
from auxformer_lobes.evaluation.linear_baseline import linear_baseline
from auxformer_lobes.features.raw import RawInputs
from auxformer_lobes.reporting import figures
from auxformer_lobes.reporting.detail_figures import figures_of_details
from auxformer_lobes.reporting.predictions_csv import write_predictions
from auxformer_lobes.reporting.run_report import run_report
from auxformer_lobes.reporting.tables import print_prediction, print_table
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer
from auxformer_lobes.utils.errors import (
    UserError,
    is_debugging,
    one_line_errors,
)
from auxformer_lobes.utils.files import atomic_write, one_line_os_errors
from auxformer_lobes.utils.random import stream_seed

logger = get_logger(__name__)


def choose_partition(hparams, valid, test):
    """The user's own lists of speakers or sessions, or a published partition.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.
    valid : list or None
        Speakers or sessions of the development set.
    test : list or None
        Speakers or sessions of the test set.

    Returns
    -------
    int or dict
        Argument of the recipe's preparation.

    Raises
    ------
    UserError
        If several of them are chosen: released labels, which have a partition,
        a split file, and lists.
    """
    if hparams["split_file"] and (hparams["released_labels"] or valid or test):
        other = "your own valid and test lists"
        if hparams["released_labels"]:
            other = "released_labels, which have a partition of their own"
        raise UserError(f"split_file is a partition: omit it, or {other}")
    if not (valid or test):
        return hparams["partition"]
    if hparams["released_labels"]:
        raise UserError(
            "released_labels have a partition of their own: omit your own "
            "valid and test lists"
        )
    return {"valid": valid or [], "test": test or []}


def train_and_evaluate(brain_class, hparams, run_opts):
    """Trains on prepared manifests, and reports on the test set.

    With `prepare_only`, it ends once all features are extracted.

    Arguments
    ---------
    brain_class : type
        The recipe's subclass of `AuxFormerBrain`.
    hparams : dict
        The hyperparameters of the recipe.
    run_opts : dict
        SpeechBrain's own options.
    """
    with one_line_os_errors(hparams["output_folder"]):
        datasets = make_datasets(hparams)
        if hparams["prepare_only"]:
            print(f"prepared: {hparams['output_folder']}")
            return
        _train_and_evaluate(brain_class, hparams, run_opts, datasets)


def _train_and_evaluate(brain_class, hparams, run_opts, datasets):
    with one_line_errors(TypeError, ValueError):  # invalid options
        brain = brain_class(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
    brain.fit(
        hparams["epoch_counter"],
        datasets["train"],
        datasets["valid"],
        train_loader_kwargs=train_loader_options(hparams, datasets["train"]),
        valid_loader_kwargs=hparams["test_dataloader_opts"],
    )
    predictions = brain.predict_conditions(
        datasets["valid"],
        datasets["test"],
        hparams["test_conditions"],
        hparams["test_dataloader_opts"],
    )
    run_on_main(report, args=[hparams, brain, datasets, predictions])


def train_loader_options(hparams, dataset):
    """Options of the training's data loader.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.
    dataset : DynamicItemDataset
        The training split.

    Returns
    -------
    dict
        With `dynamic_batching`, a `batch_sampler` in place of the size of a
        batch.
    """
    options = {**hparams["train_dataloader_opts"]}
    if hparams.get("dynamic_batching"):
        for name in ("batch_size", "shuffle", "drop_last"):
            options.pop(name, None)
        options["batch_sampler"] = dynamic_batches(
            dataset,
            seed=stream_seed(hparams["seed"]),
            **hparams["dynamic_batch_sampler"],
        )
    return options


def manifests_of(hparams):
    """The manifests of a recipe.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Returns
    -------
    dict
        Split -> path of its JSON manifest.

    Example
    -------
    >>> splits = "train", "valid", "test"
    >>> manifests_of({f"{split}_annotation": "a.json" for split in splits})
    {'train': 'a.json', 'valid': 'a.json', 'test': 'a.json'}
    """
    return {
        "train": hparams["train_annotation"],
        "valid": hparams["valid_annotation"],
        "test": hparams["test_annotation"],
    }


def stores_of(hparams):
    """The feature stores of a recipe.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Returns
    -------
    dict
        "audio" and "visual" -> `FeatureStore`.

    Example
    -------
    >>> stores_of({"audio_store": "Fbank.h5", "visual_store": "Hog.h5"})
    {'audio': 'Fbank.h5', 'visual': 'Hog.h5'}
    """
    return {
        "audio": hparams["audio_store"],
        "visual": hparams["visual_store"],
    }


def make_datasets(hparams):
    """Makes the datasets, and extracts the features that are missing.

    The norms are fitted on the training split, unless a checkpoint has them.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe, with manifests prepared.

    Returns
    -------
    dict
        "train", "valid" and "test" -> `DynamicItemDataset`.
    """
    checkpointer, select_by = hparams["checkpointer"], hparams["select_by"]
    if isinstance(checkpointer, AtomicCheckpointer):
        direction = hparams["task"].direction(select_by)
        checkpointer.drop_damaged(**{f"{direction}_key": select_by})
    stores = stores_of(hparams)
    datasets = load_manifests(manifests_of(hparams), hparams["data_folder"])
    # By all processes, each its share.
    extract_features(datasets, stores, hparams["num_workers"])
    datasets = {
        split: add_features(
            dataset,
            stores,
            hparams["task"],
            # Which clips are tested is decided by the manifest alone.
            require_both=hparams["require_both"] and split == "train",
            min_face_quality=hparams["min_face_quality"],
        )
        for split, dataset in datasets.items()
    }
    if not checkpointer.list_checkpoints():
        fit_norms(datasets["train"], hparams["modules"])
    return datasets


def report(hparams, brain, datasets, predictions):
    """Writes metrics, predictions, figures and a page; prints the tables.

    Metrics and predictions come first; whatever fails after them costs one
    line, not the result.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.
    brain : AuxFormerBrain
        The trained one.
    datasets : dict
        "train", "valid" and "test" -> `DynamicItemDataset`.
    predictions : dict of Predictions
        By name of the condition, not calibrated.
    """
    task, run = hparams["task"], Run(hparams["output_folder"])
    raw = predictions
    predictions = {name: of.calibrated(task) for name, of in raw.items()}
    bootstrap = {"num_samples": hparams["bootstrap_samples"]}
    metrics = collect_metrics(predictions, task, **bootstrap)
    metrics["epoch"] = hparams["epoch_counter"].current
    run.write_metrics(metrics)
    write_predictions(run.predictions_file, predictions, task)
    with logged_failure("train log"):
        metric = task.metrics[0]
        hparams["train_logger"].log_stats(
            {"epoch loaded": hparams["epoch_counter"].current},
            test_stats={
                f"{condition} {metric}": made.metrics(task)[metric]
                for condition, made in predictions.items()
            },
        )
    # Pixels and samples are no features to pool.
    is_raw = any(
        isinstance(store.features, RawInputs)
        for store in stores_of(hparams).values()
    )
    if not is_raw:
        with logged_failure("linear baseline"):
            scores, baseline = linear_baseline(
                datasets, task, hparams["test_conditions"], **bootstrap
            )
            metrics["linear_baseline"] = scores
            run.write_metrics(metrics)
            write_predictions(
                run.predictions_file,
                predictions,
                task,
                baseline,
                {name: of["fitted"] for name, of in scores.items()},
            )
    with logged_failure("calibration, disagreement and subgroups"):
        entries = datasets["test"].data
        details = collect_details(raw, predictions, task, entries, **bootstrap)
        metrics.update(details)
        run.write_metrics(metrics)
    with logged_failure("figures"):
        example = datasets["test"][0]
        save_figures(
            run,
            {
                **figures.figures_of_test(task, predictions),
                **figures_of_details(task, metrics),
                "learning_curves": figures.learning_curves(
                    run.history(),
                    hparams["select_by"],
                    run.best_epoch(hparams["select_by"], task),
                    task,
                ),
                "prediction": figures.prediction(
                    example["id"],
                    predictions,
                    task,
                    brain.cross_attention(example),
                ),
            },
        )
    with logged_failure("report.html"):
        write_report(run, task, predictions, datasets["test"].data)
    with logged_failure("tables"):
        print_table(metrics, task)
        first = next(iter(predictions.values()))
        print_prediction(first.clips[0], predictions, task)
    # Last: it marks the run as finished.
    run.write_metrics({**metrics, "complete": True})
    print(f"results: {run.folder.resolve()}")


def save_figures(run, made):
    """Writes figures into a run folder.

    Arguments
    ---------
    run : Run
        The run.
    made : dict of matplotlib.figure.Figure
        By name.
    """
    for name, figure in made.items():
        with atomic_write(run.figure(name), "wb") as file:
            figure.savefig(file, format="png", dpi=110)


def write_report(run, task, predictions, entries):
    """Writes `report.html` into a run folder that has its metrics.

    Arguments
    ---------
    run : Run
        The run.
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition.
    entries : dict
        Clip → its entry in the manifest of the test.
    """
    with atomic_write(run.report_file) as file:
        file.write(run_report(run, task, predictions, entries))


@contextmanager
def logged_failure(step):
    """Turns a failure into one line of the log; the run goes on.

    Arguments
    ---------
    step : str
        What is tried.

    Example
    -------
    >>> with logged_failure("figures"):
    ...     raise ValueError("no clip")
    """
    try:
        yield
    # Any: a finished training must not be lost to whatever fails after it.
    except Exception as error:
        logger.warning(
            f"{step}: {type(error).__name__}: {error}", exc_info=is_debugging()
        )
