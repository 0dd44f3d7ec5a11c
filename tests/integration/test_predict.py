"""From a run to predictions on any file, by the `auxformer` command."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.missing import combine_heads
from auxformer_lobes.cli.main import main
from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.dataset import (
    add_features,
    extract_features,
    load_manifests,
)
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from tests.unit.media_files import astronaut, tone, write_media
from tests.unit.small_runs import make_run
from tests.unit.small_tasks import EMOTIONS

RATE = 22050  # Hz, which FLV can have


def swell(seconds):
    """A sound that is different everywhere."""
    sound = tone(seconds, RATE)
    return sound * np.linspace(0.1, 1, len(sound), dtype=np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a run, its export, and media files."""
    work = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    make_run(work / "run")
    main(["export", str(work / "run"), str(work / "model")])
    (work / "media" / "more").mkdir(parents=True)
    (work / "empty").mkdir()
    pictures, _ = astronaut(4.0, 180, 240)
    sound = swell(4.0)
    write_media(work / "long.flv", pictures, sound, rate=RATE)
    write_media(work / "media" / "a.flv", pictures[:30], sound[:RATE])
    write_media(work / "media" / "more" / "b.FLV", pictures[:20])
    soundfile.write(work / "media" / "c.wav", sound[:RATE], RATE)
    soundfile.write(work / "media" / "silent.wav", np.zeros(RATE), RATE)
    (work / "media" / "notes.txt").write_text("no media")
    return work


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


def recognizer(work):
    return AudioVisualEmotionRecognizer.from_hparams(
        work / "model", run_opts={"device": "cpu"}
    )


def test_it_says_what_the_training_run_said(here, tmp_path):
    torch.manual_seed(0)
    hparams = make_run(tmp_path / "run")
    files = {"a": "media/a.flv", "b": "media/more/b.FLV", "c": "media/c.wav"}
    manifest = {
        clip: {
            "wav": None if clip == "b" else path,
            "video": None if clip == "c" else path,
            "emotion": "sad",
            "votes": [0, 0, 1.0],
            "spk_id": clip,
        }
        for clip, path in files.items()
    }
    (tmp_path / "test.json").write_text(json.dumps(manifest))
    datasets = load_manifests({"test": tmp_path / "test.json"}, ".")
    stores = {
        m: FeatureStore(tmp_path / "st", hparams[f"{m}_features"], dtype)
        for m, dtype in (("audio", "float32"), ("visual", "float16"))
    }
    extract_features(datasets, stores)
    task = hparams["task"]
    dataset = add_features(datasets["test"], stores, task, min_face_quality=1)
    brain = AuxFormerBrain(modules=hparams["modules"])
    brain.modules.eval()
    task.temperature = 0.25
    for clip in dataset:
        batch = PaddedBatch([clip])
        with torch.no_grad():
            logits = brain.logits(batch, batch.present.data)
        outputs = task.outputs(combine_heads(logits, batch.present.data))
        emotion = recognizer(here).classify_file(files[clip["id"]])
        # Bit for bit: the same numbers in the same order.
        assert [*emotion.outputs.values()] == task.calibrate(outputs)[
            0
        ].tolist()


def test_windows_of_a_film_are_close_to_films_that_are_cut_out(here, tmp_path):
    pictures, _ = astronaut(4.0, 180, 240)
    pictures = [cv2.GaussianBlur(x, (3, 3), 0) for x in pictures]
    sound = swell(4.0)

    def _film(start, end):
        return write_media(
            tmp_path / "film.avi",
            pictures[start * 30 : end * 30],
            sound[start * RATE : end * RATE],
            video_codec="ffv1",
            rate=RATE,
        )

    model = recognizer(here)
    windows = list(model.timeline(_film(0, 4), window=2.0, hop=1.0))
    assert [start for start, _, _ in windows] == [0, 1, 2]
    for start, end, emotion in windows:
        alone = model.classify_file(_film(int(start), int(end)))
        assert emotion.quality == alone.quality == {"audio": 1, "visual": 1}
        # The sound is the same, the face is followed from before: its crops
        # lie elsewhere by a pixel or so.
        assert emotion.heads["audio"] == pytest.approx(
            alone.heads["audio"], abs=1e-5
        )
        assert emotion.outputs == pytest.approx(alone.outputs, abs=0.02)


def test_a_folder_a_pattern_and_a_file_are_done(here, capsys):
    files = ["media", "media/*.wav", "long.flv"]
    assert main(["predict", *files, "--source", "model", "--json"]) == 1
    printed = capsys.readouterr()
    told = {entry["file"]: entry for entry in json.loads(printed.out)}
    names = ["media/a.flv", "media/c.wav", "media/more/b.FLV", "long.flv"]
    assert [*told] == [*names, "media/silent.wav"]
    assert told["media/silent.wav"]["error"].endswith("no video stream")
    assert "failed: media/silent.wav: sound: is silent" in printed.err
    one = recognizer(here).classify_file("media/c.wav")
    assert told["media/c.wav"] == {"file": "media/c.wav", **one.as_dict()}


