"""Tracking, aligning and cropping the face."""

import pickle
import weakref

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.processing.faces import detection
from auxformer_lobes.processing.faces.boxes import square_matrix
from auxformer_lobes.processing.faces.detection import find_eyes, find_faces
from auxformer_lobes.processing.faces.tracker import (
    EYES_ABOVE,
    FaceQuality,
    FaceTracker,
)
from tests.unit.head_images import (
    HEIGHT,
    SIDE,
    WIDTH,
    head_centres,
    head_images,
)
from tests.unit.media_files import astronaut, grey_images, write_media

ROLL = 3  # degrees by which the astronaut's eyes are not level


def clip(images):
    """Images with their times, at 30 frames/s."""
    return [(index / 30, image) for index, image in enumerate(images)]


def swing(reach, hertz=0.5, seconds=3):
    """A sine that starts at 0, 30 values a second."""
    times = np.arange(round(30 * seconds)) / 30
    return reach * np.sin(2 * np.pi * hertz * times)


def off_centre(boxes, centres):
    """Distance of boxes from their usual place in the head, pixels: `[time]`."""
    away = boxes[:, :2] - centres
    return np.hypot(*(away - np.median(away, axis=0)).T)


def likeness(crop, other):
    """Correlation of two crops, -1 to 1."""
    return np.corrcoef(crop.ravel(), other.ravel())[0, 1]


@pytest.mark.parametrize(
    "height, width", [(360, 480), (144, 192), (1080, 1440)]
)
def test_a_real_face_is_found_and_followed(height, width):
    images, centres = astronaut(1, height, width)
    boxes, quality = FaceTracker().track(clip(images))
    assert boxes.shape == (30, 4)
    away = np.abs(boxes[:, :2] - centres).max()
    assert away < 0.15 * boxes[:, 2].mean()
    assert np.allclose(boxes[:, 2], 0.2 * width, rtol=0.2)
    assert quality.tolist() == [2] + 9 * [1] + [2] + 9 * [1] + [2] + 9 * [1]


@pytest.mark.parametrize("detect_every", [0, 0.33, 1])
def test_a_face_on_a_curved_path_is_hit_between_detections_too(detect_every):
    x, y = swing(45), swing(20, hertz=0.8)
    boxes, quality = FaceTracker(detect_every=detect_every).track(
        clip(head_images(x, y))
    )
    # Smoothing alone would cut the corners by 4 pixels, and more at the ends.
    away = off_centre(boxes, head_centres(x, y))
    assert away[10:-10].max() < 6
    assert away.max() < 9
    assert (quality > FaceQuality.FALLBACK).all()
    # Frame times are rounded: now and then a detection comes one later.
    every = max(1, round(30 * detect_every))
    detections = (quality == FaceQuality.DETECTED).sum()
    assert abs(detections - 90 / every) <= 0.1 * 90 / every


def test_boxes_do_not_tremble():
    images, centres = astronaut(2)
    boxes, _ = FaceTracker().track(clip(images))
    real_jerk = np.abs(np.diff(centres, n=2, axis=0)).max()
    assert np.abs(np.diff(boxes[:, :2], n=2, axis=0)).max() < real_jerk + 0.5


def test_boxes_that_are_not_smoothed_are_those_that_are_found():
    images, centres = astronaut(0.5)
    boxes, quality = FaceTracker(smoothing=0).track(clip(images))
    assert (quality > FaceQuality.FALLBACK).all()
    assert np.abs(boxes[:, :2] - centres).max() < 0.15 * boxes[:, 2].mean()


def test_a_mistaken_detection_is_overruled_by_its_neighbours(monkeypatch):
    images = head_images(x=np.zeros(60))
    tracker = FaceTracker(align=False)
    expected, _ = tracker.track(clip(images))
    calls = []

    def _find(*args, **limits):
        calls.append(args)
        shift = 12 if len(calls) == 4 else 0
        return [
            box + [shift, 0, shift, 0] for box in find_faces(*args, **limits)
        ]

    monkeypatch.setattr(detection, "find_faces", _find)
    boxes, _ = tracker.track(clip(images))
    assert len(calls) == 6
    # The mistake is one of 24 pixels. The size of the next face is looked for
    # around it, in steps of a tenth.
    assert np.abs(boxes - expected)[:, :2].max() < 3
    assert np.abs(boxes - expected)[:, 2].max() < 0.1 * SIDE


def test_a_face_that_is_hidden_for_a_moment_is_not_lost():
    images, centres = astronaut(1)
    for index in range(8, 18):
        images[index] = np.zeros_like(images[index])
    boxes, quality = FaceTracker().track(clip(images))
    assert (quality[8:18] == FaceQuality.TRACKED).all()
    assert np.abs(boxes[:, :2] - centres).max() < 0.25 * boxes[:, 2].mean()


