"""HOG of the face, and released feature folders."""

import pickle

import numpy as np
import pytest
import torch

from auxformer_lobes.errors import MediaError, UserError
from auxformer_lobes.features.faces import FaceTracker, Quality
from auxformer_lobes.features.visual import FeatureFolder, HogFeatures
from tests.unit.media_files import astronaut, grey_pictures, write_media


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "face.flv"
    return write_media(path, astronaut(1)[0])


def test_hog_is_1764_numbers_a_frame_with_a_quality_for_each(face_clip):
    reading = HogFeatures().read("face", face_clip)
    assert reading.values.shape == (30, 1764)
    assert reading.values.dtype == torch.float32
    assert reading.values.min() >= 0
    assert reading.values.max() <= 1
    assert reading.quality.shape == (30,)
    assert reading.quality[0] == Quality.DETECTED


def test_hog_of_the_same_face_is_alike_and_of_none_is_zero(tmp_path, face_clip):
    face = HogFeatures()("face", face_clip)
    likeness = torch.cosine_similarity(face[:1], face)
    assert likeness.min() > 0.8
    blank = write_media(tmp_path / "blank.flv", grey_pictures([99] * 3))
    reading = HogFeatures().read("blank", blank)
    assert reading.values.abs().max() < 1e-3
    assert (reading.quality == Quality.FALLBACK).all()


def test_hog_can_come_at_a_constant_rate_from_an_irregular_video(tmp_path):
    times = [0, 0.01, 0.3, 0.35, 0.4, 0.9]
    path = write_media(
        tmp_path / "clip.mp4",
        grey_pictures([0] * 6),
        times=times,
        video_codec="libx264",
    )
    assert len(HogFeatures()("clip", path)) == 6
    assert len(HogFeatures(frames_per_second=20)("clip", path)) == 19


def test_another_size_of_face_gives_its_own_dimension(face_clip):
    features = HogFeatures(FaceTracker(size=32), frames_per_second=5)
    assert features.dim == 324
    assert features("face", face_clip).shape == (5, 324)


def test_hog_goes_to_workers(face_clip):
    features = HogFeatures(frames_per_second=5)
    sent = pickle.loads(pickle.dumps(features))
    assert sent.settings == features.settings
    assert torch.equal(sent("face", face_clip), features("face", face_clip))


def test_a_file_without_pictures_is_named(tmp_path):
    tmp_path.joinpath("clip.flv").write_bytes(b"")
    with pytest.raises(MediaError, match="clip.flv: empty"):
        HogFeatures().read("clip", tmp_path / "clip.flv")


def test_frames_are_sorted_by_their_number_not_their_name(tmp_path):
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in [10, 9, 2, 100]:
        name = f"clip000_frame{number}.npy"
        np.save(clip / name, np.full(3, number, dtype=np.float32))
    features = FeatureFolder(tmp_path, dim=3)("clip", None)
    assert features[:, 0].tolist() == [2, 9, 10, 100]


def test_a_whole_clip_in_one_file_is_read_as_float32(tmp_path):
    array = np.random.default_rng(0).random((7, 4))
    np.save(tmp_path / "clip.npy", array)
    features = FeatureFolder(tmp_path, dim=4)("clip", None)
    assert features.dtype == torch.float32
    assert np.allclose(features, array)


@pytest.mark.parametrize(
    "array, reason",
    [
        (np.zeros((7, 5)), r"shape is \[7, 5\], not \['time', 4\]"),
        (np.zeros(4), r"shape is \[4\], not \['time', 4\]"),
        (np.zeros((0, 4)), r"shape is \[0, 4\]"),
        (np.full((7, 4), np.inf), "not finite"),
        (np.array([["a", "b", "c", "d"]]), "not an array of numbers"),
        (np.array([{}]), "not an array of numbers"),  # a pickle
    ],
)
def test_a_file_that_is_no_features_is_named(tmp_path, array, reason):
    np.save(tmp_path / "clip.npy", array)
    with pytest.raises(MediaError, match=f"clip.npy: .*{reason}"):
        FeatureFolder(tmp_path, dim=4).read("clip")


def test_a_wrong_frame_is_named(tmp_path):
    tmp_path.joinpath("clip").mkdir()
    np.save(tmp_path / "clip" / "1.npy", np.zeros(4))
    np.save(tmp_path / "clip" / "2.npy", np.zeros(3))
    with pytest.raises(MediaError, match=r"2.npy: its shape is \[3\]"):
        FeatureFolder(tmp_path, dim=4).read("clip")
    np.save(tmp_path / "clip" / "first.npy", np.zeros(4))
    with pytest.raises(MediaError, match="first.npy: no frame number"):
        FeatureFolder(tmp_path, dim=4).read("clip")


def test_a_clip_that_is_missing_is_named(tmp_path):
    tmp_path.joinpath("clip").mkdir()
    with pytest.raises(MediaError, match="has no features of clip"):
        FeatureFolder(tmp_path, dim=4).read("clip")


def test_a_wrong_folder_is_told_at_once(tmp_path):
    with pytest.raises(UserError, match="typo: no such folder"):
        FeatureFolder(tmp_path / "typo", dim=4)
