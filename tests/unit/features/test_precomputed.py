"""Features that somebody else has extracted, from NumPy and HDF5 files."""

import os
import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.features.precomputed import HDF5Features, NumpyFeatures
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import grey_images, tone, write_media

ARRAY = np.random.default_rng(0).random((7, 4)).astype(np.float32)


@pytest.fixture
def h5_file(tmp_path):
    """An HDF5 file with a clip in it."""
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["clip"] = ARRAY
        file["session1/clip"] = 2 * ARRAY
    return tmp_path / "all.h5"


def add(path, **datasets):
    """Writes more into an HDF5 file."""
    with h5py.File(path, "a") as file:
        for name, values in datasets.items():
            file[name] = values


def test_frames_are_sorted_by_their_number_not_their_name(tmp_path):
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in [10, 9, 2, 100]:
        name = f"clip000_frame{number}.npy"
        np.save(clip / name, np.full(3, number, dtype=np.float32))
    features = NumpyFeatures(tmp_path, dim=3)("clip", None)
    assert features[:, 0].tolist() == [2, 9, 10, 100]


@pytest.mark.parametrize("kind", ["f2", "f8", "i4", "u1", ">f4"])
def test_a_whole_clip_in_one_file_is_read_as_float32(tmp_path, kind):
    array = (100 * ARRAY).astype(kind)
    np.save(tmp_path / "clip.npy", array)
    np.savez(tmp_path / "zipped.npz", array)
    add(tmp_path / "all.h5", clip=array)
    for features in (
        NumpyFeatures(tmp_path, dim=4)("clip", None),
        NumpyFeatures(tmp_path, dim=4)("zipped", None),
        HDF5Features(tmp_path / "all.h5", dim=4)("clip", None),
    ):
        assert features.dtype == torch.float32
        assert np.array_equal(features, array.astype(np.float32))


def test_the_array_in_an_npz_file_may_have_a_name(tmp_path):
    np.savez_compressed(tmp_path / "clip.npz", face=ARRAY, pose=ARRAY[:, :2])
    assert len(NumpyFeatures(tmp_path, 4, name="face").read("clip").data) == 7
    assert NumpyFeatures(tmp_path, 2, name="pose")("clip", None).shape == (7, 2)
    with pytest.raises(MediaError, match="clip.npz: .*face, pose: set name"):
        NumpyFeatures(tmp_path, dim=4).read("clip")
    with pytest.raises(MediaError, match="clip.npz: .*face, pose: set name"):
        NumpyFeatures(tmp_path, dim=4, name="typo").read("clip")


def test_frame_validity_may_come_with_the_features(tmp_path):
    validity = np.array([0, 0, 1, 2, 2, 2, 1])
    np.savez(tmp_path / "clip.npz", features=ARRAY, frame_validity=validity)
    path = tmp_path / "all.h5"
    add(path, **{"features/clip": ARRAY, "frame_validity/clip": validity})
    for features in (NumpyFeatures(tmp_path, 4), HDF5Features(path, 4)):
        clip_input = features.read("clip")
        assert clip_input.frame_validity.dtype == torch.uint8
        assert clip_input.frame_validity.tolist() == validity.tolist()
    np.savez(tmp_path / "clip.npz", features=ARRAY, frame_validity=validity[1:])
    with pytest.raises(
        MediaError, match=r"frame_validity of .*clip.npz: .*\[6\], not"
    ):
        NumpyFeatures(tmp_path, 4).read("clip")


def test_a_store_can_be_given_to_somebody_else(tmp_path):
    store = FeatureStore(tmp_path, Extractor(dim=4), dtype="float32")
    for clip in ("clip", "session 1/clip"):
        store.add(clip, "clip.mp4", torch.from_numpy(ARRAY))
    store.merge()
    features = HDF5Features(store.path, dim=4)
    assert np.array_equal(features("clip", None), ARRAY)
    assert np.array_equal(features("session 1/clip", None), ARRAY)


def test_clips_of_an_hdf5_file_may_lie_in_groups(h5_file):
    features = HDF5Features(h5_file, dim=4)
    assert np.array_equal(features("session1/clip", None), 2 * ARRAY)


WRONG = [
    (np.zeros((7, 5)), r"shape is \[7, 5\], not \['time', 4\]"),
    (np.zeros(4), r"shape is \[4\], not \['time', 4\]"),
    (np.zeros((0, 4)), r"shape is \[0, 4\]"),
    (np.float32(1), r"shape is \[\]"),
    (np.full((7, 4), np.inf), "not finite"),
    (np.full((7, 4), 1j), "not an array of numbers"),
    (np.array([[b"1", b"2", b"3", b"4"]]), "not an array of numbers"),
]


