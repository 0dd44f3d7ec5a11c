"""No damage of a disk reaches a training: it is noticed, named and cured."""

import os
from pathlib import Path
from unittest import mock

import h5py
import pytest
import torch
from hypothesis import given, settings, strategies

from auxformer_lobes.dataio import hdf5_clips
from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.extraction_report import print_report
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.dataio.merging import merge_stores
from auxformer_lobes.utils.errors import UserError
from tests.unit.letters import CLIPS, Letters, fill, same


@pytest.fixture
def store(tmp_path):
    return fill(FeatureStore(tmp_path, Letters()))


def flip(path, place):
    """Flips a bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def damage(store, clip, name="features"):
    """Flips a bit of an array of a clip."""
    with h5py.File(store.path) as file:
        place = file[f"{name}/{clip}"].id.get_offset()
    flip(store.path, place)


def without_checksums(store):
    """Makes a store as versions before there were checksums made it."""
    with h5py.File(store.path, "a") as file:
        for clip in CLIPS:
            del file[f"features/{clip}"].attrs[hdf5_clips.CHECKSUM]


@pytest.mark.parametrize("name", ["features", "frame_validity"])
def test_a_flipped_bit_is_an_error_that_names_store_clip_and_cure(store, name):
    damage(store, "two", name)
    again = FeatureStore(store.path.parent, Letters())
    with pytest.raises(UserError, match=r"\.h5: the features of two are dama"):
        again.read("two")
    assert same(again, ["one", "three", "four"])


@pytest.mark.parametrize("name", [*hdf5_clips.ARRAYS])
def test_a_damaged_clip_is_extracted_again(store, tmp_path, name, capsys):
    for clip, path in CLIPS.items():
        (tmp_path / path).write_text(clip)
    clips = {clip: tmp_path / path for clip, path in CLIPS.items()}
    fill(store, clips)
    damage(store, "two", name)
    again = FeatureStore(tmp_path, Letters())
    report = extract(again, clips)
    assert report.extracted == ["two"]
    # A damaged `source` looks like a changed file.
    assert report.damaged == (["two"] if name != "source" else [])
    assert same(again, CLIPS)
    print_report(report, "Letters")
    assert ("damaged before" in capsys.readouterr().out) == (name != "source")


def test_features_from_before_there_were_checksums_are_kept(store):
    without_checksums(store)
    again = FeatureStore(store.path.parent, Letters())
    assert extract(again, CLIPS).present == len(CLIPS)
    assert same(again, CLIPS)


@settings(max_examples=20)
@given(
    place=strategies.floats(0, 1, exclude_max=True), cut=strategies.booleans()
)
def test_whatever_is_damaged_no_wrong_features_are_read(
    tmp_path_factory, place, cut
):
    store = fill(FeatureStore(tmp_path_factory.mktemp("store"), Letters()))
    size = store.path.stat().st_size
    if cut:
        os.truncate(store.path, int(place * size))
    else:
        flip(store.path, int(place * size))
    again = FeatureStore(store.path.parent, Letters())
    try:
        extract(again, CLIPS)
    except UserError as error:
        assert "damaged: delete it, and start again" in str(error)
        again.path.unlink()
        extract(again, CLIPS)
    assert same(again, CLIPS)


def test_a_store_whose_index_is_damaged_in_part_is_written_anew(store):
    """The place of a clip cannot be freed, so that the file cannot be changed."""
    with mock.patch.object(
        h5py.Group, "__delitem__", side_effect=KeyError("Couldn't delete link")
    ):
        store.add("two", "two.wav", Letters()("two", None))
        store.merge()
    assert same(store, CLIPS)
    assert not list(store.staging.folder.iterdir())


@pytest.mark.parametrize("name", ["two.npz", "two.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_damaged_staged_file_is_removed_and_its_clip_done_again(
    store, name, keep, caplog
):
    if name == "two.npz":
        store.add("two", "two.wav", 2 * Letters()("two", None))
    else:
        store.fail("two", "two.wav", "empty file")
    staged = store.staging.folder / name
    os.truncate(staged, int(keep * staged.stat().st_size))
    store.merge()
    assert "damaged files removed: 1;" in caplog.text
    assert same(store, CLIPS) and not store.failures()
    assert not list(store.staging.folder.iterdir())


def test_a_flipped_bit_in_a_staged_file_is_noticed(tmp_path):
    store = FeatureStore(tmp_path, Letters())
    for place in range(0, 780, 37):
        store.add("two", "two.wav", Letters()("two", None))
        flip(store.staging.folder / "two.npz", place)
        store.merge()
        # Where nothing depends on the bit, the features are there.
        assert "two" not in store or same(store, ["two"])


def test_a_damaged_table_of_failures_is_made_anew(store):
    store.fail("bad", "bad.wav", "empty file")
    store.merge()
    os.truncate(store.failures_path, 20)
    assert FeatureStore(store.path.parent, Letters()).failures() == {}
    extract(store, {"bad one": "bad.wav"})
    assert list(store.failures()) == ["bad one"]


def test_a_damaged_clip_is_not_merged_with_other_stores(store, tmp_path):
    damage(store, "two")
    with pytest.raises(UserError, match="the features of two are damaged"):
        merge_stores([store.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_checksums_come_along_when_stores_are_merged(store, tmp_path):
    merged = merge_stores([store.path], tmp_path / "all")
    damage(merged, "two")
    with pytest.raises(UserError, match="the features of two are damaged"):
        FeatureStore(tmp_path / "all", Letters()).read("two")


@pytest.mark.parametrize(
    "method, error",
    [
        ("stat", PermissionError(13, "…")),
        ("open", PermissionError(13, "unable to open 'x.h5'")),
        ("open", OSError(24, "unable to open 'x.h5'")),
    ],
)
def test_what_is_no_damage_is_not_called_so(store, method, error):
    target = (Path, "stat") if method == "stat" else (h5py, "File")
    again = FeatureStore(store.path.parent, Letters())
    with mock.patch.object(*target, side_effect=error):
        with pytest.raises(UserError) as raised:
            extract(again, CLIPS)
    assert os.strerror(error.errno) in str(raised.value)
    assert "delete" not in str(raised.value)
    assert "damaged" not in str(raised.value)


def test_the_name_of_a_clip_is_part_of_its_checksum():
    """A damaged index may lead to another clip."""
    arrays = {"features": torch.ones(2, 3).numpy()}
    made = {hdf5_clips.checksum(clip, arrays) for clip in ("one", "two")}
    assert len(made) == 2
