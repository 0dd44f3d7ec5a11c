"""The parts of the page as HTML; all text may be a stranger's."""

import base64
import json
import os
from collections import Counter
from functools import cache
from itertools import count
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.text import printable
from auxformer_lobes.web import chart
from auxformer_lobes.web.analysis import clock

FOLDER = Path(__file__).parent
TITLES = {"audio": "Audio", "visual": "Face"}
_numbers = count(1)


def input_html(about, limits, privacy):
    """The upper part: where a file is chosen, dropped or recorded.

    Arguments
    ---------
    about : str
        What the model is.
    limits : Limits
        How large a file may be.
    privacy : str
        Where the file goes.

    Returns
    -------
    str
    """
    return _render(
        "input.html.j2",
        about=about,
        privacy=privacy,
        bytes=int(limits.megabytes * 1e6),
        seconds=limits.seconds,
        size=f"{limits.megabytes:g} MB",
        duration=f"{limits.seconds / 60:.3g} min",
    )


def result_html(analysis):
    """The lower part: what was recognised in a file.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    str
    """
    task = analysis.task
    is_stacked = isinstance(task, CategoricalEmotion)
    colours = {
        name: f"var(--series-{i % 10 + 1})" for i, name in enumerate(task.names)
    }
    return _render(
        "result.html.j2",
        id=next(_numbers),
        analysis=analysis,
        task=task,
        summary=summarize(analysis),
        stem=os.path.splitext(analysis.name)[0],
        titles=TITLES,
        stacked=is_stacked,
        has_label=not isinstance(task, DimensionalEmotion),
        colours=colours,
        shapes=chart.shapes(analysis),
        levels=chart.levels(task),
        labels=is_stacked and chart.bars(analysis, lambda e: e.label),
        used=chart.used(analysis),
        ticks=chart.ticks(analysis.seconds),
        clock=clock,
        csv=_base64(analysis.csv()),
        json=_base64(analysis.json()),
        windows=json.dumps(describe_windows(analysis)),
    )


def error_html(message):
    """The lower part, where there is no result.

    Arguments
    ---------
    message : str
        One line.

    Returns
    -------
    str
    """
    return _render("error.html.j2", id=next(_numbers), message=message)


def summarize(analysis):
    """What was recognised, in a sentence or two.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    str
    """
    mean = analysis.mean()
    if mean is None:
        return "Neither audio nor a face can be used anywhere in it."
    average = f"On average {_top(analysis.task, mean)}."
    labels = Counter(
        label
        for _, _, emotion in analysis.windows
        for label in _labels(emotion)
    )
    if not labels:
        return average
    label, windows = labels.most_common(1)[0]
    total = len(analysis.windows)
    return f"Most often {label}, in {windows} of {total} windows. {average}"


def _top(task, outputs):
    """The three highest outputs; of attributes all, in their order."""
    pairs = [*zip(task.names, outputs)]
    if not isinstance(task, DimensionalEmotion):
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name} {_value(task, value)}" for name, value in pairs)


def _labels(emotion):
    """All labels of a window, none where there is no prediction."""
    label = emotion.label or []
    return [label] if isinstance(label, str) else label


def describe_windows(analysis):
    """What the page shows of each moment.

    Arguments
    ---------
    analysis : Analysis
        What was recognised.

    Returns
    -------
    dict
        `edges`, s, and `windows`: of each the prediction as `text`, `outputs`
        (width in % and text of each) and `modalities` (how each was used).
    """
    low, high = analysis.task.limits
    windows = []
    for _, _, emotion in analysis.windows:
        outputs = []
        for value in emotion.outputs.values():
            # Attributes may lie beyond the raters' scale.
            share = (min(max(value, low), high) - low) / (high - low)
            text = _value(analysis.task, value)
            outputs.append({"share": round(100 * share, 2), "text": text})
        modalities = {m: _describe(emotion, m) for m in MODALITIES}
        text = _text(analysis.task, emotion)
        windows.append(
            {"text": text, "outputs": outputs, "modalities": modalities}
        )
    return {"edges": chart.edges_of(analysis), "windows": windows}


def _text(task, emotion):
    if not emotion.outputs:
        return "no prediction"
    if isinstance(task, DimensionalEmotion):
        return _top(task, emotion.outputs.values())
    return ", ".join(_labels(emotion)) or "no emotion above its threshold"


def _value(task, value):
    if isinstance(task, DimensionalEmotion):
        return f"{value:.2f}"
    return f"{value:.0%}"


def _describe(emotion, modality):
    if modality in emotion.missing:
        return f"not used: {printable(emotion.missing[modality])}"
    share = emotion.valid_share.get(modality, 1)
    return "used" if share == 1 else f"used, {share:.0%} of its frames valid"


def _base64(text):
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _render(name, **values):
    html = _template(name).render(**values)
    return html.encode("utf-8", "replace").decode("utf-8")


@cache
def _template(name):
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda x: printable(x, "\n") if type(x) is str else x,
    )
    return environment.from_string((FOLDER / name).read_text("utf-8"))
