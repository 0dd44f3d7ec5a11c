"""Manifests from a table of one's own clips."""

import json
import os

import pytest
import soundfile
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from own_corpus_prepare import prepare_own_corpus
from own_corpus_split import split_by_folds

from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import grey_images, tone, write_media

SPLITS = ["train", "valid", "test"]
SPEAKERS = ["Anna", "Ben", "Eva", "Jan"]
EMOTIONS = ["angry", "happy"]
# Each speaker says two clips in each emotion.
TAKES = [(s, e, i) for s in SPEAKERS for e in EMOTIONS for i in (1, 2)]
FILE = "file,speaker,emotion"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A wav file, a video, and both in one file."""
    folder = tmp_path_factory.mktemp("media")
    waveform = tone(1.0)
    soundfile.write(folder / "x.wav", waveform, 16000)
    images = grey_images([50, 100] * 15)
    write_media(folder / "x.avi", images, video_codec="mpeg4")
    both = {"video_codec": "mpeg4", "rate": 16000}
    write_media(folder / "x.mkv", images, waveform, **both)
    return folder


@pytest.fixture
def corpus(tmp_path, media):
    """Links to them, for each take."""
    folder = tmp_path / "my corpus"
    folder.mkdir()
    for take in TAKES:
        for suffix in ("wav", "avi", "mkv"):
            name = "_".join(map(str, take))
            os.link(media / f"x.{suffix}", folder / f"{name}.{suffix}")
    return folder


def rows_of(columns, *more):
    """A table as lines; `more` are columns by a function of the take."""
    lines = [columns]
    for take in TAKES:
        name = "_".join(map(str, take))
        files = {
            "file": f"{name}.mkv",
            "audio": f"{name}.wav",
            "video": f"{name}.avi",
            "speaker": take[0],
            "emotion": take[1],
        }
        named = [files[c] for c in columns.split(",") if c in files]
        lines.append(",".join([*named, *(str(f(*take)) for f in more)]))
    return lines


def prepare(corpus, lines, **options):
    (corpus / "clips.csv").write_text("\n".join(lines))
    target = corpus.parent / "run"
    options = {"num_folds": 4, "num_workers": 1, **options}
    prepare_own_corpus(corpus, "clips.csv", target, **options)
    manifests = {
        s: json.loads((target / f"{s}.json").read_text()) for s in SPLITS
    }
    report = json.loads((target / "prepare_report.json").read_text())
    return manifests, report


def everything(manifests):
    return {c: e for clips in manifests.values() for c, e in clips.items()}


def assert_refused(corpus, lines, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        prepare(corpus, lines, **options)
    assert "\n" not in str(caught.value)
    assert not (corpus.parent / "run" / "train.json").exists()


def test_one_file_has_both_modalities(corpus):
    manifests, report = prepare(corpus, rows_of(FILE))
    entry = everything(manifests)["Anna_angry_1"]
    assert entry["wav"] == entry["video"] == "{data_root}/Anna_angry_1.mkv"
    assert entry["spk_id"] == "Anna" and entry["emotion"] == "angry"
    assert entry["duration"] == pytest.approx(1.0, abs=0.1)
    assert len(everything(manifests)) == len(TAKES)
    assert report["problems"] == [] and report["card"]["name"] == "my corpus"


def test_separate_files_are_one_clip(corpus):
    manifests, _ = prepare(corpus, rows_of("audio,video,speaker,emotion"))
    entry = everything(manifests)["Anna_angry_1"]
    assert entry["wav"] == "{data_root}/Anna_angry_1.wav"
    assert entry["video"] == "{data_root}/Anna_angry_1.avi"


def test_some_clips_may_have_one_file_and_others_two(corpus):
    """As `auxformer init` writes it, where a folder has both."""
    lines = ["file,audio,video,speaker,emotion"]
    for i, (speaker, emotion, number) in enumerate(TAKES):
        name = f"{speaker}_{emotion}_{number}"
        files = f"{name}.mkv,," if i % 2 else f",{name}.wav,{name}.avi"
        lines.append(f"{files},{speaker},{emotion}")
    manifests, report = prepare(corpus, lines)
    entries = everything(manifests)
    assert entries["Anna_angry_1"]["wav"] == "{data_root}/Anna_angry_1.wav"
    assert entries["Anna_angry_2"]["wav"] == "{data_root}/Anna_angry_2.mkv"
    assert len(entries) == len(TAKES) and report["problems"] == []


@pytest.mark.parametrize(
    "columns, key, other",
    [("audio", "wav", "video"), ("video", "video", "wav")],
)
def test_a_corpus_of_one_modality_needs_no_other(corpus, columns, key, other):
    manifests, report = prepare(corpus, rows_of(f"{columns},speaker,emotion"))
    entries = everything(manifests)
    assert len(entries) == len(TAKES)
    assert all(e[key] and e[other] is None for e in entries.values())
    assert report["problems"] == []


def test_a_file_of_audio_has_no_video(corpus):
    lines = [line.replace(".mkv", ".wav") for line in rows_of(FILE)]
    manifests, report = prepare(corpus, lines)
    assert {e["video"] for e in everything(manifests).values()} == {None}
    assert report["problems"] == []


def test_silent_videos_are_a_corpus_of_the_face_alone(corpus):
    lines = [line.replace(".mkv", ".avi") for line in rows_of(FILE)]
    manifests, report = prepare(corpus, lines)
    entries = everything(manifests)
    assert len(entries) == len(TAKES)
    assert {entry["wav"] for entry in entries.values()} == {None}
    assert report["problems"] == []


def test_no_speaker_is_in_two_splits(corpus):
    for fold in range(1, 5):
        manifests, _ = prepare(corpus, rows_of(FILE), fold=fold)
        speakers = [
            {e["spk_id"] for e in manifests[s].values()} for s in SPLITS
        ]
        assert [len(of) for of in speakers] == [2, 1, 1]
        assert len(set().union(*speakers)) == 4


def test_every_speaker_is_tested_in_one_fold(corpus):
    tested = []
    for fold in range(1, 5):
        manifests, _ = prepare(corpus, rows_of(FILE), fold=fold)
        tested += {e["spk_id"] for e in manifests["test"].values()}
    assert sorted(tested) == SPEAKERS


ENTRIES = st.dictionaries(
    st.integers(0, 99).map(str),
    st.fixed_dictionaries(
        {
            "spk_id": st.sampled_from("abcdefghij"),
            "emotion": st.sampled_from(["angry", "happy", "sad"]),
        }
    ),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, folds=st.integers(3, 6), seed=st.integers(0, 9))
def test_folds_are_of_whole_speakers_and_none_is_empty(entries, folds, seed):
    speakers = {entry["spk_id"] for entry in entries.values()}
    if len(speakers) < 3:
        with pytest.raises(UserError, match="need three"):
            split_by_folds("clips.csv", entries, folds, 1, seed)
        return
    tested = []
    for fold in range(1, min(folds, len(speakers)) + 1):
        splits = split_by_folds("clips.csv", entries, folds, fold, seed)
        of = {
            s: {entries[c]["spk_id"] for c in splits if splits[c] == s}
            for s in SPLITS
        }
        assert splits.keys() == entries.keys()
        assert all(of.values())
        assert sum(map(len, of.values())) == len(speakers)
        tested += of["test"]
    assert sorted(tested) == sorted(speakers)


def test_the_column_split_is_kept(corpus):
    names = dict(zip(SPEAKERS, ["Train", "training", "dev", "TEST"]))
    lines = rows_of(f"{FILE},split", lambda speaker, *_: names[speaker])
    manifests, _ = prepare(corpus, lines)
    speakers = [{e["spk_id"] for e in manifests[s].values()} for s in SPLITS]
    assert speakers == [{"Anna", "Ben"}, {"Eva"}, {"Jan"}]


def test_speakers_are_held_out_where_there_is_no_development_set(corpus):
    names = dict(zip(SPEAKERS, ["train", "train", "train", "test"]))
    lines = rows_of(f"{FILE},split", lambda speaker, *_: names[speaker])
    manifests, report = prepare(corpus, lines)
    assert {e["spk_id"] for e in manifests["valid"].values()} == {
        *report["held_out"]
    }
    assert len(report["held_out"]) == 1


def test_clips_without_a_split_are_left_out(corpus):
    names = dict(zip(SPEAKERS, ["train", "valid", "test", ""]))
    lines = rows_of(f"{FILE},split", lambda speaker, *_: names[speaker])
    manifests, report = prepare(corpus, lines)
    assert len(everything(manifests)) == 12
    assert len(report["excluded"]["no split"]) == 4


def test_votes_are_a_column_a_class(corpus):
    lines = rows_of(
        "file,speaker,angry,happy",
        lambda s, emotion, i: 3 if emotion == "angry" else 1,
        lambda s, emotion, i: 1 if emotion == "angry" else i,
    )
    manifests, report = prepare(corpus, lines)
    entry = everything(manifests)["Anna_angry_1"]
    assert (entry["emotion"], entry["votes"]) == ("angry", [0.75, 0.25])
    assert len(report["excluded"]["no consensus by rule P"]) == 4  # one to one
    manifests, _ = prepare(corpus, lines, label_rule="D")
    assert len(everything(manifests)) == len(TAKES)


def test_votes_of_any_name_can_be_named(corpus):
    lines = rows_of(
        f"{FILE},calm,bored",
        lambda s, emotion, i: 3 if emotion == "angry" else 0,
        lambda s, emotion, i: 0 if emotion == "angry" else 3,
    )
    manifests, _ = prepare(corpus, lines, votes=["calm", "bored"])
    assert everything(manifests)["Ben_happy_2"]["emotion"] == "bored"


def test_attributes_are_numbers_on_a_scale(corpus):
    lines = rows_of(
        "file,speaker,arousal,trust", lambda *take: take[2], lambda *take: 5
    )
    manifests, _ = prepare(corpus, lines, labels="attributes")
    assert everything(manifests)["Anna_happy_2"]["attributes"] == {"arousal": 2}
    manifests, _ = prepare(
        corpus, lines, labels="attributes", attributes=["trust"], scale=(0, 5)
    )
    entry = everything(manifests)["Anna_happy_2"]
    assert entry["attributes"] == {"trust": 5}
    assert entry["columns"] == {"arousal": "2"}
    message = "line 2, column trust: 5 is not within 0 to 4: correct it, or"
    scale = {"attributes": ["trust"], "scale": (0, 4)}
    (corpus.parent / "run" / "train.json").unlink()
    assert_refused(corpus, lines, message, labels="attributes", **scale)


def test_further_columns_are_kept(corpus):
    lines = rows_of(
        f"{FILE},gender,room", lambda *take: "female", lambda *take: "lab {a}"
    )
    manifests, _ = prepare(corpus, lines)
    entry = everything(manifests)["Anna_angry_1"]
    assert entry["gender"] == "female"
    assert entry["columns"] == {"room": "lab {a}"}


def test_segments_of_a_long_file_are_clips(corpus):
    lines = rows_of(
        f"{FILE},start,end", lambda *take: "0:00:00.2", lambda *take: 0.8
    )
    manifests, _ = prepare(corpus, lines)
    entry = everything(manifests)["Anna_angry_1_0.2-0.8"]
    assert entry["wav"] == "{data_root}/Anna_angry_1.mkv#t=0.2,0.8"
    assert entry["duration"] == pytest.approx(0.6, abs=0.1)


def test_files_of_the_same_name_are_told_apart_by_their_folders(corpus):
    lines = rows_of(FILE)
    for i, take in enumerate(TAKES, 1):
        (corpus / f"{i}").mkdir()
        os.link(
            corpus / f"{'_'.join(map(str, take))}.mkv", corpus / f"{i}/x.mkv"
        )
        lines[i] = f"{i}\\x.mkv," + lines[i].partition(",")[2]  # of Windows
    manifests, _ = prepare(corpus, lines)
    assert everything(manifests)["3/x"]["wav"] == "{data_root}/3/x.mkv"


def test_files_elsewhere_are_absolute(corpus, media):
    lines = rows_of(FILE)
    lines[1] = f"{media}/x.mkv,Anna,angry"
    lines[2] = f"{corpus}/Anna_angry_2.mkv,Anna,angry"
    manifests, _ = prepare(corpus, lines)
    entries = everything(manifests)
    assert entries["x"]["wav"] == f"{media}/x.mkv"
    assert entries["Anna_angry_2"]["wav"] == "{data_root}/Anna_angry_2.mkv"


def test_a_missing_file_costs_its_clip_only(corpus, caplog):
    (corpus / "Anna_angry_1.mkv").unlink()
    content = (corpus / "Ben_happy_2.mkv").read_bytes()
    (corpus / "Ben_happy_2.mkv").unlink()
    (corpus / "Ben_happy_2.mkv").write_bytes(content[:100])
    manifests, report = prepare(corpus, rows_of(FILE))
    assert len(everything(manifests)) == len(TAKES) - 2
    cells = {problem["file"]: problem["cell"] for problem in report["problems"]}
    assert cells["Anna_angry_1.mkv"] == "line 2, column file"
    assert "line 2, column file: Anna_angry_1.mkv: " in caplog.text


TABLE = rows_of(FILE)


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            ["path,speaker,emotion", "a.wav,A,sad"],
            "no column file: it needs one, or",
        ),
        (
            ["files,speaker,emotion", "a.wav,A,sad"],
            "rename column 'files'; it has",
        ),
        (
            ["file,audio,speaker,emotion", "a.mp4,a.wav,A,sad"],
            "line 2, column audio: is filled, and file too: leave one",
        ),
        (["file,emotion", "a.wav,sad"], "no column speaker: it needs one"),
        (["file,speaker,mood", "a.wav,A,sad"], "has no labels: add a column"),
        (["file,speaker,arousal", "a.wav,A,1"], "auxformer_attributes_offline"),
        ([*TABLE, "y.mkv,,angry"], "line 18, column speaker: is empty"),
        ([*TABLE, ",Anna,angry"], "line 18, column file: is empty"),
        (
            [*TABLE, "y.mkv,anna ,angry"],
            "line 18, column speaker: 'anna' is 'Anna' in line 2: write",
        ),
        ([*TABLE, TABLE[1]], "line 18, column file: 'Anna_.*' is the clip of"),
        ([*TABLE, "y.mkv,Anna,angri"], "line 18, column emotion: only here is"),
        (
            [*TABLE, "y.mkv,Anna,angri", "z.mkv,Anna,angri"],
            "line 18, column emotion: only here and line 19 is the class angri",
        ),
        (
            [x.replace(",happy", ",angry") for x in TABLE],
            "the class angry only",
        ),
        (
            [x.replace(",happy", ",happy!") for x in TABLE],
            "class 'happy!': use",
        ),
        (
            [x.replace(".mkv", ".mp4") for x in TABLE],
            "line 2, column file: Ann",
        ),
        (
            [x.replace(",Eva", ",Ben").replace(",Jan", ",Ben") for x in TABLE],
            "has 2 speakers with labels: training, development and test",
        ),
    ],
    ids=range(16),
)
def test_damage_is_one_line_with_its_cell(corpus, lines, message):
    assert_refused(corpus, lines, message)


@pytest.mark.parametrize(
    "start, end, message",
    [
        ("x", "", "line 2, column start: 'x' is not a time: write 12.5"),
        ("1", "0.5", "line 2, column end: 0.5 s is not after the start, 1 s"),
        ("-1", "", "'-1' is not a time"),
        ("1:2:3:4", "", "is not a time"),
    ],
)
def test_a_damaged_segment_is_named(corpus, start, end, message):
    lines = rows_of(f"{FILE},start,end", lambda *_: start, lambda *_: end)
    assert_refused(corpus, lines, message)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"fold": 5}, "fold: 5: choose 1 to 4"),
        ({"num_folds": 2}, "num_folds: 2: choose 3 or more"),
        ({"classes": ["angry", "sad"]}, "classes sad: choose among angry, ha"),
        ({"label_rule": "D"}, "has one emotion a clip, and no votes"),
        ({"votes": ["calm"]}, "votes calm: no such column among file, speaker"),
        ({"labels": "attributes"}, "no attributes: use hparams/auxformer_off"),
        ({"classes": "angry"}, "classes: angry: write '.angry, …"),
        ({"votes": "calm"}, "votes: calm: write '.calm.'"),
        ({"attributes": ["trust"]}, "--attributes has no effect on classes"),
    ],
)
def test_an_option_that_does_not_fit_is_named(corpus, options, message):
    assert_refused(corpus, TABLE, message, **options)


def test_chosen_classes_leave_out_the_others(corpus):
    lines = [*TABLE, "odd.wav,Anna,odd"]
    manifests, report = prepare(corpus, lines, classes=["Angry", "happy"])
    assert len(everything(manifests)) == len(TAKES)
    assert report["excluded"] == {"not one of the 2 classes": ["odd"]}


def test_the_same_options_prepare_once(corpus):
    prepare(corpus, TABLE)
    manifest = corpus.parent / "run" / "train.json"
    before = manifest.stat().st_mtime_ns
    prepare_own_corpus(
        corpus, "clips.csv", corpus.parent / "run", num_folds=4, num_workers=1
    )
    assert manifest.stat().st_mtime_ns == before
