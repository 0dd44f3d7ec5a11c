"""Where a face is in one picture, and where it has gone in the next.

OpenCV's cascades (Viola and Jones, 2001) find faces and eyes. Points of a face
are followed from picture to picture by the optical flow of Lucas and Kanade,
which must lead back to where it came from (Kalal, Mikolajczyk and Matas,
"Forward-Backward Error", ICPR 2010).

A box is `[x, y, side, angle]`: centre and side of a square, pixels, and by how
many degrees it is turned clockwise in the picture.
"""

from functools import lru_cache

import cv2
import numpy as np

EYES_SIZE = 96  # pixels, of the face in which eyes are looked for


def square_matrix(box):
    """Returns the matrix from pixels of an upright square to the picture's.

    Squares that are not turned fall on whole pixels.

    Arguments
    ---------
    box : sequence of float
        x, y, side and angle.

    Returns
    -------
    matrix : np.ndarray
        `[2, 3]`, takes x, y, 1.
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
    # Coordinates of pixels are those of their centres, 0.5 from their corners.
    middle = np.array([side - 1, side - 1]) / 2
    corner = np.round([x - side / 2, y - side / 2])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = corner + middle - turn @ middle
    return np.column_stack([turn, shift]), side


def cut_square(picture, box):
    """Cuts a square out of a picture and turns it upright.

    What lies outside the picture repeats its edge.

    Arguments
    ---------
    picture : np.ndarray
        `[height, width]` or `[height, width, 3]`, uint8.
    box : sequence of float
        x, y, side and angle.

    Returns
    -------
    square : np.ndarray
        `[side, side]` or `[side, side, 3]`, uint8.

    Example
    -------
    >>> picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> cut_square(picture, [1, 1, 2, 0])
    array([[0, 1],
           [4, 5]], dtype=uint8)
    >>> cut_square(picture, [1, 1, 2, 90])
    array([[1, 5],
           [0, 4]], dtype=uint8)
    """
    matrix, side = square_matrix(box)
    return cv2.warpAffine(
        picture,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def find_faces(grey, window, smallest, largest=0):
    """Finds the faces in a part of a picture.

    Arguments
    ---------
    grey : np.ndarray
        `[height, width]`, uint8.
    window : sequence of float
        x, y, side and angle of the square to look into. Faces are found that
        are turned as it is, give or take 15 degrees.
    smallest : float
        Side of the smallest face, pixels.
    largest : float
        Side of the largest face, pixels; 0 for any.

    Returns
    -------
    boxes : list of np.ndarray
        x, y, side and angle of each, the angle that of the window.

    Example
    -------
    >>> black = np.zeros((120, 160), dtype=np.uint8)
    >>> find_faces(black, [80, 60, 120, 0], smallest=20)
    []
    """
    square = cut_square(grey, window)
    faces = _find("frontalface_alt2", square, 1.1, 5, smallest, largest)
    matrix, _ = square_matrix(window)
    return [
        np.array([*_moved(matrix, [x, y]), side, window[3]])
        for x, y, side in faces
    ]


def find_eyes(picture, box):
    """Finds the eyes of a face.

    Arguments
    ---------
    picture : np.ndarray
        `[height, width, 3]`, uint8, RGB.
    box : np.ndarray
        x, y, side and angle of the face; the angle is right within some 20
        degrees.

    Returns
    -------
    eyes : np.ndarray
        `[2, 2]`: x and y of the eye on the left of the picture, and of that on
        the right, pixels; None where they are not both found.

    Example
    -------
    >>> black = np.zeros((120, 160, 3), dtype=np.uint8)
    >>> find_eyes(black, np.array([80.0, 60.0, 40.0, 0.0])) is None
    True
    """
    square = cv2.cvtColor(cut_square(picture, box), cv2.COLOR_RGB2GRAY)
    zoom = len(square) / EYES_SIZE
    grey = cv2.resize(
        square, (EYES_SIZE, EYES_SIZE), interpolation=cv2.INTER_AREA
    )
    upper = grey[: round(0.6 * EYES_SIZE)]
    found = _find("eye", upper, 1.2, 3, 0.18 * EYES_SIZE, 0.38 * EYES_SIZE)
    left = [eye for eye in found if eye[0] < EYES_SIZE / 2]
    right = [eye for eye in found if eye[0] >= EYES_SIZE / 2]
    if not left or not right:
        return None
    # Nostrils and brows are found too, but smaller.
    eyes = np.array([max(s, key=lambda eye: eye[2])[:2] for s in (left, right)])
    across, down = (eyes[1] - eyes[0]) / EYES_SIZE
    if not 0.25 < across < 0.6 or abs(down) > 0.6 * across:
        return None
    return _moved(square_matrix(box)[0], eyes * zoom)


class FacePoints:
    """Follows a face by points on it, through pictures that come in order.

    The points are chosen once, so that what covers the face is not followed
    in its place: they go one by one, and with too few of them the face is
    lost.

    Arguments
    ---------
    grey : np.ndarray
        `[height, width]`, uint8: a picture in which the place is known.
    box : np.ndarray
        x, y, side and angle of the face in it.

    Example
    -------
    >>> noise = np.random.default_rng(0).normal(128, 40, size=(60, 80))
    >>> grey = cv2.GaussianBlur(noise, None, 2).astype(np.uint8)
    >>> points = FacePoints(grey, np.array([40.0, 30.0, 30.0, 0.0]))
    >>> points.follow(np.roll(grey, 3, axis=1)).round()
    array([43., 30., 30.,  0.])
    >>> points.follow(np.zeros_like(grey)) is None
    True
    """

    def __init__(self, grey, box):
        self.grey = grey
        self.box = box
        mask = np.zeros_like(grey)
        x, y, side = np.round(box[:3]).astype(int)
        # Within the circle there is no background.
        cv2.circle(mask, (x, y), round(0.45 * side), 255, cv2.FILLED)
        points = cv2.goodFeaturesToTrack(grey, 50, 0.01, 3, mask=mask)
        self.points = np.empty((0, 1, 2)) if points is None else points
        self.fewest = max(6, len(self.points) / 3)

    def follow(self, grey):
        """Finds the face in the next picture.

        Arguments
        ---------
        grey : np.ndarray
            `[height, width]`, uint8.

        Returns
        -------
        box : np.ndarray
            x, y, side and angle; None if it is lost.
        """
        # Some files change the size of their pictures on the way.
        if len(self.points) < self.fewest or grey.shape != self.grey.shape:
            return None
        points, forth, _ = _flow(self.grey, grey, self.points)
        returned, back, _ = _flow(grey, self.grey, points)
        error = np.abs(returned - self.points).max((1, 2))
        kept = (forth & back)[:, 0].astype(bool) & (error < 0.5)
        matrix, inside = None, np.zeros(1)
        if kept.sum() >= self.fewest:
            matrix, inside = cv2.estimateAffinePartial2D(
                self.points[kept], points[kept], ransacReprojThreshold=1
            )
        self.grey = grey
        self.points = points[kept]
        if inside.sum() < self.fewest:
            self.points = self.points[:0]
            return None
        # Heads that turn away seem to shrink, in one direction: the side stays.
        x, y = _moved(matrix, self.box[:2])
        turn = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        self.box = np.array([x, y, self.box[2], self.box[3] + turn])
        return self.box


def _moved(matrix, places):
    """Applies a matrix for pixels to places, `[..., 2]`."""
    # Pixels are counted by their centres, 0.5 from their corners.
    return (np.asarray(places) - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5


def _flow(before, after, points):
    return cv2.calcOpticalFlowPyrLK(
        before, after, points, None, winSize=(11, 11)
    )


@lru_cache
def _cascade(name):
    # One a process: it cannot be pickled, and takes a while to load. Clips
    # are worked on side by side, so one thread a clip; and OpenCV's threads
    # do not survive a fork.
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(
        f"{cv2.data.haarcascades}haarcascade_{name}.xml"
    )


def _find(name, grey, step, neighbours, smallest, largest):
    """Returns x, y of the centre and side of all finds."""
    found = _cascade(name).detectMultiScale(
        grey,
        step,
        neighbours,
        minSize=(round(smallest),) * 2,
        maxSize=(round(largest),) * 2,
    )
    return [
        (left + side / 2, top + side / 2, side) for left, top, side, _ in found
    ]
