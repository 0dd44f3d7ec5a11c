"""MSP-IMPROV becomes manifests, or one line says why not."""

import json
import os
import shutil
from pathlib import Path

import msp_improv_counts
import msp_improv_prepare
import pytest
from msp_improv_counts import DOCUMENTED, count_turns, differences, print_counts
from msp_improv_prepare import prepare_msp_improv
from msp_improv_ratings import read_ratings
from msp_improv_turns import describe, find_clip

from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import grey_images, write_media
from tests.unit.msp_improv_files import (
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    Rater,
    assert_refused,
    make_corpus,
    prepare,
    skip_media_check,
)

NEUTRAL = [Rater("W1", "Neutral", ["Neutral"], [2.0, 3.0, 4.0, 5.0])]
SAD = [Rater("W1", "Sad", ["Sad"], [4.0, 1.0, 2.0, 5.0])]
IMPROVISED = "S01A-M02-S-FM12"
TURNS = {TRAIN: NEUTRAL, VALID: NEUTRAL, TEST: NEUTRAL, IMPROVISED: SAD}
WAV = "Audio/session{}/{}/{}/MSP-IMPROV-{}.wav"
AVI = "Video/session{}/{}/{}/MSP-IMPROV-{}.avi"


@pytest.fixture
def corpus(tmp_path):
    """Four turns, one in each split and one more."""
    return make_corpus(tmp_path, TURNS)


def full(turn):
    """The name of a clip."""
    return f"MSP-IMPROV-{turn}"


def path_of(pattern, turn):
    """Where a file of a turn is."""
    scene, speaker, recording, _ = turn.split("-")
    return pattern.format(speaker[-1], scene, recording, turn)


# What a manifest holds


def test_a_turn_is_described_by_its_name_and_its_raters(corpus):
    train, _, _, _ = prepare(corpus)
    assert train[full(IMPROVISED)] == {
        "wav": "{data_root}/" + path_of(WAV, IMPROVISED),
        "video": "{data_root}/" + path_of(AVI, IMPROVISED),
        "duration": 0.6,
        "emotion": "sad",
        "votes": [0, 0, 0, 1],
        "attributes": {"arousal": 2.0, "valence": 1.0, "dominance": 2.0},
        "raters": 1,
        "spk_id": "M02",
        "gender": "male",
        "recording": "S",
        "session": 2,
        "target_emotion": "angry",
        "sentence": 1,
    }


def test_files_are_found_once_data_root_is_replaced(corpus):
    clip = prepare(corpus)[0][full(TRAIN)]
    for key in ("wav", "video"):
        assert Path(clip[key].format(data_root=corpus)).is_file()


# Layouts in circulation


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"labels": "Evaluation.txt"},
        {"labels": "EVALUTION.TXT"},
        {"labels": "Labels/Evalution.txt"},
        {
            "wav": "session{session}/{scene}/{recording}/UTD-IMPROV-{name}.wav",
            "video": "AudioVideo/session{session}/{name}.avi",
        },
        {
            "wav": "Audio/{name}.WAV",
            "video": "session{session}/{scene}/MSP-Improv-{name}.AVI",
        },
        {"wav": "All/MSP-IMPROV-{name}.wav", "video": "All/{name}.mp4"},
    ],
)
def test_the_same_turns_are_found_in_any_layout(tmp_path, layout):
    corpus = make_corpus(tmp_path, TURNS, **layout)
    *manifests, report = prepare(corpus)
    assert [list(manifest) for manifest in manifests] == [
        [full(TRAIN), full(IMPROVISED)],
        [full(VALID)],
        [full(TEST)],
    ]
    for manifest in manifests:
        for clip in manifest.values():
            for key in ("wav", "video"):
                assert Path(clip[key].format(data_root=corpus)).is_file()
    assert report["problems"] == report["duplicates"] == []


def test_circular_links_to_folders_are_followed_once(tmp_path, corpus):
    (corpus / "Video").rename(tmp_path / "Video")
    (corpus / "Video").symlink_to(tmp_path / "Video")
    (tmp_path / "Video" / "round").symlink_to(corpus)
    train, _, _, report = prepare(corpus)
    assert train[full(TRAIN)]["video"].endswith(path_of(AVI, TRAIN))
    assert report["duplicates"] == []