def test_frames_in_which_the_face_is_covered_for_long_are_marked():
    x = swing(45)
    images = head_images(x)
    for index in range(32, 62):
        middle = round(WIDTH / 2 + x[index])
        images[index][80:280, middle - 80 : middle + 80] = (140, 150, 90)
    boxes, quality = FaceTracker().track(clip(images))
    assert (quality[32:62] == FaceQuality.FALLBACK).all()
    shown = np.r_[0:32, 62:90]
    assert (quality[shown] > FaceQuality.FALLBACK).all()
    away = off_centre(boxes[shown], head_centres(x, 0)[shown])
    assert away.max() < 0.2 * SIDE


def test_a_face_that_turns_away_is_followed_by_its_points():
    x = swing(30, seconds=4)
    width = np.interp(np.arange(120), [25, 50, 70, 95], [1, 0.4, 0.4, 1])
    boxes, quality = FaceTracker().track(clip(head_images(x, width=width)))
    assert (quality[45:75] == FaceQuality.TRACKED).all()
    assert (quality > FaceQuality.FALLBACK).all()
    assert off_centre(boxes, head_centres(x, 0)).max() < 0.15 * SIDE
    assert np.allclose(boxes[:, 2], SIDE, rtol=0.15)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_face_is_followed_to_both_ends_of_a_clip(backwards):
    x = swing(60, seconds=2)
    width = np.interp(np.arange(60), [25, 50], [0.4, 1])
    order = slice(None, None, -1 if backwards else 1)
    boxes, quality = FaceTracker().track(
        clip(head_images(x, width=width)[order])
    )
    assert (quality[order][:25] == FaceQuality.TRACKED).all()
    assert (quality[order][50:] == FaceQuality.DETECTED).any()
    away = off_centre(boxes, head_centres(x, 0)[order])
    assert away.max() < 0.2 * SIDE


def test_points_are_not_followed_for_ever():
    width = np.interp(np.arange(130), [10, 30], [1, 0.45])
    _, quality = FaceTracker().track(clip(head_images(width=width)))
    last = np.flatnonzero(quality == FaceQuality.DETECTED)[-1]
    assert (quality[last + 1 : last + 90] == FaceQuality.TRACKED).all()
    assert (quality[last + 92 :] == FaceQuality.FALLBACK).all()


def test_a_face_that_is_elsewhere_after_a_cut_is_found_again():
    x = np.where(np.arange(90) < 25, -100, 100)
    boxes, quality = FaceTracker().track(clip(head_images(x)))
    assert (quality > FaceQuality.FALLBACK).all()
    # Smoothing blurs the cut.
    near = np.r_[0:18, 32:90]
    assert off_centre(boxes[near], head_centres(x, 0)[near]).max() < 6


@pytest.mark.parametrize("zoom", [0.7, 0.9])
def test_nobody_in_the_background_takes_the_place_of_a_hidden_face(zoom):
    images = head_images(x=np.full(90, -100), others=[(120, 30, zoom)])
    for index in range(32, 56):
        images[index][80:280, 60:220] = (140, 150, 90)
    boxes, quality = FaceTracker().track(clip(images))
    assert np.abs(boxes[:, 0] - boxes[0, 0]).max() < 6
    assert (quality[32:56] == FaceQuality.FALLBACK).all()
    assert (quality[56:] > FaceQuality.FALLBACK).all()


def test_who_stays_when_the_other_has_gone_is_followed_in_the_end():
    images = head_images(x=np.full(75, -100), others=[(120, 30, 0.7)])
    for index in range(20, 75):
        images[index][80:280, 60:220] = (140, 150, 90)
    boxes, quality = FaceTracker().track(clip(images))
    assert quality[-1] > FaceQuality.FALLBACK
    assert abs(boxes[-1, 0] - (WIDTH / 2 + 120)) < 0.2 * SIDE


def test_where_there_is_no_face_the_centre_is_cropped_and_marked():
    boxes, quality = FaceTracker().track(clip(grey_images([90] * 7)))
    assert (quality == FaceQuality.FALLBACK).all()
    assert (boxes == [32, 24, 48, 0]).all()


def test_frames_that_all_come_at_one_time_are_no_trouble():
    images, _ = astronaut(0.3)
    boxes, _ = FaceTracker().track((0.0, image) for image in images)
    assert np.isfinite(boxes).all()


def test_images_that_change_their_size_are_no_trouble():
    images = astronaut(0.5)[0] + astronaut(0.5, 300, 480)[0]
    boxes, quality = FaceTracker().track(clip(images))
    assert len(boxes) == len(quality) == 30


def test_a_single_frame_is_enough():
    images, centres = astronaut(0.05)
    boxes, quality = FaceTracker().track(clip(images[:1]))
    assert quality.tolist() == [FaceQuality.DETECTED]
    assert np.abs(boxes[0, :2] - centres[0]).max() < 15


