"""Charts of a page: one panel each, as SVG in the colours of the page."""

import re
from io import StringIO

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from auxformer_lobes.reporting.tables import METRIC_TITLES
from auxformer_lobes.utils.text import printable

WIDTH = 4.4  # inch: letters can be read where a phone's screen is as wide
NARROW = 3.8  # of square charts
MAX_POINTS = 600  # of a scatter plot
MAX_NAME = 26  # characters on an axis
TRAINING = ", training"
# Shapes differ too, for those who do not see the colours.
MARKERS = "osD^vPX*"
SERIES = tuple(f"C{i}" for i in range(10))
# The page gives these colours their values, light or dark.
COLOURS = {
    "#000000": "currentColor",
    "#808080": "var(--muted)",
    "#c0c0c0": "var(--rule)",
    # matplotlib's own series
    "#1f77b4": "var(--series-1)",
    "#ff7f0e": "var(--series-2)",
    "#2ca02c": "var(--series-3)",
    "#d62728": "var(--series-4)",
    "#9467bd": "var(--series-5)",
    "#8c564b": "var(--series-6)",
    "#e377c2": "var(--series-7)",
    "#7f7f7f": "var(--series-8)",
    "#bcbd22": "var(--series-9)",
    "#17becf": "var(--series-10)",
}
STYLE = {
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "auxformer",
    "text.parse_math": False,  # names may have a $
    "font.size": 9.5,
    "axes.edgecolor": "#808080",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#c0c0c0",
    "grid.linewidth": 0.6,
    "xtick.color": "#808080",
    "ytick.color": "#808080",
    "xtick.labelcolor": "#000000",
    "ytick.labelcolor": "#000000",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
}


@rc_context(STYLE)
def inline_svg(figure, name, title):
    """A figure as SVG that can stand in a page beside others.

    Arguments
    ---------
    figure : matplotlib.figure.Figure
        Made under `STYLE`.
    name : str
        Begins its ids: another one for each figure of the page.
    title : str
        What it shows, for those who do not see it.

    Returns
    -------
    markupsafe.Markup
        The same for the same figure.
    """
    file = StringIO()
    figure.savefig(
        file,
        format="svg",
        transparent=True,
        metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
    )
    svg = file.getvalue()
    width, height = (float(inches * 72) for inches in figure.get_size_inches())
    # The page has a style of its own, and each figure its own ids.
    body = svg[svg.index("<defs>") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.S)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", body)
    # Versions of matplotlib write fonts in one of two ways.
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]+;? ?", "", body)
    body = re.sub(
        r"#[0-9a-f]{6}", lambda hex: COLOURS.get(hex[0], hex[0]), body
    )
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-labelledby="{name}-title" '
        f'style="max-width: {width / 9:.1f}rem">'
        f'<title id="{name}-title">{escape(title)}</title>{body}'
    )


@rc_context(STYLE)
def intervals(values, metric, scale):
    """Dots with their intervals.

    Arguments
    ---------
    values : dict of dict
        Series → row → `{value, low, high}`.
    metric : str
        What they are.
    scale : float
        By which they are multiplied.

    Returns
    -------
    matplotlib.figure.Figure
        A line per row, in which each series has its own place; what is
        undefined is not drawn.

    Example
    -------
    >>> uar = {"value": 0.7, "low": 0.6, "high": 0.8}
    >>> figure = intervals({"audio": {"sad": uar}}, "uar", scale=100)
    >>> [x.get_text() for x in figure.axes[0].get_yticklabels()]
    ['sad']
    """
    rows = [*dict.fromkeys(row for of in values.values() for row in of)]
    band = 0.8 / len(values)
    height = 0.9 + len(rows) * (0.14 + 0.14 * len(values))
    height += 0.2 * (len(values) > 1) * np.ceil(len(values) / 3)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axis = figure.subplots()
    for i, (series, of) in enumerate(values.items()):
        colour = f"C{i % 10}"
        shift = (i - (len(values) - 1) / 2) * band
        for row, measured in of.items():
            place = rows.index(row) + shift
            ends = [measured["low"], measured["high"]]
            if None not in ends:
                line = [end * scale for end in ends]
                axis.plot(line, [place] * 2, color=colour, linewidth=2)
        dots = [
            (of["value"] * scale, rows.index(row) + shift)
            for row, of in of.items()
            if of["value"] is not None
        ]
        axis.plot(
            *zip(*dots) if dots else ((), ()),
            MARKERS[i % len(MARKERS)],
            color=colour,
            markersize=5,
            clip_on=False,
            label=shorten(series),
        )
    axis.set_yticks(range(len(rows)), [*map(shorten, rows)])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0, pad=8)
    for place in range(1, len(rows)):
        axis.axhline(place - 0.5, color="#c0c0c0", linewidth=0.4)
    if scale == 100:
        left, right = axis.get_xlim()
        axis.set_xlim(max(left, 0), min(right, 100))
    unit = ", %" if scale == 100 else ""
    axis.set_xlabel(METRIC_TITLES.get(metric, metric) + unit)
    if len(values) > 1:
        figure.legend(loc="outside lower center", ncols=min(3, len(values)))
    return figure


