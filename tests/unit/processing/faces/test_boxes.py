"""Squares cut out of an image."""

import cv2
import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.processing.faces.boxes import cut_square


@given(
    st.floats(-20, 60), st.floats(-20, 60), st.floats(0.1, 50), st.booleans()
)
def test_a_square_that_is_not_turned_is_made_of_the_pixels_as_they_are(
    x, y, side, upside_down
):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    if upside_down:
        image = np.rot90(image, 2)
    width = max(1, round(side))
    rows = round(y - side / 2 - (width - side) / 2) + np.arange(width)
    columns = round(x - side / 2 - (width - side) / 2) + np.arange(width)
    expected = image.take(rows, 0, mode="clip").take(columns, 1, mode="clip")
    assert (cut_square(image, [x, y, side, 0]) == expected).all()


@given(st.floats(-180, 180), st.floats(-5, 5), st.floats(-5, 5))
def test_a_turned_square_shows_its_middle_in_the_middle(angle, x, y):
    image = np.zeros((101, 101), dtype=np.uint8)
    middle = (round(50 + x), round(50 + y))
    cv2.circle(image, middle, 9, 255, cv2.FILLED)
    # The middle of a pixel lies half a pixel from its corner.
    square = cut_square(image, [middle[0] + 0.5, middle[1] + 0.5, 41, angle])
    centre = np.argwhere(square > 127).mean(0)
    assert centre == pytest.approx([20, 20], abs=0.5)
