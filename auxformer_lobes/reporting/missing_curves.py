"""Curves over what is missing: their order, their styles, and their words.

A curve is a metric over severity, for each kind of loss, modality that is lost,
and head. Reports, figures and model cards arrange and describe them here.
"""

from auxformer_lobes.augment.frame_loss import BOTH
from auxformer_lobes.evaluation.comparison import ALPHA
from auxformer_lobes.reporting.comparisons import format_bounds, format_p
from auxformer_lobes.reporting.missing_file import BANDS, LATE_FUSION
from auxformer_lobes.reporting.tables import format_decimal, format_metric
from auxformer_lobes.utils.modalities import MODALITIES

COMBINED = "combined"
LOST = (*MODALITIES, BOTH)
MAX_BANDS = 5  # more would hide each other
MIDDLE = 0.4  # a severity of every kind
TITLES = {
    "whole": "whole modality",
    "frames": "single frames",
    "bursts": "bursts",
    "stretch": "stretch",
}


def panels_of(lines):
    """Curves by what is lost.

    Arguments
    ---------
    lines : dict of list
        Name of a line → its curves, one for each kind and modality.

    Returns
    -------
    dict of dict
        (kind, modality) → name → curve, in the order of the file.

    Example
    -------
    >>> curve = {"kind": "bursts", "modality": "audio"}
    >>> panels_of({"combined": [curve]})
    {('bursts', 'audio'): {'combined': {'kind': 'bursts', 'modality': 'audio'}}}
    """
    panels = {}
    for name, curves in lines.items():
        for curve in curves:
            key = curve["kind"], curve["modality"]
            panels.setdefault(key, {})[name] = curve
    # By kind: one system may have been swept over more kinds than the first.
    kinds = [*dict.fromkeys(kind for kind, _ in panels)]
    return dict(sorted(panels.items(), key=lambda of: kinds.index(of[0][0])))


def lines_of(sweep):
    """The lines of a figure of a sweep.

    Arguments
    ---------
    sweep : dict
        What `read_sweep` returns.

    Returns
    -------
    dict of list
        Head → its curves, all heads combined first; or, of a study, system →
        its curves, all heads combined.
    """
    if "systems" in sweep:
        return {
            name: [curve for curve in curves if curve["head"] == COMBINED]
            for name, curves in sweep["systems"].items()
        }
    lines = {COMBINED: []}
    for curve in sweep["curves"]:
        lines.setdefault(curve["head"], []).append(curve)
    return {name: curves for name, curves in lines.items() if curves}


def bold_lines(lines):
    """The lines that are drawn with their bands.

    Arguments
    ---------
    lines : dict of list
        What `lines_of` returns.

    Returns
    -------
    set of str
        All heads combined, or all systems if these are few.
    """
    if COMBINED in lines:
        return {COMBINED}
    return {*lines} if len(lines) <= MAX_BANDS else set()


def styles_of(lines):
    """How lines are drawn.

    Arguments
    ---------
    lines : dict of list
        What `lines_of` returns.

    Returns
    -------
    dict
        Arguments of `draw_severities`.
    """
    dashed = LATE_FUSION if COMBINED in lines else None
    return {"names": [*lines], "bold": bold_lines(lines), "dashed": dashed}


def bands_of(lines):
    """What the bands of the thick lines are.

    Arguments
    ---------
    lines : dict of list
        What `lines_of` returns.

    Returns
    -------
    str
        Empty if there are none.
    """
    kinds = {
        curve["band"]
        for name in bold_lines(lines)
        for curve in lines.get(name, ())
    }
    return " or ".join(text for kind, text in BANDS.items() if kind in kinds)


def limits_of(lines, scale):
    """Ends of an axis that all curves share.

    Arguments
    ---------
    lines : dict of list
        What `lines_of` returns.
    scale : float
        By which values are multiplied.

    Returns
    -------
    tuple of float
        Of all values, and of the bands that are drawn.
    """
    bold = bold_lines(lines)
    found = [
        scale * value
        for name, curves in lines.items()
        for curve in curves
        for key in ("values", "low", "high")[: 3 if name in bold else 1]
        for value in curve[key]
        if value is not None
    ]
    low, high = min(found, default=0), max(found, default=scale)
    margin = 0.05 * (high - low) or 0.05 * scale
    low, high = low - margin, high + margin
    return (max(low, 0), min(high, 100)) if scale == 100 else (low, high)


def titled(kind):
    """The title of a kind of loss.

    Arguments
    ---------
    kind : str
        Its name.

    Returns
    -------
    str
    """
    return TITLES.get(kind, kind)


