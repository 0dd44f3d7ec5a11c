"""Detection of faces and eyes with OpenCV's Haar cascades.

Viola and Jones, "Rapid object detection using a boosted cascade of simple
features", CVPR 2001. For boxes, see `auxformer_lobes.processing.faces.boxes`.
"""

from functools import lru_cache
from typing import NamedTuple, Optional

import cv2
import numpy as np

from auxformer_lobes.processing.faces.boxes import (
    cut_square,
    square_matrix,
    transform,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import Configurable

EYES_SIZE = 96  # pixels to which a face is resized for the eye detection
NO_CASCADES = (
    f"OpenCV {cv2.__version__} has no Haar cascades: choose YuNetDetector, or "
    "pip install 'opencv-python-headless<5'"
)


class Detection(NamedTuple):
    """A face that a detector has found.

    Arguments
    ---------
    box : np.ndarray
        x, y, side and angle.
    eyes : np.ndarray
        `[2, 2]`: x and y of the eye on the left of the image and of the eye on
        the right; None if they are to be looked for.
    """

    box: np.ndarray
    eyes: Optional[np.ndarray] = None


class CascadeDetector(Configurable):
    """Detects faces and eyes with Haar cascades: nothing to download.

    A detector has three members, of which a `FaceTracker` makes use:
    `find_faces`, `find_eyes` and `settings`, which are those of the tracker's
    that are the detector's own.

    Example
    -------
    >>> black = np.zeros((120, 160, 3), dtype=np.uint8)
    >>> window = np.array([80.0, 60.0, 120.0, 0.0])
    >>> CascadeDetector().find_faces(black, black[..., 0], window, 20)
    []
    """

    schema = {}
    settings = {}  # none, so that stores of before stay valid

    def find_faces(self, image, grey, window, min_side, max_side=0):
        """Detects the faces in a part of an image.

        Arguments
        ---------
        image : np.ndarray
            `[height, width, 3]`, uint8, RGB.
        grey : np.ndarray
            `[height, width]`, uint8: the image, reduced. All coordinates are
            pixels of this one.
        window : np.ndarray
            Box to search.
        min_side : float
            Side of the smallest face.
        max_side : float
            Side of the largest face; 0 for any.

        Returns
        -------
        list of Detection
        """
        boxes = find_faces(grey, window, min_side, max_side)
        return [Detection(box) for box in boxes]

    def find_eyes(self, image, grey, detection):
        """Detects the eyes of a face in the full image.

        Arguments
        ---------
        image : np.ndarray
            `[height, width, 3]`, uint8, RGB.
        grey : np.ndarray
            `[height, width]`, uint8: the image, reduced.
        detection : Detection
            The face.

        Returns
        -------
        np.ndarray
            See `Detection`; None unless both are found.
        """
        zoom = image.shape[1] / grey.shape[1]
        eyes = find_eyes(image, detection.box * [zoom, zoom, zoom, 1])
        return None if eyes is None else eyes / zoom


def find_faces(grey, window, min_side, max_side=0):
    """Detects the faces in a part of an image.

    Arguments
    ---------
    grey : np.ndarray
        `[height, width]`, uint8.
    window : sequence of float
        Box to search. Detected faces are rotated as it is, within about 15
        degrees.
    min_side : float
        Side of the smallest face, pixels.
    max_side : float
        Side of the largest face, pixels; 0 for any.

    Returns
    -------
    list of np.ndarray
        Box of each face, with the angle of the window.

    Example
    -------
    >>> black = np.zeros((120, 160), dtype=np.uint8)
    >>> find_faces(black, [80, 60, 120, 0], min_side=20)
    []
    """
    square = cut_square(grey, window)
    faces = _detect("frontalface_alt2", square, 1.1, 5, min_side, max_side)
    matrix, _ = square_matrix(window)
    return [
        np.array([*transform(matrix, [x, y]), side, window[3]])
        for x, y, side in faces
    ]


def find_eyes(image, box):
    """Detects the eyes of a face.

    Arguments
    ---------
    image : np.ndarray
        `[height, width, 3]`, uint8, RGB.
    box : np.ndarray
        Box of the face; its angle is correct within about 20 degrees.

    Returns
    -------
    np.ndarray
        `[2, 2]`: x and y, pixels, of the eye on the left of the image and of
        the eye on the right. None unless both are found.

    Example
    -------
    >>> black = np.zeros((120, 160, 3), dtype=np.uint8)
    >>> find_eyes(black, np.array([80.0, 60.0, 40.0, 0.0])) is None
    True
    """
    square = cv2.cvtColor(cut_square(image, box), cv2.COLOR_RGB2GRAY)
    zoom = len(square) / EYES_SIZE
    grey = cv2.resize(
        square, (EYES_SIZE, EYES_SIZE), interpolation=cv2.INTER_AREA
    )
    upper = grey[: round(0.6 * EYES_SIZE)]
    found = _detect("eye", upper, 1.2, 3, 0.18 * EYES_SIZE, 0.38 * EYES_SIZE)
    left = [eye for eye in found if eye[0] < EYES_SIZE / 2]
    right = [eye for eye in found if eye[0] >= EYES_SIZE / 2]
    if not left or not right:
        return None
    # Nostrils and brows are detected too, but smaller: take the largest.
    eyes = np.array([max(s, key=lambda eye: eye[2])[:2] for s in (left, right)])
    across, down = (eyes[1] - eyes[0]) / EYES_SIZE
    # Plausible only if the distance fits a face, and the tilt is below 31
    # degrees.
    if not 0.25 < across < 0.6 or abs(down) > 0.6 * across:
        return None
    return transform(square_matrix(box)[0], eyes * zoom)


@lru_cache
def _cascade(name):
    # One per process: it cannot be pickled, and takes a while to load. One
    # thread: clips are processed in parallel, and OpenCV's threads do not
    # survive a fork.
    cv2.setNumThreads(1)
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(NO_CASCADES)
    return cv2.CascadeClassifier(
        f"{cv2.data.haarcascades}haarcascade_{name}.xml"
    )


def _detect(name, grey, scale_factor, min_neighbors, min_side, max_side):
    """Returns centre x, centre y and side of each detection."""
    found = _cascade(name).detectMultiScale(
        grey,
        scale_factor,
        min_neighbors,
        minSize=(round(min_side),) * 2,
        maxSize=(round(max_side),) * 2,
    )
    return [
        (left + side / 2, top + side / 2, side) for left, top, side, _ in found
    ]
