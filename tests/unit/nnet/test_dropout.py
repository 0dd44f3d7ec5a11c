"""Dropout from cheap random numbers is dropout."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.nnet.dropout import Dropout, KeptElements


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9])
def test_the_share_that_is_dropped_and_the_mean(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(400, 500))
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(p, abs=4e-3)  # five deviations
    assert dropped.mean().item() == pytest.approx(1, abs=2e-2)
    assert dropped.unique().numel() == 2


def test_elements_are_independent():
    torch.manual_seed(0)
    kept = KeptElements(0.5).draw([1000, 256]).float() - 0.5
    correlations = kept.T @ kept / 250
    off_diagonal = correlations - torch.diag(correlations.diag())
    assert off_diagonal.abs().max() < 0.2  # six deviations


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-9, 1 - 1e-9), st.integers(0, 9))
def test_any_probability_and_any_size(p, size):
    kept = KeptElements(p)
    assert 0 < kept.share < 1
    assert kept.share == pytest.approx(1 - p, abs=2**-16)
    drawn = kept.draw([size, 3])
    assert drawn.shape == (size, 3)
    assert set(drawn.flatten().tolist()) <= {0, 1}


def test_the_seed_of_torch_decides():
    def draw(seed):
        torch.manual_seed(seed)
        return torch.stack([dropout(torch.ones(99)) for _ in range(2)])

    dropout = Dropout(0.5)
    first = draw(1)
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)
    assert not torch.equal(*first)


def test_the_gradient_is_dropped_alike():
    x = torch.ones(99, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_precision_is_kept(dtype):
    assert Dropout(0.1)(torch.ones(9, dtype=dtype)).dtype == dtype


def test_nothing_or_all():
    x = torch.ones(9)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(1.0)(x).abs().max() == 0
