"""Stores made on different machines become one."""

import pytest
import torch

from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.dataio.merging import merge_stores
from auxformer_lobes.utils.errors import UserError
from tests.unit.letters import CLIPS, Letters, fill, same


def machine(folder, clips, features=None, dtype="float16"):
    """The file of a store with these clips."""
    store = FeatureStore(folder, features or Letters(), dtype)
    return fill(store, {clip: f"{clip}.wav" for clip in clips})


def test_shares_of_two_machines_are_the_whole(tmp_path):
    one = machine(tmp_path / "a", ["one", "three"])
    two = machine(tmp_path / "b", ["two", "four"])
    merge_stores([one.path, two.path], tmp_path / "c")
    store = FeatureStore(tmp_path / "c", Letters())
    assert sorted(store) == sorted(CLIPS)
    assert same(store, CLIPS)
    assert store.frame_validity("one").tolist() == [1, 0, 1]
    assert all(store.has_current(clip, path) for clip, path in CLIPS.items())


def test_a_store_that_is_there_grows(tmp_path):
    here = machine(tmp_path, ["one", "two"])
    more = machine(tmp_path / "b", ["two", "three"])
    merge_stores([more.path], tmp_path)
    assert sorted(here) == ["one", "three", "two"]


def test_a_file_may_have_another_name(tmp_path):
    path = machine(tmp_path / "a", CLIPS).path.rename(tmp_path / "shard 1.h5")
    merge_stores([path], tmp_path / "b")
    assert same(FeatureStore(tmp_path / "b", Letters()), CLIPS)


def test_failures_come_along_unless_another_machine_succeeded(tmp_path):
    one = machine(tmp_path / "a", ["one"])
    for clip in ("two", "bad"):
        one.fail(clip, f"{clip}.wav", "empty file")
    one.merge()
    two = machine(tmp_path / "b", ["two"])
    merged = merge_stores([one.path, two.path], tmp_path / "c")
    assert list(merged.failures()) == ["bad"]
    assert sorted(merged) == ["one", "two"]


def test_other_settings_do_not_merge(tmp_path):
    one = machine(tmp_path / "a", ["one"])
    for folder, features, dtype, name in [
        ("b", Letters(factor=2.0), "float16", "factor"),
        ("c", Letters(), "float32", "dtype"),
    ]:
        two = machine(tmp_path / folder, ["two"], features, dtype)
        with pytest.raises(UserError, match=rf"settings differ .* \({name}\)"):
            merge_stores([one.path, two.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_clip_that_differs_does_not_merge_and_nothing_is_written(tmp_path):
    one = machine(tmp_path / "a", ["one", "two"])
    two = machine(tmp_path / "b", ["two", "three"])
    two.add("two", "two.wav", 1.1 * Letters()("two", None))
    two.merge()
    with pytest.raises(UserError, match="^two: differs between .*a/.* and .*b"):
        merge_stores([one.path, two.path], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_another_file_of_the_same_name_does_not_merge(tmp_path):
    one = machine(tmp_path / "a", ["one"])
    (tmp_path / "one.wav").write_bytes(b"another")
    two = FeatureStore(tmp_path / "b", Letters())
    two.add("one", tmp_path / "one.wav", Letters()("one", None))
    two.merge()
    with pytest.raises(UserError, match="^one: differs"):
        merge_stores([one.path, two.path], tmp_path / "c")


def test_frames_of_another_validity_do_not_merge(tmp_path):
    stores = [FeatureStore(tmp_path / name, Letters()) for name in "ab"]
    for value, store in enumerate(stores):
        features = Letters()("one", None)
        validity = torch.full((len(features),), value, dtype=torch.uint8)
        store.add("one", "one.wav", features, validity)
        store.merge()
    with pytest.raises(UserError, match="^one: differs"):
        merge_stores([store.path for store in stores], tmp_path / "c")


def test_what_a_killed_run_has_left_is_merged_too(tmp_path):
    one = machine(tmp_path / "a", ["one"])
    one.add("two", "two.wav", Letters()("two", None))
    merged = merge_stores([one.path], tmp_path / "c")
    assert sorted(merged) == ["one", "two"]


def test_rounding_is_no_difference(tmp_path):
    one = machine(tmp_path / "a", ["one"])
    two = machine(tmp_path / "b", [])
    values = 1.001 * Letters()("one", None)
    two.add("one", "one.wav", values, one.frame_validity("one"))
    two.merge()
    merged = merge_stores([one.path, two.path], tmp_path / "c")
    assert torch.equal(merged["one"], one["one"])


def test_a_share_without_features_is_reported(tmp_path):
    with pytest.raises(UserError, match="Hog-1.h5: no such file: omit"):
        merge_stores([tmp_path / "Hog-1.h5"], tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_files_that_are_not_stores_are_reported(tmp_path, content):
    path = tmp_path / "store.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match="store.h5: not a feature store"):
        merge_stores([path], tmp_path)