@pytest.mark.parametrize("array, reason", WRONG)
def test_arrays_that_are_not_features_are_named(tmp_path, array, reason):
    np.save(tmp_path / "clip.npy", array)
    np.savez(tmp_path / "zipped.npz", array)
    add(tmp_path / "all.h5", clip=array)
    with pytest.raises(MediaError, match=f"clip.npy: .*{reason}"):
        NumpyFeatures(tmp_path, dim=4).read("clip")
    with pytest.raises(MediaError, match=f"zipped.npz: .*{reason}"):
        NumpyFeatures(tmp_path, dim=4).read("zipped")
    with pytest.raises(MediaError, match=f"all.h5: clip: .*{reason}"):
        HDF5Features(tmp_path / "all.h5", dim=4).read("clip")


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickles_are_never_opened(tmp_path):
    evil = np.array([Evil(str(tmp_path / "ran"))])
    np.save(tmp_path / "clip.npy", evil, allow_pickle=True)
    np.savez(tmp_path / "zipped.npz", evil)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(evil))
    for clip in ("clip", "zipped", "raw"):
        with pytest.raises(MediaError, match="not an array of numbers"):
            NumpyFeatures(tmp_path, dim=4).read(clip)
    assert not (tmp_path / "ran").exists()


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(["npy", "npz", "h5"]),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damaged_files_give_numbers_or_are_named(
    tmp_path, kind, place, byte, cut
):
    path = tmp_path / f"clip.{kind}"
    for old in tmp_path.iterdir():
        old.unlink()
    if kind == "npy":
        np.save(path, ARRAY)
    elif kind == "npz":
        np.savez_compressed(path, ARRAY)
    else:
        add(path, clip=ARRAY)
    data = bytearray(path.read_bytes())
    place = int(place * len(data))
    if cut:
        del data[place:]
    else:
        data[place] = byte
    path.write_bytes(data)
    try:
        if kind == "h5":
            values = HDF5Features(path, dim=4)("clip", None)
        else:
            values = NumpyFeatures(tmp_path, dim=4)("clip", None)
        assert values.shape[1] == 4 and values.isfinite().all()
    except UserError as error:
        assert path.name in str(error) and "\n" not in str(error)


def test_a_wrong_frame_is_named(tmp_path):
    tmp_path.joinpath("clip").mkdir()
    np.save(tmp_path / "clip" / "1.npy", np.zeros(4))
    np.save(tmp_path / "clip" / "2.npy", np.zeros(3))
    with pytest.raises(MediaError, match=r"2.npy: its shape is \[3\]"):
        NumpyFeatures(tmp_path, dim=4).read("clip")
    np.save(tmp_path / "clip" / "first.npy", np.zeros(4))
    with pytest.raises(MediaError, match="first.npy: no frame number"):
        NumpyFeatures(tmp_path, dim=4).read("clip")


def test_a_clip_that_is_missing_is_named(tmp_path, h5_file):
    tmp_path.joinpath("clip").mkdir()
    with pytest.raises(MediaError, match="has no features of clip: add"):
        NumpyFeatures(tmp_path, dim=4).read("clip")
    for clip in ("typo", "session1", "session1/typo", "typo/clip"):
        with pytest.raises(MediaError, match=f"has no features of {clip}:"):
            HDF5Features(h5_file, dim=4).read(clip)


def test_a_wrong_place_is_reported_at_once(tmp_path):
    with pytest.raises(UserError, match="typo: no such folder"):
        NumpyFeatures(tmp_path / "typo", dim=4)
    with pytest.raises(UserError, match="typo.h5: No such file"):
        HDF5Features(tmp_path / "typo.h5", dim=4)
    (tmp_path / "text.h5").write_text("features")
    with pytest.raises(UserError, match="text.h5: not an HDF5 file"):
        HDF5Features(tmp_path / "text.h5", dim=4)
    with pytest.raises(UserError, match="modality must be audio or visual"):
        NumpyFeatures(tmp_path, dim=4, modality="wav")


@pytest.fixture
def media(tmp_path):
    """A wav and a video file of one second each."""
    soundfile.write(tmp_path / "clip.wav", tone(1.0, rate=8000), 8000)
    video = tmp_path / "clip.mp4"
    write_media(video, grey_images([9] * 30), video_codec="libx264")
    return {"audio": tmp_path / "clip.wav", "visual": video}


