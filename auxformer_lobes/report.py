"""What a run leaves behind: metrics, predictions, pictures, a table."""

import csv
import json
import os

from rich.console import Console
from rich.table import Table

from auxformer_lobes import plots
from auxformer_lobes.evaluation import HEADS, METRICS
from auxformer_lobes.files import whole_file
from auxformer_lobes.modalities import heads_of


def collect_metrics(predictions, floor, classes, **bootstrap):
    """All figures of a run.

    Arguments
    ---------
    predictions : dict of Predictions
        What was predicted from each of `modalities.INPUTS`.
    floor : dict
        What `floor.logistic_floor` returns.
    classes : list of str
        Names of the classes.
    **bootstrap
        Further arguments of `evaluation.score`.

    Returns
    -------
    dict
        `test.<input>.<head>.<metric>` and `floor.<input>.<metric>`, each
        `{value, low, high}`, and what they were measured on.
    """
    everything = predictions["audio_visual"]
    return {
        "test": {
            name: {
                head: made.scores(head, classes, **bootstrap) for head in HEADS
            }
            for name, made in predictions.items()
        },
        "floor": floor,
        "classes": list(classes),
        "test_clips": len(everything.clips),
        "test_clips_tied": everything.truth.count(-1),
        "test_speakers": sorted(set(everything.speakers)),
    }


def write_report(folder, metrics, predictions, figures):
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
    figures : dict of matplotlib.figure.Figure
        Pictures by name.
    """
    with whole_file(os.path.join(folder, "metrics.json")) as file:
        json.dump(metrics, file, indent=1)
    with whole_file(os.path.join(folder, "predictions.csv")) as file:
        _write_predictions(file, predictions, metrics["classes"])
    for name, figure in figures.items():
        with whole_file(os.path.join(folder, f"{name}.png"), "wb") as file:
            figure.savefig(file, format="png", dpi=110)


def print_table(metrics):
    """Prints the figures of a run on the terminal.

    Arguments
    ---------
    metrics : dict
        What `collect_metrics` returns.
    """
    table = Table(
        title=f"Test: {metrics['test_clips']} clips of "
        f"{len(metrics['test_speakers'])} speakers, % "
        "with 95 % intervals over speakers"
    )
    table.add_column("input")
    table.add_column("head")
    titles = ("F1-macro", "F1-micro", "UAR", "accuracy")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)

    def _add_row(name, head, scores):
        cells = [_percent(scores[metric]) for metric in METRICS]
        table.add_row(plots.TITLES[name], head, *cells)

    for name, heads in metrics["test"].items():
        for head in heads_of(name):
            _add_row(name, head, heads[head])
        table.add_section()
    for name, scores in metrics["floor"].items():
        _add_row(name, "(logistic regression)", scores)
    Console(width=None if Console().is_terminal else 110).print(table)


def print_prediction(clip, predictions, classes):
    """Prints what is said of one clip, in a line an input.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        What was predicted from each of `modalities.INPUTS`.
    classes : list of str
        Names of the classes.

    Example
    -------
    >>> from auxformer_lobes.evaluation import Predictions
    >>> made = Predictions(["x"], ["1001"], [1])
    >>> made.probabilities["combined"] = [[0.25, 0.75]]
    >>> print_prediction("x", {"audio_only": made}, ["angry", "happy"])
    x is happy:
      audio only      happy 0.75, angry 0.25
    """
    first = next(iter(predictions.values()))
    row = first.clips.index(clip)
    truth = first.truth[row]
    print(f"{clip} is {'tied' if truth < 0 else classes[truth]}:")
    for name, made in predictions.items():
        shares = zip(made.probabilities["combined"][row], classes)
        ranked = sorted(shares, reverse=True)[:3]
        said = ", ".join(f"{label} {share:.2f}" for share, label in ranked)
        print(f"  {plots.TITLES[name]:<15} {said}")


def _percent(metric):
    if metric["value"] is None:
        return "–"
    value = f"{100 * metric['value']:.1f}"
    if metric["low"] is None:
        return value
    return f"{value} [{100 * metric['low']:.0f}, {100 * metric['high']:.0f}]"


def _write_predictions(file, predictions, classes):
    writer = csv.writer(file)
    writer.writerow(
        ["clip", "speaker", "truth", "input", "head", "predicted"]
        + [f"p_{label}" for label in classes]
    )
    for name, made in predictions.items():
        for head in HEADS:
            for clip, speaker, true, predicted, probabilities in zip(
                made.clips,
                made.speakers,
                made.truth,
                made.predicted(head),
                made.probabilities[head],
            ):
                writer.writerow(
                    [
                        clip,
                        speaker,
                        "" if true < 0 else classes[true],
                        name,
                        head,
                        classes[predicted],
                        *(f"{p:.6f}" for p in probabilities),
                    ]
                )
