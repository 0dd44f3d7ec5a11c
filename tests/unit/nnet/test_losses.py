"""The loss that the three heads share, and what a head costs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import (
    assume,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.nnet import losses
from auxformer_lobes.nnet.losses import (
    BinaryCrossEntropy,
    ConcordanceLoss,
    CrossEntropy,
    GradientBlending,
    SharedLoss,
)
from auxformer_lobes.utils.errors import UserError

HEADS = ("main", "audio", "visual")
LABELS = torch.tensor([0, 5, 2, 2])
VOTES = torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
# A criterion each, with targets for it.
CRITERIA = {
    "classes": (CrossEntropy(), LABELS),
    "votes": (CrossEntropy(), VOTES / VOTES.sum(1, keepdim=True)),
    "binary": (BinaryCrossEntropy(), VOTES.round()),
    "attributes": (ConcordanceLoss(), VOTES),
}
criteria = pytest.mark.parametrize(
    "criterion, targets", CRITERIA.values(), ids=CRITERIA
)


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return dict(zip(HEADS, torch.randn(3, 4, 6, generator=generator)))


def test_each_head_has_a_third_by_default(logits):
    loss = SharedLoss()(logits, LABELS)
    assert loss.total == pytest.approx((sum(loss.heads.values()) / 3).item())


def test_a_head_costs_cross_entropy_by_default(logits):
    expected = F.cross_entropy(logits["audio"], LABELS)
    torch.testing.assert_close(
        SharedLoss()(logits, LABELS).heads["audio"], expected
    )


@criteria
def test_weights_are_the_heads_own(logits, criterion, targets):
    shared = SharedLoss({"main": 1.0, "audio": 0.0, "visual": 2.0}, criterion)
    loss = shared(logits, targets)
    expected = criterion(logits["main"], targets)
    expected = expected + 2 * criterion(logits["visual"], targets)
    torch.testing.assert_close(loss.total, expected)


@criteria
def test_a_head_learns_from_the_samples_to_which_it_contributes(
    logits, criterion, targets
):
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]] * 2, dtype=torch.bool)
    loss = SharedLoss(criterion=criterion)(logits, targets, mask)
    torch.testing.assert_close(
        loss.heads["visual"], criterion(logits["visual"][1::2], targets[1::2])
    )
    torch.testing.assert_close(
        loss.heads["audio"], criterion(logits["audio"], targets)
    )
    torch.testing.assert_close(
        loss.heads["main"], criterion(logits["main"], targets)
    )


@criteria
def test_a_head_that_contributes_to_no_sample_costs_nothing(
    logits, criterion, targets
):
    logits = {head: x.clone().requires_grad_() for head, x in logits.items()}
    mask = torch.tensor([[True, True, False]] * 4)
    loss = SharedLoss(criterion=criterion)(logits, targets, mask)
    loss.total.backward()
    assert loss.heads["visual"] == 0
    assert logits["visual"].grad.abs().max() == 0
    assert logits["audio"].grad.abs().max() > 0


def test_weights_of_other_heads_are_refused(logits):
    with pytest.raises(UserError, match="shared_loss: weights of main, video"):
        SharedLoss({"main": 1.0, "video": 1.0})(logits, LABELS)


def test_labels_may_have_a_column_of_their_own(logits):
    """As they come out of a batch."""
    torch.testing.assert_close(
        SharedLoss()(logits, LABELS[:, None]), SharedLoss()(logits, LABELS)
    )


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 1.0, 1.0, 0.5]])
def test_votes_of_one_class_cost_what_the_class_costs(logits, weights):
    loss = CrossEntropy(class_weights=weights, label_smoothing=0.1)
    votes = F.one_hot(LABELS, 6).float()
    for x in logits.values():
        torch.testing.assert_close(loss(x, votes), loss(x, LABELS))


def test_votes_cost_the_mean_over_what_the_raters_say(logits):
    votes = torch.full((4, 6), 1 / 6)
    expected = -logits["main"].log_softmax(-1).mean()
    torch.testing.assert_close(CrossEntropy()(logits["main"], votes), expected)


def test_class_weights_and_label_smoothing_are_torchs(logits):
    weights = [1.0, 2.0, 3.0, 1.0, 1.0, 0.5]
    loss = CrossEntropy(class_weights=weights, label_smoothing=0.1)
    expected = F.cross_entropy(
        logits["audio"],
        LABELS,
        weight=torch.tensor(weights),
        label_smoothing=0.1,
    )
    torch.testing.assert_close(loss(logits["audio"], LABELS), expected)


def test_binary_cross_entropy_is_torchs_summed_over_the_classes(logits):
    targets = VOTES.round()
    expected = 6 * F.binary_cross_entropy(logits["main"].sigmoid(), targets)
    torch.testing.assert_close(
        BinaryCrossEntropy()(logits["main"], targets), expected
    )


def concordance(x, y):
    """Lin's coefficient from numpy's covariance, an independent formula."""
    covariance = np.cov(x, y, bias=True)
    away = (np.mean(x) - np.mean(y)) ** 2
    return 2 * covariance[0, 1] / (covariance.trace() + away)


# Half of the scale of attributes beyond its ends, too.
NUMBERS = st.integers(-50, 150).map(lambda x: x / 100)
CLIPS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=20)


@settings(deadline=None, max_examples=50)
@given(CLIPS)
def test_concordance_is_that_of_another_formula(clips):
    assume(np.ptp(clips) > 0)
    x, y = torch.tensor(clips).T[:, :, None]
    loss = ConcordanceLoss()(x, y).item()
    # Squares of float32 numbers up to 2, over the least spread that there is
    # here, 1e-5.
    expected = 1 - concordance(*np.array(clips).T)
    assert loss == pytest.approx(expected, abs=1e-2)
    loss = ConcordanceLoss()(x.double(), y.double()).item()
    # 1 / count is float32.
    assert loss == pytest.approx(expected, abs=1e-5)


def batch(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, *shape, generator=generator)


def test_attributes_weigh_the_same_or_as_asked():
    x, y = batch(9, 3)
    each = torch.stack(
        [ConcordanceLoss()(x[:, [i]], y[:, [i]]) for i in (0, 1, 2)]
    )
    torch.testing.assert_close(ConcordanceLoss()(x, y), each.mean())
    weights = [1.0, 0.0, 3.0]
    expected = (each[0] + 3 * each[2]) / 4
    torch.testing.assert_close(ConcordanceLoss(weights)(x, y), expected)


def test_what_is_not_known_is_left_out_of_its_attribute_only():
    x, y = batch(9, 3)
    gap = y.clone()
    gap[2:5, 1] = float("nan")
    known = [0, 1, 5, 6, 7, 8]
    loss = ConcordanceLoss()
    expected = loss(x[:, [0]], y[:, [0]]) + loss(x[:, [2]], y[:, [2]])
    expected = (expected + loss(x[known][:, [1]], y[known][:, [1]])) / 3
    x.requires_grad_()
    cost = loss(x, gap)
    torch.testing.assert_close(cost, expected)
    cost.backward()
    assert (x.grad[2:5, 1] == 0).all() and x.grad.isfinite().all()


def test_an_attribute_that_less_than_two_clips_have_is_not_in_the_mean():
    x, y = batch(4, 2)
    gap = y.clone()
    gap[1:, 1] = float("nan")
    for y[:, 1] in (gap[:, 1], torch.full((4,), float("nan"))):
        loss = ConcordanceLoss([1.0, 5.0])
        torch.testing.assert_close(
            loss(x, y), ConcordanceLoss()(x[:, [0]], y[:, [0]])
        )


@pytest.mark.parametrize(
    "x, y",
    [
        (torch.rand(1, 3), torch.rand(1, 3)),
        (torch.rand(4, 3), torch.full((4, 3), float("nan"))),
    ],
    ids=["a batch of one", "nothing known"],
)
def test_what_says_nothing_costs_nothing(x, y):
    x.requires_grad_()
    loss = ConcordanceLoss()(x, y)
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()


def test_of_a_batch_of_one_the_error_counts():
    x, y = torch.tensor([[0.1, 0.9]]), torch.tensor([[0.5, float("nan")]])
    assert ConcordanceLoss(mse_weight=2.0)(x, y) == pytest.approx(2 * 0.4**2)


@pytest.mark.parametrize("predicted", [0.3, 0.7, "varies"])
@pytest.mark.parametrize("true", [0.3, 0.7, "varies"])
def test_constant_batches_are_no_trouble(predicted, true):
    x, y = batch(8, 2)
    x = x if predicted == "varies" else torch.full_like(x, predicted)
    y = y if true == "varies" else torch.full_like(y, true)
    x.requires_grad_()
    loss = ConcordanceLoss()(x, y)
    loss.backward()
    assert 0 <= loss <= 2
    # A concordance of 0, where one of both does not vary.
    if "varies" != predicted or "varies" != true:
        # Sums of eight float32 products.
        assert loss.item() == pytest.approx(1, abs=1e-6)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("width", [1e-6, 1e-4, 1e-2])
def test_gradients_of_nearly_constant_batches_are_finite(width):
    x, y = batch(8, 2) * width + 0.5
    x.requires_grad_()
    loss = ConcordanceLoss()(x, y)
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all()


def test_gradients_are_those_of_the_formula():
    x, y = batch(6, 2).double()
    y[1, 0] = float("nan")
    torch.autograd.gradcheck(
        ConcordanceLoss([1.0, 2.0]), (x.requires_grad_(), y)
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(2, 12))
def test_downhill_is_more_concordance(seed, count):
    x, y = batch(count, 3, seed=seed).double()
    x.requires_grad_()
    loss = ConcordanceLoss()(x, y)
    loss.backward()
    step = 1e-4 / x.grad.norm()
    better = (x - step * x.grad).detach()
    before, after = (
        np.mean([concordance(*pair) for pair in zip(z.T.numpy(), y.T.numpy())])
        for z in (x.detach(), better)
    )
    assert after > before


def test_some_square_error_is_added_as_asked():
    x, y = batch(9, 3)
    y[2:5, 1] = float("nan")
    known = ~y.isnan()
    square = torch.stack(
        [F.mse_loss(x[k, i], y[k, i]) for i, k in enumerate(known.T)]
    )
    expected = ConcordanceLoss()(x, y) + 0.5 * square.mean()
    torch.testing.assert_close(ConcordanceLoss(mse_weight=0.5)(x, y), expected)


def test_square_error_holds_a_head_that_knows_nothing():
    """Concordance alone lets it go anywhere."""
    for error, holds in ((0.0, False), (1.0, True)):
        torch.manual_seed(0)
        head = torch.nn.Linear(8, 1)
        optimizer = torch.optim.Adam(head.parameters(), 0.02)
        for _ in range(300):
            loss = ConcordanceLoss(mse_weight=error)(
                head(torch.randn(16, 8)), 0.3 + 0.4 * torch.rand(16, 1)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        outputs = head(torch.randn(500, 8))
        assert ((outputs - 0.5).abs().mean() < 0.3) == holds


def test_a_network_that_goes_downhill_arrives():
    x, y = batch(16, 3)
    x.requires_grad_()
    optimizer = torch.optim.Adam([x], 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ConcordanceLoss()(x, y)
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(x.detach(), y, atol=0.05, rtol=0)
    assert loss < 0.001


def test_half_precision_costs_about_the_same():
    x, y = batch(16, 3)
    loss = ConcordanceLoss()(x.bfloat16(), y)
    assert loss.dtype == torch.float
    # Three digits.
    torch.testing.assert_close(loss, ConcordanceLoss()(x, y), atol=1e-2, rtol=0)


def test_weights_go_where_the_loss_goes():
    loss = SharedLoss(criterion=ConcordanceLoss([1.0, 2.0])).double()
    assert loss.criterion.weights.dtype == torch.double


# Of the main, audio and visual head, at both ends of a super-epoch.
START = ([1.8, 1.7, 1.6], [1.9, 1.8, 1.9])  # training, development
END = ([1.0, 1.5, 1.2], [1.5, 1.7, 2.0])
# ΔG is 0.4, 0.1 and negative; ΔO is 0.4, 0.1 and 0.5. So ΔG / ΔO² is 2.5, 10
# and 0: shares 0.2, 0.8 and 0 of nine tenths, and a tenth for all alike.
BLENDED = {"main": 0.2133333, "audio": 0.7533333, "visual": 0.0333333}


def after(*epochs, **options):
    """A blending that was given the losses of these epochs."""
    loss = GradientBlending(CrossEntropy(), **options)
    for train, valid in epochs:
        loss.end_epoch(dict(zip(HEADS, train)), dict(zip(HEADS, valid)))
    return loss


def weights_of(loss, logits):
    """The share of each head in the total."""
    zero = {head: torch.zeros_like(x) for head, x in logits.items()}
    # Zeros cost log 6; a head of twice these logits costs something else.
    shares = {}
    for head in HEADS:
        one = {**zero, head: logits[head]}
        parts = loss(one, LABELS)
        rest = parts.heads["main" if head != "main" else "audio"]
        change = parts.heads[head] - rest
        shares[head] = ((parts.total - rest) / change).item()
    return shares


def test_weights_are_generalisation_over_overfitting_squared(logits):
    loss = after(START, END, super_epoch=1)
    assert loss.weights == pytest.approx(BLENDED, abs=1e-6)
    assert weights_of(loss, logits) == pytest.approx(BLENDED, abs=1e-4)
    unspread = after(START, END, super_epoch=1, equal_share=0.0)
    expected = {"main": 0.2, "audio": 0.8, "visual": 0.0}
    assert unspread.weights == pytest.approx(expected)


def test_weights_are_equal_in_evaluation(logits):
    loss = after(START, END, super_epoch=1).eval()
    expected = SharedLoss()(logits, LABELS).total
    torch.testing.assert_close(loss(logits, LABELS).total, expected)
    assert loss.weights == pytest.approx(BLENDED, abs=1e-6)


def test_weights_change_at_the_ends_of_super_epochs_only(logits):
    between = ([1.4, 1.6, 1.4], [9.0, 0.1, 1.0])
    equal = pytest.approx(dict.fromkeys(HEADS, 1 / 3), abs=1e-4)
    assert weights_of(after(START), logits) == equal
    assert weights_of(after(START, between, super_epoch=2), logits) == equal
    loss = after(START, between, END, super_epoch=2)
    assert loss.weights == pytest.approx(BLENDED, abs=1e-6)
    loss = after(START, between, END, between, super_epoch=2)
    assert loss.weights == pytest.approx(BLENDED, abs=1e-6)


def test_a_head_that_does_not_overfit_has_a_weight_that_is_finite():
    # All as far in training as in development: ΔO counts as 0.01.
    end = ([1.7, 1.5, 1.4], [1.8, 1.6, 1.7])
    loss = after(START, end, super_epoch=1, equal_share=0.0)
    expected = {"main": 0.2, "audio": 0.4, "visual": 0.4}
    assert loss.weights == pytest.approx(expected)


@pytest.mark.parametrize("end", [2.5, float("nan")])
def test_weights_are_equal_where_nothing_generalises(end):
    loss = after(START, ([0.5] * 3, [end] * 3), super_epoch=1)
    assert loss.weights == pytest.approx(dict.fromkeys(HEADS, 1 / 3))


def test_a_single_head_has_the_whole_weight():
    loss = GradientBlending(CrossEntropy(), super_epoch=1)
    for train, valid in ((1.0, 1.0), (0.5, 0.8)):
        loss.end_epoch({"audio": train}, {"audio": valid})
    assert loss.weights == pytest.approx({"audio": 1.0})


def test_the_weights_are_part_of_the_state(tmp_path):
    between = ([1.4, 1.6, 1.4], [9.0, 0.1, 1.0])
    told = after(START, END, between, super_epoch=2)
    torch.save(told.state_dict(), tmp_path / "loss.ckpt")
    again = GradientBlending(CrossEntropy(), super_epoch=2)
    again.load_state_dict(torch.load(tmp_path / "loss.ckpt"))
    assert again.weights == told.weights
    for loss in (told, again):
        loss.end_epoch(dict(zip(HEADS, END[0])), dict(zip(HEADS, END[1])))
    assert again.state_dict() == told.state_dict()


def test_processes_that_train_together_have_the_same_weights(monkeypatch):
    """Each is given the losses of its own training batches."""
    monkeypatch.setattr(losses.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(losses.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(losses.dist, "get_rank", lambda: 1)

    def _gather(each, own):
        # The other one's losses differ by as much in training.
        each[0] = own
        each[1] = {h: (train + 0.2, v) for h, (train, v) in own.items()}

    monkeypatch.setattr(losses.dist, "all_gather_object", _gather)
    own = [([x - 0.1 for x in train], v) for train, v in (START, END)]
    loss = after(*own, super_epoch=1)
    assert loss.start["audio"] == pytest.approx((1.5, 1.7))
    assert loss.weights == pytest.approx(BLENDED, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"super_epoch": 0}, {"super_epoch": 2.5}, {"equal_share": 2}]
)
def test_an_impossible_blending_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        GradientBlending(CrossEntropy(), **options)


def test_fixed_weights_are_not_changed_by_an_epoch():
    loss = SharedLoss({"main": 1.0, "audio": 0.5, "visual": 0.0})
    loss.end_epoch(dict.fromkeys(HEADS, 1.0), dict.fromkeys(HEADS, 2.0))
    assert loss.weights == {"main": 1.0, "audio": 0.5, "visual": 0.0}
    assert not loss.state_dict()
