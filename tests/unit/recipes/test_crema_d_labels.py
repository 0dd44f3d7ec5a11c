"""Votes and partitions of CREMA-D become the labels and splits of clips."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from crema_d_labels import PARTITIONS, read_actors, read_released, read_votes

from auxformer_lobes.utils.errors import UserError
from tests.unit.crema_d_files import (
    ACTORS,
    EXCERPT,
    RELEASED,
    SUMMARY,
    TEST,
    TRAIN,
    VALID,
    VOTES,
    assert_refused,
    make_corpus,
    prepare,
    prepare_clips,
    read_csv,
    skip_media_check,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
REAL = SHARED / "CREMA-D"
PUBLISHED = json.loads(PARTITIONS.read_text("utf-8"))["partitions"]
SIX = ["angry", "disgust", "fear", "happy", "neutral", "sad"]
LETTERS = dict(zip("ADFHNS", SIX))

needs_real_tables = pytest.mark.skipif(
    not REAL.is_dir(), reason="the complete tables are not beside the checkout"
)


@pytest.fixture(autouse=True)
def unopened_media(monkeypatch):
    """Labels do not depend on the media."""
    skip_media_check(monkeypatch)


@pytest.fixture
def corpus(tmp_path):
    """The excerpt of the corpus."""
    return make_corpus(tmp_path)


@pytest.fixture
def real_corpus(tmp_path):
    """The complete real tables."""
    root = tmp_path / "CREMA-D"
    (root / "AudioWAV").mkdir(parents=True)
    (root / "VideoFlash").mkdir()
    for name in [VOTES, ACTORS, SUMMARY]:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(REAL / name, root / name)
    return root


def emotions(clips):
    """Number of clips of each class, in the order A D F H N S, and of ties."""
    tally = Counter(clip["emotion"] for clip in clips.values())
    return [tally[name] for name in [*SIX, None]]


# Rules, classes and presentations


@pytest.mark.parametrize(
    "rule, num_classes, expected",
    [
        ("P", 6, [8, 8, 5, 7, 9, 11, 0]),
        ("M", 6, [6, 5, 4, 7, 8, 7, 0]),
        ("D", 6, [8, 8, 5, 7, 9, 11, 7]),
        ("P", 4, [8, 0, 0, 7, 9, 11, 0]),
        ("M", 4, [6, 0, 0, 7, 8, 7, 0]),
    ],
)
def test_the_excerpt_has_the_clips_of_each_rule(
    corpus, rule, num_classes, expected
):
    clips = prepare_clips(corpus, label_rule=rule, num_classes=num_classes)
    assert emotions(clips) == expected


@needs_real_tables
@pytest.mark.parametrize(
    "rule, num_classes, total, expected",
    [
        ("P", 6, 7022, [1019, 1139, 1084, 1219, 1972, 589, 0]),
        ("M", 6, 5913, [902, 894, 874, 1192, 1651, 400, 0]),
        ("D", 6, 7442, [1019, 1139, 1084, 1219, 1972, 589, 420]),
        ("M", 4, 4145, [902, 0, 0, 1192, 1651, 400, 0]),
    ],
)
def test_the_complete_corpus_has_the_clips_of_each_rule(
    real_corpus, rule, num_classes, total, expected
):
    clips = prepare_clips(real_corpus, label_rule=rule, num_classes=num_classes)
    assert len(clips) == total
    assert emotions(clips) == expected


def check_against_summary(corpus):
    """Compares each presentation with the corpus' own summary of the votes."""
    for presentation, column in [
        ("audiovisual", "MultiModalVote"),
        ("voice", "VoiceVote"),
        ("face", "FaceVote"),
    ]:
        summary = {
            row["FileName"]: LETTERS[row[column]]
            for row in read_csv(corpus / SUMMARY)
            if ":" not in row[column]
        }
        clips = prepare_clips(
            corpus, folder=presentation, presentation=presentation
        )
        assert {c: clips[c]["emotion"] for c in clips} == summary


def test_plurality_agrees_with_the_summary_of_the_corpus(corpus):
    check_against_summary(corpus)


@needs_real_tables
def test_plurality_agrees_with_the_summary_of_the_complete_corpus(real_corpus):
    check_against_summary(real_corpus)


@pytest.mark.parametrize("rule", ["P", "D"])
def test_votes_are_shares_of_all_raters(corpus, rule):
    clips = prepare_clips(corpus, label_rule=rule)
    for row in read_csv(corpus / VOTES):
        if row[""].startswith("3") and row["fileName"] in clips:
            votes = clips[row["fileName"]]["votes"]
            counts = np.multiply(votes, int(row["numResponses"]))
            assert counts == pytest.approx([int(row[c]) for c in LETTERS])


