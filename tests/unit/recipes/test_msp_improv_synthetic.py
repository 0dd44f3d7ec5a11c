"""The synthetic corpus in the layout and formats of MSP-IMPROV."""

import filecmp
import re
from collections import Counter, defaultdict

import av
import cv2
import msp_improv_synthetic
import numpy as np
import pytest
import soundfile
from msp_improv_synthetic import (
    make_synthetic_msp_improv,
    plan_turns,
    write_labels,
)
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.testing.corpus import MARKER, make_corpus
from auxformer_lobes.utils.errors import UserError

MEDIUM = re.compile(
    r"(Audio|Video)/session(?P<session>[1-6])/(?P<scene>S\d\d[AHNS])/"
    r"(?P<recording>[PRST])/MSP-IMPROV-(?P<turn>(?P=scene)-[FM]0(?P=session)"
    r"-(?P=recording)-[FM][FM]\d\d)\.(wav|avi)"
)
TURN = re.compile(
    r"UTD-IMPROV-(S\d\d[AHNS]-[FM]0[1-6]-[PRST]-[FM]{2}\d\d)\.avi"
)
NUMBER = r" *(NaN|[1-5]\.\d{6})"
NUMBERS = rf"A:{NUMBER} *; *V:{NUMBER} *; *D:{NUMBER} *; *N:{NUMBER} *; *"
FIRST_LINE = re.compile(rf"{TURN.pattern} *; *([AHSNOX]) *; *{NUMBERS}")
RATER_LINE = re.compile(
    r"(WORKER\d+) *; *"
    r"(Angry|Happy|Sad|Neutral|Other(?: \([^()]+\))?) *; *"
    rf"([^;]+?) *; *{NUMBERS}"
)


FRAME_RATE = 3  # of the videos, 15 by default: most of the time is drawing


