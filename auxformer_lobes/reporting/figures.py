"""Figures of a run, and of a timeline."""

from functools import singledispatch

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from auxformer_lobes.reporting.tables import (
    development_metrics,
    format_label,
    title_of,
)
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.modalities import MODALITIES


@singledispatch
def figures_of_test(task, predictions):
    """Figures of a test.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By name.
    """
    raise NotImplementedError(f"no figures for {type(task).__name__}")


@figures_of_test.register
def _(task: CategoricalEmotion, predictions):
    confusions = {
        condition: task.sufficient_statistics(
            made.truth, np.array(made.outputs["combined"])
        ).sum(0)
        for condition, made in predictions.items()
    }
    return {"confusion": confusion_matrices(confusions, task.names)}


@figures_of_test.register
def _(task: MultiLabelEmotion, predictions):
    f1 = {}
    for condition, made in predictions.items():
        outputs = np.array(made.outputs["combined"])
        statistics = task.sufficient_statistics(np.array(made.truth), outputs)
        f1[condition] = task.compute_metrics(statistics.sum(0))[1]["f1"]
    return {"emotions": bars(f1, task.names, "F1 of each emotion")}


@figures_of_test.register
def _(task: DimensionalEmotion, predictions):
    condition, made = next(iter(predictions.items()))
    outputs = np.array(made.outputs["combined"])
    return {
        "attributes": scatter(
            np.array(made.truth), outputs, task.names, task.limits, condition
        )
    }


def confusion_matrices(confusions, classes):
    """Confusion matrices, one per condition.

    Arguments
    ---------
    confusions : dict of np.ndarray
        Condition → counts, `[true class, predicted class]`.
    classes : list of str
        Names of the classes.

    Returns
    -------
    matplotlib.figure.Figure
        Each row shows the shares of a true class.
    """
    figure = Figure(figsize=(4.2 * len(confusions), 4.4), layout="constrained")
    axes = figure.subplots(1, len(confusions), sharey=True, squeeze=False)[0]
    for axis, (name, counts) in zip(axes, confusions.items()):
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        _shade(axis, shares, "{:.0%}")
        axis.set(title=title_of(name), xlabel="predicted")
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), classes)
    axes[0].set_ylabel("true")
    figure.suptitle("Test set: shares of the clips of each true class")
    return figure


