"""Votes become labels by plurality, majority or as a distribution."""

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.dataio.labels import (
    RULES,
    class_names,
    consensus,
    label_clip,
    shares,
    top_classes,
)
from auxformer_lobes.utils.errors import UserError

FIVE = ("angry", "happy", "neutral", "sad", "other")
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
    assert len(class_names(10)) == 10
    for number in (4, 6, 10):
        assert sorted(class_names(number)) == list(class_names(number))
        assert {*class_names(4)} <= {*class_names(number)}


def test_a_corpus_has_its_own_choice_of_numbers():
    with pytest.raises(UserError, match="num_classes is 10: choose 6 or 4$"):
        class_names(10, choices=(6, 4))
    with pytest.raises(UserError, match="num_classes is 6: choose 4$"):
        class_names(6, choices=(4,))


@pytest.mark.parametrize("number", [0, 5, "6", None])
def test_other_numbers_of_classes_name_the_choices(number):
    with pytest.raises(UserError, match="choose 10 or 6 or 4"):
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


# Fractions of votes, which do not add up to the last digit


@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_same_fractions_in_another_order_are_a_tie(parts, random):
    first = sum(1 / part for part in parts)
    random.shuffle(parts)
    second = sum(1 / part for part in parts)
    assert top_classes([first, second]) == [0, 1]
    assert consensus([first, second], "P") is None
    assert consensus([first, second], "M") is None


def test_fractions_that_differ_are_no_tie():
    # The smallest difference, of raters who name nine and ten classes.
    assert consensus([1 + 1 / 9, 1 + 1 / 10, 0], "P") == 0
    assert consensus([5 / 9 + 1 / 2520, 5 / 9, 0], "M") == 0


# A clip's label


@pytest.mark.parametrize(
    "votes, rule, emotion, distribution",
    [
        ([3, 1, 0, 0, 2], "P", "angry", [0.75, 0.25, 0, 0]),
        ([4, 1, 0, 0, 2], "M", "angry", [0.8, 0.2, 0, 0]),
        ([1, 0, 0, 3, 0], "D", "sad", [0.25, 0, 0, 0.75]),
        # Ties have no class, but a distribution.
        ([2, 0, 0, 2, 1], "D", None, [0.5, 0, 0, 0.5]),
        ([1, 0, 0, 0, 1], "D", None, [1, 0, 0, 0]),
    ],
)
def test_a_label_is_a_class_and_shares_of_the_classes(
    votes, rule, emotion, distribution
):
    label, reason = label_clip(votes, FIVE, FIVE[:4], rule)
    assert (label.emotion, label.votes) == (emotion, distribution)
    assert reason is None


@pytest.mark.parametrize(
    "votes, rule, reason",
    [
        ([1, 0, 0, 0, 1], "P", "no consensus by rule P"),
        # Other is a vote: half of all is not more than half.
        ([3, 0, 0, 0, 3], "M", "no consensus by rule M"),
        ([2, 0, 0, 1, 1], "M", "no consensus by rule M"),
        ([1, 0, 0, 0, 2], "P", "not one of the 4 classes"),
        ([1, 0, 0, 0, 2], "M", "not one of the 4 classes"),
        ([1, 0, 0, 0, 2], "D", "not one of the 4 classes"),
        ([0, 0, 0, 0, 0], "P", "no votes"),
        ([0, 0, 0, 0, 0], "D", "no votes"),
    ],
)
def test_a_clip_without_a_label_has_a_reason(votes, rule, reason):
    assert label_clip(votes, FIVE, FIVE[:4], rule) == (None, reason)