def test_full_images_are_not_kept():
    held = weakref.WeakSet()
    most = []

    class Image(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def _frames():
        for index, image in enumerate(head_images(x=swing(20, seconds=1))):
            frame = image.view(Image)
            held.add(frame)
            most.append(len(held))
            yield index / 30, frame

    FaceTracker().track(_frames())
    assert max(most) <= 3


@pytest.mark.parametrize("roll", [-30, -20, 20, 30])
def test_a_rolled_head_comes_out_level_with_its_eyes_in_place(roll):
    tracker = FaceTracker()
    upright = head_images(x=np.zeros(30))
    rolled = head_images(x=swing(10, seconds=1), roll=roll)
    faces = tracker.track(clip(upright))[0][15]
    box = tracker.track(clip(rolled))[0][15]
    # The cascade places eyes to within a pixel of 40 between them.
    assert box[3] == pytest.approx(faces[3] + roll, abs=3)
    expected = tracker.crop(upright[15], faces)
    assert likeness(tracker.crop(rolled[15], box), expected) > 0.93
    askew = tracker.crop(rolled[15], box * [1, 1, 1, 0])
    assert likeness(askew, expected) < 0.7
    left, right = find_eyes(rolled[15], box)
    matrix, side = square_matrix(box)
    level = (np.array([left, right]) - matrix[:, 2]) @ matrix[:, :2]
    assert level.mean(0) / side == pytest.approx(
        [0.5, 0.5 - EYES_ABOVE], abs=0.03
    )
    assert abs(level[1, 1] - level[0, 1]) < 0.03 * side


def test_a_head_that_rolls_slowly_is_level_all_the_time():
    roll = swing(35, hertz=0.4)
    boxes, quality = FaceTracker().track(
        clip(head_images(swing(20), roll=roll))
    )
    assert (quality > FaceQuality.FALLBACK).all()
    assert np.abs(boxes[:, 3] - roll - ROLL).max() < 8
    assert np.abs(boxes[:, 3] - roll - ROLL).mean() < 2


def test_without_alignment_crops_are_upright():
    images = head_images(roll=swing(15, hertz=0.4))
    boxes, quality = FaceTracker(align=False).track(clip(images))
    assert (boxes[:, 3] == 0).all()
    assert (quality > FaceQuality.FALLBACK).all()


def test_while_eyes_are_shut_the_angle_comes_from_around(monkeypatch):
    calls = []

    def _find_eyes(image, box):
        calls.append(box)
        return None if len(calls) in (1, 4, 5) else find_eyes(image, box)

    monkeypatch.setattr(detection, "find_eyes", _find_eyes)
    roll = 5 + swing(8)
    boxes, _ = FaceTracker().track(clip(head_images(roll=roll)))
    assert len(calls) == 9
    assert np.abs(boxes[:, 3] - roll - ROLL).max() < 4


def test_where_eyes_are_never_found_crops_are_upright(monkeypatch):
    monkeypatch.setattr(detection, "find_eyes", lambda *_: None)
    boxes, quality = FaceTracker().track(clip(head_images(roll=swing(10))))
    assert (boxes[:, 3] == 0).all()
    assert (quality == FaceQuality.DETECTED).sum() == 9


def test_a_crop_is_the_box_resized():
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    image[40:60, 30:50] = 255
    crop = FaceTracker(size=16).crop(image, [40, 50, 20, 0])
    assert crop.shape == (16, 16, 3)
    assert (crop == 255).all()
    wider = FaceTracker(size=16).crop(image, [40, 50, 40, 0])
    assert wider.mean() == pytest.approx(255 / 4)


def test_a_crop_beyond_the_image_repeats_its_edge():
    image = np.full((20, 20, 3), 7, dtype=np.uint8)
    assert (FaceTracker(size=8).crop(image, [0, 19, 30, 25]) == 7).all()


def test_margin_adds_its_share_all_around():
    images, _ = astronaut(0.2)
    narrow, _ = FaceTracker().track(clip(images))
    wide, _ = FaceTracker(margin=0.25).track(clip(images))
    assert np.allclose(wide[:, 2], 1.5 * narrow[:, 2])
    assert np.allclose(wide[:, [0, 1, 3]], narrow[:, [0, 1, 3]])


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    count=st.integers(1, 12),
    texture=st.booleans(),
    tracker=st.builds(
        FaceTracker,
        size=st.integers(1, 70),
        detect_every=st.floats(0, 0.5),
        smoothing=st.floats(0, 1),
        margin=st.floats(0, 2),
        align=st.booleans(),
        working_width=st.integers(30, 300),
    ),
)
def test_any_image_has_a_box_and_a_quality(
    height, width, count, texture, tracker
):
    rng = np.random.default_rng(0)
    shape = (height, width, 3)
    images = [
        rng.integers(0, 255 * texture, shape, np.uint8, endpoint=True)
        for _ in range(count)
    ]
    boxes, quality = tracker.track(clip(images))
    assert boxes.shape == (count, 4)
    assert quality.shape == (count,)
    assert quality.dtype == np.uint8
    assert np.isfinite(boxes).all()
    for image, box in zip(images, boxes):
        crop = tracker.crop(image, box)
        assert crop.shape == (tracker.size, tracker.size, 3)