@rc_context(STYLE)
def curves(values, best):
    """Quantities by epoch.

    Arguments
    ---------
    values : dict of list
        Name → values, from epoch 1; None is not drawn. Names that end in
        `TRAINING` are dashed, in the colour of the name without.
    best : int
        The epoch that is marked.

    Returns
    -------
    matplotlib.figure.Figure
        A line each.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axis = figure.subplots()
    colours = {}
    for name, line in values.items():
        base, is_training, _ = name.partition(TRAINING)
        colour = colours.setdefault(base, f"C{len(colours) % 10}")
        axis.plot(
            range(1, len(line) + 1),
            np.array(line, dtype=float),
            "--" if is_training else "-",
            marker="o" if len(line) == 1 else None,
            color=colour,
            linewidth=1 if is_training else 1.6,
            label=name,
        )
    axis.axvline(best, color="#808080", linewidth=0.8)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@rc_context(STYLE)
def severities(curves, metric, scale, limits, **lines):
    """A metric over the severity of a loss.

    Arguments
    ---------
    curves : dict of dict
        Line → its `severities`, `values`, `low` and `high`; what is None is
        not drawn.
    metric : str
        What they are.
    scale : float
        By which values are multiplied.
    limits : tuple of float
        Ends of the vertical axis.
    **lines
        Further arguments of `draw_severities`.

    Returns
    -------
    matplotlib.figure.Figure
        A line each, of the same colour in each panel.
    """
    longest = max(len(shorten(name)) for name in curves)
    columns = max(1, min(3, len(curves), 60 // (longest + 7)))
    height = 2.5 + 0.2 * -(-len(curves) // columns)
    figure = Figure(figsize=(NARROW, height), layout="constrained")
    axis = figure.subplots()
    draw_severities(axis, curves, scale, **lines)
    unit = ", %" if scale == 100 else ""
    axis.set(xlabel="severity", ylim=limits)
    axis.set_ylabel(METRIC_TITLES.get(metric, metric) + unit)
    figure.legend(
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.2,
        handlelength=2.2,
    )
    return figure


def draw_severities(
    axis, curves, scale, names, bold, dashed=None, colours=SERIES
):
    """Draws a panel of curves over severity.

    Arguments
    ---------
    axis : matplotlib.axes.Axes
        The panel.
    curves : dict of dict
        See `severities`.
    scale : float
        By which values are multiplied.
    names : list of str
        All lines of a chart, each with its own colour and shape.
    bold : set of str
        Lines that have their bands; one alone is thick.
    dashed : str, optional
        A line that is dashed.
    colours : sequence of str
        Colours in the order of the names.
    """
    # Thin lines lie on thick ones: both are seen where they are equal.
    for name in sorted(curves, key=lambda name: name not in bold):
        curve, place = curves[name], names.index(name)
        x = curve["severities"]
        y, low, high = (
            scale * np.array(curve[key], dtype=float)
            for key in ("values", "low", "high")
        )
        colour, is_bold = colours[place % len(colours)], name in bold
        if is_bold and np.isfinite(low + high).any():
            axis.fill_between(
                x, low, high, color=colour, alpha=0.15, linewidth=0
            )
        axis.plot(
            x,
            y,
            "--" if name == dashed else "-",
            marker=MARKERS[place % len(MARKERS)],
            markersize=4 if is_bold else 3,
            color=colour,
            linewidth=2.6 if is_bold and len(bold) == 1 else 1.1,
            label=shorten(name),
        )
    axis.set(xlim=(-0.02, 1.02))


@rc_context(STYLE)
def reliability(before, after):
    """Reliability diagram: how often a prediction of some confidence is right.

    Arguments
    ---------
    before : list of dict
        `confidence`, `accuracy` and `count` of each bin, not calibrated.
    after : list of dict
        The same, calibrated.

    Returns
    -------
    matplotlib.figure.Figure
        Dots, larger where there are more clips; a perfectly calibrated model
        is on the diagonal.
    """
    figure = Figure(figsize=(NARROW, 3.7), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="#808080", linewidth=0.8)
    series = {"before": (before, "none"), "after": (after, "C0")}
    for i, (name, (bins, face)) in enumerate([*series.items()][::-1]):
        filled = [of for of in bins if of["count"]]
        sizes = np.array([of["count"] for of in filled], dtype=float)
        x = [of["confidence"] for of in filled]
        y = [of["accuracy"] for of in filled]
        colour = f"C{i}"
        axis.plot(x, y, color=colour, linewidth=0.8)
        axis.scatter(
            x,
            y,
            s=12 + 120 * sizes / max(sizes.sum(), 1),
            marker=MARKERS[i],
            color=face,
            edgecolors=colour,
            linewidths=1.2,
            label=f"{name} temperature scaling",
            zorder=3,
        )
    axis.set(xlabel="confidence", ylabel="share that is right")
    axis.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    axis.set_box_aspect(0.85)
    figure.legend(loc="outside lower center", ncols=1)
    return figure


@rc_context(STYLE)
def scatter(truth, predicted, name, limits):
    """Predictions over labels.

    Arguments
    ---------
    truth : list of float
        Labels.
    predicted : list of float
        Predictions; beyond the limits they are drawn at them.
    name : str
        What is predicted.
    limits : tuple of float
        Ends of the scale.

    Returns
    -------
    matplotlib.figure.Figure
        A dot each, with the diagonal.
    """
    figure = Figure(figsize=(NARROW, NARROW), layout="constrained")
    axis = figure.subplots()
    axis.plot(limits, limits, color="#808080", linewidth=0.8)
    axis.scatter(
        truth,
        np.clip(predicted, *limits),
        s=12,
        color="C0",
        alpha=0.5,
        linewidths=0,
        clip_on=False,
    )
    axis.set(xlim=limits, ylim=limits, xlabel=f"{shorten(name)}, label")
    axis.set(ylabel="predicted")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(integer=True))
    axis.set_box_aspect(1)
    return figure


def shorten(name):
    """A name that fits beside an axis.

    Arguments
    ---------
    name : str
        Any name.

    Returns
    -------
    str
        In one line, of what can be printed.

    Example
    -------
    >>> shorten("1001_DFA_ANG_XX with babble at 0 dB")
    '1001_DFA_ANG_XX with babb…'
    """
    name = printable(name)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