@pytest.mark.parametrize(
    "name, clip",
    [
        ("MSP-IMPROV-S01A-F01-P-FM01", "MSP-IMPROV-S01A-F01-P-FM01"),
        ("utd-improv-s01a-f01-p-fm01.avi", "MSP-IMPROV-S01A-F01-P-FM01"),
        ("S20H-M06-T-MM101.wav", "MSP-IMPROV-S20H-M06-T-MM101"),
        ("._MSP-IMPROV-S01A-F01-P-FM01.wav", None),
        ("MSP-IMPROV-S01A-F07-P-FM01.wav", None),
        ("MSP-IMPROV-S01A-F01-Q-FM01.wav", None),
        ("MSP-IMPROV-S01A-F01-P-FM01 (copy).wav", None),
        ("README.txt", None),
    ],
)
def test_a_turn_is_recognised_by_its_file_name(name, clip):
    assert find_clip(name) == clip
    if clip:
        assert describe(clip)["spk_id"] == clip.split("-")[3]


def test_the_choice_among_duplicates_is_deterministic(corpus, caplog):
    first = corpus / path_of(AVI, TRAIN)
    for other in ("A/x.mp4", "B/x.avi", "Z/x.avi"):
        path = corpus / other.replace("x", full(TRAIN))
        path.parent.mkdir(exist_ok=True)
        os.link(first, path)
    train, _, _, report = prepare(corpus)
    # AVI before MP4, then alphabetical.
    assert train[full(TRAIN)]["video"] == f"{{data_root}}/B/{full(TRAIN)}.avi"
    assert report["duplicates"] == [
        f"A/{full(TRAIN)}.mp4",
        path_of(AVI, TRAIN),
        f"Z/{full(TRAIN)}.avi",
    ]
    assert "3 duplicate files" in caplog.text


# Unusable media


@pytest.mark.parametrize("split, turn", [(1, VALID), (2, TEST)])
def test_development_and_test_sets_need_both_modalities(tmp_path, split, turn):
    other = turn.replace("01", "02")
    corpus = make_corpus(tmp_path, {**TURNS, other: NEUTRAL})
    (corpus / path_of(WAV, turn)).unlink()
    *manifests, report = prepare(corpus)
    assert list(manifests[split]) == [full(other)]
    assert report["excluded"] == {"1 of 2 modalities unusable": [full(turn)]}


@pytest.mark.parametrize("pattern, key", [(WAV, "wav"), (AVI, "video")])
def test_training_keeps_turns_with_one_modality(corpus, pattern, key):
    (corpus / path_of(pattern, TRAIN)).unlink()
    train, _, _, report = prepare(corpus)
    entry = train[full(TRAIN)]
    assert [k for k in ("wav", "video") if entry[k] is None] == [key]
    assert 0.4 < entry["duration"] < 0.7
    assert report["problems"] == [
        {
            "file": Path(path_of(pattern, TRAIN)).name,
            "reason": "No such file or directory",
        }
    ]


def test_a_damaged_file_is_named(corpus):
    wav = corpus / path_of(WAV, TRAIN)
    wav.unlink()
    wav.write_bytes(b"RIFF")
    train, _, _, report = prepare(corpus)
    assert train[full(TRAIN)]["wav"] is None
    (problem,) = report["problems"]
    assert problem["file"] == path_of(WAV, TRAIN)
    assert "cannot be decoded" in problem["reason"]


def test_require_both_excludes_a_turn_with_one_modality(corpus):
    (corpus / path_of(WAV, TRAIN)).unlink()
    train, _, _, report = prepare(corpus, require_both=True)
    assert list(train) == [full(IMPROVISED)]
    assert report["excluded"] == {"1 of 2 modalities unusable": [full(TRAIN)]}


def test_the_maximum_duration_is_an_option(corpus):
    video = corpus / path_of(AVI, TRAIN)
    video.unlink()
    write_media(
        video,
        grey_images([90, 80, 90, 80]),
        video_codec="mpeg4",
        times=[0, 25, 50, 75],
    )
    assert prepare(corpus)[0][full(TRAIN)]["video"] is not None
    train, _, _, report = prepare(corpus, folder="short", longest=60)
    assert full(TRAIN) not in train
    assert "lasts 75.0 s, not 0.3 to 60 s" in report["problems"][0]["reason"]


def test_unopened_videos_may_be_missing(corpus):
    shutil.rmtree(corpus / "Video")
    train, _, _, report = prepare(corpus, open_video=False)
    assert train[full(TRAIN)]["video"] is not None
    assert report["problems"] == []


