"""What an exported model is, in plain data: the content of `config.json`."""

import json
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from jinja2 import TemplateError

from auxformer_lobes import __version__
from auxformer_lobes.dataio.run import SPLITS
from auxformer_lobes.features.precomputed import PrecomputedFeatures
from auxformer_lobes.reporting.missing_curves import (
    COMBINED,
    LOST,
    TITLES,
    lines_of,
    panels_of,
)
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.sharing import layout
from auxformer_lobes.tasks import set_fitted
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

# Settings of the training for the model card, where a recipe has them.
CARD_FIELDS = (
    *("labels", "label_rule", "num_classes", "presentation", "recordings"),
    *("partition", "require_both", "min_face_quality", "number_of_epochs"),
    *("batch_size", "lr", "encoder_lr", "select_by", "seed"),
)


@contextmanager
def reading(path, cure="run train.py again: it goes on from the last epoch"):
    """Turns errors about what a damaged file of a run holds into one line.

    Arguments
    ---------
    path : Path
        The file.
    cure : str
        What to do.

    Raises
    ------
    UserError
        If it holds something else than it should.

    Example
    -------
    >>> with reading("test.json"):
    ...     [clip["duration"] for clip in [None]]
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: test.json: damaged, or of another ...
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TemplateError,
        TypeError,
        ValueError,
    ):
        raise UserError(f"{path}: damaged, or of another version: {cure}")


def plain_value(value):
    """A value as JSON keeps it; any other is a `UserError`."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        raise UserError(f"{value!r} cannot be exported: it is no plain value")


def describe(run, settings, hparams, hub_names):
    """Describes a run: no path, nobody's name.

    Arguments
    ---------
    run : Run
        The run.
    settings : dict
        Its `hyperparams.yaml`.
    hparams : dict
        The objects of it that inference needs.
    hub_names : dict
        Modality → name of its encoder on the Hub, or None.

    Returns
    -------
    dict
        The content of `config.json`, but for what is of the weights.

    Raises
    ------
    UserError
        If a file of the run is missing or damaged.
    """
    task, network = hparams["task"], hparams["network"]
    cure = "prepare the corpus again"
    with reading(run.prepare_report, cure):
        report = run.read_json(run.prepare_report, cure)
        training = _describe_training(settings, report["options"])
        corpus = dict(report.get("card", {}))
    clips, speakers = {}, {}
    for split in SPLITS:
        with reading(run.manifest(split), cure):
            entries = run.read_json(run.manifest(split), cure).values()
            speakers[split] = {str(clip["spk_id"]) for clip in entries}
            seconds = sum(clip["duration"] for clip in entries)
            clips[split] = {
                "clips": len(entries),
                "speakers": len(speakers[split]),
                "minutes": round(seconds / 60, 1),
            }
    with reading(run.metrics_file):
        metrics = _describe_metrics(run, task)
        fitted = run.metrics()["fitted"]
    try:
        set_fitted(task, fitted)
    except UserError as error:
        raise UserError(f"{run.metrics_file}: {error}: run train.py again")
    select_by = settings["select_by"]
    extreme = {"min": "lowest", "max": "highest"}[task.direction(select_by)]
    others = ("speechbrain", "torch", "transformers")
    return {
        "format": layout.FORMAT,
        "format_version": layout.VERSION,
        "task": type(task).__name__,
        "labels": list(task.names),
        "fitted": fitted,
        "network": {"class": type(network).__name__, "heads": network.heads},
        "training": training,
        "selection": f"{extreme} {select_by} on the development set",
        "train_speakers": sorted(speakers["train"]),
        "audit": _read_findings(run),
        "corpus": corpus,
        "clips": clips,
        "test_speakers_are_new": speakers["test"].isdisjoint(
            speakers["train"] | speakers["valid"]
        ),
        "metrics": metrics,
        "versions": {
            "auxformer-lobes": __version__,
            **{package: version(package) for package in others},
        },
        "features": {
            m: _describe_features(hparams[f"{m}_features"], hub_names.get(m))
            for m in MODALITIES
        },
    }


def _describe_training(settings, options):
    training = {
        k: plain_value(settings[k]) for k in CARD_FIELDS if k in settings
    }
    if isinstance(options["partition"], dict):
        training["partition"] = "own lists"
    elif isinstance(options["partition"], str):  # of a table of clips
        training["partition"] = options["partition"]
    if options.get("split_file"):
        path, *_ = options["split_file"]
        training["partition"] = f"split file {Path(path).name}"
    return training


def _describe_metrics(run, task):
    metrics = run.metrics()
    return {
        "names": list(task.metrics),
        "scale": task.scale,
        "test": metrics["test"],
        "clips": metrics["test_clips"],
        "unlabelled": metrics["test_clips_unlabelled"],
        "speakers": len(metrics["test_speakers"]),
        **{
            name: metrics.get(name, {})
            for name in ("linear_baseline", "calibration", "subgroups")
        },
        "missing": _read_sweep(run, metrics),
    }


def _read_findings(run):
    """What the audit of the split found; None if it was not audited."""
    if not run.audit_file.exists():
        return None
    cure = "run train.py again"
    with reading(run.audit_file, cure):
        return run.read_json(run.audit_file, cure)["findings"]


def _read_sweep(run, metrics):
    """What a sweep over missing modalities found; empty if there was none.

    Names of other runs stay here.
    """
    if not run.missing_file.exists():
        return {}
    sweep = read_sweep(run.missing_file, metrics.get("epoch"))
    retention = {}
    for (kind, lost), curves in panels_of(lines_of(sweep)).items():
        if kind in TITLES and lost in LOST and COMBINED in curves:
            of = retention.setdefault(kind, {})
            of[lost] = curves[COMBINED]["retention"]
    return {
        "metric": sweep["metric"],
        "retention": retention,
        "twins": [
            {k: v for k, v in twin.items() if k not in ("twin", "reason")}
            for twin in sweep["twins"]
            if twin["lost"] in MODALITIES
        ],
    }


def _describe_features(extractor, hub_name):
    return {
        **{k: v for k, v in extractor.settings.items() if k != "path"},
        "dim": extractor.dim,
        "hub": hub_name,
        "licence": getattr(extractor, "licence", None),
        "precomputed": isinstance(extractor, PrecomputedFeatures),
    }
