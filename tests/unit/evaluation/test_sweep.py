"""Predictions of a sweep, and the curves that they make."""

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.augment.frame_loss import LostStretch
from auxformer_lobes.evaluation.missing_modality import curve_values
from auxformer_lobes.evaluation.sweep import (
    NOTHING,
    SEVERITIES,
    Sweep,
    lose_modalities,
    plan_passes,
)
from auxformer_lobes.utils.modalities import MODALITIES
from tests.unit.small_tasks import make_task, random_clips

DRAWS = 2


def make_sweep(task, modalities=MODALITIES, clips=12, **options):
    """A sweep whose outputs are random, other ones in each pass."""
    passes = [*plan_passes(modalities, DRAWS, **options)]
    truth, _ = random_clips(task, clips, gaps=False)
    outputs = [random_clips(task, clips, i)[1] for i in range(len(passes))]
    return Sweep(
        [f"clip{i}" for i in range(clips)],
        [f"speaker{i % 3}" for i in range(clips)],
        truth,
        np.ones((clips, 2), bool),
        DRAWS,
        passes,
        np.array([loss.severity for loss in passes]),
        {
            head: np.array(outputs, np.float32)
            for head in ("combined", "main", "late_fusion")
        },
    )


@pytest.fixture(scope="module")
def task():
    return make_task("categories")


@pytest.fixture(scope="module")
def sweep(task):
    return make_sweep(task)


def test_each_curve_starts_with_nothing_lost(task, sweep):
    task_metric = task.metrics[0]
    start = sweep.outputs["combined"][sweep.passes.index(NOTHING)]
    statistics = task.sufficient_statistics(sweep.truth, start)
    expected = task.compute_metrics(statistics.sum(0))[0][task_metric]
    for kind in SEVERITIES:
        for modality in ("audio", "visual", "both"):
            cell = sweep.cells(task, kind, modality)["combined"]
            values = curve_values(task, cell)
            assert values.shape == (len(SEVERITIES[kind]),)
            assert values[0] == pytest.approx(expected)


def test_curves_of_one_modality_end_alike(task, sweep):
    for modality in MODALITIES:
        ends = [
            sweep.cells(task, kind, modality)["main"].statistics[:, :, -1]
            for kind in SEVERITIES
        ]
        end = sweep.end(task, modality).statistics
        for of_kind in ends:
            assert of_kind.shape[1] == DRAWS
            np.testing.assert_allclose(of_kind, end[:, None].repeat(DRAWS, 1))


def test_a_clip_has_the_prediction_of_what_it_has_left(sweep):
    audio, visual, nothing = (
        sweep.outputs["main"][
            next(
                i
                for i, loss in enumerate(sweep.passes)
                if (loss.modality, loss.severity) == key
            )
        ]
        for key in (("audio", 1), ("visual", 1), ("both", 0))
    )
    for severity, _, measured, outputs in sweep.points("whole", "both"):
        rows = outputs["main"]
        lost_audio, lost_visual, kept = (
            (rows == of).all(1) for of in (audio, visual, nothing)
        )
        assert (lost_audio ^ lost_visual ^ kept).all()
        assert measured == pytest.approx(1 - kept.mean())
        assert measured == pytest.approx(severity, abs=0.5 / len(rows))


def test_what_is_drawn_is_drawn_as_often_as_asked(sweep):
    points = [*sweep.points("bursts", "audio")]
    draws = [draw for _, draw, _, _ in points]
    assert draws == [None, *[0, 1] * 4, None]
    # Which of both modalities a clip loses is drawn even at the end.
    assert [d for _, d, _, _ in sweep.points("whole", "both")][-2:] == [0, 1]
    assert [d for _, d, _, _ in sweep.points("whole", "audio")][-1] is None


CLIPS = st.lists(
    st.sampled_from([(True, True), (True, False), (False, True)]),
    min_size=1,
    max_size=20,
)


@given(CLIPS, st.floats(0, 1), st.integers(0, 9))
def test_no_clip_loses_both_and_the_share_is_met(present, share, seed):
    present = np.array(present)
    draws = np.random.default_rng(seed).random((len(present), 2))
    for modality in ("audio", "visual", "both"):
        lost = lose_modalities(draws, present, modality, share)
        assert not lost.all(1).any()
        assert lost.any(1).sum() == round(share * len(present))
        more = lose_modalities(draws, present, modality, min(1, share + 0.2))
        assert (lost <= more).all()
    # "both": nothing is left of no clip.
    assert (present & ~lost).any(1).all()


def test_a_network_on_one_modality_loses_that_one(task):
    sweep = make_sweep(task, ["visual"], kinds=[LostStretch])
    assert sweep.modalities == ["visual"]
    assert sweep.kinds == ["whole", "stretch"]
    for kind in sweep.kinds:
        assert sweep.cells(task, kind, "visual")


def test_what_is_saved_makes_the_same_curves(task, sweep, tmp_path):
    with open(tmp_path / "missing.npz", "wb") as file:
        sweep.save(file)
    loaded = Sweep.load(tmp_path / "missing.npz")
    assert [*loaded.outputs] == ["combined", "late_fusion"]
    assert loaded.passes == sweep.passes and loaded.clips == sweep.clips
    for kind in SEVERITIES:
        a, b = (x.cells(task, kind, "both") for x in (sweep, loaded))
        np.testing.assert_array_equal(
            a["combined"].statistics, b["combined"].statistics
        )


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N."])
def test_a_damaged_file_is_a_value_error(tmp_path, content):
    (tmp_path / "missing.npz").write_bytes(content)
    with pytest.raises(ValueError):
        Sweep.load(tmp_path / "missing.npz")
