"""The pictures of a run."""

import numpy as np
from matplotlib.figure import Figure

from auxformer_lobes.evaluation import LOSSES
from auxformer_lobes.modalities import heads_of

TITLES = {
    "audio_visual": "audio + visual",
    "audio_only": "audio only",
    "visual_only": "visual only",
}


def confusion_matrices(predictions, classes):
    """Which class is taken for which, from each input.

    Arguments
    ---------
    predictions : dict of Predictions
        What was predicted from each of `INPUTS`.
    classes : list of str
        Names of the classes.

    Returns
    -------
    matplotlib.figure.Figure
        One matrix an input, each row the share of a true class.
    """
    figure = Figure(figsize=(4.2 * len(predictions), 4.4), layout="constrained")
    axes = figure.subplots(1, len(predictions), sharey=True, squeeze=False)[0]
    for axis, (name, made) in zip(axes, predictions.items()):
        counts = made.confusion("combined")
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        _shade(axis, shares, "{:.0%}")
        axis.set(title=TITLES[name], xlabel="predicted")
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), classes)
    axes[0].set_ylabel("true")
    figure.suptitle("Test set: shares of the clips of each true class")
    return figure


def learning_curves(history, select_by):
    """Losses of the heads and the metrics, epoch by epoch.

    Arguments
    ---------
    history : list of dict
        What `AuxFormerBrain.history` returns.
    select_by : str
        The quantity by which the best epoch is chosen.

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
    for name in ("f1_macro", "uar", "accuracy"):
        right.plot(epochs, [e["valid"][name] for e in history], label=name)
    choose = min if select_by in LOSSES else max
    best = choose(history, key=lambda entry: entry["valid"][select_by])
    for axis in (left, right):
        axis.axvline(best["epoch"], color="grey", linewidth=0.8)
        axis.legend(fontsize="small")
        axis.set_xlabel("epoch")
    left.set_title("loss")
    right.set_title(f"development set (line: best {select_by})")
    right.set_ylim(0, 1)
    return figure


def prediction(clip, predictions, classes, attention):
    """One clip: what each input and head says, and where the network looks.

    Arguments
    ---------
    clip : str
        Its name.
    predictions : dict of Predictions
        What was predicted from each of `INPUTS`.
    classes : list of str
        Names of the classes.
    attention : torch.Tensor
        Cross-modal attention, `[audio_time, visual_time]`.

    Returns
    -------
    matplotlib.figure.Figure
        Probabilities on the left, attention on the right.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    row = predictions["audio_visual"].clips.index(clip)
    truth = predictions["audio_visual"].truth[row]
    said = {
        f"{TITLES[name]}: {head}": made.probabilities[head][row]
        for name, made in predictions.items()
        for head in heads_of(name)
    }
    _shade(left, np.array(list(said.values())), "{:.2f}")
    left.set_xticks(range(len(classes)), classes)
    left.set_yticks(range(len(said)), said)
    left.set_title(f"{clip}: {'tied' if truth < 0 else classes[truth]}")
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


def _shade(axis, table, template):
    """Numbers in cells that are the darker the nearer to 1 they are."""
    axis.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(table.shape):
        axis.text(
            column,
            row,
            template.format(table[row, column]),
            ha="center",
            va="center",
            color="white" if table[row, column] > 0.5 else "black",
        )