# Every turn is in a manifest or excluded with a reason


def test_media_without_a_block_are_unmatched(corpus):
    path = corpus / "Evalution.txt"
    text = path.read_text("utf-8")
    path.write_text(text[: text.index(f"UTD-IMPROV-{IMPROVISED}")], "utf-8")
    *_, report = prepare(corpus)
    assert report["excluded"] == {"not in the label file": [full(IMPROVISED)]}


@pytest.mark.parametrize("recordings", ["R", ["R"], ("R",)])
def test_recordings_select_the_turns(tmp_path, recordings):
    sad = {**TURNS, "S01A-M02-S-FM13": SAD + NEUTRAL}
    corpus = make_corpus(tmp_path, sad)
    train, valid, test, report = prepare(corpus, recordings=recordings)
    assert [*train, *valid, *test] == [full(t) for t in (TRAIN, VALID, TEST)]
    assert report["excluded"] == {
        "of another kind of recording": [
            full(IMPROVISED),
            full("S01A-M02-S-FM13"),
        ]
    }


def test_every_turn_is_in_a_manifest_or_excluded_with_a_reason(tmp_path):
    turns = {
        **TURNS,
        "S01A-F02-P-FM01": SAD,
        "S01A-F02-S-FM01": SAD + [NEUTRAL[0]._replace(name="W2")],
        "S01A-F02-S-FM02": [SAD[0]._replace(primary="Other")],
        "S01A-F02-T-FM01": SAD,
    }
    corpus = make_corpus(tmp_path, turns)
    for pattern in (WAV, AVI):
        (corpus / path_of(pattern, IMPROVISED)).unlink()
    *manifests, report = prepare(corpus, recordings="RST")
    kept = [clip for manifest in manifests for clip in manifest]
    assert report["excluded"] == {
        "of another kind of recording": [full("S01A-F02-P-FM01")],
        "no consensus by rule P": [full("S01A-F02-S-FM01")],
        "not one of the 4 classes": [full("S01A-F02-S-FM02")],
        "2 of 2 modalities unusable": [full(IMPROVISED)],
    }
    out = [clip for clips in report["excluded"].values() for clip in clips]
    assert sorted(kept + out) == sorted(map(full, turns))
    counts = report["counts"]
    assert sum(counts["excluded"].values()) == len(out)
    assert [sum(counts[s].values()) for s in SPLITS] == [2, 1, 1]


def test_unused_lines_are_in_the_report_and_the_log(corpus, caplog):
    path = corpus / "Evalution.txt"
    path.write_text(f"{path.read_text('utf-8')}W9; what; is; this", "utf-8")
    *_, report = prepare(corpus)
    assert report["label_file_notes"] == [
        {"line": 12, "reason": "unreadable", "text": "W9; what; is; this"}
    ]
    assert "Evalution.txt, line 12: unreadable: W9;" in caplog.text
    assert report["free_words"] == {}


# The documented counts


def test_the_documented_counts_are_those_of_the_corpus():
    turns = {c: sum(row.values()) for c, row in DOCUMENTED.items()}
    assert turns == {"P": 2785, "R": 620, "S": 4381, "T": 652}
    assert sum(turns.values()) == 8438


@pytest.mark.parametrize(
    "change, expected",
    [
        (0, []),
        (-27, []),  # of 2,785 turns
        (-28, ["P 2,757 of 2,785"]),
        (
            100,
            [
                "P 2,885 of 2,785",
                "all 8,538 of 8,438",
                "neutral 3,577 of 3,477",
            ],
        ),
    ],
)
def test_one_per_cent_may_differ(change, expected):
    row = dict(DOCUMENTED["P"])
    row["neutral"] += change
    assert differences({**DOCUMENTED, "P": row}) == expected


def test_the_table_has_found_and_documented_turns(capsys):
    print_counts({**DOCUMENTED, "R": dict.fromkeys(DOCUMENTED["R"], 1)}, "", 1)
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
    ]
    assert ["sad", "66/66", "1/80", "633/633", "106/106", "806/885"] in rows
    assert [
        *("turns", "2785/2785", "6/620", "4381/4381", "652/652"),
        "7824/8438",
    ] in rows


