import torch
from hypothesis import (
    given,
    strategies as st,
)
from torch.testing import assert_close

from auxformer_lobes.nnet.shortcut import (
    ClipNorm,
    StatisticsShortcut,
    frame_statistics,
)

HEADS = {"main": ("audio", "visual"), "audio": ("audio",)}


def draw(batch, time, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, channels, generator=generator)


def trained(**options):
    """A shortcut that is no longer zero, in evaluation mode."""
    shortcut = StatisticsShortcut(
        {"audio": 4, "visual": 3}, HEADS, 2, **options
    )
    for i, output in enumerate(shortcut.outputs.values()):
        output.weight.data = draw(1, *output.weight.shape, seed=i)[0]
    streams = {
        "audio": (3 + 2 * draw(16, 9, 4), torch.full((16,), 9), None),
        "visual": (draw(16, 6, 3), torch.full((16,), 6), None),
    }
    for _ in range(50):
        shortcut(streams)
    return shortcut.eval()


@given(
    lost=st.lists(st.booleans(), min_size=7, max_size=7),
    padding=st.integers(0, 3),
)
def test_statistics_are_those_of_the_frames_that_are_there(lost, padding):
    x = draw(1, 7, 3)
    mask = ~torch.tensor([lost])
    there = x[:, mask[0]]
    padded = torch.nn.functional.pad(
        x.masked_fill(~mask[..., None], 9), (0, 0, 0, padding), value=7.0
    )
    mask = torch.nn.functional.pad(mask, (0, padding), value=True)
    found, has = frame_statistics(padded, torch.tensor([7]), mask)
    assert has.tolist() == [there.shape[1] > 0]
    if has:
        expected = torch.cat([there.mean(1), there.std(1, correction=0)], 1)
        assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_new_shortcut_adds_nothing():
    shortcut = StatisticsShortcut({"audio": 4, "visual": 3}, HEADS, 2)
    frames = torch.tensor([9, 4])
    streams = {
        "audio": (draw(2, 9, 4), frames, None),
        "visual": (draw(2, 9, 3), frames, None),
    }
    for logits in shortcut(streams).values():
        assert_close(logits, torch.zeros(2, 2))


def test_a_missing_modality_adds_nothing():
    shortcut = trained()
    audio = (draw(2, 9, 4), torch.tensor([9, 9]), None)
    frames = torch.tensor([6, 0])
    one, other = (
        shortcut(
            {"audio": audio, "visual": (draw(2, 6, 3, seed), frames, None)}
        )["main"]
        for seed in (1, 2)
    )
    assert_close(one[1], other[1])
    assert (one[0] - other[0]).abs().max() > 0.1


def test_statistics_of_a_few_frames_do_not_run_away():
    shortcut = trained()
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, 4] = True
    one_frame = (100 * draw(1, 9, 4), torch.tensor([9]), mask)
    nothing = (draw(1, 6, 3), torch.tensor([0]), None)
    logits = shortcut({"audio": one_frame, "visual": nothing})["audio"]
    weights = shortcut.outputs["audio"].weight
    bound = 4 * weights.abs().sum(1) * 2000 / weights.shape[1]
    assert (logits.abs() <= bound + 1e-3).all()


def test_clips_without_the_modality_do_not_count_in_training():
    shortcut = StatisticsShortcut({"audio": 4, "visual": 3}, HEADS, 2)
    visual = (draw(4, 6, 3), torch.tensor([6, 6, 6, 6]), None)
    audio = draw(4, 9, 4)
    audio[3] = 1e6
    shortcut(
        {"audio": (audio, torch.tensor([9, 9, 9, 0]), None), "visual": visual}
    )
    assert shortcut.norms["audio"].mean.abs().max() < 10


def test_a_batch_of_one_clip_can_be_trained_on():
    shortcut = StatisticsShortcut({"audio": 4, "visual": 3}, HEADS, 2)
    frames = torch.tensor([5])
    streams = {
        "audio": (draw(1, 5, 4), frames, None),
        "visual": (draw(1, 5, 3), frames, None),
    }
    logits = shortcut(streams)["main"]
    logits.sum().backward()
    assert logits.isfinite().all()


def test_it_standardises_as_batch_normalisation_does():
    ours, theirs = ClipNorm(3), torch.nn.BatchNorm1d(3, affine=False)
    everyone = torch.ones(16, dtype=torch.bool)
    for seed in range(5):
        x = draw(1, 16, 3, seed)[0]
        assert_close(ours(x, everyone), theirs(x), atol=1e-5, rtol=1e-5)
    x = draw(1, 16, 3, 9)[0]
    found = ours.eval()(x, everyone)
    assert_close(found, theirs.eval()(x), atol=1e-5, rtol=1e-5)
