"""Ratings and partitions of MSP-IMPROV become labels and splits of turns."""

import json
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from msp_improv_labels import (
    PARTITIONS,
    free_words,
    mean_attributes,
    primary_votes,
    secondary_votes,
)
from msp_improv_ratings import Rating, Turn

from auxformer_lobes.dataio.labels import ATTRIBUTES
from tests.unit.msp_improv_files import (
    SECONDARY,
    TEST,
    TRAIN,
    VALID,
    assert_refused,
    make_corpus,
    prepare,
    prepare_clips,
    random_turns,
    skip_media_check,
)

SHARED = Path(__file__).parents[4] / "shared" / "data" / "partitions.json"
PUBLISHED = json.loads(PARTITIONS.read_text("utf-8"))["partitions"]
FOUR = ["angry", "happy", "neutral", "sad"]
TURNS = random_turns()


@pytest.fixture(autouse=True)
def unopened_media(monkeypatch):
    """Labels do not depend on the media."""
    skip_media_check(monkeypatch)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Random turns; no test changes them."""
    return make_corpus(tmp_path_factory.mktemp("data"), TURNS)


@pytest.fixture
def save_folder(request, corpus):
    """Name of a folder for the manifests, one per test."""
    return request.node.name.replace("/", "_")


def turn_of(*raters):
    """A turn from primary emotion, secondary emotions and numbers by rater."""
    ratings = [Rating(*rater) for rater in raters]
    return Turn(None, {f"W{i}": rating for i, rating in enumerate(ratings)})


# Votes, rater by rater


def test_other_is_the_last_of_the_votes():
    turn = turn_of(*[(word, (), ()) for word in ["sad", "other", "other"]])
    assert primary_votes(turn) == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    "words, shares",
    [
        (["Sad"], {"Sad": 1}),
        (["Sad", "Angry"], {"Sad": 1 / 2, "Angry": 1 / 2}),
        (["Sad", "sad ", "SAD"], {"Sad": 1}),
        (["Sad", "Concerned", "Other (Happy)"], {"Sad": 1}),
        (["Sadness", "Fearful"], {"Sad": 1 / 2, "Fear": 1 / 2}),
        (["Happiness", "Happy", "Anger"], {"Happy": 1 / 2, "Angry": 1 / 2}),
        (["Depression", "Disgusted"], {"Depressed": 1 / 2, "Disgust": 1 / 2}),
        (["Surprised!", "Excitement?"], {"Surprise": 1 / 2, "Excited": 1 / 2}),
        (["Frustration (a bit)"], {"Frustrated": 1}),
        (["Unhappy", "Other", "Sad and angry", "(Sad)", "Scared"], {}),
        ([], {}),
    ],
)
def test_a_rater_has_one_secondary_vote_to_share(words, shares):
    expected = [shares.get(name, 0) for name in SECONDARY]
    assert secondary_votes(turn_of(("sad", words, ()))) == expected


def test_secondary_votes_add_up_over_raters():
    turn = turn_of(
        ("sad", ["Sad", "Fear"], ()), ("sad", ["Sad"], ()), ("sad", ["?"], ())
    )
    votes = dict(zip(SECONDARY, secondary_votes(turn)))
    assert {name: vote for name, vote in votes.items() if vote} == {
        "Sad": 1.5,
        "Fear": 0.5,
    }


def test_words_other_than_the_classes_are_counted():
    turn = turn_of(
        ("sad", ["Concerned", "Sad", "Other (x)"], ()),
        ("sad", ["concerned", "Fearful", "(x)"], ()),
    )
    assert free_words({"a": turn, "b": turn}) == {"concerned": 4, "other": 2}


def test_attributes_are_means_over_those_who_answered():
    turn = turn_of(
        ("sad", (), (1.0, 2.0, None, 5.0)), ("sad", (), (2.0, None, None, 5.0))
    )
    assert mean_attributes(turn) == {
        "arousal": 4.5,  # activation runs the other way round
        "valence": 2.0,
        "dominance": None,
    }


# Labels by each rule, against an independent computation with fractions


def expected_labels(rule, names, votes_of):
    """Turn -> emotion and distribution, computed with exact fractions.

    `names` are the classes, and `votes_of` gives a rater's votes.
    """
    labels = {}
    for turn, raters in TURNS.items():
        votes = Counter()
        for rater in raters:
            votes.update(votes_of(rater))
        total = sum(votes.values())
        ranked = sorted(votes.values(), reverse=True)
        top = {name for name in votes if votes[name] == ranked[0]}
        alone = len(top) == 1
        if rule == "M":
            alone = alone and ranked[0] > total / Fraction(2)
        if not top & set(names) or (rule != "D" and not alone):
            continue
        among = sum(votes[name] for name in names)
        shares = [float(votes[name] / Fraction(among)) for name in names]
        labels[turn] = (top.pop() if alone else None, shares)
    return labels


def primary(rater):
    """The whole vote for the primary emotion."""
    return {rater.primary.lower(): Fraction(1)}


def secondary(rater):
    """An equal part for each class that the rater named."""
    named = [word for word in rater.secondary if word in SECONDARY]
    return {word.lower(): Fraction(1, len(named)) for word in named}


@pytest.mark.parametrize("rule", "PMD")
@pytest.mark.parametrize(
    "labels, num_classes, votes_of",
    [("primary", 4, primary), ("secondary", 10, secondary)]
    + [("secondary", 4, secondary)],
)
def test_labels_agree_with_exact_fractions(
    corpus, save_folder, rule, labels, num_classes, votes_of
):
    names = FOUR if num_classes == 4 else [name.lower() for name in SECONDARY]
    expected = expected_labels(rule, names, votes_of)
    clips = prepare_clips(
        corpus,
        folder=save_folder,
        labels=labels,
        label_rule=rule,
        num_classes=num_classes,
    )
    assert set(clips) == set(expected)
    for turn, (emotion, shares) in expected.items():
        assert clips[turn]["emotion"] == emotion
        assert clips[turn]["votes"] == pytest.approx(shares)


def test_the_random_turns_cover_all_cases():
    p, m, d = (expected_labels(rule, FOUR, primary) for rule in "PMD")
    assert len(TURNS) > len(d) > len(p) > len(m) > 0
    assert None in {emotion for emotion, _ in d.values()}
    only_other = [
        turn
        for turn, raters in TURNS.items()
        if {rater.primary for rater in raters} == {"Other"}
    ]
    assert only_other
    assert not set(only_other) & set(d)


def test_three_thirds_tie_with_one_vote(tmp_path):
    raters = TURNS[TRAIN]
    thirds = raters[0]._replace(secondary=["Sad", "Fear", "Angry"])
    turns = {
        **dict.fromkeys([TRAIN, VALID, TEST], raters),
        "S01A-F01-P-FM01": [
            *(thirds._replace(name=f"W{i}") for i in range(3)),
            raters[0]._replace(secondary=["Happy"]),
        ],
    }
    *_, report = prepare(
        make_corpus(tmp_path, turns), labels="secondary", num_classes=10
    )
    assert report["excluded"] == {
        "no consensus by rule P": ["MSP-IMPROV-S01A-F01-P-FM01"]
    }


# Attributes


def test_attributes_are_the_raters_means(corpus, save_folder):
    clips = prepare_clips(
        corpus, folder=save_folder, labels="attributes", label_rule="D"
    )
    expected = {}
    for turn, raters in TURNS.items():
        columns = list(zip(*(rater.numbers for rater in raters)))
        columns[0] = [6 - x for x in columns[0]]
        known = [[x for x in c if not math.isnan(x)] for c in columns[:3]]
        if any(known):
            means = [sum(x) / len(x) if x else None for x in known]
            expected[turn] = dict(zip(ATTRIBUTES, means))
    assert set(clips) == set(expected)
    for turn, attributes in expected.items():
        assert clips[turn]["attributes"] == pytest.approx(attributes)
        assert clips[turn]["raters"] == len(TURNS[turn])


@pytest.mark.parametrize("rule", "PM")
def test_attributes_by_p_and_m_are_of_turns_with_a_consensus(
    corpus, save_folder, rule
):
    clips = prepare_clips(
        corpus, folder=save_folder, labels="attributes", label_rule=rule
    )
    expected = expected_labels(rule, FOUR, primary)
    assert set(clips) == set(expected)
    for turn, (emotion, _) in expected.items():
        assert clips[turn]["emotion"] == emotion


def test_a_turn_without_attributes_is_excluded(tmp_path):
    rater = TURNS[TRAIN][0]._replace(numbers=[math.nan] * 3 + [4])
    turns = {**dict.fromkeys([TRAIN, VALID, TEST], TURNS[TRAIN])}
    turns["S01A-F01-P-FM01"] = [rater]
    corpus = make_corpus(tmp_path, turns)
    *_, report = prepare(corpus, labels="attributes", label_rule="D")
    assert report["excluded"] == {
        "no attributes": ["MSP-IMPROV-S01A-F01-P-FM01"]
    }
    clip = prepare_clips(corpus, folder="primary")["S01A-F01-P-FM01"]
    assert clip["attributes"] == dict.fromkeys(ATTRIBUTES)


# Partitions


def test_published_partitions_hold_out_one_session_each():
    for partition in PUBLISHED.values():
        (valid,), (test,) = partition["valid"], partition["test"]
        assert valid != test
        assert {valid, test} <= set(range(1, 7))


@pytest.mark.skipif(not SHARED.is_file(), reason="no data beside the checkout")
def test_published_partitions_are_those_read_off_the_released_files():
    released = json.loads(SHARED.read_text("utf-8"))["MSP-IMPROV"]
    assert PUBLISHED == {
        name: {"valid": lists["development"], "test": lists["test"]}
        for name, lists in released.items()
    }


@pytest.mark.parametrize(
    "partition", [1, "2", {"valid": [6], "test": (2, "3")}]
)
def test_a_partition_splits_the_sessions(corpus, save_folder, partition):
    held_out = PUBLISHED.get(str(partition), partition)
    *manifests, _ = prepare(corpus, folder=save_folder, partition=partition)
    train, valid, test = (
        {clip["session"] for clip in manifest.values()}
        for manifest in manifests
    )
    assert valid == set(held_out["valid"])
    assert test == set(map(int, held_out["test"]))
    assert train == set(range(1, 7)) - valid - test


@pytest.mark.parametrize(
    "partition, message",
    [
        (6, "partition 6 is unknown: choose 1 to 5"),
        ({"valid": [1]}, "give the sessions of `valid` and of `test`"),
        ({"valid": [1, 4], "test": [4]}, "session 4 is in `valid` and `test`"),
        ({"valid": [1], "test": [7]}, "the corpus has no session 7"),
        ({"valid": 1, "test": [2]}, "are 1, not a list: write [1, 2]"),
        ({"valid": [], "test": [2]}, "no clip left in valid"),
    ],
)
def test_a_partition_that_cannot_be_says_why(corpus, partition, message):
    assert_refused(corpus, message, partition=partition)


# Released label files


def write_released(folder, kind, columns, rows, partition=1):
    """A label file as the authors of AuxFormer released it."""
    folder = folder / f"labels_consensus_{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"FileName,{columns},SpkrID,Gender,Split_Set"]
    for name, values, split in rows:
        lines.append(f"{name},{values},1,Female,{split}")
    path = folder / f"labels_consensus_{partition}.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def released_rows(train, valid, test):
    """The three turns, named in different ways."""
    return [
        (f"MSP-IMPROV-{TRAIN}.wav", train, "Train"),
        (f"UTD-IMPROV-{VALID}", valid, "Development"),
        (TEST, test, "Test"),
    ]


@pytest.mark.parametrize("file", ["", "labels_consensus_3.csv"])
def test_released_primary_labels_replace_the_votes(
    corpus, save_folder, tmp_path, file
):
    rows = released_rows(
        "0.01,0.48,0.48,0.01", "0.95,0.01,0.01,0.01", "0.01,0.95,0.01,0.01"
    )
    columns = "angry,sad,neutral,happy"
    released = write_released(tmp_path, "EmoP_4class_D", columns, rows, 3)
    train, valid, test, report = prepare(
        corpus,
        folder=save_folder,
        label_rule="D",
        released_labels=released / file,
        partition=3,
    )
    (clip,) = train.values()
    assert clip["emotion"] is None
    assert clip["votes"] == pytest.approx([0, 0, 0.5, 0.5])
    assert [c["emotion"] for c in valid.values()] == ["angry"]
    assert [c["emotion"] for c in test.values()] == ["sad"]
    # Fields that the file lacks come from the raters.
    assert clip["attributes"] == {"arousal": 3, "valence": 3, "dominance": 3}
    assert clip["raters"] == 1
    assert len(report["excluded"]["not in the label file"]) == len(TURNS) - 3


def test_released_labels_do_not_need_the_label_file(tmp_path):
    turns = dict.fromkeys([TRAIN, VALID, TEST], TURNS[TRAIN])
    corpus = make_corpus(tmp_path, turns)
    (corpus / "Evalution.txt").unlink()
    names = ["depressed", "frustrated", "angry", "sad", "disgust", "excited"]
    names += ["fear", "neutral", "surprise", "happy"]
    rows = released_rows(*([",".join(["0.02"] * 9 + ["0.42"])] * 3))
    released = write_released(tmp_path, "EmoS_10class_P", ",".join(names), rows)
    clips = prepare_clips(
        corpus, labels="secondary", num_classes=10, released_labels=released
    )
    assert {clip["emotion"] for clip in clips.values()} == {"happy"}
    assert clips[TRAIN]["votes"] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert clips[TRAIN]["attributes"] == dict.fromkeys(ATTRIBUTES)
    assert clips[TRAIN]["raters"] is None


def test_released_attributes_are_taken_as_they_are(
    corpus, save_folder, tmp_path
):
    rows = released_rows("4.5,2,3.25", "1,NaN,5", "2.666667,3,3")
    rows.append(("S01A-F01-P-FM01", "NaN,NaN,NaN", "Train"))
    released = write_released(
        tmp_path, "EmoP_4class_D", "EmoAct,EmoVal,EmoDom", rows
    )
    train, valid, _, report = prepare(
        corpus,
        folder=save_folder,
        labels="attributes",
        label_rule="D",
        released_labels=released,
    )
    assert [clip["attributes"] for clip in train.values()] == [
        {"arousal": 4.5, "valence": 2.0, "dominance": 3.25}
    ]
    assert [clip["attributes"] for clip in valid.values()] == [
        {"arousal": 1.0, "valence": None, "dominance": 5.0}
    ]
    assert report["excluded"]["no attributes"] == ["MSP-IMPROV-S01A-F01-P-FM01"]


RELEASED_KINDS = pytest.mark.parametrize(
    "labels, columns, values, others",
    [
        ("primary", "angry,sad,neutral,happy", "1,0,0,0", "0,1,0,0"),
        ("attributes", "EmoAct,EmoVal,EmoDom", "1,2,NaN", "1,2,3"),
    ],
)


@RELEASED_KINDS
def test_a_released_file_may_have_a_bom_and_a_row_twice(
    corpus, save_folder, tmp_path, labels, columns, values, others
):
    rows = released_rows(values, values, others)
    rows.append((f"UTD-IMPROV-{TRAIN}.avi", values, "Train"))
    released = write_released(tmp_path, "EmoP_4class_D", columns, rows)
    path = released / "labels_consensus_1.csv"
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    *manifests, _ = prepare(
        corpus,
        folder=save_folder,
        labels=labels,
        label_rule="D",
        released_labels=released,
    )
    assert [len(manifest) for manifest in manifests] == [1, 1, 1]


@RELEASED_KINDS
@pytest.mark.parametrize("split", ["Train", "Test"])
def test_two_different_released_rows_of_a_turn_are_refused(
    corpus, tmp_path, labels, columns, values, others, split
):
    rows = released_rows(values, values, values)
    rows.append((TRAIN, others if split == "Train" else values, split))
    released = write_released(tmp_path, "EmoP_4class_P", columns, rows)
    message = f"labels_consensus_1.csv has two rows of MSP-IMPROV-{TRAIN}:"
    assert_refused(corpus, message, labels=labels, released_labels=released)


@pytest.mark.parametrize(
    "kind, columns, values, options, message",
    [
        (
            "EmoP_4class_P",
            "angry,sad,neutral,happy",
            "1,0,0,0",
            {"label_rule": "M"},
            "set label_rule to P",
        ),
        (
            "EmoS_4class_P",
            "angry,sad,neutral,happy",
            "1,0,0,0",
            {},
            "set labels to secondary",
        ),
        (
            "EmoP_4class_P",
            "EmoAct,EmoVal,EmoDom",
            "1,2,3",
            {},
            "has no classes: set labels to attributes",
        ),
        (
            "EmoS_4class_P",
            "angry,sad,neutral,happy",
            "1,0,0,0",
            {"labels": "secondary", "num_classes": 10},
            "has 4 classes and num_classes is 10",
        ),
        (
            "EmoP_4class_P",
            "angry,sad,neutral,happy",
            "1,0,0,0",
            {"labels": "attributes"},
            "has no column 'EmoAct'",
        ),
        (
            "EmoP_4class_P",
            "angry,sad,neutral,happy",
            "1,0,0,0",
            {"partition": 2},
            "a folder with label_consensus_2.csv or",
        ),
        (
            "EmoP_4class_P",
            "EmoAct,EmoVal,EmoDom",
            "1,2,5.5",
            {"labels": "attributes"},
            "is damaged in line 2",
        ),
        (
            "EmoP_4class_P",
            "angry,sad,neutral,happy",
            "nan,0,0,0",
            {},
            "is damaged in line 2",
        ),
    ],
)
def test_released_labels_that_do_not_fit_say_why(
    corpus, tmp_path, kind, columns, values, options, message
):
    rows = released_rows(*[values] * 3)
    released = write_released(tmp_path, kind, columns, rows)
    assert_refused(corpus, message, released_labels=released, **options)