def test_an_incomplete_label_file_gives_a_warning(corpus, caplog, capsys):
    *_, report = prepare(corpus)
    assert "has P 0 of 2,785, R 3 of 620, S 1 of 4,381" in caplog.text
    assert "3/620" in capsys.readouterr().out
    assert report["turns"]["R"]["neutral"] == 3


@pytest.fixture
def documented(monkeypatch, corpus):
    """Documents the four turns as the complete corpus."""
    counts = count_turns(read_ratings(corpus / "Evalution.txt")[0])
    monkeypatch.setattr(msp_improv_counts, "DOCUMENTED", counts)


@pytest.mark.usefixtures("documented")
def test_a_complete_copy_gives_no_warning(corpus, caplog):
    prepare(corpus)
    assert "comparable" not in caplog.text


@pytest.mark.usefixtures("documented")
@pytest.mark.parametrize("recordings", ["PRST", "R"])
def test_missing_media_give_a_warning(corpus, caplog, capsys, recordings):
    (corpus / path_of(AVI, IMPROVISED)).unlink()
    *_, report = prepare(corpus, recordings=recordings)
    assert "usable for S 0 of 1, all 3 of 4, sad 0 of 1 turns" in caplog.text
    assert "documented corpus" not in caplog.text
    assert "3/4" in capsys.readouterr().out
    assert report["turns"]["S"]["sad"] == 1
    assert report["usable_turns"]["S"]["sad"] == 0


@pytest.mark.usefixtures("documented")
def test_damaged_media_give_a_warning(corpus, caplog):
    wav = corpus / path_of(WAV, TRAIN)
    wav.unlink()
    wav.write_bytes(b"RIFF")
    prepare(corpus)
    assert "usable for R 2 of 3, all 3 of 4, neutral 2 of 3" in caplog.text


@pytest.mark.usefixtures("documented")
def test_unopened_videos_give_no_warning(corpus, caplog):
    shutil.rmtree(corpus / "Video")
    prepare(corpus, recordings="R", open_video=False)
    assert "comparable" not in caplog.text


@pytest.mark.parametrize("above", ["", "MSP-IMPROV"])
def test_a_synthetic_corpus_gives_no_warning(corpus, caplog, capsys, above):
    (corpus / MARKER).write_text("{}", "utf-8")
    if above:  # is in the folder that is named
        (corpus.parent / "data").mkdir()
        corpus = corpus.rename(corpus.parent / "data" / above).parent
    *_, report = prepare(corpus)
    assert report["card"]["synthetic"]
    assert "documented" not in caplog.text
    assert "/620" not in capsys.readouterr().out


def test_a_real_corpus_is_not_marked_as_synthetic(corpus):
    assert not prepare(corpus)[-1]["card"]["synthetic"]


@pytest.mark.parametrize("other", ["Evaluation.txt", "Labels/evalution.txt"])
def test_a_second_label_file_gives_a_warning(corpus, caplog, other):
    (corpus / other).parent.mkdir(exist_ok=True)
    shutil.copy(corpus / "Evalution.txt", corpus / other)
    prepare(corpus)
    used, unused = sorted(["Evalution.txt", other])
    assert f"{corpus / used} is used, not {corpus / unused}" in caplog.text


# Errors: one line, and no file is written


@pytest.mark.parametrize(
    "options, message",
    [
        ({"labels": "tertiary"}, "choose primary, secondary, attributes"),
        ({"labels": ["primary"]}, "choose primary, secondary, attributes"),
        ({"label_rule": "X"}, "label rule 'X' is unknown: choose P"),
        ({"num_classes": 10}, "num_classes is 10: choose 4"),
        ({"labels": "secondary", "num_classes": 6}, "6: choose 10 or 4"),
        ({"labels": "attributes", "num_classes": 3}, "3: choose 4"),
        ({"recordings": "PX"}, "choose from P (natural), R (target, read)"),
        ({"recordings": 5}, "recordings 5 are unknown: choose from P"),
        ({"recordings": [["P"]]}, "[['P']] are unknown: choose from P"),
        ({"recordings": []}, "recordings [] are unknown"),
        ({"recordings": None}, "recordings None are unknown"),
        ({"recordings": "P"}, "no clip left in train"),
        ({"partition": 9}, "partition 9 is unknown: choose 1 to 5"),
        ({"released_labels": "nowhere"}, "nowhere is neither a file"),
        ({"longest": 0.5}, "no clip left in train: 8 files are unusable"),
    ],
)
def test_an_option_that_cannot_be_names_the_cure(corpus, options, message):
    assert_refused(corpus, message, **options)


