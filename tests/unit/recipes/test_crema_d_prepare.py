"""CREMA-D becomes manifests, or one line says why not."""

import os
import shutil
from pathlib import Path

import crema_d_prepare
import pytest
from crema_d_prepare import prepare_crema_d

from auxformer_lobes.utils.errors import UserError
from tests.unit.crema_d_files import (
    ACTORS,
    EXCERPT,
    RELEASED,
    SPLITS,
    SUMMARY,
    TEST,
    TRAIN,
    VALID,
    VOTES,
    assert_refused,
    make_corpus,
    prepare,
    read_csv,
    skip_media_check,
)


@pytest.fixture
def corpus(tmp_path):
    """The excerpt of the corpus."""
    return make_corpus(tmp_path)


# What a manifest holds


def test_a_clip_is_described_by_its_name_its_votes_and_its_actor(corpus):
    train, _, _, _ = prepare(corpus)
    assert train["1001_IEO_ANG_HI"] == {
        "wav": "{data_root}/AudioWAV/1001_IEO_ANG_HI.wav",
        "video": "{data_root}/VideoFlash/1001_IEO_ANG_HI.flv",
        "duration": 0.6,
        "emotion": "angry",
        "votes": [0.8, 0.2, 0, 0, 0, 0],
        "spk_id": "1001",
        "gender": "male",
        "age": 51,
        "sentence": "IEO",
        "intended_emotion": "angry",
        "intended_level": "HI",
    }


def test_files_are_found_once_data_root_is_replaced(corpus):
    clip = prepare(corpus)[0][TRAIN]
    for key in ("wav", "video"):
        assert Path(clip[key].format(data_root=corpus)).is_file()


# Unusable media


@pytest.mark.parametrize("split, clip", [(1, VALID), (2, TEST)])
def test_development_and_test_sets_need_both_modalities(corpus, split, clip):
    (corpus / f"AudioWAV/{clip}.wav").unlink()
    *manifests, report = prepare(corpus)
    assert clip not in manifests[split]
    assert report["excluded"]["1 of 2 modalities unusable"] == [clip]


@pytest.mark.parametrize(
    "file, key", [("AudioWAV/{}.wav", "wav"), ("VideoFlash/{}.flv", "video")]
)
def test_training_keeps_clips_with_one_modality(corpus, file, key):
    (corpus / file.format(TRAIN)).unlink()
    train, _, _, report = prepare(corpus)
    entry = train[TRAIN]
    assert [k for k in ("wav", "video") if entry[k] is None] == [key]
    assert 0.4 < entry["duration"] < 0.7
    problem = {
        "file": file.format(TRAIN),
        "reason": "No such file or directory",
    }
    assert report["problems"] == [problem]
    assert report["counts"]["problems"] == 1


def test_unopened_videos_may_be_missing(corpus):
    shutil.rmtree(corpus / "VideoFlash")
    train, _, _, report = prepare(corpus, open_video=False)
    assert train[TRAIN]["video"] == f"{{data_root}}/VideoFlash/{TRAIN}.flv"
    assert report["problems"] == []


def test_require_both_excludes_a_clip_with_one_modality(corpus):
    (corpus / f"AudioWAV/{TRAIN}.wav").unlink()
    train, _, _, report = prepare(corpus, require_both=True)
    assert TRAIN not in train
    assert report["excluded"]["1 of 2 modalities unusable"] == [TRAIN]


def test_a_clip_without_usable_media_is_excluded(corpus):
    for file in ("AudioWAV/{}.wav", "VideoFlash/{}.flv"):
        (corpus / file.format(TRAIN)).unlink()
    train, _, _, report = prepare(corpus)
    assert TRAIN not in train
    assert report["excluded"]["2 of 2 modalities unusable"] == [TRAIN]


def test_every_clip_is_in_a_manifest_or_excluded_with_a_reason(corpus):
    (corpus / f"AudioWAV/{TEST}.wav").unlink()
    *manifests, report = prepare(corpus, label_rule="M", num_classes=4)
    kept = [clip for manifest in manifests for clip in manifest]
    out = [clip for clips in report["excluded"].values() for clip in clips]
    rows = read_csv(EXCERPT / SUMMARY)
    assert sorted(kept + out) == sorted(row["FileName"] for row in rows)
    counts = report["counts"]
    assert sum(counts["excluded"].values()) == len(out)
    assert [sum(counts[s].values()) for s in SPLITS] == [
        len(manifest) for manifest in manifests
    ]


