"""What holds of every task, whatever it predicts."""

import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.evaluation.metrics import bootstrap_metrics
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import (
    KINDS,
    labels_of,
    make_task,
    perfect_outputs,
    random_clips,
    random_entries,
)

kinds = pytest.mark.parametrize("kind", KINDS)


def measure(task, truth, outputs):
    """All that a task returns for these clips, in one list."""
    overall, details = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    assert [*overall] == [*task.metrics]
    assert {*details} == {*task.details, "support"}
    return [*overall.values(), *np.concatenate([*details.values()])]


@kinds
def test_a_head_learns_from_the_labels_of_the_manifest(kind):
    task = make_task(kind)
    targets, _ = labels_of(task, random_entries(8, gaps=False))
    logits = torch.zeros(8, task.num_outputs, requires_grad=True)
    before = task.criterion(logits, targets)
    before.backward()
    after = task.criterion(logits - 0.01 * logits.grad, targets)
    assert after < before


@kinds
def test_right_predictions_have_the_best_metrics(kind):
    task = make_task(kind)
    truth, _ = random_clips(task, 30, gaps=False)
    outputs = perfect_outputs(task, truth)
    task.fit(truth, outputs)
    overall, _ = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    for name, value in overall.items():
        best = 0 if name in task.lower_is_better else 1
        assert value == pytest.approx(best, abs=1e-12), name


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 999),
    st.lists(st.booleans(), min_size=1, max_size=40),
)
def test_statistics_add_up(kind, seed, first):
    """Metrics of a union are those of the summed statistics of its parts."""
    task, first = make_task(kind), np.array(first)
    truth, outputs = random_clips(task, len(first), seed)
    parts, _ = task.compute_metrics(
        sum(
            task.sufficient_statistics(truth[part], outputs[part]).sum(0)
            for part in (first, ~first)
        )
    )
    whole, _ = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    assert parts == pytest.approx(whole, nan_ok=True)


@kinds
def test_many_sums_are_measured_at_once(kind):
    task = make_task(kind)
    truth, outputs = random_clips(task, 60)
    sums = task.sufficient_statistics(truth, outputs).reshape(
        5, 12, *task.sufficient_statistics(truth, outputs).shape[1:]
    )
    together = task.compute_metrics(sums.sum(1))
    for i in range(5):
        for all_at_once, alone in zip(
            together, task.compute_metrics(sums[i].sum(0))
        ):
            for name, value in alone.items():
                np.testing.assert_allclose(all_at_once[name][i], value)


@pytest.mark.parametrize("kind", ["categories", "votes", "attributes"])
def test_clips_of_which_nothing_is_known_change_nothing(kind):
    task = make_task(kind)
    truth, outputs = random_clips(task, 20, gaps=False)
    unknown = np.full_like(truth, np.nan if kind == "attributes" else -1)
    assert task.has_label(truth).all() and not task.has_label(unknown).any()
    assert not task.sufficient_statistics(unknown, outputs).any()
    np.testing.assert_equal(
        measure(task, truth, outputs),
        measure(
            task,
            np.concatenate([truth, unknown]),
            np.concatenate([outputs, outputs[::-1]]),
        ),
    )


@kinds
def test_the_support_counts_clips(kind):
    task = make_task(kind)
    truth, outputs = random_clips(task, 40)
    _, details = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    expected = {
        "categories": [(truth == i).sum() for i in range(3)],
        "votes": [(truth == i).sum() for i in range(3)],
        "secondary": truth.sum(0),
        "binary": truth.sum(0),
        "attributes": (~np.isnan(truth)).sum(0),
    }[kind]
    assert details["support"].tolist() == [*expected]


@kinds
def test_what_was_fitted_can_be_noted_and_given_to_another(kind):
    task, other = make_task(kind), make_task(kind)
    truth, outputs = random_clips(task, 40)
    task.fit(truth, outputs)
    for name, value in json.loads(json.dumps(task.settings)).items():
        setattr(other, name, value)
    new_truth, new_outputs = random_clips(task, 40, seed=1)
    np.testing.assert_equal(
        measure(other, new_truth, new_outputs),
        measure(task, new_truth, new_outputs),
    )
    new_outputs = torch.from_numpy(new_outputs)
    torch.testing.assert_close(
        other.calibrate(new_outputs), task.calibrate(new_outputs)
    )


@kinds
def test_a_copy_is_fitted_for_itself(kind):
    task = make_task(kind)
    before = dict(task.settings)
    copy.copy(task).fit(*random_clips(task, 40))
    assert task.settings == before


@kinds
def test_nothing_to_fit_to_is_no_trouble(kind):
    task = make_task(kind)
    before = dict(task.settings)
    truth, outputs = random_clips(task, 1)
    task.fit(truth[:0], outputs[:0])
    assert task.settings == before


@kinds
def test_less_is_better_of_losses_and_errors_only(kind):
    task = make_task(kind)
    assert task.direction("loss") == task.direction("loss_audio") == "min"
    for name in task.metrics:
        less = name in task.lower_is_better
        assert task.direction(name) == ("min" if less else "max")


@kinds
def test_predictions_are_measured_as_they_were_recorded(kind):
    """Lists of numbers, as they come out of tensors, and nothing else."""
    task = make_task(kind)
    truth, outputs = random_clips(task, 12)
    made = Predictions([""] * 12, [""] * 12, truth.tolist())
    made.outputs["main"] = outputs.tolist()
    overall, _ = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    assert made.metrics(task, "main") == pytest.approx(overall)
    assert json.loads(json.dumps(made.metrics(task, "main")))


@pytest.mark.parametrize("votes", [None, [0.5, 0.5]])
@pytest.mark.parametrize("kind", ["votes", "secondary", "binary"])
def test_what_learns_votes_is_not_given_others(kind, votes):
    entries = {"clip": {"emotion": None, "votes": votes}}
    with pytest.raises(UserError, match=r"votes on \d emotions \(clip\), not"):
        make_task(kind).check(entries)


def test_each_attribute_has_its_weight():
    with pytest.raises(UserError, match="weights: 2 of them, for 3"):
        DimensionalEmotion(weights=[1.0, 1.0])


def test_where_nothing_is_true_of_any_clip_nothing_is_said():
    found = bootstrap_metrics(
        CategoricalEmotion("ab"), np.array([[-1]]), np.eye(2)[:1], "x"
    )
    nothing = dict.fromkeys(["value", "low", "high", "kind"])
    assert found["accuracy"] == nothing and found["f1_macro"] == nothing
