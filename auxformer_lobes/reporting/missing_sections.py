"""Sections of a report about what is missing: what is in `missing.json`."""

from auxformer_lobes.reporting import charts
from auxformer_lobes.reporting.html import Chart, Table, Text
from auxformer_lobes.reporting.metric_sections import explain
from auxformer_lobes.reporting.missing_curves import (
    BOTH,
    COMBINED,
    bands_of,
    cells_of,
    describe_twin,
    format_area,
    limits_of,
    lines_of,
    middle_of,
    panels_of,
    points_of,
    styles_of,
    titled,
)
from auxformer_lobes.reporting.missing_file import OWN
from auxformer_lobes.reporting.tables import (
    count_of,
    format_decimal,
    title_of,
    titles_of,
)

MAX_SENTENCES = 12  # that are shown without being asked for


def run_curves(sweep, scale):
    """What a sweep over a run has found.

    Arguments
    ---------
    sweep : dict or str
        What `read_sweep` returns, or why it is not there; empty for a run
        that was not swept.
    scale : float
        By which tables multiply the metric.

    Returns
    -------
    list
        The twin rule, a table of all heads combined, and a chart of all heads
        for each kind and modality.
    """
    if not sweep or isinstance(sweep, str):
        return [Text(f"{sweep}.")] if sweep else []
    panels = panels_of({COMBINED: lines_of(sweep).get(COMBINED, [])})
    curves = {key: of[COMBINED] for key, of in panels.items()}
    baselines = _baselines(curves.values())
    rows = [
        [titled(kind), modality, *cells_of(curve, baselines, scale)]
        for (kind, modality), curve in curves.items()
    ]
    shown = [x for curve in curves.values() for x in points_of(curve)]
    title = _title(sweep, scale, " of all heads combined")
    table = Table(
        ["kind", "lost", *_columns(curves.values(), baselines)],
        rows,
        title,
        text=2,
    )
    return [
        _explain(sweep, baselines),
        *(Text(describe_twin(twin, scale)) for twin in sweep["twins"]),
        *explain(shown),
        *([table] if rows else []),
        *_charts(sweep, scale, "head"),
    ]


def study_curves(sweep, scale):
    """What sweeps over the cells of a study have found.

    Arguments
    ---------
    sweep : dict or str
        What `read_sweep` returns, or why it is not there; empty for a study
        that was not swept.
    scale : float
        By which tables multiply the metric.

    Returns
    -------
    list
        The twin rule and comparisons in words, a table of the areas, and a
        chart of all systems for each kind and modality.
    """
    if not sweep or isinstance(sweep, str):
        return [Text(f"{sweep}.")] if sweep else []
    lines = lines_of(sweep)
    kinds = [*dict.fromkeys(kind for kind, _ in panels_of(lines))]
    rows = []
    for name, curves in lines.items():
        by_modality = {}
        for curve in curves:
            of = by_modality.setdefault(curve["modality"], {})
            of[curve["kind"]] = curve
        for modality, of in by_modality.items():
            start = next(iter(of.values()))["values"][0]
            areas = [format_area(of.get(kind), scale) for kind in kinds]
            cells = sweep["cells"].get(name, "–")
            start = format_decimal(start, scale)
            rows.append([name, modality, cells, start, *areas])
    columns = ["system", "lost", "cells", "severity 0", *map(titled, kinds)]
    title = f"Area under the curve of {_title(sweep, scale)} (retention, %)"
    twins = [
        [describe_twin(twin, scale, twin.get("system", "the model"))]
        for twin in sweep["twins"]
    ]
    sentences = [[sentence] for sentence in sweep["sentences"]]
    baselines = _baselines(curve for of in lines.values() for curve in of)
    return [
        _explain(sweep, baselines),
        *([Table(columns, rows, title, text=2)] if rows else []),
        *([Table(["system and twin"], twins, "Twin rule")] if twins else []),
        *(
            Text(f"Not compared, {of}: {reason}.")
            for of, reason in sweep["not_compared"].items()
        ),
        *_charts(sweep, scale, "system"),
        *_sentences(sentences),
    ]


def _sentences(rows):
    if not rows:
        return []
    title, folded = "Areas, compared in words", len(rows) > MAX_SENTENCES
    return [Table(["comparison"], rows, title, folded=folded)]


def _charts(sweep, scale, column):
    """A sentence for each kind, and a chart for each of its modalities."""
    lines = lines_of(sweep)
    limits, styles = limits_of(lines, scale), styles_of(lines)
    panels, blocks, before = panels_of(lines), [], None
    for (kind, modality), curves in panels.items():
        if kind != before:
            has_both = (kind, BOTH) in panels
            blocks.append(Text(_describe_kind(kind, has_both, sweep)))
        before = kind
        baselines = _baselines(curves.values())
        table = Table(
            [column, *_columns(curves.values(), baselines)],
            [
                [name, *cells_of(curve, baselines, scale)]
                for name, curve in curves.items()
            ],
            f"{titled(kind).capitalize()}, {modality} lost",
            folded=True,
        )
        figure = charts.severities(
            curves, sweep["metric"], scale, limits, **styles
        )
        blocks.append(Chart(figure, table))
    return blocks


def _explain(sweep, baselines):
    """The terms of the section."""
    (metric,) = titles_of([sweep["metric"]])
    text = (
        f"Curves show {metric} over severity, the share that is lost: 0 is "
        f"nothing, 1 is all. They are means over "
        f"{count_of(sweep['seeds'], 'draw')} of what is lost. Area is the area "
        "under a curve, retention the area as a share of the value at severity "
        "0."
    )
    if baselines:
        text += (
            " Effective robustness (eff. rob.) is how much less a curve falls "
            "than that of a baseline, averaged over severities above 0."
        )
    if OWN in baselines:
        text += (
            " The network's own late fusion averages the logits of its heads "
            "on one modality."
        )
    if sweep["twins"]:
        text += (
            " Twin rule: with one modality wholly lost, a model must be no "
            "worse than its twin, a network trained on the other one alone. A "
            "difference is shown where p < 0.05 and the interval leaves out 0."
        )
    bands = bands_of(lines_of(sweep))
    return Text(f"{text} Bands are {bands}." if bands else text)


def _describe_kind(kind, has_both, sweep):
    whole = "severity is the share of clips that lose the modality"
    if has_both:
        whole += "; where both can be lost, a clip loses one of the two"
    bursts = "severity is the share of frames, which are lost in bursts"
    if sweep["burst"] is not None:
        bursts += f" of {sweep['burst']:g} s on average"
    texts = {
        "whole": whole,
        "frames": "severity is the share of frames; each is lost on its own",
        "bursts": bursts,
        "stretch": "severity is the share of each clip that one stretch covers",
    }
    title = titled(kind).capitalize()
    return f"{title}: {texts[kind]}." if kind in texts else f"{title}."


def _baselines(curves):
    return [
        *dict.fromkeys(
            name for curve in curves for name in curve["effective_robustness"]
        )
    ]


def _columns(curves, baselines):
    middles = {f"{middle_of(curve):g}" for curve in curves}
    middle = middles.pop() if len(middles) == 1 else "middle"
    return [
        *(f"severity {point}" for point in ("0", middle, "1")),
        *("area", "retention, %"),
        *(f"eff. rob., {title_of(x) if x == OWN else x}" for x in baselines),
    ]


def _title(sweep, scale, of=""):
    (title,) = titles_of([sweep["metric"]])
    return f"{title}{of}, %" if scale == 100 else f"{title}{of}"
