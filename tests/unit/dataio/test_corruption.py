"""Corrupted copies of a manifest's media, and the manifest of them."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import soundfile

from auxformer_lobes.augment.corruptions import Noise
from auxformer_lobes.dataio.corruption import corrupt_media
from auxformer_lobes.dataio.dataset import load_manifests
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import grey_images, tone, write_media

RATE = 16000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of four speakers, a wav and a video file each."""
    root = tmp_path_factory.mktemp("made")
    corpus = root / "corpus"
    corpus.mkdir()
    entries = {}
    for index, name in enumerate("abcd"):
        waveform = tone(0.5, RATE, 300 + 100 * index, 0.1)
        soundfile.write(corpus / f"{name}.wav", waveform, RATE)
        write_media(corpus / f"{name}.flv", grey_images([50, 150]), waveform)
        entries[f"x/{name}"] = {
            "wav": f"{{data_root}}/{name}.wav",
            "video": f"{{data_root}}/{name}.flv",
            "duration": 0.5,
            "emotion": "sad",
            "spk_id": name,
        }
    (root / "test.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def work(made, tmp_path):
    """A copy of it, with the manifest."""
    return shutil.copytree(made, tmp_path / "work")


def corrupt(work, kind="noise", severity=5, folder="out", **options):
    return corrupt_media(
        work / "test.json",
        kind,
        severity,
        work / folder,
        work / "corpus",
        **options,
    )


def change(work, clip, **fields):
    """Changes an entry of the manifest."""
    entries = json.loads((work / "test.json").read_text())
    entries[clip] |= fields
    (work / "test.json").write_text(json.dumps(entries))


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("kind, changed", [("noise", "wav"), ("dark", "video")])
def test_the_manifest_has_the_copies_and_all_else_as_it_was(
    work, kind, changed
):
    before = contents(work / "corpus")
    report = corrupt(work, kind, 0.5)
    assert report.manifest == work / "out" / "test.json"
    old = json.loads((work / "test.json").read_text())
    new = json.loads(report.manifest.read_text())
    assert [*new] == [*old]
    for clip in old:
        assert new[clip] | {changed: None} == old[clip] | {changed: None}
        assert new[clip][changed].startswith(str(work / "out" / "media"))
    assert contents(work / "corpus") == before


def test_other_commands_read_the_manifest_with_the_old_data_root(work):
    manifest = corrupt(work, "dark", 0.5).manifest
    clips = load_manifests({"test": manifest}, str(work / "corpus"))["test"]
    entry = clips.data["x/a"]
    assert len(read_audio(entry["wav"])) == RATE // 2
    means = [image.mean() for _, image in read_frames(entry["video"])]
    assert means == pytest.approx([25, 75], abs=2)


@pytest.mark.parametrize("kind", ["noise", "babble"])
def test_a_copy_depends_on_seed_and_clip_and_not_on_workers(work, kind):
    one = corrupt(work, kind, folder="one")
    two = corrupt(work, kind, folder="two", num_workers=2)
    three = corrupt(work, kind, folder="three", seed=1)
    copies = [contents(work / n / "media") for n in ("one", "two", "three")]
    assert copies[0] == copies[1]
    wavs = [name for name in copies[0] if name.endswith(".wav")]
    assert len(wavs) == 4
    assert all(copies[0][name] != copies[2][name] for name in wavs)
    assert one.measured == two.measured
    assert three.failed == {}


def test_another_clip_has_other_noise(work):
    shutil.copy(work / "corpus" / "a.wav", work / "corpus" / "b.wav")
    manifest = json.loads(corrupt(work).manifest.read_text())
    one, two = (read_audio(manifest[f"x/{n}"]["wav"]) for n in "ab")
    assert np.abs(np.corrcoef(one - two, two - one)[0, 1] + 1) < 1e-3
    assert (one - two).std() > 0.01


def test_a_clip_that_cannot_be_read_is_named_and_costs_no_other(work):
    (work / "corpus" / "b.wav").write_bytes(b"nothing of a wav")
    report = corrupt(work)
    assert [*report.failed] == ["x/b"]
    assert "b.wav: cannot be decoded" in report.failed["x/b"]
    assert [*json.loads(report.manifest.read_text())] == ["x/a", "x/c", "x/d"]
    names = {file.name for file in (work / "out" / "media").iterdir()}
    assert names == {f"x%2F{n}.{s}" for n in "acd" for s in ("wav", "json")}


def test_a_clip_that_kills_its_process_costs_no_other(work, monkeypatch):
    def _draw(self, source, length, rng):
        if "b.wav" in source:
            os.kill(os.getpid(), signal.SIGKILL)
        return rng.standard_normal(length)

    monkeypatch.setattr(Noise, "noise", _draw)
    report = corrupt(work, num_workers=2)
    assert "killed the process" in report.failed["x/b"]
    assert [*report.measured] == ["x/a", "x/c", "x/d"]


def test_without_a_clip_there_is_no_manifest(work):
    for name in "abcd":
        (work / "corpus" / f"{name}.wav").unlink()
    report = corrupt(work)
    assert report.manifest is None and len(report.failed) == 4
    assert not (work / "out" / "test.json").exists()


def test_clips_without_the_modality_stay_as_they_are(work):
    change(work, "x/b", wav=None)
    report = corrupt(work)
    assert report.unchanged == ["x/b"]
    new = json.loads(report.manifest.read_text())
    assert new["x/b"] == json.loads((work / "test.json").read_text())["x/b"]
    assert len(report.measured) == 3


def test_an_interrupted_call_goes_on(work, monkeypatch):
    whole = corrupt(work, folder="whole")
    draw = Noise.noise

    def _interrupted(self, source, length, rng):
        if "c.wav" in source:
            raise KeyboardInterrupt
        return draw(self, source, length, rng)

    with monkeypatch.context() as patch:
        patch.setattr(Noise, "noise", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            corrupt(work)
    assert not (work / "out" / "test.json").exists()
    # A copy that is not noted as complete may be of any length.
    (work / "out" / "media" / "x%2Fd.wav").write_bytes(b"half")
    (work / "out" / "media" / "x%2Fa.json").write_bytes(b"")
    report = corrupt(work)
    assert report.present == 1
    assert report.measured == whole.measured
    assert contents(work / "out" / "media") == contents(work / "whole/media")


def test_what_is_complete_is_not_written_again(work):
    corrupt(work)
    before = (work / "out" / "media" / "x%2Fa.wav").stat()
    report = corrupt(work)
    after = (work / "out" / "media" / "x%2Fa.wav").stat()
    assert report.present == 4
    assert (after.st_mtime_ns, after.st_ino) == (
        before.st_mtime_ns,
        before.st_ino,
    )


@pytest.mark.parametrize(
    "other, message",
    [
        ({"severity": 10}, "made with severity 5, not 10"),
        ({"seed": 1}, "made with seed 0, not 1"),
        ({"kind": "babble"}, "made with kind noise, not babble"),
    ],
    ids=str,
)
def test_a_folder_holds_copies_with_one_setting(work, other, message):
    corrupt(work)
    before = contents(work / "out")
    with pytest.raises(UserError, match=message):
        corrupt(work, **other)
    assert contents(work / "out") == before


def test_another_manifest_of_the_same_name_is_another_setting(work):
    corrupt(work)
    change(work, "x/a", duration=0.4)
    with pytest.raises(UserError, match="made with manifest"):
        corrupt(work)


@pytest.mark.parametrize(
    "folder, message",
    [
        ("corpus", "is in --data_root"),
        ("corpus/noisy", "is in --data_root"),
        (".", "is not empty"),
        ("{x}", "has braces"),
        ("test.json", "cannot be written: "),
        ("test.json/new", "cannot be written: "),
    ],
)
def test_a_folder_that_is_of_no_use_is_refused(work, folder, message):
    before = contents(work)
    with pytest.raises(UserError, match=f"--output_folder .*{message}"):
        corrupt(work, folder=folder)
    assert contents(work) == before


def test_a_full_disk_is_reported_and_ends_all(work, monkeypatch):
    def _full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("auxformer_lobes.augment.corruptions.write_wav", _full)
    for num_workers in (0, 1):
        with pytest.raises(UserError, match="cannot be written: No space"):
            corrupt(work, num_workers=num_workers)


def test_babble_needs_two_speakers_and_their_names(work):
    for name in "abcd":
        change(work, f"x/{name}", spk_id="ann")
    with pytest.raises(UserError, match="a single speaker"):
        corrupt(work, "babble")
    change(work, "x/c", spk_id=None)
    with pytest.raises(UserError, match="clip x/c has no spk_id"):
        corrupt(work, "babble")
    assert not (work / "out").exists()


def test_a_manifest_may_name_its_files_without_data_root(work):
    text = (work / "test.json").read_text()
    text = text.replace("{data_root}", str(work / "corpus"))
    (work / "test.json").write_text(text)
    report = corrupt_media(work / "test.json", "noise", 0, work / "out")
    assert len(report.measured) == 4


def test_both_modalities_are_corrupted_one_after_the_other(work):
    first = corrupt(work).manifest
    both = corrupt_media(first, "dark", 0.5, work / "both", work / "corpus")
    entry = json.loads(both.manifest.read_text())["x/a"]
    assert entry["wav"] == json.loads(first.read_text())["x/a"]["wav"]
    assert entry["video"] == str(work / "both" / "media" / "x%2Fa.mp4")
