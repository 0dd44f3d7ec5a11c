"""From a run to predictions on any file, by the `auxformer` command."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.missing import presence
from auxformer_lobes.cli.main import main
from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.dataset import (
    add_features,
    extract_features,
    load_manifests,
)
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.models.base import combine_heads
from tests.unit.media_files import astronaut, tone, write_media
from tests.unit.small_runs import make_run
from tests.unit.small_tasks import EMOTIONS

RATE = 22050  # Hz, which FLV can have


def swell(seconds):
    """Audio that is different everywhere."""
    audio = tone(seconds, RATE)
    return audio * np.linspace(0.1, 1, len(audio), dtype=np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a run, its export, and media files."""
    work = tmp_path_factory.mktemp("work")
    (work / "media" / "more").mkdir(parents=True)
    (work / "empty").mkdir()
    video, _ = astronaut(3.0, 180, 240)
    audio = swell(3.0)
    write_media(work / "long.flv", video, audio, rate=RATE)
    black = [np.zeros_like(video[0])] * 45
    with_hole = [*video[:15], *black, *video[60:80]]
    write_media(work / "hole.flv", with_hole, audio[: 2 * RATE])
    write_media(work / "media" / "a.flv", video[:30], audio[:RATE])
    write_media(work / "media" / "more" / "b.FLV", video[:20])
    soundfile.write(work / "media" / "c.wav", audio[:RATE], RATE)
    soundfile.write(work / "media" / "silent.wav", np.zeros(RATE), RATE)
    (work / "media" / "notes.txt").write_text("no media")
    return work


@pytest.fixture(scope="module")
def hparams(work):
    """The hyperparameters of the run, whose best epoch is exported."""
    torch.manual_seed(0)
    hparams = make_run(work / "run")
    main(["export", str(work / "run"), str(work / "model")])
    return hparams


@pytest.fixture(scope="module")
def recognizer(work, hparams):
    """The exported model."""
    return AudioVisualEmotionRecognizer.from_hparams(
        work / "model", run_opts={"device": "cpu"}
    )


@pytest.fixture
def here(work, hparams, monkeypatch):
    """The folder with the run, as the working directory."""
    monkeypatch.chdir(work)
    return work


def assert_close(entry, emotion):
    """Asserts that JSON has an emotion, up to rounding."""
    expected = emotion.as_dict()
    assert {*entry} == {"file", *expected}
    for key in ("label", "missing"):
        assert entry[key] == expected[key]
    for key in ("outputs", "valid_share"):
        assert entry[key] == pytest.approx(expected[key], abs=1e-5)
    assert {*entry["heads"]} == {*emotion.heads}
    for head, outputs in emotion.heads.items():
        assert entry["heads"][head] == pytest.approx(outputs, abs=1e-5)


def test_files_give_what_stored_features_gave_in_training(
    here, hparams, recognizer, tmp_path
):
    files = {"a": "media/a.flv", "b": "media/more/b.FLV", "c": "media/c.wav"}
    files["hole"] = "hole.flv"
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
    for clip in dataset:
        with torch.no_grad():
            streams = brain.streams(PaddedBatch([clip]))
            logits = brain.logits(streams)
        head_mask = hparams["network"].head_mask(presence(streams))
        outputs = task.outputs(combine_heads(logits, head_mask))
        expected = task.calibrate(outputs)[0].tolist()
        emotion = recognizer.classify_file(files[clip["id"]])
        assert [*emotion.outputs.values()] == pytest.approx(expected, abs=1e-5)
        mask = clip["visual_mask"]
        if clip["id"] == "hole":  # frames without a face keep their place
            assert mask[0] and mask[-1] and not mask.all()
            share = mask.float().mean().item()
            assert emotion.valid_share["visual"] == pytest.approx(share)
        else:
            assert mask.all() == (clip["id"] != "c")


