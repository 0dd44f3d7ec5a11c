"""A learnable mean of the layers of an encoder."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.nnet.layer_sum import WeightedLayerSum


def tiny(**options):
    """A tiny network on features of three audio and two visual layers."""
    torch.manual_seed(0)
    return AuxFormer(
        audio_dim=3 * 8,
        visual_dim=2 * 6,
        model_dim=4,
        num_heads=2,
        num_layers=1,
        **options,
    ).eval()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(layers=st.integers(1, 6), dim=st.integers(1, 5))
def test_at_first_it_is_the_mean_of_the_layers(layers, dim):
    states = torch.randn(2, 3, layers, dim)
    mixed = WeightedLayerSum(layers)(states.flatten(2))
    assert mixed.shape == (2, 3, dim)
    # Sums in another order.
    assert torch.allclose(mixed, states.mean(2), atol=1e-6)


def test_layers_are_weighed_by_a_softmax():
    mix = WeightedLayerSum(2)
    mix.weights.data = torch.tensor([0.0, 3.0]).log()  # 0 and all
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert mix(x).tolist() == [[[3.0, 4.0]]]


def test_weights_learn_which_layer_counts():
    torch.manual_seed(0)
    mix = WeightedLayerSum(3)
    optimizer = torch.optim.Adam(mix.parameters(), lr=0.1)
    x = torch.randn(4, 10, 3 * 5)
    for _ in range(100):
        optimizer.zero_grad()
        (mix(x) - x[..., 5:10]).square().mean().backward()
        optimizer.step()
    assert mix.weights.softmax(0)[1] > 0.9


def test_the_network_mixes_layers_before_it_projects_them():
    model = tiny(audio_layers=3, visual_layers=2)
    audio, visual = torch.randn(2, 7, 3, 8), torch.randn(2, 5, 2, 6)
    with torch.no_grad():
        logits = model(audio.flatten(2), visual.flatten(2))
        # The same network on means.
        plain = AuxFormer(8, 6, model_dim=4, num_heads=2, num_layers=1).eval()
        missing = plain.load_state_dict(model.state_dict(), strict=False)
        expected = plain(audio.mean(2), visual.mean(2))
    assert missing.unexpected_keys == [
        "audio_layer_sum.weights",
        "visual_layer_sum.weights",
    ]
    assert missing.missing_keys == []
    for head, theirs in expected.items():
        torch.testing.assert_close(logits[head], theirs, atol=1e-6, rtol=1e-5)
    assert model.audio_projection.weight.shape == (4, 8)


def test_the_weights_of_layers_are_trained_with_the_network():
    model = tiny(audio_layers=3, visual_layers=2)
    logits = model(torch.randn(2, 7, 24), torch.randn(2, 5, 12))
    logits["main"].square().sum().backward()
    for mix in (model.audio_layer_sum, model.visual_layer_sum):
        assert mix.weights.grad.abs().max() > 0


def test_a_network_on_one_layer_has_no_weights_of_layers():
    assert not any("mix" in name for name in tiny().state_dict())


def test_features_that_are_not_so_many_layers_are_told():
    with pytest.raises(ValueError, match="audio_dim 24 is not 5 layers"):
        tiny(audio_layers=5)
    with pytest.raises(ValueError, match="visual_dim 12 is not 7 layers"):
        tiny(visual_layers=7)