def test_a_table_names_what_is_missing(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    files = ["media/c.wav", "media/more/b.FLV"]
    assert main(["predict", *files, "--source", "model"]) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if "media" in x]
    assert "100% used" in lines[0] and "has no video stream" in lines[0]
    assert "has no audio stream" in lines[1] and "100% used" in lines[1]
    assert all(name in lines[0] for name in EMOTIONS)


def test_csv_has_a_row_a_file(here, capsys):
    assert main(["predict", "media/c.wav", "--source", "model", "--csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["file"] == "media/c.wav" and row["label"] in EMOTIONS
    assert sum(float(row[name]) for name in EMOTIONS) == pytest.approx(
        1, abs=1e-5
    )
    assert row["quality_audio"] == "1.000" and row["quality_visual"] == ""
    assert row["missing_visual"] == "has no video stream"


def test_a_timeline_is_printed_and_drawn(here, tmp_path, capsys):
    picture = tmp_path / "timeline.png"
    command = "timeline long.flv --source model --window 2 --hop 1 --csv"
    assert not main([*command.split(), "--plot", str(picture)])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["start"] for row in rows] == ["0.000", "1.000", "2.000"]
    assert cv2.imread(str(picture)).std() > 10, "there is something on it"
    assert not main([*command.split(), "--faces", "all"])
    each = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["face"] for row in rows} == {""}
    assert each == [{**row, "face": "1"} for row in rows]
    assert not main(["timeline", "media/c.wav", "--source", "model"])
    printed = capsys.readouterr().out
    assert printed.startswith("    0.00 - 2.00 s  ")
    assert printed.endswith("no picture: has no video stream\n")


def test_a_dollar_in_a_name_is_none_of_a_formula(here, tmp_path):
    sound = tmp_path / r"a$\frac$.wav"
    soundfile.write(sound, swell(2.0), RATE)
    picture = str(tmp_path / "timeline.png")
    command = ["timeline", str(sound), "--source", "model", "--plot", picture]
    assert not main(command)


def test_a_fresh_process_says_the_same(here):
    script = (
        "from auxformer_lobes.cli.main import main; raise SystemExit(main())"
    )
    command = "predict media/a.flv --source model --json --device cpu"
    made = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (told,) = json.loads(made.stdout)
    emotion = recognizer(here).classify_file("media/a.flv")
    assert told == {"file": "media/a.flv", **emotion.as_dict()}


@pytest.mark.parametrize(
    "command, message",
    [
        ("predict empty --source model", "empty: no sound or video file in"),
        ("predict no*.wav --source model", "no*.wav: no such file"),
        ("predict media --source run", "run: has no config.json"),
        ("predict media --source a/b/c", "a/b/c: neither a folder nor a name"),
        ("predict media --source model --device x", "device x: Expected one"),
        ("predict media --source model --device meta", "meta: Cannot copy out"),
        ("predict media --source model --batch_size 0", "0 is not a number"),
        ("predict media --source model --json --csv", "not allowed with"),
        ("timeline long.flv --source model --hop 0", "not a number from 0.01"),
        (
            "timeline media/silent.wav --source model --plot a.nonsense",
            "--plot a.nonsense: Format 'nonsense' is not supported",
        ),
        (
            "timeline media/silent.wav --source model --plot nowhere/a.png",
            "--plot nowhere/a.png: no such folder",
        ),
        ("timeline media/notes.txt --source model", "cannot be decoded"),
        ("evaluate model --manifest a --data_root .", "not the output folder"),
        ("export media out", "media is not the folder of a run"),
        ("push media me/model", "media: has no config.json"),
        ("info media", "media: has no config.json"),
    ],
)
def test_a_mistake_is_told_in_one_line(here, command, message):
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as error:
        main(command.split())
    assert error.value.code.startswith("error: ")
    assert message in error.value.code
    assert "\n" not in error.value.code
    assert sorted(here.rglob("*")) == before


def test_a_model_tells_what_it_is_and_what_would_be_sent(here, capsys):
    assert not main(["info", "model"])
    assert "the probabilities of angry, happy, sad" in capsys.readouterr().out
    assert not main(["push", "model", "me/model", "--dry-run"])
    printed = capsys.readouterr().out
    for name in ("config.json", "model.safetensors", "README.md"):
        assert f"bytes  {name}" in printed
    assert printed.endswith("model: nothing was sent\n")
