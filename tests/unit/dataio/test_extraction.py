"""The pipeline from media files to a store."""

import os
import shutil
import signal
import sys
import threading
import time

import pytest
import torch
from hypothesis import given, strategies

from auxformer_lobes.dataio import (
    extraction,
    feature_store as store_module,
    staging,
    workers,
)
from auxformer_lobes.dataio.extraction import extract, processes, shard_of
from auxformer_lobes.dataio.extraction_report import (
    ExtractionReport,
    print_report,
)
from auxformer_lobes.dataio.feature_store import Failure, FeatureStore
from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.utils.errors import UserError
from tests.unit.letters import CLIPS, Letters, in_a_process, same

MANY = {f"clip {index}": "one.wav" for index in range(40)}


@pytest.mark.parametrize(
    "num_workers, batch_clips", [(0, 1), (0, 100), (1, 7), (2, 7)]
)
def test_stored_features_are_those_computed_on_the_fly(
    tmp_path, num_workers, batch_clips
):
    store = FeatureStore(tmp_path, Letters())
    clips = {**MANY, "bad one": "bad.wav"}
    report = extract(store, clips, num_workers, batch_clips)
    assert report.extracted == sorted(MANY)
    assert report.failed == {"bad one": Failure("bad.wav", "damaged")}
    assert report.present == 0
    assert sorted(store) == sorted(MANY)
    assert same(store, MANY)


def test_each_clip_is_extracted_once(tmp_path):
    log = tmp_path / "log"
    extract(FeatureStore(tmp_path, Letters(log=log)), CLIPS)
    store = FeatureStore(tmp_path, Letters(log=log))
    report = extract(store, {**CLIPS, "five": "five.wav"})
    assert (report.present, report.extracted) == (4, ["five"])
    assert sorted(log.read_text().split()) == sorted([*CLIPS, "five"])
    assert same(store, [*CLIPS, "five"])


def test_a_complete_store_is_not_written_to(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    extract(store, CLIPS)
    before = store.path.stat()
    assert extract(store, CLIPS).present == 4
    assert store.path.stat().st_mtime_ns == before.st_mtime_ns
    assert store.path.stat().st_ino == before.st_ino


def test_clips_are_encoded_together_the_largest_first(tmp_path):
    class Lengths(Letters):
        batches = []

        def encode(self, data):
            self.batches.append([len(x) for x in data])
            return data

    clips = {}
    for size in (3, 9, 1, 7, 5):
        clips["x" * size] = tmp_path / f"{size}.wav"
        clips["x" * size].write_bytes(bytes(size))
    extract(FeatureStore(tmp_path, Lengths()), clips, batch_clips=2)
    assert Lengths.batches == [[9, 7], [5, 3], [1]]


def test_a_batch_is_stored_while_the_next_is_encoded(tmp_path, monkeypatch):
    encoded, add = [], FeatureStore.add
    second = threading.Event()

    class Counted(Letters):
        def encode(self, data):
            encoded.append(len(data))
            if len(encoded) == 2:
                second.set()
            return super().encode(data)

    def _add(*arguments):
        assert second.wait(60), "the second batch waits for the first"
        add(*arguments)

    monkeypatch.setattr(FeatureStore, "add", _add)
    store = FeatureStore(tmp_path, Counted())
    report = extract(store, {**CLIPS, "bad one": "bad.wav"}, batch_clips=3)
    assert report.extracted == sorted(CLIPS)
    assert same(store, CLIPS)


@pytest.mark.parametrize("batch_clips", [1, 4])
def test_what_cannot_be_stored_ends_the_extraction(tmp_path, batch_clips):
    store = FeatureStore(tmp_path, Letters(1e6))
    with pytest.raises(UserError, match="too large for float16"):
        extract(store, CLIPS, batch_clips=batch_clips)


def test_nothing_is_left_for_gradients(tmp_path):
    class Weighted(Letters):
        def encode(self, data):
            weight = torch.ones(2, requires_grad=True)
            return [weight * x for x in data]

    store = FeatureStore(tmp_path, Weighted())
    extract(store, CLIPS)
    assert same(store, CLIPS)


def test_random_numbers_do_not_depend_on_what_is_extracted(tmp_path):
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        extract(FeatureStore(tmp_path, Letters()), CLIPS, num_workers=1)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1]