@pytest.mark.parametrize(
    "modality, rate, second",
    [
        ("audio", 12.5, 12),
        ("audio", 50, 50),
        # Images at 0, 1/30 ... 29/30 s.
        ("visual", 12.5, 13),
        ("visual", 30, 30),
        ("visual", 50, 49),
    ],
)
def test_features_last_as_long_as_the_file(
    tmp_path, media, modality, rate, second
):
    path = media[modality]
    features = NumpyFeatures(
        tmp_path,
        dim=4,
        modality=modality,
        frames_per_second=rate,
        tolerance=0.2,
    )
    assert features.modality == modality
    for frames, fits in [
        (second, True),
        (second - int(0.2 * rate), True),
        (second + int(0.2 * rate), True),
        (second - int(0.2 * rate) - 1, False),
        (second + int(0.2 * rate) + 1, False),
        (1, False),
    ]:
        np.save(tmp_path / "clip.npy", np.zeros((frames, 4)))
        if fits:
            assert len(features("clip", path)) == frames
        else:
            reason = (
                f"{path}: clip has {frames} frames of features, but the file "
                f"has {second} at {rate:g} frames/s"
            )
            with pytest.raises(MediaError, match=re.escape(reason)):
                features("clip", path)


def test_the_length_is_checked_only_where_it_can_be(tmp_path, media):
    np.save(tmp_path / "clip.npy", np.zeros((9, 4)))
    known = NumpyFeatures(tmp_path, 4, frames_per_second=30)
    unknown = NumpyFeatures(tmp_path, 4)
    for features, path in [
        (known, None),
        (known, tmp_path / "typo.mp4"),
        (unknown, media["visual"]),
    ]:
        assert len(features("clip", path)) == 9
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(MediaError, match="clip.mp4: empty file"):
        known("clip", tmp_path / "clip.mp4")


def test_workers_open_the_file_for_themselves(h5_file):
    features = HDF5Features(h5_file, dim=4)
    features("clip", None)
    assert len(pickle.dumps(features)) < 1000
    sent = pickle.loads(pickle.dumps(features))
    assert np.array_equal(sent("clip", None), ARRAY)
    loader = torch.utils.data.DataLoader(
        ["clip"] * 6,
        batch_size=None,
        num_workers=2,
        collate_fn=lambda clip: features(clip, None),
    )
    assert all(np.array_equal(values, ARRAY) for values in loader)


def test_encoder_files_take_another_folder(tmp_path):
    presets = Path(__file__).parents[3] / "recipes/CREMA-D/hparams/encoders"
    np.save(tmp_path / "clip.npy", np.zeros((3, 50)))
    for preset in ("emoca", "own_features"):
        features = load_extractor(
            presets / f"{preset}.yaml", f"{{folder: {tmp_path}, dim: 50}}"
        )
        assert features("clip", None).shape == (3, 50)


def test_settings_name_the_place_and_the_array(tmp_path, h5_file):
    settings = NumpyFeatures(tmp_path, dim=4).settings
    assert settings["path"] == str(tmp_path)
    # What a check of the length has let pass is checked anew.
    assert NumpyFeatures(tmp_path, 4, tolerance=1).settings != settings
    assert NumpyFeatures(tmp_path, 4, name="face").settings != settings
    assert NumpyFeatures(tmp_path, 5).settings != settings
    assert HDF5Features(h5_file, 4).settings["path"] == str(h5_file)


def test_features_that_have_changed_are_read_again(tmp_path):
    np.save(tmp_path / "npy.npy", ARRAY)
    np.savez(tmp_path / "npz.npz", features=ARRAY)
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(ARRAY):
        np.save(tmp_path / "frames" / f"{number}.npy", frame)
    features = NumpyFeatures(tmp_path, dim=4)
    clips = dict.fromkeys(["npy", "npz", "frames"])
    store = FeatureStore(tmp_path / "stores", features, "float32")
    assert extract(store, clips).extracted == sorted(clips)
    assert extract(store, clips).present == 3
    np.save(tmp_path / "npy.npy", ARRAY[::-1])
    np.savez(tmp_path / "npz.npz", features=ARRAY + 1)
    np.save(tmp_path / "frames" / "3.npy", ARRAY[3] + 1)
    assert extract(store, clips).extracted == sorted(clips)
    assert np.array_equal(store["npy"], ARRAY[::-1])


def test_an_hdf5_file_that_has_changed_is_read_again(h5_file, tmp_path):
    features = HDF5Features(h5_file, dim=4)
    store = FeatureStore(tmp_path / "stores", features, "float32")
    assert extract(store, {"clip": None}).extracted == ["clip"]
    h5_file.unlink()
    add(h5_file, clip=ARRAY + 1)
    assert extract(store, {"clip": None}).extracted == ["clip"]
    assert np.array_equal(store["clip"], ARRAY + 1)


def test_two_frames_of_one_number_are_refused(tmp_path):
    (tmp_path / "clip").mkdir()
    for number in (1, 2):
        np.save(tmp_path / "clip" / f"{number}_exp50.npy", ARRAY[0])
    with pytest.raises(MediaError, match="1_exp50.npy is frame 50 too"):
        NumpyFeatures(tmp_path, dim=4).read("clip")