def test_votes_of_four_classes_are_shares_among_the_four(corpus):
    six = prepare_clips(corpus, folder="six")
    four = prepare_clips(corpus, num_classes=4)
    for clip, entry in four.items():
        kept = np.array(six[clip]["votes"])[[0, 3, 4, 5]]
        assert entry["votes"] == pytest.approx(kept / kept.sum())
        assert entry["emotion"] == six[clip]["emotion"]


def test_a_tie_is_kept_by_its_distribution_only(corpus):
    clips = prepare_clips(corpus, label_rule="D")
    ties = [c for c in clips.values() if c["emotion"] is None]
    assert len(ties) == 7
    for clip in ties:
        assert clip["votes"].count(max(clip["votes"])) > 1


def test_four_classes_keep_ties_with_one_of_the_four(corpus):
    six = prepare_clips(corpus, folder="six", label_rule="D")
    four = prepare_clips(corpus, label_rule="D", num_classes=4)
    expected = {
        name
        for name, clip in six.items()
        if any(clip["votes"][i] == max(clip["votes"]) for i in (0, 3, 4, 5))
    }
    assert set(four) == expected
    assert None in {clip["emotion"] for clip in four.values()}


# Partitions


def test_published_partitions_have_63_14_and_14_of_91_actors():
    for partition in PUBLISHED.values():
        valid, test = set(partition["valid"]), set(partition["test"])
        assert len(valid) == len(test) == 14
        assert not valid & test
        assert valid | test <= set(range(1001, 1092))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no data beside the checkout")
def test_published_partitions_are_those_read_off_the_released_files():
    path = SHARED / "partitions.json"
    released = json.loads(path.read_text("utf-8"))["CREMA-D"]
    assert PUBLISHED == {
        name: {"valid": lists["development"], "test": lists["test"]}
        for name, lists in released.items()
    }


@needs_real_tables
@pytest.mark.parametrize("partition", [1, 2, 3, 4, 5])
def test_a_published_partition_splits_the_actors(real_corpus, partition):
    *manifests, _ = prepare(real_corpus, partition=partition)
    actors = [{int(c["spk_id"]) for c in m.values()} for m in manifests]
    assert actors[1] == set(PUBLISHED[str(partition)]["valid"])
    assert actors[2] == set(PUBLISHED[str(partition)]["test"])
    assert actors[0] == set(range(1001, 1092)) - actors[1] - actors[2]


@pytest.mark.parametrize("kind", [int, str])
def test_lists_of_actors_split_the_clips(corpus, kind):
    partition = {"valid": [kind(1001)], "test": [kind(1064), kind(1076)]}
    *manifests, _ = prepare(corpus, partition=partition)
    actors = [{c["spk_id"] for c in m.values()} for m in manifests]
    assert actors == [
        {"1004", "1006", "1007", "1008"},
        {"1001"},
        {"1064", "1076"},
    ]


@pytest.mark.parametrize(
    "partition, message",
    [
        (6, "partition 6 is unknown: choose 1 to 5"),
        ({"valid": [1001]}, "give the actors of `valid` and of `test`"),
        (
            {"valid": [1001, 1004], "test": [1004]},
            "actor 1004 is in `valid` and `test`",
        ),
        (
            {"valid": [1001], "test": [2001]},
            "the corpus has no actor 2001",
        ),
        ({"valid": [], "test": [1001]}, "no clip left in valid"),
    ],
)
def test_a_partition_that_cannot_be_says_why(corpus, partition, message):
    assert_refused(corpus, message, partition=partition)


# Released label files


@pytest.mark.parametrize(
    "path", [RELEASED, f"{RELEASED}/label_consensus_1.csv"]
)
def test_released_labels_replace_the_table_of_votes(corpus, path):
    (corpus / VOTES).unlink()
    *manifests, _ = prepare(
        corpus, label_rule="M", released_labels=str(corpus / path)
    )
    rows = read_csv(EXCERPT / RELEASED / "label_consensus_1.csv")
    for split, name in zip(manifests, ["Train", "Development", "Test"]):
        expected = {r["FileName"] for r in rows if r["Split_Set"] == name}
        assert {f"{clip}.wav" for clip in split} == expected


