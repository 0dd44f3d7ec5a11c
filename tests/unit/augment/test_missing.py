"""What is shut off in training, and who has a say afterwards."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.missing import ModalityDropout, combine_heads
from auxformer_lobes.models.auxformer import Logits

BOTH = torch.ones(20000, 2, dtype=torch.bool)


def test_each_modality_is_shut_off_as_often_as_asked():
    torch.manual_seed(0)
    left = ModalityDropout(audio=0.2, visual=0.3)(BOTH).float().mean(0)
    # Four standard deviations of the share of 20,000 draws.
    torch.testing.assert_close(
        left, torch.tensor([0.8, 0.7]), atol=0.013, rtol=0
    )


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
def test_nothing_is_taken_from_who_has_one_and_never_both(
    present, share, per_batch
):
    present = torch.tensor(present)
    left = ModalityDropout(share, 1 - share, per_batch)(present)
    single = ~present.all(1)
    assert torch.equal(left[single], present[single])
    assert left[~single].any(1).all()


def test_a_batch_draws_once_if_asked():
    torch.manual_seed(1)
    dropout = ModalityDropout(audio=0.4, visual=0.4, per_batch=True)
    draws = [dropout(BOTH[:8]) for _ in range(50)]
    assert all(len(draw.unique(dim=0)) == 1 for draw in draws)
    assert len(torch.cat(draws).unique(dim=0)) == 3


def test_in_evaluation_nothing_is_shut_off():
    dropout = ModalityDropout(audio=0.5, visual=0.5).eval()
    assert torch.equal(dropout(BOTH), BOTH)


@pytest.mark.parametrize("audio, visual", [(0.6, 0.5), (-0.1, 0.2)])
def test_impossible_probabilities_are_refused(audio, visual):
    with pytest.raises(ValueError, match="shut-off probabilities"):
        ModalityDropout(audio, visual)


def test_the_head_of_a_missing_modality_has_no_say():
    logits = Logits(
        *torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1).expand(3, 4, 1)
    )
    present = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    combined = combine_heads(logits, present).flatten()
    torch.testing.assert_close(combined, torch.tensor([3.0, 1.5, 3.5, 1.0]))
    assert torch.equal(combine_heads(logits).flatten(), torch.full((4,), 3.0))
