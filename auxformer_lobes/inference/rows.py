"""Emotions as rows of CSV files."""

from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.text import printable


def csv_header(task):
    """Column titles of `csv_row`.

    Arguments
    ---------
    task : Task
        What the model predicts.

    Returns
    -------
    list of str
    """
    kinds = ("valid_share", "missing", "notes")
    by_modality = [f"{kind}_{m}" for kind in kinds for m in MODALITIES]
    return ["label", *task.names, *by_modality]


def csv_row(task, emotion):
    """An emotion as a row of a CSV file; what is undefined is left empty.

    Arguments
    ---------
    task : Task
        What the model predicts.
    emotion : Emotion
        Its prediction.

    Returns
    -------
    list of str
    """
    label = emotion.label or ""
    outputs = [emotion.outputs.get(name) for name in task.names]
    valid_share = [emotion.valid_share.get(m) for m in MODALITIES]
    return [
        label if isinstance(label, str) else "|".join(label),
        *("" if x is None else f"{x:.6f}" for x in outputs),
        *("" if x is None else f"{x:.3f}" for x in valid_share),
        *(printable(emotion.missing.get(m, "")) for m in MODALITIES),
        *(printable(emotion.notes.get(m, "")) for m in MODALITIES),
    ]


def timeline_header(task):
    """Column titles of `timeline_row`.

    Arguments
    ---------
    task : Task
        What the model predicts.

    Returns
    -------
    list of str
    """
    return ["start", "end", "face", *csv_header(task)]


def timeline_row(task, start, end, emotion):
    """A window of a timeline as a row of a CSV file.

    Arguments
    ---------
    task : Task
        What the model predicts.
    start : float
        s.
    end : float
        s.
    emotion : Emotion
        Of the window.

    Returns
    -------
    list of str
    """
    face = emotion.face or ""
    return [f"{start:.3f}", f"{end:.3f}", face, *csv_row(task, emotion)]
