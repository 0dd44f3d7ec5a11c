"""The pictures of a run."""

import numpy as np
from matplotlib.figure import Figure

from auxformer_lobes.augment.missing import WORDS, heads_of
from auxformer_lobes.evaluation.predictions import LOSSES

TITLES = {
    "audio_visual": "audio + visual",
    "audio_only": "audio only",
    "visual_only": "visual only",
}


def confusion_matrices(confusions, classes):
    """Which class is taken for which, from each input.

    Arguments
    ---------
    confusions : dict of np.ndarray
        For each of `INPUTS`, counts `[true class, predicted class]`.
    classes : list of str
        Names of the classes.

    Returns
    -------
    matplotlib.figure.Figure
        One matrix an input, each row the share of a true class.
    """
    figure = Figure(figsize=(4.2 * len(confusions), 4.4), layout="constrained")
    axes = figure.subplots(1, len(confusions), sharey=True, squeeze=False)[0]
    for axis, (name, counts) in zip(axes, confusions.items()):
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        _shade(axis, shares, "{:.0%}")
        axis.set(title=TITLES[name], xlabel="predicted")
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), classes)
    axes[0].set_ylabel("true")
    figure.suptitle("Test set: shares of the clips of each true class")
    return figure


def bars(values, outputs, title):
    """One figure of merit of each output, from each input.

    Arguments
    ---------
    values : dict of np.ndarray
        For each of `INPUTS`, `[outputs]`.
    outputs : list of str
        Names of the outputs.
    title : str
        What is shown.

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
        axis.bar(places, heights, width, label=TITLES[name])
    axis.set_xticks(range(len(outputs)), outputs, rotation=30, ha="right")
    axis.set(title=f"Test set: {title}", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=len(values))
    return figure


def scatter(truth, predicted, outputs, limits):
    """What was predicted over what is true.

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

    Returns
    -------
    matplotlib.figure.Figure
        A square an output, with the line on which all clips should lie.
    """
    figure = Figure(figsize=(4.2 * len(outputs), 5), layout="constrained")
    axes = figure.subplots(1, len(outputs), squeeze=False)[0]
    for axis, name, x, y in zip(axes, outputs, truth.T, predicted.T):
        axis.plot(limits, limits, color="grey", linewidth=0.8)
        # What is beyond the scale is drawn at its end.
        y = np.clip(y, *limits)
        axis.scatter(x, y, s=9, alpha=0.4, linewidths=0, clip_on=False)
        axis.set(title=name, xlabel="true", xlim=limits, ylim=limits)
        axis.set_box_aspect(1)
    axes[0].set_ylabel("predicted")
    figure.suptitle("Test set: both modalities, all heads together")
    return figure


def learning_curves(history, select_by, task):
    """Losses of the heads and the metrics, epoch by epoch.

    Arguments
    ---------
    history : list of dict
        What `AuxFormerBrain.history` returns.
    select_by : str
        The quantity by which the best epoch is chosen.
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
    for name, colour in zip(LOSSES, ("black", "C0", "C1", "C2")):
        for split, style in (("train", "--"), ("valid", "-")):
            values = [entry[split][name] for entry in history]
            left.plot(
                epochs, values, style, color=colour, label=f"{name}, {split}"
            )
    for name in task.metrics:
        right.plot(epochs, [e["valid"][name] for e in history], label=name)
    choose = min if select_by in (*LOSSES, *task.lower_is_better) else max
    best = choose(history, key=lambda entry: entry["valid"][select_by])
    for axis in (left, right):
        axis.axvline(best["epoch"], color="grey", linewidth=0.8)
        axis.legend(fontsize="small")
        axis.set_xlabel("epoch")
    left.set_title("loss")
    right.set_title(f"development set (line: best {select_by})")
    if task.scale == 100:
        right.set_ylim(0, 1)
    return figure


def prediction(clip, predictions, task, attention):
    """One clip: what each input and head says, and where the network looks.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        What was predicted from each of `INPUTS`.
    task : Task
        What is predicted.
    attention : torch.Tensor
        Cross-modal attention, `[audio_time, visual_time]`.

    Returns
    -------
    matplotlib.figure.Figure
        Outputs on the left, attention on the right.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    row = predictions["audio_visual"].clips.index(clip)
    said = {
        f"{TITLES[name]}: {head}": made.outputs[head][row]
        for name, made in predictions.items()
        for head in heads_of(name)
    }
    _shade(left, np.array(list(said.values())), "{:.2f}", *task.limits)
    left.set_xticks(
        range(task.num_outputs), task.names, rotation=30, ha="right"
    )
    left.set_yticks(range(len(said)), said)
    truth = predictions["audio_visual"].truth[row]
    figure.suptitle(f"{clip}: {task.say_truth(truth)}")
    left.set_title("what is predicted")
    image = right.imshow(
        attention.T, cmap="magma", aspect="auto", origin="lower"
    )
    right.set(
        title="where the audio looks",
        xlabel="audio frame",
        ylabel="visual frame",
    )
    figure.colorbar(image, ax=right, label="attention")
    return figure


def _shade(axis, table, template, low=0.0, high=1.0):
    """Numbers in cells that are the darker the higher they are."""
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
    """Emotion over time, and what was missing when.

    Arguments
    ---------
    windows : list of tuple
        What `auxformer_lobes.inference.timeline.timeline` yields.
    task : Task
        What is predicted.

    Returns
    -------
    matplotlib.figure.Figure
        Above, for each face, shares that fill the height, or a curve an
        output; below, where the sound and each picture were used.

    Example
    -------
    >>> from auxformer_lobes.inference.results import Emotion
    >>> from auxformer_lobes.tasks import DimensionalEmotion
    >>> calm = Emotion(None, {"arousal": 1.5}, {}, {"audio": 1.0}, {})
    >>> figure = timeline([(0.0, 2.0, calm)], DimensionalEmotion(["arousal"]))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['arousal']
    """
    spans = sorted({(start, end) for start, end, _ in windows})
    said = {}  # face -> start -> emotion
    for start, _, emotion in windows:
        said.setdefault(emotion.face, {})[start] = emotion
    # Windows in which no face is seen are nobody's, where others are.
    faces = sorted({*said} - {None}) or [None]
    begin, end = spans[0][0], spans[-1][1]
    middles = [(start + stop) / 2 for start, stop in spans]
    edges = [begin, *np.add(middles[1:], middles[:-1]) / 2, end]
    used = {}  # "sound", or a picture -> whether it was used in each window
    figure = Figure(figsize=(11, 1.5 + 3 * len(faces)), layout="constrained")
    *panels, below = figure.subplots(
        len(faces) + 1, height_ratios=[6] * len(faces) + [1], sharex=True
    )
    for panel, face in zip(panels, faces):
        alone, own = said.get(None, {}), said[face]
        row = [own.get(start) or alone.get(start) for start, _ in spans]
        _draw_outputs(panel, row, [begin, *middles, end], task)
        for modality, word in WORDS.items():
            name = word
            if face is not None and modality == "visual":
                name = f"face {face}"
                panel.set_title(name, loc="left", fontsize="small")
            there = [e is not None and modality in e.quality for e in row]
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
