"""The feature store: once, safely, and never of other settings."""

import json
import os
import pickle
from collections import namedtuple

import h5py
import numpy as np
import pytest
import torch

from auxformer_lobes.dataio import feature_store as store_module
from auxformer_lobes.dataio.feature_store import Failure, FeatureStore
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.letters import CLIPS, Letters, fill, same


def test_what_is_added_can_be_read_after_the_merge(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    assert "one" not in store and list(store) == []
    features = Letters()("one", None)
    store.add("one", "one.wav", features)
    assert "one" not in store
    store.merge()
    assert "one" in store and list(store) == ["one"]
    assert torch.equal(store["one"], features)
    assert store["one"].dtype == torch.float32


def test_other_settings_or_precision_are_another_store(tmp_path):
    fill(FeatureStore(tmp_path, Letters()))
    for other in [
        FeatureStore(tmp_path, Letters(factor=2.0)),
        FeatureStore(tmp_path, Letters(), dtype="float32"),
    ]:
        assert "one" not in other
        fill(other)
    assert same(FeatureStore(tmp_path, Letters(factor=2.0)), CLIPS, 2.0)
    assert len(list(tmp_path.glob("Letters-*.h5"))) == 3


def test_the_file_says_what_it_holds(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
    with h5py.File(store.path) as file:
        assert json.loads(file.attrs["settings"]) == {
            "class": "Letters",
            "dtype": "float16",
            "factor": 1.0,
            "format": 2,
        }
        assert file["features/one"].dtype == np.float16
        assert sorted(file["features"]) == sorted(CLIPS)


def test_float16_rounds_and_float32_does_not(tmp_path):
    half = fill(FeatureStore(tmp_path, Letters(1 / 3)))
    single = fill(FeatureStore(tmp_path, Letters(1 / 3), dtype="float32"))
    assert same(single, CLIPS, 1 / 3)
    assert not torch.equal(half["one"], single["one"])
    # Half precision keeps 11 bits, rounded: 2 ** -11 is 0.0005.
    assert torch.allclose(half["one"], single["one"], rtol=5e-4, atol=0)


def test_bytes_stay_bytes(tmp_path):
    crops = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)
    store = FeatureStore(tmp_path, Letters(), dtype="uint8")
    store.add("face", "face.mp4", crops)
    store.merge()
    assert store["face"].dtype == torch.uint8
    assert torch.equal(store["face"], crops)


def test_floats_are_not_stored_as_bytes(tmp_path):
    store = FeatureStore(tmp_path, Letters(), dtype="uint8")
    with pytest.raises(UserError, match="one: its .* are float32, not uint8"):
        store.add("one", "one.wav", torch.ones(3, 2))


@pytest.mark.parametrize("dtype", ["int8", "half"])
def test_an_unknown_dtype_is_reported(tmp_path, dtype):
    with pytest.raises(UserError, match=f"dtype {dtype!r} .* choose one of"):
        FeatureStore(tmp_path, Letters(), dtype)


def test_numbers_too_large_for_float16_are_reported(tmp_path):
    with pytest.raises(UserError, match="one: .* 1.11e\\+08.*to float32"):
        fill(FeatureStore(tmp_path, Letters(1e6)))
    fill(FeatureStore(tmp_path, Letters(1e6), dtype="float32"))


@pytest.mark.parametrize(
    "features, message",
    [
        (torch.tensor([[1.0, float("nan")]]), "its features are not finite"),
        (torch.zeros(0, 2), "too short for a single frame"),
    ],
)
def test_features_of_no_use_are_an_error_of_the_file(
    tmp_path, features, message
):
    with pytest.raises(MediaError, match=f"one.wav: {message}"):
        FeatureStore(tmp_path, Letters()).add("one", "one.wav", features)


def test_the_validity_of_each_frame_is_kept(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
    assert store.frame_validity("one").tolist() == [1, 0, 1]


def test_an_extractor_without_frame_validity_has_none(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.add("one", "one.wav", torch.ones(3, 2))
    store.merge()
    assert store.frame_validity("one") is None
    assert sorted(store.arrays("one")) == ["features", "source"]


@pytest.mark.parametrize("clip", ["a/b", "ä ö", "50%", "one.wav", "x" * 80])
def test_any_name_of_a_clip_will_do(tmp_path, clip):
    store = fill(FeatureStore(tmp_path, Letters()), {clip: "one.wav"})
    store.fail("bad " + clip, "bad.wav", "bad.wav: damaged")
    store.merge()
    assert same(store, [clip])
    assert list(store) == [clip]
    assert list(store.failures()) == ["bad " + clip]


def test_features_are_current_if_the_file_is_the_same_or_has_gone(tmp_path):
    store, path = FeatureStore(tmp_path, Letters()), tmp_path / "one.wav"
    assert not store.has_current("one", path)
    path.write_bytes(b"abc")
    fill(store, {"one": path})
    assert store.has_current("one", path)
    for other in (b"another", b"abd"):  # of another size, and of the same
        path.write_bytes(other)
        assert not store.has_current("one", path)
    path.unlink()
    assert store.has_current("one", path)


def test_a_failure_is_on_disk_in_plain_words(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.fail("bad", "dir/bad.wav", "dir/bad.wav: empty file")
    store.merge()
    assert json.loads(store.failures_path.read_text()) == {
        "bad": {"file": "dir/bad.wav", "reason": "empty file"}
    }
    assert store.failures_path.name == f"{store.path.stem}.failures.json"
    assert not store.path.exists()


def test_failures_add_up_until_they_are_cured(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    for clip in ("one", "two"):
        store.fail(clip, f"{clip}.wav", "empty file")
        store.merge()
    assert store.failures()["one"] == Failure("one.wav", "empty file")
    assert list(store.failures()) == ["one", "two"]
    fill(store, {"one": "one.wav"})
    assert list(store.failures()) == ["two"]
    fill(store, {"two": "two.wav"})
    assert store.failures() == {}
    assert not store.failures_path.exists()


def test_the_last_outcome_before_a_merge_counts(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    store.fail("one", "one.wav", "empty file")
    fill(store, {"one": "one.wav"})
    assert "one" in store and not store.failures()
    store.add("one", "one.wav", torch.ones(3, 2))
    store.fail("one", "one.wav", "empty file")
    store.merge()
    assert "one" not in store and "one" in store.failures()


def test_features_of_a_file_that_fails_now_are_gone(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
    store.fail("one", "one.wav", "empty file")
    store.merge()
    assert "one" not in store
    assert sorted(store) == ["four", "three", "two"]
    assert same(store, ["two", "three", "four"])


def test_a_failure_alone_does_not_rewrite_the_features(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
    before = store.path.stat()
    store.fail("bad", "bad.wav", "empty file")
    store.merge()
    assert store.path.stat().st_ino == before.st_ino
    assert list(store.failures()) == ["bad"]


def test_an_open_store_goes_to_other_processes(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
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
    fill(writer, {"one": "one.wav"})
    assert "one" in reader
    fill(writer)
    assert same(reader, CLIPS)


def test_a_damaged_file_is_reported(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()))
    store.path.write_bytes(store.path.read_bytes()[:1000])
    with pytest.raises(UserError, match="h5: damaged: delete it"):
        FeatureStore(tmp_path, Letters())["one"]


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path):
    tmp_path.joinpath("file").write_text("in the way")
    store = FeatureStore(tmp_path / "file" / "features", Letters())
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        fill(store)


def test_a_full_disk_is_reported_and_what_was_done_is_kept(
    tmp_path, monkeypatch
):
    full = namedtuple("usage", "free")(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(store_module.shutil, "disk_usage", lambda path: full)
        with pytest.raises(UserError, match="No space left on device"):
            fill(FeatureStore(tmp_path, Letters()))
    store = FeatureStore(tmp_path, Letters())
    store.merge()
    assert same(store, CLIPS)


def test_what_a_killed_process_left_is_removed_in_time(tmp_path):
    store = fill(FeatureStore(tmp_path, Letters()), {"one": "one.wav"})
    folder = store.staging.folder
    old, new = folder / "two.npz.9.tmp", folder / "two.npz.8.tmp"
    merges = [
        folder / f"{path.name}.9.tmp"
        for path in (store.path, store.failures_path)
    ]
    for left in (old, new, *merges):
        left.write_text("half written")
    os.utime(old, (0, 0))
    store.merge()
    assert [left.exists() for left in (old, new, *merges)] == [0, 1, 0, 0]