def test_another_file_of_the_same_name_is_extracted_again(tmp_path):
    class Sizes(Extractor):
        def read(self, clip, path):
            return ClipInput(torch.full((1, 1), float(path.stat().st_size)))

    path, store = tmp_path / "one.wav", FeatureStore(tmp_path, Sizes(dim=1))
    for size in (3, 5):
        path.write_bytes(b"x" * size)
        assert extract(store, {"one": path}).extracted == ["one"]
        assert extract(store, {"one": path}).present == 1
        assert store["one"].item() == size


def test_a_damaged_clip_is_noted_skipped_and_tried_again(tmp_path):
    log = tmp_path / "log"
    store = FeatureStore(tmp_path, Letters(log=log))
    clips = {"bad one": "bad.wav", **CLIPS}
    for present in (0, 4):
        report = extract(store, clips)
        assert report.failed == {"bad one": Failure("bad.wav", "damaged")}
        assert report.present == present
        assert store.failures() == report.failed
    assert "bad one" not in store
    assert log.read_text().split("\n").count("bad one") == 2


def test_a_failure_is_forgotten_when_the_clip_is_repaired(tmp_path):
    class Repaired(Letters):
        def read(self, clip, path):
            return super().read(clip.replace("bad", "good"), path)

    Repaired.__name__ = "Letters"
    store = FeatureStore(tmp_path, Letters())
    extract(store, {"bad one": "bad.wav", "bad two": "bad.wav"})
    repaired = FeatureStore(tmp_path, Repaired())
    assert repaired.path == store.path
    assert extract(repaired, {"bad one": "bad.wav"}).failed == {}
    assert list(store.failures()) == ["bad two"]


def test_a_damaged_file_in_place_of_a_good_one_costs_its_old_features(
    tmp_path,
):
    class Contents(Letters):
        def read(self, clip, path):
            return super().read(path.read_text(), path)

    path, store = tmp_path / "one.wav", FeatureStore(tmp_path, Contents())
    path.write_text("good")
    extract(store, {"one": path})
    assert "one" in store
    path.write_text("now bad")
    assert list(extract(store, {"one": path}).failed) == ["one"]
    assert "one" not in store


def test_features_stay_when_the_media_are_taken_away(tmp_path):
    path, store = tmp_path / "one.wav", FeatureStore(tmp_path, Letters())
    path.write_bytes(b"abc")
    extract(store, {"one": path})
    path.unlink()
    report = extract(store, {"one": path})
    assert (report.present, report.failed) == (1, {})


def test_features_of_no_use_are_a_failure(tmp_path):
    store = FeatureStore(tmp_path, Letters(float("nan")))
    report = extract(store, {"one": "one.wav"})
    assert report.failed["one"].reason == "its features are not finite"