def middle_of(curve):
    """The severity between the ends of a curve that tables show.

    Arguments
    ---------
    curve : dict
        With `severities`.

    Returns
    -------
    float

    Example
    -------
    >>> middle_of({"severities": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]})
    0.4
    """
    return min(curve["severities"], key=lambda s: abs(s - MIDDLE))


def points_of(curve):
    """A curve at its start, in the middle and at its end.

    Arguments
    ---------
    curve : dict
        One of `read_sweep`.

    Returns
    -------
    list of dict
        `{value, low, high, kind}` each, see `format_metric`.
    """
    places = (0, curve["severities"].index(middle_of(curve)), -1)
    return [
        {
            "value": curve["values"][place],
            "low": curve["low"][place],
            "high": curve["high"][place],
            "kind": curve["band"],
        }
        for place in places
    ]


def cells_of(curve, baselines, scale):
    """A curve as cells of a table.

    Arguments
    ---------
    curve : dict
        One of `read_sweep`.
    baselines : iterable of str
        Those of effective robustness.
    scale : float
        By which values are multiplied.

    Returns
    -------
    list of str
        Its points, area, retention in %, and effective robustness.
    """
    effective = curve["effective_robustness"]
    return [
        *(format_metric(point, scale) for point in points_of(curve)),
        format_decimal(curve["area"], scale),
        format_decimal(curve["retention"], 100),
        *(format_decimal(effective.get(name), scale) for name in baselines),
    ]


def format_area(curve, scale):
    """The area under a curve, with the retention in % where it is defined.

    Arguments
    ---------
    curve : dict or None
        One of `read_sweep`; None where a system has none.
    scale : float
        By which the area is multiplied.

    Returns
    -------
    str

    Example
    -------
    >>> format_area({"area": 0.6, "retention": 0.75}, 100)
    '60.0 (75)'
    """
    if curve is None:
        return "–"
    area = format_decimal(curve["area"], scale)
    if curve["retention"] is None:
        return area
    return f"{area} ({100 * curve['retention']:.0f})"


def describe_twin(twin, scale, name="the model", other=None):
    """The twin rule in a sentence.

    Arguments
    ---------
    twin : dict
        One of `read_sweep`.
    scale : float
        By which differences are multiplied.
    name : str
        The model that lost a modality.
    other : str, optional
        The network on the other modality alone; by default its name.

    Returns
    -------
    str

    Example
    -------
    >>> twin = {"lost": "visual", "twin": "audio_only", "difference": -0.021}
    >>> twin.update(low=-0.04, high=-0.003, band="interval", p=0.03)
    >>> describe_twin({**twin, "holds": False}, 100)
    'With the visual modality lost, the model is worse than audio_only by 2.1
    points [0.3, 4.0], p = 0.030: the twin rule does not hold.'
    >>> twin.update(low=-0.07, high=0.022, p=0.4)
    >>> describe_twin({**twin, "holds": False}, 100)
    'With the visual modality lost, the model is worse than audio_only by 2.1
    points [-2.2, 7.0], p = 0.40: the twin rule does not hold; no difference is
    shown.'
    """
    other = other or twin["twin"]
    begin = f"With the {twin['lost']} modality lost, {name}"
    difference, low, high, p = (
        twin[key] for key in ("difference", "low", "high", "p")
    )
    if difference is None:
        reason = twin.get("reason", "undefined")
        return f"{begin} cannot be compared with {other}: {reason}."
    # As of other systems, see `Comparison.is_shown`.
    is_shown = (
        twin["band"] == "interval"
        and None not in (low, high, p)
        and (p < ALPHA and low * high > 0)
    )
    if difference < 0 and None not in (low, high):
        low, high = -high, -low  # of how much worse it is
    amount = format_decimal(abs(difference), scale)
    is_same = not amount.strip("0.")
    if is_same:
        result = f"as good as {other}"
    else:
        order = "worse" if difference < 0 else "better"
        points = " points" if scale == 100 else ""
        result = f"{order} than {other} by {amount}{points}"
    if None not in (low, high):
        bounds = {"low": low, "high": high, "kind": twin["band"]}
        result += format_bounds(bounds, scale)
        if twin["band"] == "range":
            result = f"{result[:-1]} by speaker)"
    if p is not None:
        p = format_p(p)
        result += f", p {p}" if p.startswith("<") else f", p = {p}"
    rule = "holds" if twin["holds"] else "does not hold"
    if not (is_shown or is_same):
        rule += "; no difference is shown"
    return f"{begin} is {result}: the twin rule {rule}."