def test_released_shares_are_those_of_the_votes(corpus):
    voted = prepare_clips(corpus, folder="voted", label_rule="M")
    released = prepare_clips(
        corpus, label_rule="M", released_labels=corpus / RELEASED
    )
    assert set(released) <= set(voted)
    for clip, entry in released.items():
        assert entry["emotion"] == voted[clip]["emotion"]
        assert sum(entry["votes"]) == pytest.approx(1)
    same = [
        released[clip]["votes"] == pytest.approx(voted[clip]["votes"], abs=1e-6)
        for clip in released
    ]
    # The released files count repeated responses too, which some clips have.
    assert (sum(same), len(same)) == (30, 36)


@needs_real_tables
def test_a_released_file_keeps_its_clips_and_splits(real_corpus):
    path = SHARED / "released-labels" / "CREMA-D" / RELEASED
    *manifests, _ = prepare(real_corpus, label_rule="M", released_labels=path)
    assert [len(manifest) for manifest in manifests] == [4043, 878, 899]


def test_released_files_of_four_classes_are_found_by_their_plural(corpus):
    folder = corpus.parent / "labels_consensus_4class_D"
    folder.mkdir()
    (folder / "labels_consensus_3.csv").write_text(
        "FileName,angry,sad,neutral,happy,SpkrID,Gender,Split_Set\n"
        f"{TRAIN}.wav,0.01,0.48,0.48,0.01,1001,Male,Train\n"
        f"{VALID}.wav,0.95,0.01,0.01,0.01,1006,Female,Development\n"
        f"{TEST}.wav,0.01,0.95,0.01,0.01,1004,Female,Test\n"
    )
    train, valid, test, _ = prepare(
        corpus,
        label_rule="D",
        released_labels=folder,
        num_classes=4,
        partition=3,
    )
    assert train[TRAIN]["emotion"] is None
    assert train[TRAIN]["votes"] == pytest.approx([0, 0, 0.5, 0.5])
    assert valid[VALID]["emotion"] == "angry"
    assert test[TEST]["votes"] == pytest.approx([0, 0, 0, 1])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_classes": 4}, "has 6 classes and num_classes is 4"),
        ({"partition": 2}, "a folder with label_consensus_2.csv or"),
        ({"label_rule": "P"}, "set label_rule to M"),
    ],
)
def test_released_labels_that_do_not_fit_say_why(corpus, options, message):
    options = {"label_rule": "M", **options}
    assert_refused(
        corpus, message, released_labels=corpus / RELEASED, **options
    )


@pytest.mark.parametrize(
    "share",
    ["1e400", "inf", "nan", "-0.1", "016", "9" * 5000, "x", ""],
)
def test_a_share_that_is_none_is_reported_with_its_row(tmp_path, share):
    path = tmp_path / "label_consensus_1.csv"
    path.write_text(
        f"FileName,{','.join(SIX)},Split_Set\n"
        f"{TRAIN}.wav,0.95,0.01,0.01,0.01,0.01,0.01,Train\n"
        f"{TEST}.wav,0.95,0.01,{share},0.01,0.01,0.01,Test\n"
    )
    with pytest.raises(UserError, match=f"^{path} is damaged in line 3: "):
        read_released(path, SIX, "P")


@pytest.mark.parametrize("votes", ["-1", "1e3", "9" * 400, "9" * 5000, "x"])
def test_votes_that_are_none_are_reported_with_their_row(tmp_path, votes):
    path = tmp_path / "tabulatedVotes.csv"
    rows = "".join(f"1000{i},{TRAIN},0,0,{votes},0,9,0\n" for i in range(2))
    path.write_text(f",fileName,A,D,F,H,N,S\n{rows}")
    with pytest.raises(UserError, match=f"^{path} is damaged in line 2: "):
        read_votes(path, "P", SIX, "audiovisual")


@pytest.mark.parametrize("age", ["-1", "151", "9" * 400, "x"])
def test_an_age_is_that_of_a_person(tmp_path, age):
    path = tmp_path / "VideoDemographics.csv"
    path.write_text(f"ActorID,Age,Sex\n1001,{age},Male\n")
    with pytest.raises(UserError, match="is damaged in line 2"):
        read_actors(path)


def test_a_field_without_end_is_reported(tmp_path):
    path = tmp_path / "label_consensus_1.csv"
    path.write_text(f"FileName,{','.join(SIX)},Split_Set\n{'x' * 200000}\n")
    with pytest.raises(UserError, match="is damaged in line"):
        read_released(path, SIX, "P")
