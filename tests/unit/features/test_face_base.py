"""HOG of the face."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.features.face_base import FaceModelFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.processing.faces.tracker import FaceQuality, FaceTracker
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import astronaut, grey_images, write_media


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "face.flv"
    return write_media(path, astronaut(1)[0])


def test_hog_is_1764_numbers_a_frame_with_a_validity_for_each(face_clip):
    clip_input = HogFeatures().read("face", face_clip)
    assert clip_input.data.shape == (30, 1764)
    assert clip_input.data.dtype == torch.float32
    assert clip_input.data.min() >= 0
    assert clip_input.data.max() <= 1
    assert clip_input.frame_validity.shape == (30,)
    assert clip_input.frame_validity[0] == FaceQuality.DETECTED


def test_hog_of_the_same_face_is_alike_and_of_none_is_zero(tmp_path, face_clip):
    face = HogFeatures()("face", face_clip)
    likeness = torch.cosine_similarity(face[:1], face)
    assert likeness.min() > 0.8
    blank = write_media(tmp_path / "blank.flv", grey_images([99] * 3))
    clip_input = HogFeatures().read("blank", blank)
    assert clip_input.data.abs().max() < 1e-3
    assert (clip_input.frame_validity == FaceQuality.FALLBACK).all()


def test_hog_can_come_at_a_constant_rate_from_an_irregular_video(tmp_path):
    times = [0, 0.01, 0.3, 0.35, 0.4, 0.9]
    path = write_media(
        tmp_path / "clip.mp4",
        grey_images([0] * 6),
        times=times,
        video_codec="libx264",
    )
    assert len(HogFeatures()("clip", path)) == 6
    assert len(HogFeatures(frames_per_second=20)("clip", path)) == 19


def test_another_size_of_face_gives_its_own_dimension(face_clip):
    features = HogFeatures(FaceTracker(size=32), frames_per_second=5)
    assert features.dim == 324
    assert features("face", face_clip).shape == (5, 324)


@pytest.mark.parametrize("size", [8, 60])
def test_a_size_that_blocks_do_not_fill_is_reported(size):
    with pytest.raises(
        UserError, match=f"faces: size is {size}: .* multiple of 8"
    ):
        HogFeatures(FaceTracker(size=size))


@pytest.mark.parametrize("rate", [0, -15, np.inf, np.nan])
def test_a_rate_that_is_none_is_reported(rate):
    refused = pytest.raises(
        UserError, match=f"frames_per_second must be .*not {rate}"
    )
    with refused:
        HogFeatures(frames_per_second=rate)
    with refused:
        FaceModelFeatures(3, 64, None, rate, batch_size=1, device="cpu")


def test_a_rate_with_a_point_is_the_same_rate():
    whole, with_point = HogFeatures(None, 15), HogFeatures(None, 15.0)
    assert json.dumps(whole.settings) == json.dumps(with_point.settings)


def test_the_encoder_file_gives_hog_15_times_a_second(face_clip):
    presets = Path(__file__).parents[3] / "recipes/CREMA-D/hparams/encoders"
    features = load_extractor(presets / "hog.yaml")
    assert features("face", face_clip).shape == (15, 1764)


def test_hog_goes_to_workers(face_clip):
    features = HogFeatures(frames_per_second=5)
    sent = pickle.loads(pickle.dumps(features))
    assert sent.settings == features.settings
    torch.testing.assert_close(
        sent("face", face_clip), features("face", face_clip)
    )


def test_a_file_without_images_is_named(tmp_path):
    tmp_path.joinpath("clip.flv").write_bytes(b"")
    with pytest.raises(MediaError, match="clip.flv: empty"):
        HogFeatures().read("clip", tmp_path / "clip.flv")
