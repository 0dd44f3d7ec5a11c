"""Votes become labels by plurality, majority or as a distribution."""

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.errors import UserError
from auxformer_lobes.labels import (
    RULES,
    class_names,
    consensus,
    shares,
    top_classes,
)

counts = st.lists(st.integers(0, 12), min_size=2, max_size=10).filter(any)


def test_classes_are_in_alphabetical_order():
    assert class_names(6) == (
        "angry",
        "disgust",
        "fear",
        "happy",
        "neutral",
        "sad",
    )
    assert class_names(4) == ("angry", "happy", "neutral", "sad")


@pytest.mark.parametrize("number", [0, 5, "6", None])
def test_other_numbers_of_classes_name_the_choices(number):
    with pytest.raises(UserError, match="choose 6 or 4"):
        class_names(number)


@pytest.mark.parametrize(
    "votes, plurality, majority",
    [
        ([0, 9, 1], 1, 1),
        ([4, 3, 3], 0, None),
        ([5, 5, 0], None, None),
        # Half of the votes is not more than half.
        ([5, 3, 2], 0, None),
        ([6, 3, 2], 0, 0),
        ([0, 0, 1], 2, 2),
    ],
)
def test_a_clip_has_the_label_of_the_rule(votes, plurality, majority):
    assert consensus(votes, "P") == plurality
    assert consensus(votes, "M") == majority
    assert consensus(votes, "D") == plurality


@pytest.mark.parametrize("rule", RULES)
def test_nobody_who_votes_is_no_consensus(rule):
    assert consensus([0, 0, 0, 0], rule) is None


def test_an_unknown_rule_names_the_choices():
    with pytest.raises(UserError, match="'plurality' is unknown: choose P"):
        consensus([1, 0], "plurality")


@given(counts)
def test_a_majority_is_a_plurality(votes):
    majority = consensus(votes, "M")
    assert majority in (None, consensus(votes, "P"))
    assert (majority is not None) == (max(votes) > sum(votes) - max(votes))


@given(counts)
def test_top_classes_are_all_that_nobody_beats(votes):
    top = top_classes(votes)
    assert {votes[i] for i in top} == {max(votes)}
    assert len(top) == votes.count(max(votes))


@given(counts)
def test_shares_are_a_distribution_in_the_order_of_the_votes(votes):
    distribution = shares(votes)
    assert distribution.sum() == pytest.approx(1)
    np.testing.assert_allclose(distribution * sum(votes), votes, atol=1e-12)


@given(counts, st.integers(2, 5), st.sampled_from(RULES))
def test_raters_who_all_vote_twice_change_nothing(votes, times, rule):
    more = [times * count for count in votes]
    assert consensus(more, rule) == consensus(votes, rule)
    np.testing.assert_allclose(shares(more), shares(votes))
