"""Figures can be read: nothing is cut off, nothing lies on a title."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.evaluation.collection import collect_details
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.reporting import figures as plots
from auxformer_lobes.reporting.detail_figures import figures_of_details
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from tests.unit.small_tasks import (
    KINDS,
    heads_of,
    make_task,
    random_predictions,
)

LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")
SECONDARY = (
    "depressed frustrated angry sad disgust excited fear neutral surprise happy"
).split()
CLIP = "MSP-IMPROV-S01A-F01-P-FM01"
TASKS = {
    "six classes": (CategoricalEmotion(class_names(6)), [4]),
    "ten emotions": (MultiLabelEmotion(SECONDARY), [1] * 4 + [0] * 6),
    "attributes": (DimensionalEmotion(), [3.25, 1.0, 4.5]),
    "one attribute": (DimensionalEmotion(["arousal"]), [3.25]),
}


@pytest.fixture(scope="module", params=TASKS)
def figures(request):
    """All figures of a run, drawn."""
    made = figures_of(*TASKS[request.param])
    for figure in made:
        FigureCanvasAgg(figure).draw()
    return made


def figures_of(task, truth):
    rng = np.random.default_rng(0)
    made = {
        condition.name: Predictions(
            [CLIP, "another"],
            ["F01", "M01"],
            [truth, truth],
            {
                head: rng.uniform(*task.limits, (2, task.num_outputs)).tolist()
                for head in heads_of(condition)
            },
        )
        for condition in CONDITIONS
    }
    history = [
        {
            "epoch": epoch,
            "train": dict.fromkeys(LOSSES, 1 / epoch),
            "valid": dict.fromkeys((*LOSSES, *task.metrics), 1 / epoch),
        }
        for epoch in range(1, 31)
    ]
    people = {
        CLIP: {"gender": "female", "age": 31},
        "another": {"gender": "male", "age": 62},
    }
    details = collect_details(made, made, task, people, num_samples=9)
    return [
        *plots.figures_of_test(task, made).values(),
        *figures_of_details(task, details).values(),
        plots.learning_curves(history, task.metrics[0], 3, task),
        plots.prediction(CLIP, made, task, torch.rand(60, 90)),
    ]


def test_nothing_is_cut_off_and_no_titles_overlap(figures):
    for figure in figures:
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        # A hundredth of an inch is a pixel.
        assert -0.01 <= box.x0 and box.x1 <= width + 0.01
        assert -0.01 <= box.y0 and box.y1 <= height + 0.01
        titles = [axis.title for axis in figure.axes if axis.get_title()]
        extents = [x.get_window_extent() for x in (*titles, *figure.texts)]
        for one, other in combinations(extents, 2):
            assert not one.overlaps(other)


def test_names_under_an_axis_are_apart_or_slanted(figures):
    """Slanted ones end below their place, and so lie beside each other."""
    for figure in figures:
        for axis in figure.axes:
            labels = axis.get_xticklabels()
            extents = [x.get_window_extent() for x in labels if x.get_text()]
            if all(x.get_rotation() and x.get_ha() == "right" for x in labels):
                continue
            for one, other in zip(extents, extents[1:]):
                assert not one.overlaps(other)


def test_numbers_are_light_on_dark_and_dark_on_light():
    task, truth = TASKS["attributes"]
    *_, figure = figures_of(task, truth)
    for text in figure.axes[0].texts:
        dark = float(text.get_text()) > 3
        # Numbers are rounded where they are shown.
        if abs(float(text.get_text()) - 3) > 0.01:
            assert text.get_color() == ("white" if dark else "black")


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_has_figures_of_the_conditions_that_there_are(kind):
    task = make_task(kind)
    made = random_predictions(task)
    assert plots.figures_of_test(task, made)
    assert plots.figures_of_test(task, {"bursts": made["audio_visual"]})


@pytest.mark.parametrize("kind", KINDS)
def test_details_have_figures_where_there_are_any(kind):
    task = make_task(kind)
    made = random_predictions(task)
    entries = {f"clip{i}": {"gender": "fm"[i % 2]} for i in range(12)}
    details = collect_details(made, made, task, entries, num_samples=9)
    figures = figures_of_details(task, details)
    is_classes = kind in ("categories", "votes")
    assert ("reliability" in figures) == is_classes
    labels = figures["subgroups"].axes[0].get_yticklabels()
    labelled = task.has_label(np.array(made["audio_only"].truth))
    assert [x.get_text() for x in labels] == [
        f"gender {name}: {labelled[i::2].sum()} clips"
        for i, name in enumerate("fm")
    ]
    assert figures_of_details(task, {}) == {}


def test_a_network_without_cross_attention_has_no_panel_for_it():
    task = make_task("categories")
    made = random_predictions(task)
    figure = plots.prediction("clip1", made, task, None)
    assert len(figure.axes) == 1


def test_an_emotion_that_is_not_there_has_no_bar():
    figure = plots.bars({"audio_only": np.array([0.5, np.nan])}, "ab", "F1")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [0.5, 0.0]