@pytest.fixture(scope="module", autouse=True)
def few_frames():
    """Draws fewer frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msp_improv_synthetic, "FRAME_RATE", FRAME_RATE)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "MSP-IMPROV"
    make_synthetic_msp_improv(folder, turns=4)
    return folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """The label file of a corpus of the default size."""
    path = tmp_path_factory.mktemp("labels") / "Evalution.txt"
    write_labels(path, plan_turns(36), seed=0)
    return path.read_bytes().decode()


@pytest.fixture(scope="module")
def blocks(labels):
    """Turn -> consensus, means, and rater -> list of answers."""
    return read_blocks(labels)


def read_blocks(labels):
    found, raters = {}, None
    for line in labels.split("\r\n"):
        if first := FIRST_LINE.fullmatch(line):
            turn, consensus, *means = first.groups()
            raters = defaultdict(list)
            assert turn not in found
            found[turn] = consensus, np.array(means, float), raters
        elif rater := RATER_LINE.fullmatch(line):
            who, primary, emotions, *numbers = rater.groups()
            answers = primary, emotions.replace(", ", ","), *numbers
            raters[who].append(answers)
        else:
            assert line.strip(" ") == "", line
    return found


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def media(folder, ending):
    """Turn -> its wav or video file."""
    return {
        path.stem.replace("MSP-IMPROV-", ""): path
        for path in sorted(folder.rglob(f"*{ending}"))
    }


def test_the_layout_is_msp_improv_s(corpus):
    others = [name for name in files(corpus) if not MEDIUM.fullmatch(name)]
    assert others == sorted(["Evalution.txt", "README.txt", MARKER])
    wavs, videos = media(corpus, ".wav"), media(corpus, ".avi")
    assert list(wavs) == list(videos)
    assert len(wavs) == 12 * 4
    for turn in wavs:
        folder = videos[turn].parent.relative_to(corpus / "Video")
        assert wavs[turn].parent == corpus / "Audio" / folder


def test_six_sessions_of_two_speakers_in_four_kinds_of_recordings(corpus):
    found = [MEDIUM.fullmatch(name) for name in files(corpus)]
    names = [match["turn"].split("-") for match in found if match]
    assert {speaker for _, speaker, _, _ in names} == {
        *("F01", "F02", "F03", "F04", "F05", "F06"),
        *("M01", "M02", "M03", "M04", "M05", "M06"),
    }
    assert {recording for _, _, recording, _ in names} == set("PRST")
    assert {scene[-1] for scene, _, _, _ in names} == set("AHNS")


def test_the_last_letters_are_the_listener_s_and_the_talker_s(blocks):
    for turn in blocks:
        _, speaker, recording, (listener, talker, *_) = turn.split("-")
        assert talker == speaker[0]
        assert (listener == talker) == (recording == "R")


@pytest.mark.parametrize("turns", [1, 12, 36, 240])
def test_no_two_turns_have_the_same_name(turns):
    planned = plan_turns(turns)
    assert len({turn.name for turn in planned}) == len(planned) == 12 * turns
    # A larger corpus has the turns of a smaller one too.
    assert {turn.name for turn in plan_turns(1)} <= {t.name for t in planned}


def test_each_emotion_comes_in_each_kind_of_recording_and_r_and_t_are_rare():
    planned = [t for t in plan_turns(36) if t.speaker == "F03"]
    kinds = Counter((turn.target, turn.recording) for turn in planned)
    assert len(kinds) == 16
    recordings = Counter(turn.recording for turn in planned)
    assert recordings == {"P": 12, "S": 16, "R": 4, "T": 4}


def test_wav_files_have_48_khz_and_some_44(corpus):
    rates = Counter()
    for path in media(corpus, ".wav").values():
        with soundfile.SoundFile(path) as file:
            assert (file.channels, file.subtype) == (1, "PCM_16")
            assert 1 < file.frames / file.samplerate < 3
            assert file.title.startswith("synthetic")
            rates[file.samplerate] += 1
    assert set(rates) == {48000, 44100}
    assert rates[48000] > rates[44100]


def test_a_video_has_the_audio_of_its_wav_file(corpus):
    videos = media(corpus, ".avi")
    for turn, wav in list(media(corpus, ".wav").items())[::16]:
        audio, rate = soundfile.read(wav, dtype="int16")
        with av.open(videos[turn]) as file:
            assert file.format.name == "avi"
            assert file.metadata["title"].startswith("synthetic")
            (video,), (track,) = file.streams.video, file.streams.audio
            assert (video.width, video.height) == (320, 240)
            assert video.average_rate == FRAME_RATE
            assert track.rate == rate
            frames = sum(1 for _ in file.decode(video=0))
            file.seek(0)
            in_video = np.concatenate(
                [block.to_ndarray()[0] for block in file.decode(audio=0)]
            )
        seconds = pytest.approx(len(audio) / rate, abs=1 / FRAME_RATE)
        assert frames / FRAME_RATE == seconds
        assert len(in_video) == len(audio)
        # Two libraries round to 16 bits.
        assert np.abs(in_video.astype(int) - audio).max() <= 1


def test_a_face_is_detected_in_most_frames(corpus):
    cascade = cv2.CascadeClassifier(
        cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    )
    found = []
    for path in list(media(corpus, ".avi").values())[::6]:
        with av.open(path) as file:
            found += [
                len(cascade.detectMultiScale(frame.to_ndarray(format="gray")))
                for frame in file.decode(video=0)
            ]
    assert np.mean(np.array(found) == 1) > 0.8


def test_the_label_file_has_exactly_the_turns_of_the_corpus(corpus):
    text = (corpus / "Evalution.txt").read_bytes().decode()
    assert sorted(read_blocks(text)) == sorted(media(corpus, ".wav"))


def test_a_turn_has_five_to_ten_raters(blocks):
    counts = Counter(len(raters) for _, _, raters in blocks.values())
    assert set(counts) == {5, 6, 7, 8, 9, 10}


def test_duplicate_lines_of_a_rater_are_equal(blocks):
    lines = [x for _, _, raters in blocks.values() for x in raters.values()]
    assert {len(answers) for answers in lines} == {1, 2}
    assert all(len(set(answers)) == 1 for answers in lines)


def test_a_header_has_the_consensus_and_the_means(blocks):
    seen = set()
    for consensus, means, raters in blocks.values():
        votes = Counter(answers[0][0][0] for answers in raters.values())
        most = max(votes.values())
        top = [letter for letter, count in votes.items() if count == most]
        assert consensus == (top[0] if len(top) == 1 else "X")
        seen.add(consensus)
        columns = zip(*(answers[0][2:] for answers in raters.values()))
        for mean, column in zip(means, columns):
            known = [float(x) for x in column if x != "NaN"]
            # Written with six decimals.
            assert mean == pytest.approx(
                np.mean(known) if known else np.nan, abs=1e-6, nan_ok=True
            )
    assert seen == set("AHSNOX")


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param(r"avi; \w; .*NaN", id="a mean that is not a number"),
        pytest.param(r"\nWORKER.*NaN", id="an answer that is not a number"),
        pytest.param(r"; Other \([^)]*\); ", id="primary free text"),
        pytest.param(r",Other \([^)]*\); ", id="secondary free text"),
        pytest.param(r"\([^)]*,[^)]*\)", id="a comma in free text"),
        pytest.param(r",Concerned", id="a word that is no class"),
        pytest.param(r"D:[\d.]+ ; N:", id="the space of the first lines"),
        pytest.param(r" ;\r\n", id="a space before the last semicolon"),
        pytest.param(r"; +\r\n", id="spaces at the end"),
        pytest.param(r";  ", id="two spaces"),
        pytest.param(r"[a-z], [A-Z]", id="a space in a list"),
        pytest.param(r"\r\n +\r\n", id="a line of spaces"),
        pytest.param(r"\r\n\r\n\r\n", id="two empty lines"),
        pytest.param(r"avi; X;", id="no agreement"),
        pytest.param(r"avi; O;", id="agreement on something else"),
    ],
)
def test_the_irregularities_of_the_real_file_are_there(labels, oddity):
    assert re.search(oddity, labels)


def test_lines_end_as_on_windows_and_names_begin_with_utd(labels):
    assert labels.count("\n") == labels.count("\r\n")
    assert "UTD-IMPROV-" in labels and "MSP-IMPROV-" not in labels


def test_all_ten_secondary_emotions_are_perceived(blocks):
    words = {
        word
        for _, _, raters in blocks.values()
        for answers in raters.values()
        for word in answers[0][1].split(",")
    }
    assert words >= {
        *("Angry", "Sad", "Happy", "Neutral", "Disgust", "Fear"),
        *("Depressed", "Frustrated", "Excited", "Surprise"),
    }


def test_ratings_follow_the_emotion(blocks):
    groups = defaultdict(list)
    for consensus, means, _ in blocks.values():
        groups[consensus].append(means)
    activation, valence, dominance, _ = (
        {letter: means[i] for letter, means in average(groups).items()}
        for i in range(4)
    )
    # 1 is very active.
    assert max(activation["A"], activation["H"]) < activation["N"]
    assert activation["N"] < activation["S"]
    assert max(valence["A"], valence["S"]) < valence["N"] < valence["H"]
    assert dominance["S"] < dominance["N"] < dominance["A"]


def average(groups):
    return {key: np.nanmean(group, axis=0) for key, group in groups.items()}


def test_natural_turns_are_the_most_neutral_and_natural(blocks):
    groups = defaultdict(list)
    neutral = defaultdict(list)
    for turn, (consensus, means, _) in blocks.items():
        recording = turn.split("-")[2]
        groups[recording].append(means)
        neutral[recording].append(consensus == "N")
    naturalness = {c: means[3] for c, means in average(groups).items()}
    for recording in "RST":
        assert np.mean(neutral["P"]) > np.mean(neutral[recording])
        assert naturalness["P"] > naturalness[recording]


def test_attributes_can_be_learnt_from_other_sessions(corpus):
    blocks = read_blocks((corpus / "Evalution.txt").read_bytes().decode())
    ratings = np.array([means for _, means, _ in blocks.values()])
    assert not np.isnan(ratings).any()
    train = np.array([int(turn.split("-")[1][1:]) <= 4 for turn in blocks])
    for extractor, ending, column in (
        (FbankFeatures(hop_length=20), ".wav", 0),  # activation
        (HogFeatures(frames_per_second=1), ".avi", 1),  # valence
    ):
        paths = media(corpus, ending)
        features = np.stack(
            [extractor(turn, str(paths[turn])).mean(0) for turn in blocks]
        )
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 5)))
        model.fit(features[train], ratings[train, column])
        predicted = model.predict(features[~train])
        assert concordance(predicted, ratings[~train, column]) > 0.5


def concordance(x, y):
    covariance = np.cov(x, y, bias=True)[0, 1]
    return 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def test_a_turn_depends_on_its_name_and_the_seed_only(corpus, tmp_path):
    make_synthetic_msp_improv(tmp_path / "same", turns=1, num_workers=1)
    make_synthetic_msp_improv(tmp_path / "other", turns=1, seed=1)
    names = [name for name in files(tmp_path / "same") if MEDIUM.match(name)]
    assert len(names) == 2 * 12
    for name in names:
        clip = corpus / name
        assert filecmp.cmp(clip, tmp_path / "same" / name, shallow=False)
        assert not filecmp.cmp(clip, tmp_path / "other" / name, shallow=False)
    all_turns, same, other = (
        read_blocks((folder / "Evalution.txt").read_bytes().decode())
        for folder in (corpus, tmp_path / "same", tmp_path / "other")
    )
    for turn in same:
        assert all_turns[turn][2] == same[turn][2] != other[turn][2]


def test_people_are_marked_as_synthetic(corpus):
    assert "SYNTHETIC" in (corpus / "README.txt").read_text("utf-8")
    marker = (corpus / MARKER).read_text("utf-8")
    assert '"synthetic": true' in marker and '"turns": 4' in marker


def test_a_folder_with_other_contents_is_refused(tmp_path):
    (tmp_path / "Evalution.txt").touch()
    with pytest.raises(UserError, match=str(tmp_path)):
        make_synthetic_msp_improv(tmp_path, turns=1)
    assert files(tmp_path) == ["Evalution.txt"]


@pytest.mark.parametrize(
    "options", [{"turns": 0}, {"turns": 241}, {"seed": -1}, {"num_workers": 0}]
)
def test_numbers_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(UserError, match="must be from"):
        make_synthetic_msp_improv(tmp_path / "demo", **options)
    assert files(tmp_path) == []


def test_a_failure_leaves_no_files(tmp_path):
    def _fail(folder):
        (folder / "half").touch()
        raise OSError("no space left")

    old = tmp_path / "old"
    make_corpus(old, lambda folder: None, 1, 0, 1)
    for folder in (old, tmp_path / "new"):
        with pytest.raises(OSError):
            make_corpus(folder, _fail, 2, 0, 1)
    assert files(tmp_path) == [f"old/{MARKER}"]
