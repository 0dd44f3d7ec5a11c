"""What a run leaves behind: metrics, predictions, pictures, a table."""

import csv
import json
import os

import numpy as np
from rich.console import Console
from rich.table import Table

from auxformer_lobes.augment.missing import heads_of
from auxformer_lobes.evaluation.predictions import HEADS
from auxformer_lobes.reporting import figures
from auxformer_lobes.utils.files import atomic_write

TITLES = {
    "f1_macro": "F1-macro",
    "f1_micro": "F1-micro",
    "uar": "UAR",
    "ccc": "CCC",
    "rmse": "RMSE",
}


def collect_metrics(predictions, floor, task, **bootstrap):
    """All figures of a run.

    Arguments
    ---------
    predictions : dict of Predictions
        What was predicted from each of `modalities.INPUTS`.
    floor : dict
        What `floor.linear_baseline` returns.
    task : Task
        What was predicted.
    **bootstrap
        Further arguments of `evaluation.score`.

    Returns
    -------
    dict
        `test.<input>.<head>.<metric>` and `floor.<input>.<metric>`, each
        `{value, low, high}`, and what they were measured on.
    """
    everything = predictions["audio_visual"]
    known = task.known(np.array(everything.truth))
    return {
        "test": {
            name: {head: made.scores(task, head, **bootstrap) for head in HEADS}
            for name, made in predictions.items()
        },
        "floor": floor,
        "outputs": list(task.names),
        "fitted": task.settings,
        "test_clips": len(everything.clips),
        "test_clips_unlabelled": int((~known).sum()),
        "test_speakers": sorted(set(everything.speakers)),
    }


def write_report(folder, metrics, predictions, task, figures):
    """Writes metrics, predictions and pictures into the run folder.

    Arguments
    ---------
    folder : str
        The run folder.
    metrics : dict
        What `collect_metrics` returns, as `metrics.json`.
    predictions : dict of Predictions
        What was predicted from each of `modalities.INPUTS`, as
        `predictions.csv`.
    task : Task
        What was predicted.
    figures : dict of matplotlib.figure.Figure
        Pictures by name.
    """
    with atomic_write(os.path.join(folder, "metrics.json")) as file:
        json.dump(metrics, file, indent=1)
    with atomic_write(os.path.join(folder, "predictions.csv")) as file:
        _write_predictions(file, predictions, task)
    for name, figure in figures.items():
        with atomic_write(os.path.join(folder, f"{name}.png"), "wb") as file:
            figure.savefig(file, format="png", dpi=110)


def print_table(metrics, task):
    """Prints the figures of a run on the terminal.

    Arguments
    ---------
    metrics : dict
        What `collect_metrics` returns.
    task : Task
        What was predicted.
    """
    unit = ", %" if task.scale == 100 else ""
    table = Table(
        title=f"Test: {metrics['test_clips']} clips of "
        f"{len(metrics['test_speakers'])} speakers{unit} "
        "with 95 % intervals over speakers"
    )
    table.add_column("input")
    table.add_column("head")
    for metric in task.metrics:
        title = TITLES.get(metric, metric)
        table.add_column(title, justify="right", no_wrap=True)

    def _add_row(name, head, scores):
        cells = [_figure(scores[m], task.scale) for m in task.metrics]
        table.add_row(figures.TITLES[name], head, *cells)

    for name, heads in metrics["test"].items():
        for head in heads_of(name):
            _add_row(name, head, heads[head])
        table.add_section()
    for name, scores in metrics["floor"].items():
        _add_row(name, "(linear model)", scores)
    Console(width=None if Console().is_terminal else 110).print(table)


def print_prediction(clip, predictions, task):
    """Prints what is said of one clip, in a line an input.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        What was predicted from each of `modalities.INPUTS`.
    task : Task
        What was predicted.

    Example
    -------
    >>> from auxformer_lobes.evaluation.predictions import Predictions
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> made = Predictions(["x"], ["1001"], [[1]])
    >>> made.outputs["combined"] = [[0.25, 0.75]]
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> print_prediction("x", {"audio_only": made}, task)
    x is happy:
      audio only      happy 0.75, angry 0.25
    """
    first = next(iter(predictions.values()))
    row = first.clips.index(clip)
    print(f"{clip} is {task.say_truth(first.truth[row])}:")
    for name, made in predictions.items():
        said = task.say(made.outputs["combined"][row])
        print(f"  {figures.TITLES[name]:<15} {said}")


def _figure(metric, scale):
    if metric["value"] is None:
        return "–"
    value, low, high = (
        None if x is None else x * scale for x in metric.values()
    )
    digits = 1 if scale == 100 else 3
    if low is None:
        return f"{value:.{digits}f}"
    rounded = digits - 1
    return f"{value:.{digits}f} [{low:.{rounded}f}, {high:.{rounded}f}]"


def _write_predictions(file, predictions, task):
    writer = csv.writer(file)
    writer.writerow(["clip", "speaker", "input", "head", *task.columns()])
    for name, made in predictions.items():
        for head in HEADS:
            for clip, speaker, truth, outputs in zip(
                made.clips, made.speakers, made.truth, made.outputs[head]
            ):
                cells = task.cells(truth, outputs)
                writer.writerow([clip, speaker, name, head, *cells])