def test_clips_without_a_valid_frame_are_named(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    report = extract(store, {"one": "one.wav", "xyz": "xyz.wav"})
    assert report.invalid == ["xyz"]


def test_an_extractor_without_frame_validity_is_valid(tmp_path):
    class Plain(Letters):
        def read(self, clip, path):
            return ClipInput(super().read(clip, path).data)

    store = FeatureStore(tmp_path, Plain())
    assert extract(store, CLIPS, num_workers=1).invalid == []
    assert store.frame_validity("one") is None


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_in_the_program_is_no_damage_and_names_the_clip(
    tmp_path, num_workers
):
    class Broken(Letters):
        def read(self, clip, path):
            return super().read(clip, path) if clip != "two" else {}["key"]

    message = r"(?s)^two cannot be read:.*KeyError: 'key'"
    with pytest.raises(RuntimeError, match=message):
        extract(FeatureStore(tmp_path, Broken()), CLIPS, num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_mistake_of_the_user_is_reported_as_it_is(tmp_path, num_workers):
    class Demanding(Letters):
        def read(self, clip, path):
            raise UserError("install opensmile")

    with pytest.raises(UserError, match="^install opensmile$"):
        extract(FeatureStore(tmp_path, Demanding()), CLIPS, num_workers)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_clip_that_kills_its_reader_is_a_failure(tmp_path, num_workers):
    class Deadly(Letters):
        def read(self, clip, path):
            if "deadly" in clip:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(clip, path)

    store = FeatureStore(tmp_path, Deadly())
    clips = {**MANY, "deadly one": "one.mp4", "deadly two": "two.mp4"}
    report = extract(store, clips, num_workers)
    assert sorted(report.failed) == ["deadly one", "deadly two"]
    assert report.failed["deadly one"].file == "one.mp4"
    assert "killed the process" in report.failed["deadly one"].reason
    assert report.extracted == sorted(MANY)
    assert same(store, MANY)


def test_readers_that_cannot_start_are_no_failure_of_a_clip(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(workers, "get_worker_info", lambda: os._exit(3))
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        extract(FeatureStore(tmp_path, Letters()), CLIPS, num_workers=1)


@pytest.mark.parametrize(
    "bounds, option",
    [({"batch_seconds": 60}, "batch_seconds"), ({}, "batch_clips")],
)
def test_out_of_memory_names_the_clip_and_the_option(tmp_path, bounds, option):
    class Large(Letters):
        def encode(self, data):
            return [torch.empty(10**15) for _ in data]

    large = Large()
    vars(large).update(bounds)
    with pytest.raises(
        UserError, match=f"^three, or .*lower {option} of .*Large"
    ):
        extract(FeatureStore(tmp_path, large), CLIPS)


def test_another_error_of_the_encoder_is_not_taken_for_memory(tmp_path):
    class Broken(Letters):
        def encode(self, data):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        extract(FeatureStore(tmp_path, Broken()), CLIPS)


def test_each_process_of_torchrun_has_a_gpu_unless_one_is_named(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", lambda size, device: torch.ones(size))
    for step in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, step, lambda *a, **k: None)
    with processes() as device:
        assert device == "cuda:1"
    with processes("cpu") as device:
        assert device == "cpu"


def test_a_single_process_leaves_the_device_to_the_encoder(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with processes() as device:
        assert device is None
    assert not torch.distributed.is_initialized()


@given(
    clips=strategies.sets(strategies.text(min_size=1, max_size=2)),
    total=strategies.integers(1, 9),
)
def test_shares_hold_each_clip_once_in_whatever_order(clips, total):
    paths = {clip: f"{clip}.wav" for clip in clips}
    shuffled = dict(reversed(paths.items()))
    shares = [shard_of(paths, i + 1, total) for i in range(total)]
    assert shares == [shard_of(shuffled, i + 1, total) for i in range(total)]
    assert sorted(clip for share in shares for clip in share) == sorted(clips)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_processes_may_share_a_store(tmp_path):
    clips = {**MANY, "bad one": "bad.wav"}
    shares = [dict(list(clips.items())[n:]) for n in (0, 10, 20)]
    processes = [
        in_a_process(extract, FeatureStore(tmp_path, Letters()), share)
        for share in shares
    ]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = FeatureStore(tmp_path, Letters())
    assert same(store, MANY)
    assert list(store.failures()) == ["bad one"]
    assert not list(store.staging.folder.iterdir())


def extract_until_line(folder, clips, last_line, done):
    """Extracts, and is killed at the given line that it executes."""
    files = {module.__file__ for module in (extraction, staging, store_module)}
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines += 1
            if lines == last_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    threading.settrace(trace)  # of threads that stage clips
    extract(FeatureStore(folder, Letters()), clips, batch_clips=2)
    sys.settrace(None)
    done.touch()


def test_killed_at_any_line_it_loses_at_most_the_clips_in_work(tmp_path):
    ready = {"zero": "zero.wav", "start": "start.wav"}
    clips = {**CLIPS, "bad one": "bad.wav"}
    for last_line in range(1, 10_000, 41):
        folder = tmp_path / str(last_line)
        done, log = folder / "done", tmp_path / f"log {last_line}"
        extract(FeatureStore(folder, Letters()), ready)
        arguments = folder, clips, last_line, done
        process = in_a_process(extract_until_line, *arguments)
        process.join()
        assert process.exitcode == (0 if done.exists() else -signal.SIGKILL)
        store = FeatureStore(folder, Letters(log=log))
        assert same(FeatureStore(folder, Letters()), ready), "still readable"
        written = len(store.staging.files(".npz"))
        merged = sum(clip in store for clip in CLIPS)
        report = extract(store, clips)
        assert same(FeatureStore(folder, Letters()), [*CLIPS, *ready])
        assert list(store.failures()) == ["bad one"]
        assert report.present == max(written, merged), "nothing is done twice"
        assert not any(map(store.staging.files, store.staging.suffixes))
        if done.exists():
            return
    pytest.fail("it never finished")


def test_killed_again_and_again_it_gets_there(tmp_path):
    class Slow(Letters):
        def encode(self, data):
            time.sleep(0.01 * len(data))
            return super().encode(data)

    log = tmp_path / "log"
    store = FeatureStore(tmp_path, Slow(log=log))
    clips = {f"clip {index}": "one.wav" for index in range(40)}
    exit_codes = []
    while 0 not in exit_codes and len(exit_codes) < 40:
        log.write_text("")
        process = in_a_process(extract, store, clips, 2, 4)
        # More than the workers read ahead: some clips are finished each time.
        while process.is_alive() and len(log.read_text().splitlines()) < 15:
            time.sleep(0.01)
        process.kill()
        process.join()
        exit_codes.append(process.exitcode)
    assert exit_codes[-1] == 0 and len(exit_codes) > 2
    assert same(store, clips)


def read_report(capsys, report, seconds=None):
    """The words of the printed table, without its lines."""
    print_report(report, "HogFeatures", seconds)
    text = "".join(x if x.isascii() else " " for x in capsys.readouterr().out)
    return " ".join(text.split())


def test_the_table_counts_clips_and_tells_the_speed(capsys):
    report = ExtractionReport(3, ["a", "b"], {}, ["b"], 90.0)
    text = read_report(capsys, report, seconds=1800.0)
    assert text == (
        "HogFeatures clips 5 new 2 present before 3 failed 0 "
        "new without a face 1 media, hours 0.50 wall time 0:01:30 "
        "real-time factor 0.05"
    )


def test_without_durations_the_table_tells_no_speed(capsys):
    report = ExtractionReport(0, ["a"], {}, [], 90.0)
    text = read_report(capsys, report)
    assert "wall time" in text and "media" not in text and "real" not in text


def test_the_table_groups_failures_by_reason(capsys):
    failed = {
        name: Failure(f"{name}.flv", reason)
        for name, reason in [
            ("a", "empty file"),
            ("b", "has no times: try `ffmpeg -i b.flv b.flv.mp4`"),
            ("c", "has no times: try `ffmpeg -i c.flv c.flv.mp4`"),
        ]
    }
    text = read_report(capsys, ExtractionReport(0, [], failed, [], 1.0))
    assert text.endswith(
        "Failures failed reason example "
        "2 has no times: try `ffmpeg -i FILE FILE.mp4` b.flv "
        "1 empty file a.flv"
    )


def test_reasons_that_differ_in_names_and_numbers_only_are_one(capsys):
    failed = {
        name: Failure(f"{name}.flv", f"of/{name}.npy: {name}: [{n}, 12] frames")
        for name, n in [("a", 31), ("b", 32.5)]
    }
    text = read_report(capsys, ExtractionReport(0, [], failed, [], 1.0))
    assert text.endswith("2 : [ , ] frames a.flv")  # the dots are not ASCII


def test_a_file_that_grows_while_it_is_read_is_read_again(tmp_path):
    path = tmp_path / "one.wav"
    path.write_bytes(b"half")

    class Copied(Letters):
        def encode(self, data):
            path.write_bytes(b"half, and the rest")
            return super().encode(data)

    store = FeatureStore(tmp_path, Copied())
    assert extract(store, {"one": path}).extracted == ["one"]
    assert extract(store, {"one": path}).extracted == ["one"]
    assert extract(store, {"one": path}).present == 1


def test_failures_that_are_known_are_not_written_again(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    clips = {"bad one": "one.wav", "two": "two.wav"}
    first = extract(store, clips)
    noted = store.failures_path.stat()
    second = extract(FeatureStore(tmp_path, Letters()), clips)
    assert second.failed == first.failed == store.failures()
    assert store.failures_path.stat() == noted
    shutil.rmtree(store.staging.folder)
    extract(store, clips)
    assert not store.staging.folder.exists(), "a read-only folder will do"


def runs(pid):
    """Whether there is such a process, that has not ended yet."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return ") Z" not in file.read()
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no Linux, or gone since
        return not os.path.exists("/proc/self")


class Endless(Letters):
    """Much is read, by processes that tell who they are; nothing is encoded."""

    def read(self, clip, path):
        """Reads more than a pipe holds."""
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")
        return ClipInput(torch.zeros(1 << 20, 1))

    def encode(self, data):
        """Takes for ever."""
        time.sleep(600)


def test_readers_end_with_a_run_that_is_killed(tmp_path):
    log = tmp_path / "log"

    def _run():
        store = FeatureStore(tmp_path, Endless(log=log))
        extract(store, MANY, num_workers=2, batch_clips=2)

    process = in_a_process(_run)
    while not log.exists() or len(log.read_text().split()) < 4:
        time.sleep(0.05)
    process.kill()
    process.join()
    readers = {int(pid) for pid in log.read_text().split()}
    deadline = time.monotonic() + 30
    while any(map(runs, readers)):
        assert time.monotonic() < deadline, "they go on"
        time.sleep(0.1)
