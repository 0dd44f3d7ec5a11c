"""Emotions as a table on the terminal."""

import os
import textwrap
from functools import cache, partial

from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.text import printable


def print_emotions(emotions, task):
    """Prints a table of files and their emotions.

    Arguments
    ---------
    emotions : dict of Emotion
        By path.
    task : Task
        What the model predicts.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from auxformer_lobes.reporting.tables import format_prediction

    console = Console(width=None if Console().is_terminal else 110)
    folder, names = split_folder([printable(path) for path in emotions])
    shown = cache(partial(shorten, names))
    table = Table("file", "emotion", *MODALITIES)
    for i, emotion in enumerate(emotions.values()):
        cells = [
            Text(printable(_describe(emotion, m)))  # no markup
            for m in MODALITIES
        ]
        predicted = format_prediction(task, [*emotion.outputs.values()])
        table.add_row(
            _Cell(names[i], lambda width, i=i: shown(width)[i]),
            _Cell(predicted, partial(_wrap, predicted)),
            *cells,
        )
    if folder:
        console.print(Text(f"in {folder}{os.sep}"), soft_wrap=True)
    console.print(table)


def _describe(emotion, modality):
    """How a modality was used, or why not."""
    if modality not in emotion.valid_share:
        return emotion.missing[modality]
    used = f"{emotion.valid_share[modality]:.0%} valid"
    return "; ".join(filter(None, [used, emotion.notes.get(modality)]))


def split_folder(paths):
    """Splits paths into the folder that they share, and the rest.

    Arguments
    ---------
    paths : collection of str
        Paths of files.

    Returns
    -------
    folder : str
        "" if they share none.
    names : list of str
        The paths from there on.

    Example
    -------
    >>> split_folder(["clips/a/x.wav", "clips/b/x.wav"])
    ('clips', ['a/x.wav', 'b/x.wav'])
    """
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # of absolute and relative paths
        folder = ""
    if folder in ("", os.sep):
        return "", list(paths)
    return folder, [os.path.relpath(path, folder) for path in paths]


def shorten(names, width):
    """Shortens names to a width, by an ellipsis where they stay distinct.

    Arguments
    ---------
    names : list of str
        Distinct names.
    width : int
        Characters.

    Returns
    -------
    list of str
        `names` themselves, if they cannot be told apart in this width.

    Example
    -------
    >>> shorten(["take_1/camera/left.mp4", "take_2/camera/left.mp4"], 16)
    ['take_1…/left.mp4', 'take_2…/left.mp4']
    >>> shorten(["interview_of_may_5.mp4", "interview_of_may_6.mp4"], 16)
    ['inter…_may_5.mp4', 'inter…_may_6.mp4']
    """
    # Rather the end than the beginning: it is the name of the file.
    for kept in sorted(range(width - 1), key=lambda n: abs(3 * n - width)):
        shown = [
            name
            if len(name) <= width
            else f"{name[:kept]}…{name[kept + 1 - width :]}"
            for name in names
        ]
        if len({*shown}) == len(names):
            return shown
    return names


def _wrap(items, width):
    """Breaks lines after commas only."""
    items = items.replace(", ", ",\n").replace(" ", "\0").replace("\n", " ")
    return "\n".join(textwrap.wrap(items, width)).replace("\0", " ")


class _Cell:
    """A cell of a table, whose text depends on the width of its column."""

    def __init__(self, text, fit):
        self.text, self.fit = text, fit

    def __rich_measure__(self, console, options):
        from rich.measure import Measurement

        return Measurement(min(len(self.text), 16), len(self.text))

    def __rich_console__(self, console, options):
        from rich.text import Text

        yield Text(self.fit(options.max_width), overflow="fold")
