"""Tracking of a face by its points."""

import cv2
import numpy as np

from auxformer_lobes.processing.faces.points import FacePoints
from tests.unit.head_images import head_images


def test_points_on_nothing_are_lost():
    blank = np.full((60, 80), 128, dtype=np.uint8)
    points = FacePoints(blank, np.array([40.0, 30.0, 30.0, 0.0]))
    assert points.follow(blank) is None


def test_points_that_were_lost_stay_lost():
    grey = cv2.cvtColor(head_images()[0], cv2.COLOR_RGB2GRAY)
    points = FacePoints(grey, np.array([240.0, 180.0, 90.0, 0.0]))
    assert points.follow(grey) is not None
    assert points.follow(np.zeros_like(grey)) is None
    assert points.follow(grey) is None