# Errors: one line, and no file is written


@pytest.mark.parametrize(
    "options, message",
    [
        ({"label_rule": "X"}, "label rule 'X' is unknown: choose P"),
        ({"presentation": "both"}, "choose voice, face, audiovisual"),
        ({"num_classes": 5}, "choose 6 or 4"),
        ({"released_labels": "nowhere"}, "nowhere is neither a file"),
    ],
)
def test_an_unknown_option_names_the_choices(corpus, options, message):
    assert_refused(corpus, message, **options)


def test_git_lfs_pointers_are_counted_and_name_the_cure(corpus):
    for clip in (TRAIN, TEST):
        path = corpus / f"VideoFlash/{clip}.flv"
        path.unlink()
        path.write_text(
            "version https://git-lfs.github.com/spec/v1\n"
            "oid sha256:10dc3fd1f2bc82036574\nsize 265922\n"
        )
    assert_refused(corpus, "2 of 96 media files are Git LFS pointers: run `git")


def test_a_wrong_folder_is_named(corpus):
    wrong = corpus / "AudioWAV"
    with pytest.raises(UserError, match=f"{wrong} is not CREMA-D"):
        prepare_crema_d(wrong, corpus.parent / "prepared")


@pytest.mark.parametrize("name", [VOTES, ACTORS, "AudioWAV"])
def test_a_missing_part_is_named(corpus, name):
    (corpus / name).rename(corpus.parent / "elsewhere")
    assert_refused(corpus, f"has no {name}")


def test_a_copy_of_the_audio_alone_has_no_video(corpus):
    *before, _ = prepare(corpus)
    (corpus / "VideoFlash").rename(corpus.parent / "elsewhere")
    *manifests, report = prepare(corpus)
    assert [[*clips] for clips in manifests] == [[*clips] for clips in before]
    for clips in manifests:
        assert {entry["video"] for entry in clips.values()} == {None}
    assert report["problems"] == []


@pytest.mark.parametrize(
    "table, damage, message",
    [
        (VOTES, lambda text: text.replace('"H"', '"Q"'), "no column 'H'"),
        (VOTES, lambda text: "", "has no column ''"),
        (VOTES, lambda text: text[: text.rindex("_")], "in line 166"),
        (VOTES, lambda text: text.replace(",8,", ",x,"), "in line"),
        (ACTORS, lambda text: text[: text.rindex("5,")], "in line 8"),
        (ACTORS, lambda text: text.replace("1001", "2"), "lacks the actor"),
        (ACTORS, lambda text: "\0\1\2", "no column 'ActorID'"),
    ],
)
def test_a_damaged_table_is_named(corpus, table, damage, message):
    path = corpus / table
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    assert_refused(corpus, message)


def test_a_corpus_without_wav_files_says_what_is_unusable(corpus):
    for path in (corpus / "AudioWAV").iterdir():
        path.unlink()
    assert_refused(corpus, "no clip left in valid: 48 files are unusable")


# Repeated preparation


@pytest.fixture
def checks(monkeypatch):
    """Grows by one with each check of the media, which opens no file."""
    skip_media_check(monkeypatch)
    calls = []
    check_media = crema_d_prepare.check_media

    def counted(*arguments):
        calls.append(1)
        return check_media(*arguments)

    monkeypatch.setattr(crema_d_prepare, "check_media", counted)
    return calls


def test_the_same_options_are_prepared_once(corpus, checks):
    partition = {"valid": (1001,), "test": [1004]}
    first = prepare(corpus, partition=partition)
    assert prepare(corpus, partition=partition) == first
    assert len(checks) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"label_rule": "M"},
        {"num_classes": 4},
        {"partition": {"valid": [1001], "test": [1004]}},
        {"presentation": "voice"},
        {"label_rule": "M", "released_labels": EXCERPT / RELEASED},
        {"require_both": True},
    ],
)
def test_a_changed_option_prepares_again(corpus, checks, change):
    prepare(corpus)
    prepare(corpus, **change)
    assert len(checks) == 2


@pytest.mark.parametrize("table", [VOTES, ACTORS])
def test_a_changed_table_prepares_again(corpus, checks, table):
    prepare(corpus)
    os.utime(corpus / table, (0, 0))
    prepare(corpus)
    assert len(checks) == 2