def test_windows_of_a_video_are_close_to_videos_cut_out(recognizer, tmp_path):
    video, _ = astronaut(3.0, 180, 240)
    video = [cv2.GaussianBlur(x, (3, 3), 0) for x in video]
    audio = swell(3.0)

    def _write(start, end):
        return write_media(
            tmp_path / "video.avi",
            video[start * 30 : end * 30],
            audio[start * RATE : end * RATE],
            video_codec="ffv1",
            rate=RATE,
        )

    windows = list(recognizer.timeline(_write(0, 3), window=2.0, hop=1.0))
    assert [start for start, _, _ in windows] == [0, 1]
    for start, end, emotion in windows:
        alone = recognizer.classify_file(_write(int(start), int(end)))
        everything = {"audio": 1, "visual": 1}
        assert emotion.valid_share == pytest.approx(everything)
        assert alone.valid_share == pytest.approx(everything)
        assert emotion.heads["audio"] == pytest.approx(
            alone.heads["audio"], abs=1e-5
        )
        # The face is tracked from before: its crops differ by a pixel or so.
        assert emotion.outputs == pytest.approx(alone.outputs, abs=0.02)


def test_folders_patterns_and_files_are_predicted(here, recognizer, capsys):
    files = ["media", "media/*.wav", "long.flv"]
    assert main(["predict", *files, "--source", "model", "--json"]) == 1
    printed = capsys.readouterr()
    entries = {entry["file"]: entry for entry in json.loads(printed.out)}
    names = ["media/a.flv", "media/c.wav", "media/more/b.FLV", "long.flv"]
    assert [*entries] == [*names[:3], "media/silent.wav", names[3]]
    assert {*entries["media/silent.wav"]} == {"file", "error"}
    assert "failed: media/silent.wav: audio: is silent" in printed.err
    for name in names:
        assert_close(entries[name], recognizer.classify_file(name))