def bars(values, outputs, title):
    """One metric of each output, under each condition.

    Arguments
    ---------
    values : dict of np.ndarray
        Condition → `[outputs]`.
    outputs : list of str
        Names of the outputs.
    title : str
        The metric.

    Returns
    -------
    matplotlib.figure.Figure
        Groups of bars.
    """
    figure = Figure(figsize=(1 + len(outputs), 4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(values)
    for i, (name, heights) in enumerate(values.items()):
        places = np.arange(len(outputs)) + (i - (len(values) - 1) / 2) * width
        heights = np.nan_to_num(heights)
        axis.bar(places, heights, width, label=title_of(name))
    axis.set_xticks(range(len(outputs)), outputs, rotation=30, ha="right")
    axis.set(title=f"Test set: {title}", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=len(values))
    return figure


def scatter(truth, predicted, outputs, limits, condition):
    """Predictions over labels.

    Arguments
    ---------
    truth : np.ndarray
        `[clips, outputs]`.
    predicted : np.ndarray
        `[clips, outputs]`.
    outputs : list of str
        Names of the outputs.
    limits : tuple of float
        Ends of the scale.
    condition : str
        Condition of the test.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per output, with the diagonal.
    """
    figure = Figure(figsize=(4.2 * len(outputs), 5), layout="constrained")
    axes = figure.subplots(1, len(outputs), squeeze=False)[0]
    for axis, name, x, y in zip(axes, outputs, truth.T, predicted.T):
        axis.plot(limits, limits, color="grey", linewidth=0.8)
        # Values beyond the scale are drawn at its end.
        y = np.clip(y, *limits)
        axis.scatter(x, y, s=9, alpha=0.4, linewidths=0, clip_on=False)
        axis.set(title=name, xlabel="true", xlim=limits, ylim=limits)
        axis.set_box_aspect(1)
    axes[0].set_ylabel("predicted")
    figure.suptitle(f"Test set: {title_of(condition)}, all heads combined")
    return figure


def learning_curves(history, select_by, best_epoch, task):
    """Losses of the heads, and metrics, by epoch.

    Arguments
    ---------
    history : list of dict
        See `Run.history`.
    select_by : str
        The quantity by which the best epoch is selected.
    best_epoch : int
        See `Run.best_epoch`.
    task : Task
        What is predicted.

    Returns
    -------
    matplotlib.figure.Figure
        Losses on the left, metrics of the development set on the right.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in history]
    losses = [name for name in history[0]["train"] if name.startswith("loss")]
    for i, name in enumerate(losses):
        colour = f"C{i - 1}" if i else "black"
        for split, style in (("train", "--"), ("valid", "-")):
            values = [entry[split][name] for entry in history]
            left.plot(
                epochs, values, style, color=colour, label=f"{name}, {split}"
            )
    for title, name in development_metrics(history, task).items():
        right.plot(epochs, [e["valid"][name] for e in history], label=title)
    for axis in (left, right):
        axis.axvline(best_epoch, color="grey", linewidth=0.8)
        axis.legend(fontsize="small")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title("loss")
    right.set_title(f"development set (line: best {select_by})")
    if task.scale == 100:
        right.set_ylim(0, 1)
    return figure


def prediction(clip, predictions, task, attention):
    """Predictions for one clip, by condition and head, and its attention.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What is predicted.
    attention : torch.Tensor
        Cross-modal attention, `[audio_time, visual_time]`; None if the network
        has none.

    Returns
    -------
    matplotlib.figure.Figure
        Outputs on the left, attention on the right.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, *right = figure.subplots(
        1, 1 if attention is None else 2, squeeze=False
    )[0]
    rows = {}
    for condition, made in predictions.items():
        truth, outputs = made.of_clip(clip)
        for head, values in outputs.items():
            rows[f"{title_of(condition)}: {head}"] = values
    _shade(left, np.array([*rows.values()]), "{:.2f}", *task.limits)
    left.set_xticks(
        range(task.num_outputs), task.names, rotation=30, ha="right"
    )
    left.set_yticks(range(len(rows)), rows)
    figure.suptitle(f"{clip}, label: {format_label(task, truth)}")
    left.set_title("predictions")
    for axis in right:
        image = axis.imshow(
            attention.T, cmap="magma", aspect="auto", origin="lower"
        )
        axis.set(
            title="attention from audio to visual",
            xlabel="audio frame",
            ylabel="visual frame",
        )
        figure.colorbar(image, ax=axis, label="attention")
    return figure


def _shade(axis, table, template, low=0.0, high=1.0):
    """A table of numbers whose cells are darker where they are higher."""
    axis.imshow(table, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    for row, column in np.ndindex(table.shape):
        axis.text(
            column,
            row,
            template.format(table[row, column]),
            ha="center",
            va="center",
            color="white" if table[row, column] > (low + high) / 2 else "black",
        )


def timeline(windows, task):
    """Emotion over time, and which modality was used when.

    Arguments
    ---------
    windows : list of tuple
        What `AudioVisualEmotionRecognizer.timeline` yields.
    task : Task
        What is predicted.

    Returns
    -------
    matplotlib.figure.Figure
        Above, for each face, stacked probabilities or one curve per output;
        below, when the audio and each face were used.

    Example
    -------
    >>> from auxformer_lobes.inference.results import Emotion
    >>> calm = Emotion(None, {"arousal": 1.5}, {}, {"audio": 1.0}, {}, {})
    >>> figure = timeline([(0.0, 2.0, calm)], DimensionalEmotion(["arousal"]))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['arousal']
    """
    spans = sorted({(start, end) for start, end, _ in windows})
    by_face = {}  # face -> start -> emotion
    for start, _, emotion in windows:
        by_face.setdefault(emotion.face, {})[start] = emotion
    # Windows without a face belong to every face.
    faces = sorted({*by_face} - {None}) or [None]
    begin, end = spans[0][0], spans[-1][1]
    middles = [(start + stop) / 2 for start, stop in spans]
    edges = [begin, *np.add(middles[1:], middles[:-1]) / 2, end]
    used = {}  # "audio", "visual" or a face -> was it used in each window?
    figure = Figure(figsize=(11, 1.5 + 3 * len(faces)), layout="constrained")
    *panels, below = figure.subplots(
        len(faces) + 1, height_ratios=[6] * len(faces) + [1], sharex=True
    )
    for panel, face in zip(panels, faces):
        faceless, own = by_face.get(None, {}), by_face[face]
        row = [own.get(start) or faceless.get(start) for start, _ in spans]
        _draw_outputs(panel, row, [begin, *middles, end], task)
        for modality in MODALITIES:
            name = modality
            if face is not None and modality == "visual":
                name = f"face {face}"
                panel.set_title(name, loc="left", fontsize="small")
            there = [e is not None and modality not in e.missing for e in row]
            used[name] = np.logical_or(used.get(name, False), there)
    for row, is_used in enumerate(used.values()):
        for colour, wanted in (("silver", True), ("tab:red", False)):
            bars = [
                (a, b - a)
                for a, b, used_here in zip(edges, edges[1:], is_used)
                if used_here == wanted
            ]
            below.broken_barh(bars, (row + 0.1, 0.8), color=colour)
    below.set_yticks([row + 0.5 for row in range(len(used))], used)
    below.set(ylim=(0, len(used)), xlabel="s (red: missing)")
    return figure


def _draw_outputs(axis, emotions, times, task):
    nothing = [float("nan")] * task.num_outputs
    values = [[*e.outputs.values()] if e else [] for e in emotions]
    values = np.array([row or nothing for row in values]).T
    # The first and the last value hold up to the ends of the file.
    values = np.pad(values, [(0, 0), (1, 1)], mode="edge")
    if np.allclose(np.nan_to_num(values.sum(0), nan=1.0), 1, atol=1e-3):
        axis.stackplot(
            times, np.nan_to_num(values), labels=task.names, step="mid"
        )
    else:
        for name, curve in zip(task.names, values):
            axis.plot(times, curve, label=name)
    axis.set(xlim=(times[0], times[-1]), ylim=task.limits)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
