"""The feature store: once, safely, and never of other settings."""

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features import store as store_module
from auxformer_lobes.features.extractor import Extractor, Reading
from auxformer_lobes.features.store import FeatureStore

CLIPS = {name: f"{name}.wav" for name in ["one", "two", "three", "four"]}


class Letters(Extractor):
    """A feature a letter of the clip's name; a name with "bad" is damaged."""

    def __init__(self, factor=1.0, log=os.devnull):
        super().__init__(dim=2, factor=factor)
        self.log = log

    def read(self, clip, path):
        """Returns the codes of the letters, and trusts vowels."""
        with open(self.log, "a") as log:
            log.write(f"{clip}\n")
        if "bad" in clip:
            raise MediaError(f"{path}: damaged")
        codes = torch.tensor([float(ord(letter)) for letter in clip])
        vowels = torch.tensor([letter in "aeiou" for letter in clip])
        return Reading(codes[:, None].repeat(1, 2), vowels.byte())

    def encode(self, values):
        """Multiplies."""
        return [x * self.settings["factor"] for x in values]


def same(store, clips, factor=1.0):
    """Whether a store holds what it should, exactly."""
    return all(
        torch.equal(store[clip], Letters(factor)(clip, None)) for clip in clips
    )


def test_what_is_extracted_can_be_read_again(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    assert "one" not in store
    report = store.extract(CLIPS)
    assert (report.present, report.extracted, report.failed) == (0, 4, {})
    assert all(clip in store for clip in CLIPS)
    assert same(store, CLIPS)
    assert store["one"].dtype == torch.float32


def test_each_clip_is_extracted_once(tmp_path):
    log = tmp_path / "log"
    FeatureStore(tmp_path, Letters(log=log)).extract(CLIPS)
    store = FeatureStore(tmp_path, Letters(log=log))
    report = store.extract({**CLIPS, "five": "five.wav"})
    assert (report.present, report.extracted) == (4, 1)
    assert sorted(log.read_text().split()) == sorted([*CLIPS, "five"])
    assert same(store, [*CLIPS, "five"])


def test_another_file_of_the_same_name_is_extracted_again(tmp_path):
    class Sizes(Extractor):
        def read(self, clip, path):
            return Reading(torch.full((1, 1), float(path.stat().st_size)))

    path, store = tmp_path / "one.wav", FeatureStore(tmp_path, Sizes(dim=1))
    for size in (3, 5):
        path.write_bytes(b"x" * size)
        assert store.extract({"one": path}).extracted == 1
        assert store.extract({"one": path}).present == 1
        assert store["one"].item() == size


def test_other_settings_or_precision_are_another_store(tmp_path):
    FeatureStore(tmp_path, Letters()).extract(CLIPS)
    for other in [
        FeatureStore(tmp_path, Letters(factor=2.0)),
        FeatureStore(tmp_path, Letters(), dtype="float32"),
    ]:
        assert "one" not in other
        other.extract(CLIPS)
    assert same(FeatureStore(tmp_path, Letters(factor=2.0)), CLIPS, 2.0)
    assert len(list(tmp_path.glob("Letters-*.h5"))) == 3


def test_the_file_says_what_it_holds(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.extract(CLIPS)
    with h5py.File(store.path) as file:
        assert file.attrs["settings"] == (
            '{"class": "Letters", "dtype": "float16", "factor": 1.0}'
        )
        assert file["features/one"].dtype == np.float16
        assert sorted(file["features"]) == sorted(CLIPS)


def test_float16_rounds_and_float32_does_not(tmp_path):
    half = FeatureStore(tmp_path, Letters(1 / 3))
    single = FeatureStore(tmp_path, Letters(1 / 3), dtype="float32")
    half.extract(CLIPS)
    single.extract(CLIPS)
    assert same(single, CLIPS, 1 / 3)
    assert not torch.equal(half["one"], single["one"])
    assert torch.allclose(half["one"], single["one"], rtol=1e-3)


def test_numbers_too_large_for_float16_are_told(tmp_path):
    with pytest.raises(UserError, match="one: .* 1.11e\\+08.*to float32"):
        FeatureStore(tmp_path, Letters(1e6)).extract({"one": "one.wav"})
    store = FeatureStore(tmp_path, Letters(1e6), dtype="float32")
    assert store.extract(CLIPS).extracted == 4


def test_a_damaged_clip_is_reported_skipped_and_tried_again(tmp_path):
    log = tmp_path / "log"
    store = FeatureStore(tmp_path, Letters(log=log))
    clips = {"bad one": "bad.wav", **CLIPS}
    for present in (0, 4):
        report = store.extract(clips)
        assert report.failed == {"bad one": "bad.wav: damaged"}
        assert report.present == present
        assert report.extracted == 4 - present
    assert "bad one" not in store
    assert log.read_text().split("\n").count("bad one") == 2


def test_features_that_are_not_finite_are_reported(tmp_path):
    store = FeatureStore(tmp_path, Letters(float("nan")))
    report = store.extract({"one": "one.wav"})
    assert report.failed == {"one": "its features are not finite"}


def test_an_error_in_the_program_is_not_taken_for_a_damaged_clip(tmp_path):
    with pytest.raises(TypeError):
        FeatureStore(tmp_path, Letters()).extract({5: None})


def test_the_quality_of_each_frame_is_kept_and_doubtful_clips_named(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    report = store.extract({"one": "one.wav", "xyz": "xyz.wav"})
    assert report.untrusted == ["xyz"]
    assert store.quality("one").tolist() == [1, 0, 1]


def test_an_extractor_without_quality_has_none(tmp_path):
    class Plain(Letters):
        def read(self, clip, path):
            return Reading(super().read(clip, path).values)

    store = FeatureStore(tmp_path, Plain())
    assert store.extract(CLIPS).untrusted == []
    assert store.quality("one") is None


@pytest.mark.parametrize("clip", ["a/b", "ä ö", "50%", "one.wav", "x" * 80])
def test_any_name_of_a_clip_will_do(tmp_path, clip):
    store = FeatureStore(tmp_path, Letters())
    store.extract({clip: "one.wav", "other": "other.wav"})
    assert same(store, [clip, "other"])


def test_workers_read_in_parallel_to_the_same_result(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    clips = {**CLIPS, "bad one": "bad.wav"}
    report = store.extract(clips, num_workers=2)
    assert report.extracted == 4
    assert list(report.failed) == ["bad one"]
    assert same(store, CLIPS)


def test_an_open_store_goes_to_other_processes(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.extract(CLIPS)
    assert same(store, CLIPS)
    assert same(pickle.loads(pickle.dumps(store)), CLIPS)

    class Clips(torch.utils.data.Dataset):
        def __len__(self):
            return len(CLIPS)

        def __getitem__(self, index):
            return store[list(CLIPS)[index]]

    loader = torch.utils.data.DataLoader(Clips(), None, num_workers=2)
    for clip, features in zip(CLIPS, loader):
        assert torch.equal(features, store[clip])


def test_an_open_store_sees_what_another_process_adds(tmp_path):
    reader = FeatureStore(tmp_path, Letters())
    writer = FeatureStore(tmp_path, Letters())
    writer.extract({"one": "one.wav"})
    assert "one" in reader
    writer.extract(CLIPS)
    assert same(reader, CLIPS)


def test_a_complete_store_is_not_written_to(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.extract(CLIPS)
    before = store.path.stat()
    assert store.extract(CLIPS).present == 4
    assert store.path.stat().st_mtime_ns == before.st_mtime_ns
    assert store.path.stat().st_ino == before.st_ino


def test_a_damaged_file_is_told(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.extract(CLIPS)
    store.path.write_bytes(store.path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged or .*: delete it"):
        FeatureStore(tmp_path, Letters())["one"]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    tmp_path.joinpath("file").write_text("in the way")
    store = FeatureStore(tmp_path / "file" / "features", Letters())
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        store.extract(CLIPS)


def test_a_full_disk_is_told_and_what_was_done_is_kept(tmp_path, monkeypatch):
    full = namedtuple("usage", "free")(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(store_module.shutil, "disk_usage", lambda path: full)
        with pytest.raises(UserError, match="No space left on device"):
            FeatureStore(tmp_path, Letters()).extract(CLIPS)
    log = tmp_path / "log"
    store = FeatureStore(tmp_path, Letters(log=log))
    assert store.extract(CLIPS).present == 4
    assert same(store, CLIPS)
    assert not log.exists()


def in_a_process(work, *arguments):
    """Starts work in a process of its own, which is returned."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=work, args=arguments)
    process.start()
    return process


def extract_until_line(folder, last_line, done):
    """Extracts, and is killed at the given line that the store executes."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename != store_module.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == last_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    FeatureStore(folder, Letters()).extract(CLIPS)
    sys.settrace(None)
    done.touch()


def test_killed_at_any_line_it_loses_at_most_the_clip_in_work(tmp_path):
    ready = {"zero": "zero.wav", "start": "start.wav"}
    for last_line in range(1, 10_000, 11):
        folder = tmp_path / str(last_line)
        done = folder / "done"
        FeatureStore(folder, Letters()).extract(ready)
        process = in_a_process(extract_until_line, folder, last_line, done)
        process.join()
        assert process.exitcode == (0 if done.exists() else -signal.SIGKILL)
        store = FeatureStore(folder, Letters())
        assert same(store, ready), "what was there stays readable"
        written = len(list(store.parts.glob("*.npz")))
        merged = sum(clip in store for clip in CLIPS)
        log = tmp_path / f"log {last_line}"
        report = FeatureStore(folder, Letters(log=log)).extract(CLIPS)
        assert same(store, [*CLIPS, *ready])
        assert report.present == max(written, merged), "nothing is done twice"
        assert not list(store.parts.glob("*.npz"))
        if done.exists():
            return
    pytest.fail("it never finished")


def test_killed_again_and_again_it_gets_there(tmp_path):
    class Slow(Letters):
        def encode(self, values):
            time.sleep(0.01)
            return super().encode(values)

    clips = {f"clip {index}": "one.wav" for index in range(60)}
    kills = 0
    while True:
        process = in_a_process(FeatureStore(tmp_path, Slow()).extract, clips, 2)
        process.join(0.3)
        if process.exitcode == 0:
            break
        kills += 1
        assert kills < 50
        process.kill()
        process.join()
    assert kills > 1
    assert same(FeatureStore(tmp_path, Slow()), clips)


def test_what_a_killed_process_left_is_removed_in_time(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.extract({"one": "one.wav"})
    old, new = store.parts / "two.npz.9.tmp", store.parts / "two.npz.8.tmp"
    merge = store.parts / f"{store.path.name}.9.tmp"
    for left in (old, new, merge):
        left.write_text("half written")
    os.utime(old, (0, 0))
    store.extract(CLIPS)
    assert [left.exists() for left in (old, new, merge)] == [0, 1, 0]


def test_processes_may_share_a_store(tmp_path):
    clips = {f"clip {index}": "one.wav" for index in range(40)}
    shares = [dict(list(clips.items())[n:]) for n in (0, 10, 20)]
    processes = [
        in_a_process(FeatureStore(tmp_path, Letters()).extract, share)
        for share in shares
    ]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = FeatureStore(tmp_path, Letters())
    assert same(store, clips)
    assert not list(Path(store.parts).iterdir())
