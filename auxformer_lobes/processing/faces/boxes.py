"""Geometry of face boxes.

A box is `[x, y, side, angle]`: centre and side of a square in pixels, and its
clockwise rotation in the image in degrees. Coordinates count from the corner
of the image: the centre of the first pixel is at 0.5.
"""

import cv2
import numpy as np


def square_matrix(box):
    """Affine matrix from pixel indices of an upright square to the image's.

    Squares without rotation fall on whole pixels.

    Arguments
    ---------
    box : sequence of float
        x, y, side and angle.

    Returns
    -------
    matrix : np.ndarray
        `[2, 3]`, to be applied to x, y, 1.
    side : int
        Of the square, pixels.

    Example
    -------
    >>> square_matrix([30, 20, 10, 0])
    (array([[ 1., -0., 25.],
           [ 0.,  1., 15.]]), 10)
    """
    x, y, side, angle = box
    side = max(1, round(side))
    # OpenCV's pixel indices are at pixel centres, 0.5 from the corners.
    middle = np.array([side - 1, side - 1]) / 2
    corner = np.round([x - side / 2, y - side / 2])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation = np.array([[cos, -sin], [sin, cos]])
    shift = corner + middle - rotation @ middle
    return np.column_stack([rotation, shift]), side


def cut_square(image, box):
    """Cuts a square out of an image and rotates it upright.

    Beyond its borders, the image repeats its edge pixels.

    Arguments
    ---------
    image : np.ndarray
        `[height, width]` or `[height, width, 3]`, uint8.
    box : sequence of float
        x, y, side and angle.

    Returns
    -------
    np.ndarray
        `[side, side]` or `[side, side, 3]`, uint8.

    Example
    -------
    >>> image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> cut_square(image, [1, 1, 2, 0])
    array([[0, 1],
           [4, 5]], dtype=uint8)
    >>> cut_square(image, [1, 1, 2, 90])
    array([[1, 5],
           [0, 4]], dtype=uint8)
    """
    matrix, side = square_matrix(box)
    return cv2.warpAffine(
        image,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def transform(matrix, points):
    """Applies an affine matrix of pixel indices to coordinates.

    Arguments
    ---------
    matrix : np.ndarray
        `[2, 3]`.
    points : array_like
        `[..., 2]`, x and y.

    Returns
    -------
    np.ndarray
        `[..., 2]`.

    Example
    -------
    >>> transform(square_matrix([30, 20, 10, 0])[0], [5, 5])
    array([30., 20.])
    """
    # From coordinates to pixel indices, and back.
    return (np.asarray(points) - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
