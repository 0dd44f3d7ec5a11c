"""Finding, following and cropping the face."""

import pickle

import numpy as np
import pytest

from auxformer_lobes.features.faces import FaceTracker, Quality
from tests.unit.media_files import astronaut, grey_pictures, write_media


def clip(pictures):
    """Returns pictures with times, 30 a second."""
    return [(index / 30, picture) for index, picture in enumerate(pictures)]


@pytest.mark.parametrize(
    "height, width", [(360, 480), (144, 192), (1080, 1440)]
)
def test_a_real_face_is_followed(height, width):
    pictures, centres = astronaut(1, height, width)
    boxes, quality = FaceTracker().track(clip(pictures))
    assert boxes.shape == (30, 3)
    away = np.abs(boxes[:, :2] - centres).max()
    assert away < 0.15 * boxes[:, 2].mean()
    assert np.allclose(boxes[:, 2], 0.2 * width, rtol=0.2)
    assert (quality[::5] == Quality.DETECTED).all()
    assert (quality[1::5] == Quality.TRACKED).all()


def test_boxes_do_not_tremble():
    pictures, centres = astronaut(2)
    boxes, _ = FaceTracker().track(clip(pictures))
    real_jerk = np.abs(np.diff(centres, n=2, axis=0)).max()
    assert np.abs(np.diff(boxes[:, :2], n=2, axis=0)).max() < real_jerk + 0.5


def test_a_face_that_is_hidden_for_a_while_is_not_lost():
    pictures, centres = astronaut(1)
    for index in range(8, 18):
        pictures[index] = np.zeros_like(pictures[index])
    boxes, quality = FaceTracker().track(clip(pictures))
    assert (quality[8:18] == Quality.TRACKED).all()
    assert np.abs(boxes[:, :2] - centres).max() < 0.25 * boxes[:, 2].mean()


def test_a_face_that_jumps_is_found_again():
    pictures, centres = astronaut(1)
    centres = centres + 0
    for index in range(10, 30):
        pictures[index] = np.roll(pictures[index], 200, axis=1)
        centres[index, 0] += 200
    boxes, quality = FaceTracker().track(clip(pictures))
    assert (quality[::5] == Quality.DETECTED).all()
    assert np.abs(boxes[20:, :2] - centres[20:]).max() < 25


def test_where_there_is_no_face_the_centre_is_cropped_and_says_so():
    boxes, quality = FaceTracker().track(clip(grey_pictures([90] * 7)))
    assert (quality == Quality.FALLBACK).all()
    assert (boxes == [32, 24, 48]).all()


def test_frames_that_all_come_at_one_time_are_no_trouble():
    pictures, _ = astronaut(0.3)
    boxes, _ = FaceTracker().track((0.0, picture) for picture in pictures)
    assert np.isfinite(boxes).all()


def test_a_single_frame_is_enough():
    pictures, centres = astronaut(0.05)
    boxes, quality = FaceTracker().track(clip(pictures[:1]))
    assert quality.tolist() == [Quality.DETECTED]
    assert np.abs(boxes[0, :2] - centres[0]).max() < 15


def test_a_crop_is_the_box_resized():
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    picture[40:60, 30:50] = 255
    crop = FaceTracker(size=16).crop(picture, [40, 50, 20])
    assert crop.shape == (16, 16, 3)
    assert (crop == 255).all()
    wider = FaceTracker(size=16).crop(picture, [40, 50, 40])
    assert wider.mean() == pytest.approx(255 / 4)


def test_a_crop_beyond_the_picture_repeats_its_edge():
    picture = np.full((20, 20, 3), 7, dtype=np.uint8)
    assert (FaceTracker(size=8).crop(picture, [0, 19, 30]) == 7).all()


def test_scale_widens_the_crop():
    pictures, _ = astronaut(0.2)
    narrow, _ = FaceTracker().track(clip(pictures))
    wide, _ = FaceTracker(scale=1.5).track(clip(pictures))
    assert np.allclose(wide[:, 2], 1.5 * narrow[:, 2])
    assert np.allclose(wide[:, :2], narrow[:, :2])


def test_crops_of_a_file_show_the_same_face_throughout(tmp_path):
    pictures, _ = astronaut(1)
    path = write_media(tmp_path / "clip.flv", pictures)
    faces = FaceTracker(size=32)(path)
    assert faces.crops.shape == (30, 32, 32, 3)
    assert faces.crops.dtype == np.uint8
    assert len(faces.boxes) == len(faces.quality) == 30
    # The head sways by half its width; in the crops it stays where it is.
    change = np.abs(faces.crops - faces.crops.mean(0)).mean()
    fixed = [FaceTracker(size=32).crop(p, faces.boxes[0]) for p in pictures]
    assert change < 0.5 * np.abs(fixed - np.mean(fixed, 0)).mean()


def test_a_constant_rate_thins_the_frames(tmp_path):
    path = write_media(tmp_path / "clip.flv", astronaut(1)[0])
    assert len(FaceTracker()(path, frames_per_second=10).crops) == 10


def test_a_tracker_goes_to_workers_and_its_settings_name_every_choice():
    tracker = FaceTracker(size=32, detect_every=3)
    tracker.track(clip(astronaut(0.05)[0]))
    assert pickle.loads(pickle.dumps(tracker)).settings == tracker.settings
    assert tracker.settings == {
        "size": 32,
        "detect_every": 3,
        "smoothing": 0.1,
        "scale": 1.0,
        "min_face": 0.15,
        "working_width": 240,
    }
