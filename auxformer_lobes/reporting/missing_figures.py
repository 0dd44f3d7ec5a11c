"""The figure of a sweep over what is missing, for papers: `missing.png`."""

from matplotlib.figure import Figure

from auxformer_lobes.reporting.charts import draw_severities, shorten
from auxformer_lobes.reporting.missing_curves import (
    bands_of,
    limits_of,
    lines_of,
    panels_of,
    styles_of,
    titled,
)
from auxformer_lobes.reporting.tables import titles_of
from auxformer_lobes.utils.files import atomic_write

# Okabe and Ito 2008: told apart by those who are colour-blind. Not as many as
# there are markers: lines beyond the last colour differ in shape.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#e69f00", "#56b4e9", "#000000"),
)


def figures_of_sweep(sweep, scale):
    """The figure of a sweep.

    Arguments
    ---------
    sweep : dict
        What `read_sweep` returns.
    scale : float
        By which figures multiply the metric.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By name; empty if it has no curves.
    """
    if not panels_of(lines_of(sweep)):
        return {}
    return {"missing": missing_modalities(sweep, scale)}


def save_sweep_figures(run, sweep, scale):
    """Writes `missing.png`.

    Arguments
    ---------
    run : Run or Study
        The folder.
    sweep : dict
        What `read_sweep` returns.
    scale : float
        By which figures multiply the metric.
    """
    for name, figure in figures_of_sweep(sweep, scale).items():
        with atomic_write(run.figure(name), "wb") as file:
            figure.savefig(file, format="png", dpi=150)


def missing_modalities(sweep, scale):
    """Curves of a sweep over severity.

    Arguments
    ---------
    sweep : dict
        What `read_sweep` returns.
    scale : float
        By which values are multiplied.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels per kind, a column per modality that is lost. Of a run,
        a line per head; of a study, a line per system.
    """
    lines = lines_of(sweep)
    panels = panels_of(lines)
    kinds = [*dict.fromkeys(kind for kind, _ in panels)]
    modalities = [*dict.fromkeys(modality for _, modality in panels)]
    longest = max(len(shorten(name)) for name in lines)
    columns = min(len(lines), max(1, 28 * len(modalities) // (longest + 6)))
    legend = 0.25 * -(-len(lines) // columns)
    width = 0.9 + 2.6 * len(modalities)
    height = 1.1 + 1.75 * len(kinds) + legend
    figure = Figure(figsize=(max(width, 5), height), layout="constrained")
    axes = figure.subplots(
        *(len(kinds), len(modalities)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    handles = {}
    for row, kind in zip(axes, kinds):
        row[0].set_ylabel(titled(kind))
        for axis, modality in zip(row, modalities):
            curves = panels.get((kind, modality))
            if curves is None:
                axis.set_axis_off()
                continue
            draw_severities(
                axis, curves, scale, **styles_of(lines), colours=COLOURS
            )
            axis.grid(color="0.9", linewidth=0.6)
            axis.set_axisbelow(True)
            found, names = axis.get_legend_handles_labels()
            handles.update(zip(names, found))
    for axis, modality in zip(axes[0], modalities):
        axis.set_title(f"{modality} lost", fontsize="medium")
    axes[0, 0].set_ylim(limits_of(lines, scale))
    for axis in axes[-1]:
        axis.set_xlabel("severity")
    order = [name for name in map(shorten, lines) if name in handles]
    figure.legend(
        [handles[name] for name in order],
        order,
        loc="outside lower center",
        ncols=columns,
    )
    figure.suptitle(_title(sweep, scale, lines))
    return figure


def _title(sweep, scale, lines):
    (title,) = titles_of([sweep["metric"]])
    title += " (%)" if scale == 100 else ""
    title = f"Test set: {title} where modalities are missing"
    bands = bands_of(lines)
    return f"{title}\nbands: {bands}" if bands else title
