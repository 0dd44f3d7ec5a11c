"""`auxformer init`, and the table that it writes."""

import csv
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.cli.main import main
from auxformer_lobes.dataio import first_table
from auxformer_lobes.dataio.first_table import tabulate_folder
from auxformer_lobes.dataio.folder_labels import label_by_folders
from auxformer_lobes.dataio.folder_tree import read_tree
from auxformer_lobes.dataio.labels import class_names
from auxformer_lobes.dataio.name_schemes import EMOTION_WORDS, scheme_of


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """The folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*paths):
    """Makes empty files in the folder `corpus`."""
    for path in paths:
        path = Path("corpus", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def init(*options):
    """Rows of the table that the command writes."""
    main(["init", "corpus", *options])
    with open("corpus/clips.csv", newline="", encoding="utf-8-sig") as file:
        return [*csv.DictReader(file)]


def test_all_classes_of_the_corpora_are_known_emotions():
    assert {*class_names(10), "calm"} <= {*EMOTION_WORDS}


# Of the documentation of each corpus.
@pytest.mark.parametrize(
    "path, corpus, expected",
    [
        ("Actor_12/03-01-06-01-02-01-12", "RAVDESS", "ravdess_12 fear female"),
        ("02-02-05-02-01-02-01", "RAVDESS", "ravdess_01 angry male"),
        ("wav/03a01Fa", "EMO-DB", "emodb_03 happy male"),
        ("wav/16b10Wb", "EMO-DB", "emodb_16 angry female"),
        ("AudioWAV/1001_DFA_ANG_XX", "CREMA-D", "1001 angry None"),
        ("AudioData/KL/sa03", "SAVEE", "KL sad male"),
        ("ALL/JE_su15", "SAVEE", "JE surprise male"),
        ("OAF_Pleasant_surprise/OAF_back_ps", "TESS", "OAF surprise female"),
        ("OAF_neutral/OA_bite_neutral", "TESS", "OAF neutral female"),
        ("03-01-09-01-02-01-12", None, "None None None"),
        ("03-01-06-01-02-01-25", None, "None None None"),
        ("other/sa03", None, "None None None"),
    ],
)
def test_names_of_public_corpora(path, corpus, expected):
    found, _, labels = scheme_of(path)
    assert found == corpus
    known = [labels.get(name) for name in ("speaker", "emotion", "gender")]
    assert " ".join(map(str, known)) == expected


def test_files_of_a_take_of_ravdess_are_one_clip(capsys):
    audio = "Audio_Speech_Actors_01-24/Actor_01/03-01-03-02-01-02-01.wav"
    video = "Video_Speech_Actor_01/Actor_01/0{}-01-03-02-01-02-01.mp4".format
    copied = audio.replace("Audio", "copies/Audio")
    alone = "Video_Speech_Actor_02/Actor_02/01-01-03-01-02-01-02.mp4"
    make(audio, video(1), video(2), copied, alone)
    first, second = init()
    assert first == {
        **{"file": "", "audio": audio, "video": video(1)},
        **{"speaker": "ravdess_01", "emotion": "happy", "gender": "male"},
        **{"intensity": "strong", "statement": "kids", "repetition": "2"},
        "channel": "speech",
    }
    assert (second["file"], second["audio"], second["video"]) == (alone, "", "")
    printed = capsys.readouterr().out
    assert "RAVDESS names: 5 of 5 media files, such as 03-01-03" in printed
    assert f"  {video(2)}: the same clip as {audio}" in printed
    assert f"  {copied}: the same clip as {audio}" in printed


@pytest.mark.parametrize(
    "pattern, column",
    [
        ("{emotion}/{i}.wav", None),
        ("{emotion}/{speaker}/{i}.wav", "speaker"),
        ("{speaker}/{emotion}/{i}.wav", "speaker"),
        ("{split}/{emotion}/{i}.mp4", "split"),
        ("{split}/{speaker}/{emotion}/{i}.mp4", "speaker"),
        ("all clips/{emotion}/{speaker}_{i}.wav", "speaker"),
        ("{speaker}_{emotion}_{i}.wav", "speaker"),
    ],
)
def test_levels_of_folders_have_one_meaning(pattern, column):
    emotions = {"Wut": "angry", "02-Happy": "happy", "sadness": "sad"}
    splits = {"train": "train", "Dev": "valid", "test": "test"}
    truth = {
        pattern.format(emotion=e, speaker=speaker, split=split, i=f"0{i}"): {
            "emotion": emotions[e],
            "speaker": speaker,
            "split": splits[split],
        }
        for e in emotions
        for speaker in ("anna", "jürgen")  # Joy would be one of half the names
        for split in splits
        for i in range(2)
    }
    found = label_by_folders([*truth])
    for path, labels in found.labels.items():
        expected = truth[path]["emotion"]
        assert labels["emotion"] == expected
        if column:
            assert labels[column] == truth[path][column]
        assert ("speaker" in labels) == ("{speaker}" in pattern)


@pytest.mark.parametrize(
    "paths",
    [
        ["happy/anna_1.wav", "sad/ben_1.wav"],  # may be takes of one person
        ["happy/clip_1.wav", "sad/take_1.wav", "happy/take_2.wav"],
        ["happy/anna_1.wav", "sad/anna_1.wav", "sad/1.wav"],
        ["happy/1_1.wav", "sad/1_2.wav", "happy/2_1.wav", "sad/2_2.wav"],
        ["a/x/happy/1.wav", "b/y/sad/1.wav"],  # which of the two?
        ["happy/new/1.wav", "sad/1.wav"],  # of some files only
    ],
)
def test_a_speaker_is_not_guessed_where_it_is_not_evident(paths):
    found = label_by_folders(paths)
    assert not any("speaker" in labels for labels in found.labels.values())
    assert "fill in the column, one name per person" in found.reasons["speaker"]


def test_a_speaker_may_be_called_joy():
    paths = [
        f"{s}/{e}/1.wav" for s in ("Joy", "Al", "Bo") for e in ("sad", "ang")
    ]
    assert label_by_folders(paths).labels["Joy/ang/1.wav"] == {
        **{"emotion": "angry", "speaker": "Joy"}
    }


def test_unknown_emotions_are_kept_and_a_typo_is_named(capsys):
    make("happy/1.wav", "angrry/1.wav", "Confused/1.wav", "sad/1.wav")
    rows = init()
    assert [row["emotion"] for row in rows] == [
        *("confused", "angrry", "happy", "sad")
    ]
    assert (
        "kept though not known: Confused, angrry (did you mean angry?)"
        in capsys.readouterr().out
    )


def test_output_ends_with_counts_and_the_next_command(capsys):
    make("angry/a b.wav", "angry/a b.mp4", "sad/c.wav", "notes.txt", "._c.wav")
    init()
    corpus = Path("corpus").resolve()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:9] == [
        "other files: 1: notes.txt",
        "",
        "emotion            clips  speakers  audio files  video files",
        "angry                  1         0            1            1",
        "sad                    1         0            1            0",
        "all                    2         0",
        "",
    ]
    assert lines[9:] == [
        f"table: {corpus}/clips.csv",
        "first fill in: speaker of 2 clips",
        "next, in recipes/OwnCorpus: python train.py "
        f"hparams/auxformer_offline.yaml --data_folder {corpus} --table "
        f"{corpus}/clips.csv",
    ]


def test_an_existing_table_stays(capsys):
    make("sad/1.wav")
    init()
    Path("corpus/clips.csv").write_text("mended")
    with pytest.raises(SystemExit, match="exists.*--overwrite"):
        init()
    assert Path("corpus/clips.csv").read_text() == "mended"
    capsys.readouterr()
    assert init("--overwrite")
    assert "other files" not in capsys.readouterr().out, "of the old table"
    main(["init", "corpus", "--table", "other.csv"])
    assert Path("other.csv").read_text() == Path("corpus/clips.csv").read_text()


def test_links_are_followed_and_each_file_has_one_row(capsys):
    make("sad/1.wav", "sad/2.wav", "happy/3.wav")
    os.symlink("../sad/1.wav", "corpus/happy/1.wav")
    os.symlink("..", "corpus/sad/loop")
    os.symlink("nowhere", "corpus/sad/broken.wav")
    assert len(init()) == 3
    assert "a link to the same file as happy/1.wav" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_costs_no_other(capsys, monkeypatch):
    make("sad/1.wav", "happy/1.wav")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("sad"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert len(init()) == 1
    assert "  corpus/sad: Permission denied" in capsys.readouterr().out
    monkeypatch.chdir("corpus")
    with pytest.raises(
        SystemExit, match="^error: sad: Permission denied: gran"
    ):
        main(["init", "sad"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["corpsu"], "corpsu: no such folder: did you mean corpus[?]"),
        (["none/corpus"], "none/corpus: no such folder$"),
        (["corpus/notes.txt"], "notes.txt: is a file: name the folder"),
        (["corpus"], r"corpus: has no audio or video file \(other files: 1\)"),
        (["corpus", "--table", "corpus"], "--table corpus: is a folder"),
        (["corpus", "--table", "no/a.csv"], "there is no folder no"),
    ],
)
def test_a_mistake_ends_in_one_line(work, arguments, message):
    make("notes.txt")
    with pytest.raises(SystemExit, match=message) as error:
        main(["init", *arguments])
    assert "\n" not in str(error.value)
    assert [path.name for path in work.rglob("*.csv*")] == []


FOLDERS = ["", "angry", "joy", "anna", "Jörg, K.", "train", "audio", " x", "=1"]
NAMES = ["03-01-03-02-01-02-01", "01-01-03-02-01-02-01", "03a01Fa", "anna_1"]
NAMES += ['a "b", c', "x\ny", "caf\udce9", "语", "a;b", "x.y", ".", "{data}"]
PATHS = st.tuples(
    *(st.sampled_from(FOLDERS) for _ in range(2)),
    st.sampled_from(NAMES) | st.text("ab01_-", min_size=1, max_size=4),
    st.sampled_from([".wav", ".MP3", ".mp4", ".avi", ".txt", ""]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=12))
def test_every_file_is_in_one_row_or_named(paths):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for first, second, name, suffix in paths:
            path = folder / first / second / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.touch()
        tree = read_tree(folder)
        if not tree.media:
            return
        try:
            table = tabulate_folder(folder)
        except first_table.UserError:  # none with a name to use
            return
        table.write(folder / "clips.csv")
        with open(folder / "clips.csv", newline="", encoding="utf-8-sig") as f:
            rows = [*csv.DictReader(f)]
    used = [r[c] for r in rows for c in first_table.MEDIA_COLUMNS if r.get(c)]
    everything = {os.path.relpath(path, folder) for path in tree.media}
    assert sorted([*used, *table.left_out]) == sorted(everything)
    assert rows == [
        {column: row.get(column, "") for column in table.columns}
        for row in table.rows
    ]
