"""Normalisation by statistics of the training clips."""

import numpy as np
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.nnet.normalization import FeatureNorm
from auxformer_lobes.utils.errors import UserError


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    offset=st.sampled_from([0.0, 1.0, -1e4]),
    seed=st.integers(0, 99),
)
def test_statistics_are_those_of_all_frames_together(lengths, offset, seed):
    rng = np.random.default_rng(seed)
    clips = [rng.normal(offset, 2, (n, 3)).astype(np.float32) for n in lengths]
    norm = FeatureNorm(dim=3)
    norm.fit(torch.from_numpy(clip) for clip in clips)
    frames = np.concatenate(clips).astype(float)
    assert norm.count == len(frames)
    assert np.allclose(norm.mean, frames.mean(0), rtol=1e-6, atol=1e-6)
    assert np.allclose(norm.std, frames.std(0), rtol=1e-6, atol=1e-12)


def test_normalised_training_frames_have_mean_0_and_deviation_1():
    clips = [torch.randn(50, 4) * 3 + 100 for _ in range(5)]
    norm = FeatureNorm(dim=4, clip=None)
    norm.fit(clips)
    frames = norm(torch.cat(clips))
    assert frames.mean(0).abs().max() < 1e-4
    assert (frames.std(0, unbiased=False) - 1).abs().max() < 1e-4


def test_a_channel_that_was_constant_gives_zero():
    norm = FeatureNorm(dim=2, clip=None)
    norm.fit([torch.tensor([[0.1, 0.0]]).repeat(1000, 1)])
    assert (norm(torch.tensor([[0.1, 0.0], [5.0, 5.0]])) == 0).all()


def test_outlying_values_are_clipped_where_asked():
    training = [torch.tensor([[-1.0], [1.0]])]
    values = torch.tensor([[-9.0], [0.5], [9.0]])
    for clip, expected in [(2, [-2, 0.5, 2]), (None, [-9, 0.5, 9])]:
        norm = FeatureNorm(dim=1, clip=clip)
        norm.fit(training)
        assert norm(values).flatten().tolist() == expected


def test_the_statistics_are_saved_with_the_model():
    norm = FeatureNorm(dim=3)
    assert not norm.fitted
    norm.fit([torch.randn(9, 3) + 5])
    loaded = FeatureNorm(dim=3)
    loaded.load_state_dict(norm.state_dict())
    assert loaded.fitted
    batch = torch.randn(2, 5, 3)
    assert torch.equal(loaded(batch), norm(batch))


def test_nothing_to_learn_from_is_told():
    with pytest.raises(UserError, match="no training clip has features"):
        FeatureNorm(dim=3).fit([])