def test_a_lost_manifest_is_made_again(corpus):
    first = prepare(corpus)
    (corpus.parent / "prepared" / "valid.json").unlink()
    assert prepare(corpus) == first


def test_a_refused_option_leaves_what_was_prepared(corpus, checks):
    first = prepare(corpus)
    with pytest.raises(UserError):
        prepare(corpus, label_rule="X")
    assert prepare(corpus) == first
    assert len(checks) == 1


def test_a_run_killed_between_two_renames_is_done_again(corpus, monkeypatch):
    first = prepare(corpus)
    with monkeypatch.context() as patch:
        replace, renames = os.replace, []

        def rename_once(*paths):
            if renames:
                raise KeyboardInterrupt
            renames.append(replace(*paths))

        patch.setattr(os, "replace", rename_once)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, label_rule="M")
    assert prepare(corpus) == first


# Anyone's split


def write_split(corpus, rows):
    path = corpus.parent / "split.csv"
    lines = (f"{clip},{split}" for clip, split in rows)
    path.write_text("\n".join(["clip,split", *lines]))
    return path


def clips_by_actor(corpus):
    actors = {}
    for row in read_csv(EXCERPT / SUMMARY):
        actors.setdefault(row["FileName"][:4], []).append(row["FileName"])
    return actors


def test_a_split_file_takes_the_place_of_a_partition(corpus, monkeypatch):
    skip_media_check(monkeypatch)
    rows = [(TRAIN, "train"), (VALID, "test"), (f"{TEST}.wav", "dev")]
    path = write_split(corpus, [*rows, ("1099_IEO_NEU_XX", "test")])
    *manifests, report = prepare(corpus, split_file=str(path))
    assert [[*clips] for clips in manifests] == [[TRAIN], [TEST], [VALID]]
    excluded = report["excluded"]
    unknown = excluded["in split_file, not in the corpus"]
    assert unknown == ["1099_IEO_NEU_XX"]
    assert report["counts"]["excluded"]["not in split_file"] > 30
    assert report["held_out"] == []


def test_a_split_file_that_changed_prepares_again(corpus, monkeypatch):
    skip_media_check(monkeypatch)
    rows = [(TRAIN, "train"), (VALID, "dev"), (TEST, "test")]
    path = write_split(corpus, rows)
    before = prepare(corpus, split_file=str(path))
    rows = [(TRAIN, "test"), (VALID, "dev"), (TEST, "train")]
    after = prepare(corpus, split_file=str(write_split(corpus, rows)))
    assert [*before[0]] == [*after[2]] == [TRAIN]


def test_without_a_development_set_actors_are_held_out(corpus, monkeypatch):
    skip_media_check(monkeypatch)
    actors = clips_by_actor(corpus)
    test = max(actors)
    path = write_split(
        corpus,
        [
            (clip, "test" if actor == test else "train")
            for actor, clips in actors.items()
            for clip in clips
        ],
    )
    train, valid, found, report = prepare(corpus, split_file=str(path))
    assert {entry["spk_id"] for entry in found.values()} == {test}
    held_out = {entry["spk_id"] for entry in valid.values()}
    assert held_out == {*report["held_out"]} and len(held_out) == 1
    assert held_out.isdisjoint(entry["spk_id"] for entry in train.values())


def test_a_clip_of_two_splits_is_in_both_manifests(corpus, monkeypatch):
    skip_media_check(monkeypatch)
    rows = [(TRAIN, "train"), (TEST, "dev"), (TEST, "test")]
    path = write_split(corpus, rows)
    _, valid, test, _ = prepare(corpus, split_file=str(path))
    assert [*valid] == [*test] == [TEST]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("nobody", "train")], "none of its clips has a label"),
        ([(TRAIN, "train"), (TRAIN, "Train")], "is in Train already"),
        ([(TRAIN, "train"), (VALID, "dev")], "no clip left in test"),
    ],
)
def test_a_split_file_of_no_use_ends_in_one_line(corpus, rows, message):
    path = write_split(corpus, rows)
    assert_refused(corpus, message, split_file=str(path))


def test_a_split_file_that_is_missing_is_named(corpus):
    assert_refused(corpus, "split_file nowhere.csv", split_file="nowhere.csv")