@pytest.mark.parametrize(
    "folder, message",
    [
        ("nowhere", "nowhere is not a folder"),
        ("MSP-IMPROV/Audio", "is not MSP-IMPROV: it has no Evalution.txt or"),
    ],
)
def test_a_wrong_folder_is_named(corpus, folder, message):
    folder = corpus.parent / folder
    with pytest.raises(UserError) as error:
        prepare_msp_improv(folder, corpus.parent / "prepared")
    assert f"data_folder {folder}" in str(error.value)
    assert message in str(error.value)


def test_an_empty_label_file_is_named(corpus):
    (corpus / "Evalution.txt").write_text("", "utf-8")
    assert_refused(corpus, "Evalution.txt has no turn such as UTD-IMPROV-")


@pytest.mark.parametrize("kind, suffix", [("Audio", "wav"), ("Video", "avi")])
def test_missing_media_are_named(corpus, kind, suffix):
    shutil.rmtree(corpus / kind)
    assert_refused(corpus, f"has no .{suffix} file of MSP-IMPROV")


# Repeated preparation


@pytest.fixture
def checks(monkeypatch):
    """Grows by one with each check of the media, which opens no file."""
    skip_media_check(monkeypatch)
    calls = []
    check_media = msp_improv_prepare.check_media

    def counted(*arguments):
        calls.append(1)
        return check_media(*arguments)

    monkeypatch.setattr(msp_improv_prepare, "check_media", counted)
    return calls


def test_the_same_options_are_prepared_once(corpus, checks):
    first = prepare(corpus, recordings=("S", "R"))
    assert prepare(corpus, recordings="RS") == first
    assert len(checks) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"labels": "secondary"},
        {"label_rule": "M"},
        {"labels": "secondary", "num_classes": 10},
        {"partition": {"valid": [4], "test": [5]}},
        {"recordings": "RS"},
        {"require_both": True},
        {"open_video": False},
        {"longest": 60.0},
    ],
)
def test_a_changed_option_prepares_again(corpus, checks, change):
    prepare(corpus)
    prepare(corpus, **change)
    assert len(checks) == 2


def test_a_changed_label_file_prepares_again(corpus, checks):
    prepare(corpus)
    os.utime(corpus / "Evalution.txt", (0, 0))
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


def test_the_report_has_the_options(corpus):
    *_, report = prepare(corpus, recordings="SR", partition=1)
    assert report["options"]["recordings"] == ["R", "S"]
    assert json.dumps(report["options"]).count("Evalution.txt") == 1


# Anyone's split


def write_split(corpus, rows):
    path = corpus.parent / "split.csv"
    lines = (f"{clip},{split}" for clip, split in rows)
    path.write_text("\n".join(["clip,split", *lines]))
    return str(path)


def test_a_split_file_may_have_names_of_any_copy_of_the_corpus(corpus):
    rows = [(f"UTD-IMPROV-{TRAIN}.avi", "train"), (VALID, "test")]
    path = write_split(corpus, [*rows, (full(TEST), "val"), ("film", "test")])
    *manifests, report = prepare(corpus, split_file=path)
    expected = [[full(turn)] for turn in (TRAIN, TEST, VALID)]
    assert [[*clips] for clips in manifests] == expected
    unknown = report["excluded"]["in split_file, not in the corpus"]
    assert unknown == ["film"]
    assert report["excluded"]["not in split_file"] == [full(IMPROVISED)]
    assert report["options"]["partition"] is None


def test_a_published_development_set_that_is_the_test_set_is_kept(corpus):
    rows = [(TRAIN, "train"), (TEST, "valid"), (TEST, "test")]
    _, valid, test, _ = prepare(corpus, split_file=write_split(corpus, rows))
    assert [*valid] == [*test] == [full(TEST)]


def test_without_a_development_set_a_session_is_held_out(corpus):
    rows = [(TRAIN, "train"), (IMPROVISED, "train"), (VALID, "train")]
    path = write_split(corpus, [*rows, (TEST, "test")])
    train, valid, _, report = prepare(corpus, split_file=path)
    (held_out,) = report["held_out"]
    assert {entry["session"] for entry in valid.values()} == {held_out}
    assert held_out not in {entry["session"] for entry in train.values()}
