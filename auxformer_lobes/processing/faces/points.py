"""Tracking of a face by points on it, from image to image.

Points follow the optical flow of Lucas and Kanade. One is kept only if the
reverse flow leads back to where it came from (Kalal, Mikolajczyk and Matas,
"Forward-Backward Error", ICPR 2010). For boxes, see
`auxformer_lobes.processing.faces.boxes`.
"""

import cv2
import numpy as np

from auxformer_lobes.processing.faces.boxes import transform

MAX_RETURN_ERROR = 0.5  # pixels, of the forward-backward flow


class FacePoints:
    """Tracks a face through consecutive images.

    The points are chosen once and never replaced. If something covers the
    face, they are lost one by one instead of moving to what covers it; with
    too few left, the face is lost.

    Arguments
    ---------
    grey : np.ndarray
        `[height, width]`, uint8: an image in which the box is known.
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
        # A circle within the box holds no background.
        cv2.circle(mask, (x, y), round(0.45 * side), 255, cv2.FILLED)
        points = cv2.goodFeaturesToTrack(grey, 50, 0.01, 3, mask=mask)
        self.points = np.empty((0, 1, 2)) if points is None else points
        self.min_points = max(6, len(self.points) / 3)

    def follow(self, grey):
        """Finds the face in the next image.

        Arguments
        ---------
        grey : np.ndarray
            `[height, width]`, uint8.

        Returns
        -------
        np.ndarray
            Box of the face; None if it is lost, from then on for ever.
        """
        # Some videos change their image size.
        if len(self.points) < self.min_points or grey.shape != self.grey.shape:
            return None
        points, forth, _ = _flow(self.grey, grey, self.points)
        returned, back, _ = _flow(grey, self.grey, points)
        error = np.abs(returned - self.points).max((1, 2))
        kept = (forth & back)[:, 0].astype(bool) & (error < MAX_RETURN_ERROR)
        matrix, inliers = None, np.zeros(1)
        if kept.sum() >= self.min_points:
            matrix, inliers = cv2.estimateAffinePartial2D(
                self.points[kept], points[kept], ransacReprojThreshold=1
            )
        self.grey = grey
        self.points = points[kept]
        if inliers.sum() < self.min_points:
            self.points = self.points[:0]
            return None
        # Keep the side: a head that turns away only seems to shrink.
        x, y = transform(matrix, self.box[:2])
        turn = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        self.box = np.array([x, y, self.box[2], self.box[3] + turn])
        return self.box


def _flow(before, after, points):
    return cv2.calcOpticalFlowPyrLK(
        before, after, points, None, winSize=(11, 11)
    )
