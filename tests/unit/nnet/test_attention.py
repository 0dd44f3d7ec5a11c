"""The kernels of attention compute the same, whatever is hidden."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.nnet import (
    attention as attention_module,
    cpu_attention,
)
from auxformer_lobes.nnet.attention import AttentionMask, MultiheadAttention
from auxformer_lobes.nnet.cpu_attention import cpu_attention as in_blocks
from auxformer_lobes.nnet.dropout import KeptElements


class FixedElements(KeptElements):
    """What is kept is the same in each block: every third key is dropped."""

    def draw(self, size):
        keys = torch.arange(size[1]) % 3 != 0
        return keys[:, None].expand(size).to(torch.uint8)


def plain_attention(query, key, value, visible, kept=None):
    """What `in_blocks` computes, with all weights materialised."""
    scores = key.mT @ query / math.sqrt(query.shape[2])
    weights = scores.masked_fill(~visible.mT, -math.inf).softmax(2)
    if kept is not None:
        size = 1, *weights.shape[2:]
        weights = weights * kept.draw(size) / kept.share
    return value @ weights


def assert_equal_with_gradients(found, expected, inputs, valid, scale):
    torch.testing.assert_close(found * valid, expected * valid)
    generator = torch.Generator().manual_seed(1)
    direction = valid * torch.randn(found.shape, generator=generator)
    gradients = (
        torch.autograd.grad(x, inputs, direction, retain_graph=True)
        for x in (found, expected)
    )
    for ours, theirs in zip(*gradients):
        # Gradients of queries are sums of keys, which are as large.
        atol = 1e-5 * scale
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-4)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that are smaller than what the tests compute."""
    monkeypatch.setattr(cpu_attention, "WEIGHTS", 24)
    monkeypatch.setattr(cpu_attention, "QUERIES", 2)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@settings(max_examples=15, deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=3
    ),
    causal=st.booleans(),
    lost=st.booleans(),
)
def test_blocks_compute_attention_and_its_gradient(
    dropout, scale, frames, causal, lost
):
    """Large scores too, of which exp would overflow."""
    sizes = len(frames), 2, 3
    generator = torch.Generator().manual_seed(0)
    query, key, value = inputs = [
        (factor * torch.randn(*sizes, time, generator=generator))
        for time, factor in ((5, scale), (4, scale), (4, 1.0))
    ]
    for x in inputs:
        x.requires_grad_()
    key_mask = torch.arange(4).expand(len(frames), -1) % 2 == 0
    lengths = torch.tensor(frames).T
    mask = AttentionMask(*lengths, 5, 4, causal, key_mask if lost else None)
    kept = FixedElements(0.25) if dropout else None
    valid = torch.arange(5) < lengths[0][:, None, None, None]
    expected = plain_attention(*inputs, mask.visible, kept)
    for limits in ((2**18, 64), (24, 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cpu_attention, "WEIGHTS", limits[0])
            patch.setattr(cpu_attention, "QUERIES", limits[1])
            found = in_blocks(query, key, value, mask.seen, mask.stops, kept)
            assert found.isfinite().all()
            assert_equal_with_gradients(found, expected, inputs, valid, scale)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("same", ["query, key, value", "key, value", "none"])
@pytest.mark.parametrize("causal", [True, False])
def test_both_kernels_and_materialised_weights_agree(monkeypatch, same, causal):
    torch.manual_seed(0)
    attention = MultiheadAttention(dim=20, num_heads=4)
    x, y, z = torch.randn(3, 2, 6, 20)
    frames = torch.tensor([6, 4])
    inputs = {"query, key, value": (x, x, x), "key, value": (x, y, y)}
    inputs = inputs.get(same, (x, y, z))
    mask = AttentionMask(frames, frames, 6, 6, causal)
    expected, _ = attention(*inputs, mask, return_weights=True)
    valid = torch.arange(6) < frames[:, None]
    for enough in (0, math.inf):
        monkeypatch.setattr(attention_module, "MANY_WEIGHTS", enough)
        found, weights = attention(*inputs, mask)
        assert weights is None
        torch.testing.assert_close(found[valid], expected[valid])


def test_heads_padded_for_a_gpu_change_nothing(monkeypatch):
    torch.manual_seed(0)
    attention = MultiheadAttention(dim=20, num_heads=4)
    x, frames = torch.randn(2, 6, 20), torch.tensor([6, 4])
    mask = AttentionMask(frames, frames, 6, 6, causal=True)
    expected, _ = attention(x, x, x, mask)
    monkeypatch.setitem(attention_module.HEAD_MULTIPLE, "cpu", 8)
    found, _ = attention(x, x, x, mask)
    valid = torch.arange(6) < frames[:, None]
    torch.testing.assert_close(found[valid], expected[valid])


def test_the_bias_of_a_mask_is_aligned_for_fused_kernels():
    frames = torch.tensor([3, 2])
    mask = AttentionMask(frames, frames.clone(), 5, 5, causal=True)
    bias = mask.bias(torch.bfloat16)
    assert bias.shape == (2, 1, 5, 5)
    assert all(stride % 8 == 0 for stride in bias.stride()[:-1])


def test_dropout_of_weights_has_the_mean_of_no_dropout():
    torch.manual_seed(0)
    attention = MultiheadAttention(dim=8, num_heads=2, dropout=0.2)
    x, frames = torch.randn(1, 6, 8), torch.tensor([6])
    mask = AttentionMask(frames, frames, 6, 6, causal=False)
    expected, _ = attention.eval()(x, x, x, mask)
    with torch.no_grad():
        many = x.expand(4000, -1, -1), frames.expand(4000)
        mask = AttentionMask(many[1], many[1], 6, 6, causal=False)
        found, _ = attention.train()(many[0], many[0], many[0], mask)
    assert found.std(0).min() > 0
    torch.testing.assert_close(found.mean(0), expected[0], atol=0.03, rtol=0)


def test_in_half_precision_blocks_compute_in_float32():
    attention = MultiheadAttention(dim=8, num_heads=2, dropout=0.5)
    x, frames = torch.randn(1, 6, 8), torch.tensor([6])
    mask = AttentionMask(frames, frames, 6, 6, causal=False)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attention(x, x, x, mask)
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert F.mse_loss(attention.in_proj.weight.grad, torch.zeros(24, 8)) > 0


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_padding_is_finite_whatever_the_clip_beside_it_has_lost(scale):
    """Its first key may lie beyond what a block computes for the other."""
    frames = torch.tensor([30, 150])
    key_mask = torch.ones(2, 150, dtype=torch.bool)
    key_mask[0, :5] = False
    key_mask[1, 4:] = False
    mask = AttentionMask(frames, frames, 150, 150, True, key_mask)
    attention = MultiheadAttention(dim=10, num_heads=2, dropout=0.1)
    x = (scale * torch.randn(2, 150, 10)).requires_grad_()
    found, _ = attention(x, x, x, mask)
    assert found.isfinite().all()
    found[0, :30].sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_any_precision_train_on_a_cpu(dtype):
    attention = MultiheadAttention(8, 2, dropout=0.1).to(dtype)
    x, frames = torch.randn(1, 6, 8, dtype=dtype), torch.tensor([6])
    mask = AttentionMask(frames, frames, 6, 6, causal=False)
    assert attention(x, x, x, mask)[0].dtype == dtype


def test_all_weights_may_be_dropped():
    attention = MultiheadAttention(8, 2, dropout=1.0)
    x, frames = torch.randn(1, 6, 8), torch.tensor([6])
    mask = AttentionMask(frames, frames, 6, 6, causal=False)
    found, _ = attention(x, x, x, mask)
    torch.testing.assert_close(found, attention.out_proj.bias.expand(1, 6, 8))
