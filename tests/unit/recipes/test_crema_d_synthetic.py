"""The demo corpus: CREMA-D's layout, synthetic contents."""

import csv
import filecmp

import av
import cv2
import numpy as np
import pytest
import soundfile
from crema_d_synthetic import EMOTIONS, FRAME_RATE, SENTENCES, make_demo_corpus

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
    make_demo_corpus(folder, num_actors=2, num_sentences=2)
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
            "crema_d_synthetic.json",
            "processedResults/summaryTable.csv",
            "processedResults/tabulatedVotes.csv",
        ]
    )


def test_the_whole_corpus_has_twelve_sentences_and_six_emotions():
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


def test_votes_add_up_in_all_three_conditions(corpus):
    rows = read(corpus / "processedResults" / "tabulatedVotes.csv")
    assert [row[""] for row in rows] == [
        str(100000 * condition + i)
        for condition in (1, 2, 3)
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


def test_rules_p_m_and_d_differ_and_the_intended_emotion_prevails(corpus):
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
    with av.open(corpus / "VideoFlash" / f"{NAMES[0]}.flv") as film:
        assert film.metadata["title"].startswith("synthetic")
    with soundfile.SoundFile(corpus / "AudioWAV" / f"{NAMES[0]}.wav") as file:
        assert file.title.startswith("synthetic")


@pytest.mark.parametrize("name", NAMES[::5])
def test_a_film_has_the_picture_and_the_sound_of_its_wav(corpus, name):
    sound, sample_rate = soundfile.read(corpus / "AudioWAV" / f"{name}.wav")
    seconds = len(sound) / sample_rate
    assert sample_rate == 16000 and sound.ndim == 1
    assert 1 < seconds < 2 and np.abs(sound).max() > 0.02
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as film:
        assert film.format.name == "flv"
        assert film.streams.video[0].codec.name == "flv"
        pictures = sum(1 for _ in film.decode(video=0))
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as film:
        blocks = list(film.decode(audio=0))
    heard = sum(block.samples for block in blocks) / blocks[0].sample_rate
    assert pictures / FRAME_RATE == pytest.approx(seconds, abs=1 / FRAME_RATE)
    assert heard == pytest.approx(seconds, abs=0.15)  # MP3 pads


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_the_face_is_found_in_most_pictures(corpus, name):
    cascade = cv2.CascadeClassifier(
        cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    )
    with av.open(corpus / "VideoFlash" / f"{name}.flv") as film:
        found = [
            len(cascade.detectMultiScale(picture.to_ndarray(format="gray")))
            for picture in film.decode(video=0)
        ]
    assert np.mean(np.array(found) == 1) > 0.8


def test_a_clip_depends_on_nothing_but_the_seed_and_its_name(corpus, tmp_path):
    make_demo_corpus(tmp_path / "same", 1, 1, num_workers=1)
    make_demo_corpus(tmp_path / "other", 1, 1, seed=1)
    media = [
        name
        for name in files(tmp_path / "same")
        if name.endswith((".wav", ".flv"))
    ]
    assert len(media) == 12
    for name in media:
        made = corpus / name
        assert filecmp.cmp(made, tmp_path / "same" / name, shallow=False)
        assert not filecmp.cmp(made, tmp_path / "other" / name, shallow=False)
    for table in ("tabulatedVotes", "summaryTable"):
        table = f"processedResults/{table}.csv"
        first = (corpus / table).read_text("utf-8").splitlines()[:7]
        same = (tmp_path / "same" / table).read_text("utf-8").splitlines()[:7]
        other = (tmp_path / "other" / table).read_text("utf-8").splitlines()[:7]
        assert first == same != other


def test_a_finished_corpus_is_left_alone_until_an_option_changes(tmp_path):
    folder = tmp_path / "demo"
    make_demo_corpus(folder, 1, 1)
    (folder / "mine").touch()
    make_demo_corpus(folder, 1, 1)
    assert (folder / "mine").exists()
    make_demo_corpus(folder, 1, 1, seed=1)
    assert not (folder / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_with_other_contents_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not a demo corpus"):
        make_demo_corpus(tmp_path, 1, 1)
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
        make_demo_corpus(tmp_path / "demo", **options)
    assert files(tmp_path) == []
