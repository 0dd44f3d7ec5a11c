"""The loss that the three heads share."""

import pytest
import torch
import torch.nn.functional as F

from auxformer_lobes.losses import SharedLoss
from auxformer_lobes.models.auxformer import Logits


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return Logits(*torch.randn(3, 4, 6, generator=generator))


LABELS = torch.tensor([0, 5, 2, 2])


def test_each_head_has_a_third_by_default(logits):
    loss = SharedLoss()(logits, LABELS)
    assert loss.total == pytest.approx((sum(loss[1:]) / 3).item())


def test_weights_are_the_heads_own(logits):
    loss = SharedLoss(main=1.0, audio=0.0, visual=2.0)(logits, LABELS)
    expected = F.cross_entropy(logits.main, LABELS)
    expected = expected + 2 * F.cross_entropy(logits.visual, LABELS)
    torch.testing.assert_close(loss.total, expected)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 1.0, 1.0, 0.5]])
def test_votes_of_one_class_cost_what_the_class_costs(logits, weights):
    loss = SharedLoss(class_weights=weights, label_smoothing=0.1)
    votes = F.one_hot(LABELS, 6).float()
    torch.testing.assert_close(
        loss(logits, votes).total, loss(logits, LABELS).total
    )


def test_votes_cost_the_mean_over_what_the_raters_say(logits):
    votes = torch.full((4, 6), 1 / 6)
    expected = -logits.main.log_softmax(-1).mean()
    torch.testing.assert_close(SharedLoss()(logits, votes).main, expected)


def test_class_weights_and_label_smoothing_are_torchs(logits):
    weights = [1.0, 2.0, 3.0, 1.0, 1.0, 0.5]
    loss = SharedLoss(class_weights=weights, label_smoothing=0.1)
    expected = F.cross_entropy(
        logits.audio,
        LABELS,
        weight=torch.tensor(weights),
        label_smoothing=0.1,
    )
    torch.testing.assert_close(loss(logits, LABELS).audio, expected)


def test_a_head_is_not_asked_about_what_it_is_not_given(logits):
    present = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 1]], dtype=torch.bool)
    loss = SharedLoss()(logits, LABELS, present)
    expected = F.cross_entropy(logits.visual[1::2], LABELS[1::2])
    torch.testing.assert_close(loss.visual, expected)
    torch.testing.assert_close(
        loss.audio, F.cross_entropy(logits.audio, LABELS)
    )


def test_a_modality_that_nobody_has_costs_nothing(logits):
    logits = Logits(*(x.requires_grad_() for x in logits))
    present = torch.tensor([[True, False]] * 4)
    loss = SharedLoss()(logits, LABELS, present)
    loss.total.backward()
    assert loss.visual == 0
    assert logits.visual.grad.abs().max() == 0