def test_a_table_names_what_is_missing(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    files = ["media/c.wav", "media/more/b.FLV"]
    assert main(["predict", *files, "--source", "model"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "in media/"
    (wav,) = [line for line in lines if "c.wav" in line]
    (video,) = [line for line in lines if "more/b.FLV" in line]
    assert "100% valid" in wav and "has no video stream" in wav
    assert "has no audio stream" in video and "100% valid" in video
    assert all(name in wav for name in EMOTIONS)


def test_csv_has_a_row_a_file(here, capsys):
    assert main(["predict", "media/c.wav", "--source", "model", "--csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["file"] == "media/c.wav" and row["label"] in EMOTIONS
    assert sum(float(row[name]) for name in EMOTIONS) == pytest.approx(
        1, abs=1e-5
    )
    shares = row["valid_share_audio"], row["valid_share_visual"]
    assert shares == ("1.000", "")
    assert row["missing_visual"] == "has no video stream"


def test_output_is_gone_on_with_and_never_replaced(here, tmp_path, capsys):
    files = ["media/c.wav", "media/silent.wav"]
    output = str(tmp_path / "emotions.csv")
    command = ["predict", "--source", "model", "--output", output]
    assert main([*command, *files]) == 1
    before = (tmp_path / "emotions.csv").read_text()
    with pytest.raises(SystemExit, match="add --resume"):
        main([*command, *files])
    assert (tmp_path / "emotions.csv").read_text() == before
    # What has failed has a row too.
    assert main([*command, "--resume", *files, "media/a.flv"]) == 0
    rows = (tmp_path / "emotions.csv").read_text().splitlines()
    assert [*before.splitlines()] == rows[:-1]
    assert rows[-1].startswith("media/a.flv,")
    with pytest.raises(SystemExit, match="name a .csv or .json"):
        main(["predict", "--source", "model", "--output", "x.txt", *files])


def test_standard_input_is_a_file(here, monkeypatch, recognizer, capsys):
    with open("media/a.flv", "rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        assert main(["predict", "-", "--source", "model", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["file"] == "-"
    assert_close(entry, recognizer.classify_file("media/a.flv"))


@pytest.mark.parametrize("kind", ["--csv", "--json"])
def test_a_full_disk_is_one_line(here, monkeypatch, kind):
    full = io.FileIO("/dev/full", "w")
    monkeypatch.setattr(
        "sys.stdout", io.TextIOWrapper(full, write_through=True)
    )
    with pytest.raises(SystemExit, match="No space left on device"):
        main(["predict", "media/c.wav", "--source", "model", kind])


def test_where_nobody_reads_it_ends_quietly(here, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(SystemExit) as ended:
            main(["predict", "media/c.wav", "--source", "model", "--csv"])
        monkeypatch.undo()
    assert ended.value.code == 128 + signal.SIGPIPE
    assert "error" not in capsys.readouterr().err


def test_a_timeline_is_printed_and_drawn(here, tmp_path, capsys):
    figure = tmp_path / "timeline.png"
    command = "timeline long.flv --source model --window 2 --hop 1 --csv"
    assert not main([*command.split(), "--plot", str(figure)])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["start"] for row in rows] == ["0.000", "1.000"]
    assert cv2.imread(str(figure)).std() > 10, "something is drawn"
    assert not main([*command.split(), "--faces", "all"])
    by_face = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["face"] for row in rows] == ["", ""]
    assert [row["face"] for row in by_face] == ["1", "1"]
    assert not main(["timeline", "media/c.wav", "--source", "model"])
    printed = capsys.readouterr().out
    assert printed.startswith("    0.00 - 2.00 s  ")
    assert printed.endswith("  (visual: has no video stream)\n")


def test_a_name_with_dollars_is_no_formula(here, tmp_path):
    wav = tmp_path / r"a$\frac$.wav"
    soundfile.write(wav, swell(1.0), RATE)
    figure = str(tmp_path / "timeline.png")
    command = ["timeline", str(wav), "--source", "model", "--plot", figure]
    assert not main(command)


def test_a_fresh_process_predicts_the_same_and_imports_what_it_needs(
    here, recognizer
):
    script = (
        "import sys; from auxformer_lobes.cli.main import main; code = main();"
        "main(['timeline', *sys.argv[2:5]]);"
        "print(*sys.modules, file=sys.stderr); raise SystemExit(code)"
    )
    command = "predict media/a.flv --source model --json --device cpu"
    process = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    assert process.returncode == 0, process.stderr
    (entry,), _ = json.JSONDecoder().raw_decode(process.stdout)
    assert_close(entry, recognizer.classify_file("media/a.flv"))
    imported = {*process.stderr.split()}
    assert "auxformer_lobes.inference.audiovisual" in imported
    # Each would take 0.1 to 1 s.
    assert not imported & {
        *("h5py", "huggingface_hub.hf_api", "jinja2", "matplotlib", "pandas"),
        *("sklearn", "sympy", "transformers"),
    }


@pytest.mark.parametrize(
    "command, message",
    [
        ("predict empty --source model", "empty: "),
        ("predict no*.wav --source model", "no*.wav: "),
        ("predict media --source run", "run/config.json: "),
        ("predict media --source a/b/c", "a/b/c: "),
        ("predict media --source model --device x", "device x: "),
        ("predict media --source model --device meta", "device meta: "),
        ("predict media --source model --batch_size 0", "--batch_size: "),
        ("predict media --source model --json --csv", "--csv: "),
        ("timeline long.flv --source model --hop 0", "--hop: "),
        (
            "timeline media/silent.wav --source model --plot a.nonsense",
            "--plot a.nonsense: ",
        ),
        (
            "timeline media/silent.wav --source model --plot nowhere/a.png",
            "--plot nowhere/a.png: ",
        ),
        ("timeline media/notes.txt --source model", "media/notes.txt: "),
        ("evaluate model --manifest a --data_root .", "model"),
        ("export media out", "media"),
        ("push media me/model", "media/config.json: "),
        ("info media", "media/config.json: "),
    ],
)
def test_a_mistake_is_an_error_of_one_line(here, command, message):
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as error:
        main(command.split())
    assert error.value.code.startswith("error: ")
    assert message in error.value.code
    assert "\n" not in error.value.code
    assert sorted(here.rglob("*")) == before


def test_info_describes_a_model(here, capsys):
    assert not main(["info", "model"])
    assert ", ".join(EMOTIONS) in capsys.readouterr().out


def test_a_dry_run_lists_the_files_and_uploads_nothing(here, capsys):
    assert not main(["push", "model", "me/model", "--dry-run"])
    printed = capsys.readouterr().out
    for name in ("config.json", "model.safetensors", "README.md"):
        assert f"bytes  {name}" in printed
    assert printed.endswith("not uploaded (dry run)\n")
