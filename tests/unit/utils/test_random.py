"""Random streams of one seed are those of no other."""

import pytest
import torch
from speechbrain import Stage

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.utils.random import stream_seed


def test_no_two_streams_are_the_same():
    keys = [(s, e, r) for s in range(9) for e in range(9) for r in range(3)]
    assert len({stream_seed(*key) for key in keys}) == len(keys)
    # Nor those that begin with the same keys.
    assert stream_seed(1) != stream_seed(1, 1)


@pytest.fixture
def draw(monkeypatch):
    """Draws a number of an epoch, as training does."""

    def _draw(seed, epoch, rank=0):
        monkeypatch.setenv("RANK", str(rank))
        brain = AuxFormerBrain(hparams={"seed": seed})
        with torch.random.fork_rng(devices=[]):
            brain.on_stage_start(Stage.TRAIN, epoch)
            return torch.rand(()).item()

    return _draw


def test_the_second_epoch_is_not_the_first_of_the_next_seed(draw):
    assert draw(seed=0, epoch=2) != draw(seed=1, epoch=1)
    assert draw(seed=0, epoch=1, rank=1) != draw(seed=1, epoch=1, rank=0)


def test_an_epoch_that_is_resumed_draws_what_it_would_have_drawn(draw):
    assert draw(seed=0, epoch=2) == draw(seed=0, epoch=2)
