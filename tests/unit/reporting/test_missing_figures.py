"""The figure of a sweep: small multiples that can be read."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.reporting.missing_figures import (
    COLOURS,
    figures_of_sweep,
    missing_modalities,
    save_sweep_figures,
)
from auxformer_lobes.reporting.missing_file import read_sweep
from tests.unit.small_sweeps import (
    make_curve,
    make_study_sweep,
    make_sweep,
    write_sweep,
)

LONG = "lr 0.001, network {num_layers: 2}"
SWEEPS = {
    "a run": make_sweep(),
    "one modality": make_sweep(["combined"], modalities=["audio"]),
    "ranges": make_sweep(curves=[make_curve(band="range")]),
    "a study": make_study_sweep(),
    "long names": make_study_sweep([f"{i}: {LONG}" for i in range(6)]),
}


@pytest.fixture
def read(tmp_path):
    """Reads a sweep that is made up."""
    return lambda sweep: read_sweep(write_sweep(tmp_path / "m.json", sweep))


@pytest.mark.parametrize("case", SWEEPS)
def test_nothing_is_cut_off(read, case):
    figure = missing_modalities(read(SWEEPS[case]), 100)
    FigureCanvasAgg(figure).draw()
    width, height = figure.get_size_inches()
    for text in (*figure.texts, *figure.legends):
        box = text.get_window_extent().transformed(
            figure.dpi_scale_trans.inverted()
        )
        assert -0.01 <= box.x0 and box.x1 <= width + 0.01
        assert -0.01 <= box.y0 and box.y1 <= height + 0.01


def test_rows_are_kinds_and_columns_modalities(read):
    figure = missing_modalities(read(make_sweep()), 100)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["audio lost", "visual lost", "both lost", "", "", ""]
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels == ["whole modality", "", "", "bursts", "", ""]
    assert len({axis.get_ylim() for axis in figure.axes}) == 1


def test_the_combined_heads_are_thick_and_late_fusion_is_dashed(read):
    axis = missing_modalities(read(make_sweep()), 100).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    thick = lines.pop("combined").get_linewidth()
    assert all(line.get_linewidth() < thick for line in lines.values())
    dashed = [name for name in lines if lines[name].get_linestyle() == "--"]
    assert dashed == ["late_fusion"]
    assert len(axis.collections) == 1  # the band


def test_a_line_looks_the_same_in_each_panel(read):
    sweep = make_study_sweep(["mult", "early", "late"])
    del sweep["systems"]["mult"][0]  # whole, audio
    figure = missing_modalities(read(sweep), 100)
    for axis in figure.axes:
        for line in axis.lines:
            place = [*sweep["systems"]].index(line.get_label())
            assert line.get_color() == COLOURS[place]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*sweep["systems"]]


def test_no_two_of_many_lines_look_the_same(read):
    sweep = read(make_study_sweep([f"{i}" for i in range(15)]))
    axis = missing_modalities(sweep, 100).axes[0]
    looks = {(line.get_color(), line.get_marker()) for line in axis.lines}
    assert len(looks) == len(axis.lines) == 16


def test_what_was_not_swept_is_an_empty_place(read):
    curves = [make_curve("whole", "both"), make_curve("bursts", "audio")]
    figure = missing_modalities(read(make_sweep(curves=curves)), 100)
    assert [len(axis.lines) for axis in figure.axes] == [1, 0, 0, 1]


def test_a_sweep_without_curves_has_no_figure(read, tmp_path):
    sweep = read(make_sweep(curves=[]))
    assert figures_of_sweep(sweep, 100) == {}
    save_sweep_figures(Run(tmp_path), sweep, 100)
    assert not Run(tmp_path).figure("missing").exists()


def test_undefined_values_are_gaps(read):
    curve = make_curve()
    for key in ("values", "low", "high"):
        curve[key][2] = None
    (axis,) = missing_modalities(read(make_sweep(curves=[curve])), 1).axes
    assert axis.lines[0].get_ydata()[2] != axis.lines[0].get_ydata()[2]
