"""A stream in one vector, whatever it is padded with and has lost."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.nnet.pooling import POOLING, pooling_of


@pytest.fixture(scope="module", params=POOLING)
def pooling(request):
    torch.manual_seed(0)
    return pooling_of(request.param, 4)


@settings(max_examples=30, deadline=None)
@given(
    mask=st.lists(st.booleans(), min_size=1, max_size=6),
    padding=st.lists(st.booleans(), max_size=3),
)
def test_it_is_that_of_the_frames_that_are_there(pooling, mask, padding):
    """The mask may be True in the padding."""
    x = torch.randn(1, len(mask) + len(padding), 4)
    there = torch.tensor([mask])
    found = pooling(
        x, torch.tensor([len(mask)]), torch.tensor([mask + padding])
    )
    kept = x[:, : len(mask)][there][None]
    if there.any():
        expected = pooling(kept, there.sum(1))
    else:
        expected = torch.zeros(1, 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
