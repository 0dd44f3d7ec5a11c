"""Detection of eyes, in real and synthetic faces."""

import cv2
import numpy as np
import pytest

from auxformer_lobes.processing.faces.detection import find_eyes, find_faces
from auxformer_lobes.testing.faces import invent_face
from auxformer_lobes.testing.portraits import Expression, Portrait
from tests.unit.head_images import head_images


@pytest.mark.parametrize("seed", range(4))
def test_eyes_of_invented_faces_are_found(seed):
    rng = np.random.default_rng(seed)
    portrait = Portrait(invent_face(rng, ("female", "male")[seed % 2]))
    image = portrait.draw(Expression(0, 0, 0, 0, 0, 0, 0))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    (box,) = find_faces(grey, [96, 72, 192, 0], min_side=40)
    left, right = find_eyes(image, box)
    assert right[0] - left[0] == pytest.approx(
        2 * portrait.face.eye_distance * portrait.face.size * 144, rel=0.1
    )
    assert abs(right[1] - left[1]) < 2
    assert (left + right)[0] / 2 == pytest.approx(96, abs=2)


def test_one_eye_is_not_enough():
    image = head_images()[0]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    (box,) = find_faces(grey, [240, 180, 480, 0], min_side=50)
    left, _ = find_eyes(image, box)
    cv2.circle(image, np.round(left).astype(int), 14, (220, 170, 140), -1)
    assert find_eyes(image, box) is None
