"""What is lost of a clip, in training and in evaluation."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.missing import (
    CONDITIONS,
    Available,
    Chain,
    Condition,
    ModalityDropout,
    Stream,
    presence,
)

BOTH = torch.ones(20000, 2, dtype=torch.bool)


def streams(present, frames=4):
    """A batch in which some samples lack a modality."""
    return {
        name: Stream(
            torch.rand(len(present), frames, 2),
            torch.ones(len(present)),
            torch.tensor(present)[:, i, None].expand(-1, frames),
            torch.full((len(present),), 25.0),
        )
        for i, name in enumerate(("audio", "visual"))
    }


def test_the_recipes_conditions_are_all_modalities_and_each_alone():
    names = [condition.name for condition in CONDITIONS]
    assert names == ["audio_visual", "audio_only", "visual_only"]
    batch = streams([[True, True], [True, False]])
    left = [presence(c(batch, ["a", "b"])).tolist() for c in CONDITIONS]
    assert left == [
        [[True, True], [True, False]],
        [[True, False], [True, False]],
        [[False, True], [False, False]],
    ]


@pytest.mark.parametrize("modalities", [[], ["video"]])
def test_an_unknown_modality_is_refused(modalities):
    with pytest.raises(ValueError, match="choose among"):
        Available(modalities)


def test_each_modality_is_dropped_as_often_as_asked():
    torch.manual_seed(0)
    kept = ModalityDropout(audio=0.2, visual=0.3).draw(BOTH).float().mean(0)
    # Four standard deviations of the share of 20,000 draws.
    torch.testing.assert_close(
        kept, torch.tensor([0.8, 0.7]), atol=0.013, rtol=0
    )


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_clip_keeps_its_only_modality_and_never_loses_both(
    present, share, per_batch
):
    dropout = ModalityDropout(share, 1 - share, per_batch)
    kept = presence(dropout(streams(present), ["clip"] * len(present)))
    present = torch.tensor(present)
    single = ~present.all(1)
    assert torch.equal(kept[single], present[single])
    assert kept[~single].any(1).all()


def test_a_batch_draws_once_if_asked():
    torch.manual_seed(1)
    dropout = ModalityDropout(audio=0.4, visual=0.4, per_batch=True)
    draws = [dropout.draw(BOTH[:8]) for _ in range(50)]
    assert all(len(draw.unique(dim=0)) == 1 for draw in draws)
    assert len(torch.cat(draws).unique(dim=0)) == 3


def test_in_evaluation_nothing_is_dropped():
    dropout = ModalityDropout(audio=0.5, visual=0.5).eval()
    assert torch.equal(dropout.draw(BOTH), BOTH)


@pytest.mark.parametrize("audio, visual", [(0.6, 0.5), (-0.1, 0.2)])
def test_impossible_probabilities_are_refused(audio, visual):
    with pytest.raises(ValueError, match="probabilities audio"):
        ModalityDropout(audio, visual)


def test_a_condition_draws_by_seed_and_clip_alone_in_evaluation():
    condition = Condition("any", seed=3).eval()
    first = condition.rng("clip", "audio").random()
    assert condition.rng("clip", "audio").random() == first
    for other in (("other", "audio"), ("clip", "visual")):
        assert condition.rng(*other).random() != first
    assert (
        Condition("any", seed=4).eval().rng("clip", "audio").random() != first
    )


def test_a_condition_draws_anew_in_training():
    condition = Condition("any").train()
    torch.manual_seed(0)
    draws = [condition.rng("clip", "audio").random() for _ in range(3)]
    assert len({*draws}) == 3
    torch.manual_seed(0)
    assert condition.rng("clip", "audio").random() == draws[0]


def test_conditions_in_turn_each_lose_their_share_of_the_clips():
    torch.manual_seed(0)
    clips = [f"clip{i}" for i in range(4000)]
    chain = Chain([Available(["audio"]), Available(["visual"])], [0.25, 0.5])
    for made in (chain.train(), chain.eval()):
        kept = presence(made(streams([[True, True]] * 4000), clips)).float()
        # Independent draws: both modalities are lost in an eighth of the clips.
        expected = torch.tensor([0.5, 0.75])
        torch.testing.assert_close(kept.mean(0), expected, atol=0.03, rtol=0)
        none = 1 - kept.amax(1).mean()
        torch.testing.assert_close(none, torch.tensor(0.125), atol=0.03, rtol=0)


def test_which_clips_are_under_a_condition_depends_on_them_alone():
    chain = Chain([Available(["audio"])], [0.5]).eval()
    clips = [f"clip{i}" for i in range(20)]
    whole = presence(chain(streams([[True, True]] * 20), clips))
    half = presence(chain(streams([[True, True]] * 10), clips[10:]))
    assert whole[10:].tolist() == half.tolist()
    assert (
        whole.tolist()
        != presence(chain.train()(streams([[True, True]] * 20), clips)).tolist()
    )


@pytest.mark.parametrize("shares", [[0.5], [0.5, 1.5], [-0.1, 0.5]])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match="one from 0 to 1 for each of the 2"):
        Chain([Available(["audio"]), ModalityDropout()], shares)
