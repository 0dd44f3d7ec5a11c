"""The report of a run: `report.html`."""

import re
from importlib.metadata import version
from platform import python_version

from ruamel.yaml import YAML

from auxformer_lobes import __version__
from auxformer_lobes.reporting import (
    clip_sections,
    metric_sections,
    missing_sections,
    run_sections,
)
from auxformer_lobes.reporting.html import (
    Code,
    Page,
    Section,
    render,
    shareable,
)
from auxformer_lobes.reporting.missing_file import read_if_there
from auxformer_lobes.reporting.tables import (
    count_of,
    format_metric,
    title_of,
    titles_of,
)
from auxformer_lobes.reporting.worst_clips import worst_clips

KINDS = {
    "CategoricalEmotion": "one emotion of",
    "MultiLabelEmotion": "any emotions of",
    "DimensionalEmotion": "the attributes",
}


def run_report(run, task, predictions, entries):
    """The report of a finished run, or of its evaluation on a manifest.

    Arguments
    ---------
    run : Run
        Its metrics, and of its settings, preparation, history, audit and sweep
        over what is missing what there is.
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition.
    entries : dict
        Clip → its entry in the manifest of the test.

    Returns
    -------
    str
        One HTML file, which loads nothing. The home folder is "~" in it.
    """
    metrics, history = shareable(run.metrics()), shareable(run.history())
    audit, prepared = (
        shareable(run.read_json(file, "prepare again")) if file.exists() else {}
        for file in (run.audit_file, run.prepare_report)
    )
    sweep = shareable(read_if_there(run.missing_file, metrics.get("epoch")))
    yaml = ""
    if run.hyperparams.exists():
        yaml = shareable(run.hyperparams.read_text("utf-8"))
        # Its first lines say where the recipe lay.
        yaml = re.sub(r"\A# Generated .*\n#.*\n", "", yaml)
    settings, versions = read_settings(yaml), versions_of()
    verdicts = []
    if audit:
        verdicts = [run_sections.verdict("Split audit", audit["findings"])]
    name = run.folder.resolve().name
    clips = worst_clips(task, next(iter(predictions.values())), entries)
    # Fields that only `auxformer evaluate` writes.
    evaluated = {
        key: metrics[key]
        for key in ("run", "manifest", "excluded")
        if metrics.get(key)
    }
    page = Page(
        title=f"{settings.get('network', 'Evaluation')}, {name}",
        summary=[
            _describe_data(settings, prepared, task),
            _describe_training(metrics, history, settings, audit),
            _describe_test(metrics),
        ],
        headlines=_headlines(metrics, task),
        verdicts=verdicts,
        sections=[
            Section("Results", metric_sections.results(metrics, task)),
            Section("Outputs", metric_sections.outputs(metrics, task)),
            Section("Confusion", clip_sections.confusion(task, predictions)),
            Section("Attributes", clip_sections.attributes(task, predictions)),
            Section("Calibration", metric_sections.calibration(metrics)),
            Section("Raters", metric_sections.disagreement(metrics, task)),
            Section("Subgroups", metric_sections.subgroups(metrics, task)),
            Section(
                "Missing modalities",
                missing_sections.run_curves(sweep, task.scale),
            ),
            Section("Clips it gets most wrong", clip_sections.worst(clips)),
            Section("Training", run_sections.training(metrics, history, task)),
            Section("Split audit", run_sections.audit(audit)),
            Section(
                "Settings and versions",
                [
                    *run_sections.settings({**settings, **evaluated}, versions),
                    *([Code("hyperparams.yaml", yaml)] if yaml else []),
                ],
            ),
        ],
        data={
            "metrics": metrics,
            "history": history,
            "audit": audit,
            "missing": sweep if isinstance(sweep, dict) else {},
            "worst_clips": clips,
            "points": clip_sections.points(task, predictions),
            "settings": settings,
            "versions": versions,
        },
    )
    return render(page)


def versions_of():
    """Versions of what makes results.

    Returns
    -------
    dict
        Name → version.
    """
    packages = ("speechbrain", "torch", "transformers", "numpy", "scipy")
    return {
        "auxformer-lobes": __version__,
        **{package: version(package) for package in packages},
        "python": python_version(),
    }


def read_settings(yaml):
    """The settings of a recipe; no object of it is made.

    Arguments
    ---------
    yaml : str
        The file.

    Returns
    -------
    dict
        Setting → value; of objects, the name of the class.

    Example
    -------
    >>> read_settings("seed: 1\\nnetwork: !new:lobes.AuxFormer\\n  dim: 4\\n")
    {'seed': 1, 'network': 'AuxFormer'}
    """
    settings = {}
    for key, value in (YAML().load(yaml) or {}).items():
        tag = getattr(getattr(value, "tag", None), "value", None)
        if tag and tag.startswith("!new:"):
            settings[key] = tag.rpartition(".")[-1]
        elif isinstance(value, dict) and not tag:
            if all(map(_is_plain, value.values())):
                settings[key] = {**value}
        elif isinstance(value, list) and not tag:
            if all(map(_is_plain, value)):
                settings[key] = [*value]
        elif _is_plain(value):
            settings[key] = value
    return settings


def _is_plain(value):
    return value is None or isinstance(value, (str, int, float))


def _describe_data(settings, prepared, task):
    kind = KINDS.get(type(task).__name__, "outputs")
    text = f"Predicts {kind} {', '.join(task.names)}"
    features = [
        settings[key].removesuffix("Features")
        for key in ("audio_features", "visual_features")
        if key in settings
    ]
    if features:
        text += f", from {' and '.join(features)}"
    corpus = prepared.get("card", {})
    if corpus.get("synthetic"):
        return f"{text}, of synthetic clips in the layout of {corpus['name']}."
    return f"{text}, of {corpus['name']}." if corpus else f"{text}."


def _describe_training(metrics, history, settings, audit):
    if not history:
        return ""
    text = f"Trained for {count_of(len(history), 'epoch')}"
    if audit:
        train = audit["splits"]["train"]
        text += (
            f" on {count_of(train['clips'], 'clip')} of "
            f"{count_of(len(train['speakers']), 'speaker')}"
        )
    return (
        f"{text}; epoch {metrics['epoch']} is the best one by "
        f"{settings['select_by']} on the development set."
    )


def _describe_test(metrics):
    text = (
        f"Tested on {count_of(metrics['test_clips'], 'clip')} of "
        f"{count_of(len(metrics['test_speakers']), 'speaker')}"
    )
    unlabelled = metrics["test_clips_unlabelled"]
    return f"{text}, {unlabelled:,} without a label." * bool(unlabelled) or (
        f"{text}."
    )


def _headlines(metrics, task):
    """The first metric under each condition, and that of the baseline."""
    first = task.metrics[0]
    (title,) = titles_of([first])
    headlines = []
    for condition, heads in metrics["test"].items():
        text = format_metric(heads["combined"][first], task.scale)
        value, _, brackets = text.partition(" ")
        details = [f"{title}, %" if task.scale == 100 else title]
        baseline = metrics.get("linear_baseline", {}).get(condition)
        if baseline:
            text = format_metric(baseline[first], task.scale)
            details.append(f"linear baseline {text}")
        headlines.append(
            {
                "label": title_of(condition),
                "value": value,
                "brackets": brackets,
                "details": details,
            }
        )
    return headlines