@settings(max_examples=5, deadline=None)
@given(x=st.integers(-230, 230), y=st.integers(-170, 170))
def test_a_face_near_the_border_has_a_box_of_its_size(x, y):
    boxes, quality = FaceTracker().track(
        clip(head_images(x=np.full(5, x), y=y))
    )
    if quality.any():
        assert np.allclose(boxes[:, 2], SIDE, rtol=0.3)
        assert np.abs(boxes[:, :2] - head_centres(x, y)).max() < 0.3 * SIDE
    # All of the face is in the image.
    if abs(x) < WIDTH / 2 - SIDE and abs(y) < HEIGHT / 2 - SIDE:
        assert (quality > FaceQuality.FALLBACK).all()


def test_crops_of_a_file_show_the_same_face_throughout(tmp_path):
    images, _ = astronaut(1)
    path = write_media(tmp_path / "clip.flv", images)
    faces = FaceTracker(size=32)(path)
    assert faces.crops.shape == (30, 32, 32, 3)
    assert faces.crops.dtype == np.uint8
    assert len(faces.boxes) == len(faces.quality) == 30
    # The head sways by half its width; in the crops it stays where it is.
    change = np.abs(faces.crops - faces.crops.mean(0)).mean()
    fixed = [FaceTracker(size=32).crop(p, faces.boxes[0]) for p in images]
    assert change < 0.5 * np.abs(fixed - np.mean(fixed, 0)).mean()


def test_a_constant_rate_thins_the_frames(tmp_path):
    path = write_media(tmp_path / "clip.flv", astronaut(1)[0])
    faces = FaceTracker()(path, frames_per_second=10)
    assert len(faces.crops) == len(faces.quality) == 10
    assert (faces.quality > FaceQuality.FALLBACK).all()


def test_a_tracker_goes_to_workers_and_its_settings_name_every_choice():
    tracker = FaceTracker(size=32, detect_every=0.2)
    tracker.track(clip(astronaut(0.05)[0]))
    assert pickle.loads(pickle.dumps(tracker)).settings == tracker.settings
    assert tracker.settings == {
        "size": 32,
        "detect_every": 0.2,
        "smoothing": 0.1,
        "margin": 0.0,
        "align": True,
        "min_face": 0.15,
        "working_width": 240,
    }


def save(path, images):
    """Writes a video at 30 frames/s."""
    return str(write_media(path, images))


def test_each_face_is_followed_the_largest_first(tmp_path):
    x = -100 + swing(15, seconds=1.5)
    images = head_images(x, others=[(120, 30, 0.7)])
    first, second = FaceTracker().all_faces(save(tmp_path / "two.flv", images))
    assert off_centre(first.boxes, head_centres(x, 0)).max() < 6
    assert abs(np.median(second.boxes[:, 0]) - (WIDTH / 2 + 120)) < 0.2 * SIDE
    assert np.median(second.boxes[:, 2]) < 0.9 * np.median(first.boxes[:, 2])
    for faces in (first, second):
        assert faces.crops.shape == (len(images), 64, 64, 3)
        assert (faces.quality > FaceQuality.FALLBACK).mean() > 0.9
    alone = FaceTracker()(tmp_path / "two.flv")
    for one, other in zip(alone, first):
        assert np.array_equal(one, other)


def test_a_face_is_not_followed_twice_while_it_is_hidden(tmp_path):
    images = head_images(x=np.full(50, -100), others=[(120, 30, 0.7)])
    for index in range(12, 36):
        images[index][80:280, 60:220] = (140, 150, 90)
    found = FaceTracker().all_faces(save(tmp_path / "hidden.flv", images))
    places = [np.median(faces.boxes[:, 0]) for faces in found]
    assert places == pytest.approx([WIDTH / 2 - 100, WIDTH / 2 + 120], abs=20)


def test_no_more_faces_are_followed_than_asked_for(tmp_path):
    images = head_images(x=np.full(15, -100), others=[(120, 30, 0.7)])
    path = save(tmp_path / "two.flv", images)
    assert len(FaceTracker().all_faces(path, max_faces=1)) == 1


def test_without_a_face_the_middle_is_all_there_is(tmp_path):
    path = save(tmp_path / "grey.flv", grey_images([90] * 7))
    (faces,) = FaceTracker().all_faces(path)
    assert (faces.quality == FaceQuality.FALLBACK).all()
