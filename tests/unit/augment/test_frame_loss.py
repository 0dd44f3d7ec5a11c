"""Frames that are lost: as many as asked, where they may be lost."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.frame_loss import (
    FRAME_LOSSES,
    LostBursts,
    LostFrames,
    LostStretch,
)
from auxformer_lobes.augment.missing import Stream
from auxformer_lobes.experiments.hparams import load_hparams, parse_arguments
from auxformer_lobes.utils.errors import UserError

KINDS = pytest.mark.parametrize("kind", FRAME_LOSSES)
RATE = 25.0


def streams(masks, rate=RATE):
    """The same clips in both modalities, which frames of them are there."""
    mask = torch.tensor(masks, dtype=torch.bool)
    rates = torch.full((len(mask),), rate)
    stream = Stream(
        torch.zeros(*mask.shape, 1), torch.ones(len(mask)), mask, rates
    )
    return {"audio": stream, "visual": stream}


def lost(condition, masks, clips=None, modality="audio"):
    """Which of the frames that were there are lost, `[clips, time]`."""
    given = streams(masks)
    clips = clips or [f"clip{i}" for i in range(len(masks))]
    left = condition.eval()(given, clips)[modality].mask
    assert not (left & ~given[modality].mask).any()
    return (given[modality].mask & ~left).numpy()


def runs_of(row):
    """Lengths of the runs of lost frames."""
    return [len([*run]) for is_lost, run in itertools.groupby(row) if is_lost]


MASKS = st.lists(
    st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=4
)


@KINDS
@settings(deadline=None, max_examples=30)
@given(masks=MASKS, severity=st.floats(0, 1), seed=st.integers(0, 99))
def test_only_frames_that_are_there_are_lost_and_all_or_none_exactly(
    kind, masks, severity, seed
):
    lost(kind(severity, seed=seed), masks)
    assert not lost(kind(0, seed=seed), masks).any()
    assert (lost(kind(1.0, seed=seed), masks) == np.array(masks)).all()


@KINDS
@settings(deadline=None, max_examples=30)
@given(masks=MASKS, severity=st.floats(0, 1), padding=st.integers(0, 9))
def test_what_is_lost_depends_on_neither_padding_nor_batch(
    kind, masks, severity, padding
):
    condition = kind(severity, seed=1)
    together = lost(condition, [row + [False] * padding for row in masks])
    for i, row in enumerate(masks):
        alone = lost(condition, [row], [f"clip{i}"])
        assert (alone[0] == together[i, : len(row)]).all()
    assert not together[:, len(masks[0]) :].any()


@KINDS
def test_each_clip_modality_and_seed_has_draws_of_its_own(kind):
    masks = [[True] * 200] * 2
    both = kind(0.5)
    audio = lost(both, masks)
    assert (audio[0] != audio[1]).any()
    assert (audio != lost(both, masks, modality="visual")).any()
    assert (audio != lost(kind(0.5, seed=1), masks)).any()
    assert (audio == lost(both, masks)).all()
    # A modality loses the same frames, whether the other one loses some.
    one = kind(0.5, "audio")
    assert (audio == lost(one, masks)).all()
    assert not lost(one, masks, modality="visual").any()


@KINDS
def test_in_training_each_batch_is_drawn_anew(kind):
    given, condition = streams([[True] * 200]), kind(0.5).train()
    torch.manual_seed(0)
    first, second = (condition(given, ["a"])["audio"].mask for _ in range(2))
    assert not torch.equal(first, second)


@KINDS
@pytest.mark.parametrize("severity", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("frames", [1, 7, 100])
def test_the_share_that_is_lost_is_what_was_asked(kind, severity, frames):
    clips = max(2000 // frames, 60)
    condition = kind(severity, "audio")
    shares = lost(condition, [[True] * frames] * clips).mean(1)
    # Five standard errors over clips.
    error = 5 * shares.std(ddof=1) / math.sqrt(clips)
    assert shares.mean() == pytest.approx(severity, abs=max(error, 1e-9))


def test_bursts_last_as_long_as_asked():
    frames = lost(LostBursts(0.3, burst=0.2), [[True] * 2000] * 20)
    lengths = [n for row in frames for n in runs_of(row)]
    # 0.2 s are 5 frames; a geometric distribution, about 2400 bursts.
    assert np.mean(lengths) == pytest.approx(5, abs=0.5)
    assert np.mean(np.array(lengths) == 1) == pytest.approx(1 / 5, abs=0.05)


def test_a_burst_is_a_frame_at_least_and_a_frame_is_kept_between_two():
    one = lost(LostBursts(0.2, burst=0.001), [[True] * 1000])[0]
    assert {*runs_of(one)} == {1}
    # Nine in ten frames lost: gaps of one frame, bursts of nine.
    most = lost(LostBursts(0.9, burst=0.001), [[True] * 5000])[0]
    assert {*runs_of(~most)} == {1}
    assert np.mean(runs_of(most)) == pytest.approx(9, abs=2)


def test_frames_lost_at_a_severity_stay_lost_at_a_higher_one():
    some, more = (lost(LostFrames(s), [[True] * 500]) for s in (0.3, 0.6))
    assert (some <= more).all()


@given(st.floats(0, 1), st.integers(1, 60), st.integers(0, 9))
def test_a_stretch_is_one_piece(severity, frames, seed):
    rng = np.random.default_rng(seed)
    row = LostStretch(severity).draw(frames, math.nan, rng)
    assert len(row) == frames and len(runs_of(row)) <= 1
    assert abs(row.sum() - severity * frames) < 1


def test_a_stretch_may_be_anywhere():
    rows = lost(LostStretch(0.5), [[True] * 4] * 100)
    assert {*rows.argmax(1)} == {0, 1, 2}


def test_bursts_of_a_clip_without_a_duration_are_one_line():
    given, clips = streams([[True] * 9], rate=math.nan), ["a"]
    with pytest.raises(UserError, match="bursts_both_0.5: clip a: .* duration"):
        LostBursts(0.5).eval()(given, clips)
    for other in (LostFrames(0.5), LostStretch(0.5), LostBursts(1)):
        other.eval()(given, clips)


@pytest.mark.parametrize(
    "options, message",
    [
        ("severity: 1.2", "severity 1.2: a share of the frames, from 0 to 1"),
        ("severity: much", "severity 'much': a share"),
        ("severity: .nan", "severity nan: a share"),
        ("{severity: 0.2, modality: video}", "modality 'video': choose among"),
        ("{severity: 0.2, burst: 0}", "burst 0: a number of seconds, above 0"),
    ],
)
def test_bad_arguments_in_a_recipe_are_one_line(tmp_path, options, message):
    (tmp_path / "train.yaml").write_text(
        "output_folder: results\n"
        "train_condition: !new:auxformer_lobes.augment.frame_loss.LostBursts\n"
        f"    {options}\n"
    )
    arguments = parse_arguments([str(tmp_path / "train.yaml")])
    with pytest.raises(SystemExit) as caught:
        load_hparams(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
