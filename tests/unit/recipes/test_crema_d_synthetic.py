"""The synthetic corpus in the layout and formats of CREMA-D."""

import csv
import filecmp

import av
import crema_d_synthetic
import cv2
import numpy as np
import pytest
import soundfile
from crema_d_synthetic import (
    EMOTIONS,
    FRAME_RATE,
    SENTENCES,
    make_synthetic_crema_d,
)

from auxformer_lobes.testing.corpus import MARKER
from auxformer_lobes.utils.errors import UserError

VOTES_HEADER = (
    '"","A","D","F","H","N","S","fileName","numResponses","agreement",'
    '"emoVote","meanEmoResp","meanAngerResp","meanDisgustResp",'
    '"meanFearResp","meanHappyResp","meanNeutralResp","meanSadResp",'
    '"medianEmoResp","meanEmoRespNorm","meanAngerRespNorm",'
    '"meanDisgustRespNorm","meanFearRespNorm","meanHappyRespNorm",'
    '"meanNeutralRespNorm","meanSadRespNorm","medianEmoRespNorm"'
)
SUMMARY_HEADER = (
    '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel",'
    '"MultiModalVote","MultiModalLevel"'
)
NAMES = [
    f"{actor}_{sentence}_{emotion}_XX"
    for actor in (1001, 1002)
    for sentence in ("IEO", "TIE")
    for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "CREMA-D"
    make_synthetic_crema_d(folder, num_actors=2, num_sentences=2)
    return folder


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def test_the_layout_is_crema_d_s(corpus):
    assert files(corpus) == sorted(
        [f"AudioWAV/{name}.wav" for name in NAMES]
        + [f"VideoFlash/{name}.flv" for name in NAMES]
        + [
            "README.txt",
            "SentenceFilenames.csv",
            "VideoDemographics.csv",
            MARKER,
            "processedResults/summaryTable.csv",
            "processedResults/tabulatedVotes.csv",
        ]
    )


def test_there_are_twelve_sentences_and_six_emotions():
    assert len(SENTENCES) == 12
    assert list(EMOTIONS) == ["ANG", "DIS", "FEA", "HAP", "NEU", "SAD"]


@pytest.mark.parametrize(
    ("table", "header", "first"),
    [
        ("processedResults/tabulatedVotes.csv", VOTES_HEADER, '"100001",'),
        (
            "processedResults/summaryTable.csv",
            SUMMARY_HEADER,
            '"1","1001_IEO_ANG_XX","',
        ),
        (
            "VideoDemographics.csv",
            '"ActorID","Age","Sex","Race","Ethnicity"',
            "1001,",
        ),
        (
            "SentenceFilenames.csv",
            '"Stimulus_Number","Filename"',
            '1,"1001_IEO_ANG_XX"',
        ),
    ],
)
def test_tables_have_the_columns_and_the_quoting_of_the_real_ones(
    corpus, table, header, first
):
    lines = (corpus / table).read_text("utf-8").splitlines()
    assert lines[0] == header
    assert lines[1].startswith(first)


def test_votes_add_up_in_all_three_presentations(corpus):
    rows = read(corpus / "processedResults" / "tabulatedVotes.csv")
    assert [row[""] for row in rows] == [
        str(100000 * presentation + i)
        for presentation in (1, 2, 3)
        for i in range(1, len(NAMES) + 1)
    ]
    assert [row["fileName"] for row in rows] == 3 * NAMES
    for row in rows:
        votes = {letter: int(row[letter]) for letter in "ADFHNS"}
        most = max(votes.values())
        assert sum(votes.values()) == int(row["numResponses"])
        assert 6 <= int(row["numResponses"]) <= 12
        assert float(row["agreement"]) == most / int(row["numResponses"])
        assert row["emoVote"].split(":") == [
            letter for letter in votes if votes[letter] == most
        ]
        assert (row["meanHappyResp"] == "-1") == (votes["H"] == 0)


def test_the_summary_agrees_with_the_votes(corpus):
    votes = read(corpus / "processedResults" / "tabulatedVotes.csv")
    summary = read(corpus / "processedResults" / "summaryTable.csv")
    columns = ["VoiceVote", "FaceVote", "MultiModalVote"]
    assert [row[column] for column in columns for row in summary] == [
        row["emoVote"] for row in votes
    ]


def test_rules_differ_and_most_raters_perceive_the_intended_emotion(corpus):
    rows = read(corpus / "processedResults" / "tabulatedVotes.csv")
    plurality = [row for row in rows if ":" not in row["emoVote"]]
    majority = [row for row in plurality if float(row["agreement"]) > 0.5]
    assert len(majority) < len(plurality) < len(rows)
    audiovisual = [row for row in plurality if row[""].startswith("3")]
    intended = [row["fileName"][9] == row["emoVote"] for row in audiovisual]
    assert sum(intended) > 0.85 * len(intended)


def test_people_are_marked_as_synthetic(corpus):
    people = read(corpus / "VideoDemographics.csv")
    assert [person["Sex"] for person in people] == ["Male", "Female"]
    assert {person["Race"] for person in people} == {"Synthetic"}
    assert "SYNTHETIC" in (corpus / "README.txt").read_text("utf-8")
    with av.open(corpus / "VideoFlash" / f"{NAMES[0]}.flv") as video:
        assert video.metadata["title"].startswith("synthetic")
    with soundfile.SoundFile(corpus / "AudioWAV" / f"{NAMES[0]}.wav") as file:
        assert file.title.startswith("synthetic")


@pytest.mark.parametrize("name", NAMES[::12])
def test_a_video_has_the_audio_of_its_wav_file(corpus, name):
    audio, sample_rate = soundfile.read(corpus / "AudioWAV" / f"{name}.wav")
    seconds = len(audio) / sample_rate
    assert sample_rate == 16000 and audio.ndim == 1
    assert 1 < seconds < 2 and np.abs(audio).max() > 0.02
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as video:
        assert video.format.name == "flv"
        assert video.streams.video[0].codec.name == "flv"
        frames = sum(1 for _ in video.decode(video=0))
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as video:
        blocks = list(video.decode(audio=0))
    seconds_in_video = (
        sum(block.samples for block in blocks) / blocks[0].sample_rate
    )
    assert frames / FRAME_RATE == pytest.approx(seconds, abs=1 / FRAME_RATE)
    assert seconds_in_video == pytest.approx(seconds, abs=0.15)  # MP3 pads


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_a_face_is_detected_in_most_frames(corpus, name):
    cascade = cv2.CascadeClassifier(
        cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    )
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as video:
        found = [
            len(cascade.detectMultiScale(frame.to_ndarray(format="gray")))
            for frame in video.decode(video=0)
        ]
    assert np.mean(np.array(found) == 1) > 0.8


def test_a_clip_depends_on_its_name_and_the_seed_only(corpus, tmp_path):
    make_synthetic_crema_d(tmp_path / "same", 1, 1, num_workers=1)
    make_synthetic_crema_d(tmp_path / "other", 1, 1, seed=1)
    media = [
        name
        for name in files(tmp_path / "same")
        if name.endswith((".wav", ".flv"))
    ]
    assert len(media) == 12
    for name in media:
        clip = corpus / name
        assert filecmp.cmp(clip, tmp_path / "same" / name, shallow=False)
        assert not filecmp.cmp(clip, tmp_path / "other" / name, shallow=False)
    for table in ("tabulatedVotes", "summaryTable"):
        table = f"processedResults/{table}.csv"
        first = (corpus / table).read_text("utf-8").splitlines()[:7]
        same = (tmp_path / "same" / table).read_text("utf-8").splitlines()[:7]
        other = (tmp_path / "other" / table).read_text("utf-8").splitlines()[:7]
        assert first == same != other


def test_a_corpus_is_kept_until_an_option_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(crema_d_synthetic, "EMOTIONS", {"ANG": "angry"})
    folder = tmp_path / "demo"
    make_synthetic_crema_d(folder, 1, 1)
    (folder / "mine").touch()
    make_synthetic_crema_d(folder, 1, 1)
    assert (folder / "mine").exists()
    make_synthetic_crema_d(folder, 1, 1, seed=1)
    assert not (folder / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_with_other_contents_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=str(tmp_path)):
        make_synthetic_crema_d(tmp_path, 1, 1)
    assert files(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    "options",
    [
        {"num_actors": 0},
        {"num_actors": 92},
        {"num_sentences": 13},
        {"seed": -1},
        {"num_workers": 0},
    ],
)
def test_numbers_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(UserError, match="must be from"):
        make_synthetic_crema_d(tmp_path / "demo", **options)
    assert files(tmp_path) == []
