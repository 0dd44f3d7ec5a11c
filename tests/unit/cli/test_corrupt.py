"""`auxformer corrupt`."""

import json

import numpy as np
import pytest
import soundfile

from auxformer_lobes.augment import corruptions
from auxformer_lobes.cli.corrupt import KINDS
from auxformer_lobes.cli.main import main
from tests.unit.media_files import grey_images, tone, write_media


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """The folder in which the command runs: two clips of one speaker."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    entries = {}
    for name in "ab":
        soundfile.write(f"corpus/{name}.wav", tone(0.5), 16000)
        write_media(f"corpus/{name}.flv", grey_images([90] * 4))
        entries[name] = {
            "wav": f"{{data_root}}/{name}.wav",
            "video": f"{{data_root}}/{name}.flv",
            "spk_id": "ann",
        }
    (tmp_path / "test.json").write_text(json.dumps(entries))
    return tmp_path


def corrupt(kind, severity, *others, folder="out"):
    return main(
        ["corrupt", "test.json", "--kind", kind, "--severity", severity]
        + ["--data_root", "corpus", "--output_folder", folder]
        + ["--num_workers", "0", *others]
    )


def test_the_command_has_all_kinds():
    assert KINDS == (*corruptions.KINDS,)


@pytest.mark.parametrize("severity", ["-5", "-5e0", "-.5", "3.5"])
def test_what_was_measured_and_what_comes_next_is_printed(severity, capsys):
    assert corrupt("noise", severity) == 0
    lines = capsys.readouterr().out.splitlines()
    db = float(severity)
    assert lines == [
        f"noise {db:g}: 2 clips written, 0 present before, 0 failed",
        f"measured: {db:.2f} to {db:.2f} dB, where there is speech",
        f"manifest: {lines[2][10:]}",
        f"evaluate it: auxformer evaluate RUN --manifest {lines[2][10:]} "
        f"--data_root corpus --feature_folder {lines[2][10:-9]}features",
    ]


def test_frames_without_a_face_are_counted(capsys):
    assert corrupt("occlusion", "50") == 0
    assert (
        "measured: 0.0% of 8 frames occluded; 4 more have no face"
        in capsys.readouterr().out
    )


def test_clips_that_fail_are_named_and_none_left_is_exit_code_1(work, capsys):
    silent = np.zeros(8000)
    soundfile.write("corpus/a.wav", silent, 16000)
    assert corrupt("noise", "0") == 0
    printed = capsys.readouterr().out
    assert "failed: a: corpus/a.wav: is silent" in printed
    assert "noise 0: 1 clip written, 0 present before, 1 failed" in printed
    soundfile.write("corpus/b.wav", silent, 16000)
    assert corrupt("noise", "0", folder="other") == 1
    assert not (work / "other" / "test.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fog", "1"], "invalid choice: 'fog'"),
        (["noise", "loud"], "invalid float value: 'loud'"),
        (["noise", "nan"], "severity nan: noise takes -100 to 100 dB"),
        (["blur", "0.5"], "severity 0.5: blur takes 1 to 64"),
        (["occlusion", "101"], "severity 101: occlusion takes 0 to 100 %"),
        (["dark", "-0.1"], "severity -0.1: dark takes 0 to 1"),
        (["babble", "0"], "a single speaker"),
        (["noise", "0", "--seed", "-1"], "-1 is not a number from 0"),
        (["noise", "0", "--data_root", "no"], "--data_root no: no such"),
        (["noise", "0", "--output_folder", "corpus"], "is in --data_root"),
    ],
    ids=str,
)
def test_a_mistake_ends_in_one_line(work, arguments, message):
    with pytest.raises(SystemExit) as error:
        corrupt(*arguments)
    assert str(error.value).startswith("error: ")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    "manifest, message",
    [("no.json", "no.json: No such file"), ("test.json", "set --data_root")],
)
def test_a_manifest_needs_its_files(manifest, message):
    with pytest.raises(SystemExit, match=message):
        main(
            ["corrupt", manifest, "--kind", "dark", "--severity", "0.5"]
            + ["--output_folder", "out"]
        )
