"""Faces and eyes found by a network, which OpenCV runs, and its weights."""

import pickle

import cv2
import numpy as np
import pytest

from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.processing.faces import detection, yunet
from auxformer_lobes.processing.faces.boxes import square_matrix, transform
from auxformer_lobes.processing.faces.detection import CascadeDetector
from auxformer_lobes.processing.faces.tracker import FaceQuality, FaceTracker
from auxformer_lobes.processing.faces.yunet import YuNetDetector
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_yunet import EYES, colour_face, write_yunet

BOX = np.array([300.0, 200.0, 150.0, 12.0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_yunet(tmp_path_factory.mktemp("yunet") / "yunet.onnx"))


def find(detector, image, window, *sides):
    """Faces in an image that is reduced to half its width."""
    height, width = image.shape[:2]
    grey = np.zeros((height // 2, width // 2), np.uint8)
    return detector.find_faces(image, grey, window, *sides)


def eyes_of(box):
    """Where the eyes of a drawn face are: the left one in the image first."""
    matrix, side = square_matrix(box)
    return transform(matrix, (EYES + 0.5) * side)


@pytest.mark.parametrize("window", [[160, 120, 320, 0], [140, 90, 200, 12]])
def test_a_face_and_its_eyes_are_where_they_were_drawn(weights, window):
    image = colour_face(480, 640, BOX)
    (face,) = find(YuNetDetector(weights), image, window, 20)
    # In pixels of the reduced image, with the angle of the window.
    assert face.box == pytest.approx([150, 100, 72, window[3]], abs=2)
    assert face.eyes == pytest.approx(eyes_of(BOX) / 2, abs=1)
    assert face.eyes[0, 0] < face.eyes[1, 0]  # left in the image first


def test_the_eye_on_the_left_of_the_image_is_the_persons_right_one(weights):
    image = colour_face(480, 640, BOX)
    (face,) = find(YuNetDetector(weights), image, [160, 120, 320, 0], 20)
    left, right = (2 * face.eyes).round().astype(int)
    assert image[left[1], left[0]].tolist() == [0, 255, 0]  # green
    assert image[right[1], right[0]].tolist() == [0, 0, 255]  # blue


def test_eyes_that_tell_no_angle_are_left_out(weights):
    mirrored = np.ascontiguousarray(colour_face(480, 640, BOX)[:, ::-1])
    (face,) = find(YuNetDetector(weights), mirrored, [160, 120, 320, 0], 20)
    assert face.eyes is None
    assert YuNetDetector(weights).find_eyes(mirrored, None, face) is None


def test_faces_of_another_size_or_score_are_left_out(weights):
    image = colour_face(480, 640, BOX)
    window = [160, 120, 320, 0]
    detector = YuNetDetector(weights)
    assert find(detector, image, window, 60, 90)
    assert not find(detector, image, window, 90)
    assert not find(detector, image, window, 20, 60)
    tiny = colour_face(480, 640, BOX * [1, 1, 0.1, 1])  # 7 pixels of 320
    assert find(YuNetDetector(weights, score_threshold=0.3), tiny, window, 1)
    assert not find(detector, tiny, window, 1)


@pytest.mark.parametrize("roll", [0, 25, -45])
def test_a_tracker_levels_the_eyes_that_a_network_finds(weights, roll):
    box = np.array([300.0, 200.0, 150.0, roll])
    image = colour_face(480, 640, box)
    tracker = FaceTracker(detector=YuNetDetector(weights))
    boxes, quality = tracker.track((i / 30, image) for i in range(3))
    assert quality[0] == FaceQuality.DETECTED
    assert boxes[0] == pytest.approx(box, abs=7)
    assert boxes[0, 3] == pytest.approx(roll, abs=2)
    crop = tracker.crop(image, boxes[0])
    green, blue = (
        np.mean(np.nonzero(crop[..., colour] > 200), axis=1)
        for colour in (1, 2)
    )
    assert green[0] == pytest.approx(blue[0], abs=1)  # level
    assert green[1] < 32 < blue[1]


def test_without_a_face_there_is_none(weights):
    detector = YuNetDetector(weights)
    grey = np.full((240, 320, 3), 90, np.uint8)
    assert find(detector, grey, [80, 60, 160, 0], 20) == []
    _, quality = FaceTracker(detector=detector).track([(0.0, grey)])
    assert quality[0] == FaceQuality.FALLBACK


def test_the_default_detector_adds_nothing_to_the_settings():
    settings = FaceTracker().settings
    assert settings == FaceTracker(detector=CascadeDetector()).settings
    assert "detector" not in settings


def test_settings_tell_detectors_apart(weights, tmp_path):
    other = str(write_yunet(tmp_path / "other.onnx", size=64))
    detectors = [
        CascadeDetector(),
        YuNetDetector(weights),
        YuNetDetector(other),
        YuNetDetector(weights, score_threshold=0.9),
        YuNetDetector(weights, nms_threshold=0.5),
        YuNetDetector(weights, input_size=640),
    ]
    found = [str(FaceTracker(detector=x).settings) for x in detectors]
    assert len({*found}) == len(found)
    same = tmp_path / "a_copy.onnx"
    same.write_bytes(open(weights, "rb").read())
    assert YuNetDetector(str(same)).settings == detectors[1].settings


def test_a_detector_goes_to_worker_processes(weights):
    detector = YuNetDetector(weights)
    image, window = colour_face(240, 320, BOX / 2), [80, 60, 160, 0]
    assert len(find(detector, image, window, 10)) == 1
    copy = pickle.loads(pickle.dumps(detector))
    assert len(find(copy, image, window, 10)) == 1
    assert copy.settings == detector.settings


def test_published_weights_come_from_the_hub(weights, tmp_path, monkeypatch):
    (tmp_path / yunet.WEIGHTS).write_bytes(open(weights, "rb").read())
    asked = []

    def _snapshot(*arguments):
        asked.append(arguments)
        return tmp_path

    monkeypatch.setattr(yunet, "snapshot", _snapshot)
    with pytest.raises(UserError, match="not the published weights: damaged"):
        YuNetDetector()
    monkeypatch.setattr(yunet, "PUBLISHED", yunet.sha256(weights))
    assert YuNetDetector(save_path="here").weights.startswith(str(tmp_path))
    assert asked[-1][0] == "opencv/face_detection_yunet"
    assert asked[-1][2:4] == (["face_detection_yunet_2023mar.onnx"], "here")


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "No such file"),
        (b"", "empty file"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (bytes(yunet.MAX_BYTES + 1), "larger than any face detector"),
        (b"not a network", "cannot run it as YuNet: name face_detection_yunet"),
    ],
)
def test_unusable_weights_are_named(tmp_path, content, reason):
    path = tmp_path / "weights.onnx"
    if content is not None:
        path.write_bytes(content)
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError) as error:
        find(YuNetDetector(str(path)), image, [16, 16, 32, 0], 5)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_opencv_5_lacks_only_what_it_says(weights, monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    monkeypatch.delattr(cv2, "HOGDescriptor", raising=False)
    detection._cascade.cache_clear()
    frames = [(0.0, colour_face(240, 320, BOX / 2))]
    # Features may be stored already: only what is run can fail.
    hog = HogFeatures()
    assert hog.dim == 1764
    tracker = FaceTracker(detector=YuNetDetector(weights))
    _, quality = tracker.track(frames)
    assert quality[0] == FaceQuality.DETECTED
    with pytest.raises(
        UserError, match="YuNetDetector, or pip install 'opencv"
    ):
        FaceTracker().track(frames)
    with pytest.raises(UserError, match="another encoder, or pip install"):
        hog.clip_input(None)
