"""Finds, follows and crops the face of the person who speaks.

OpenCV's cascade finds the face in some frames, and most of the time it is
looked for only around the last place. Between these frames the place is
interpolated, then smoothed over time, so that crops do not tremble. What is
followed is one face a clip, the largest one at the start.
"""

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from auxformer_lobes.features.media import read_frames


class Quality(IntEnum):
    """How the place of the face in a frame came about."""

    FALLBACK = 0  # no face in the whole clip: the centre of the picture
    TRACKED = 1  # from the frames around it
    DETECTED = 2


class Faces(NamedTuple):
    """The face in each frame of a clip.

    Arguments
    ---------
    crops : np.ndarray
        `[time, size, size, 3]`, uint8, RGB.
    boxes : np.ndarray
        `[time, 3]`, float: x and y of the centre of the face and the side of
        the square around it, pixels.
    quality : np.ndarray
        `[time]`, uint8, values of `Quality`.
    """

    crops: np.ndarray
    boxes: np.ndarray
    quality: np.ndarray


class FaceTracker:
    """Makes square face crops of one size from a clip.

    Arguments
    ---------
    size : int
        Side of the crops, pixels.
    detect_every : int
        Frames from one detection to the next.
    smoothing : float
        s, standard deviation of the Gaussian that smooths place and size.
    scale : float
        Side of the crop over the side of the face as the cascade sees it,
        which reaches from the forehead to below the mouth.
    min_face : float
        Side of the smallest face, as a share of the picture's shorter side.
    working_width : int
        Pixels; wider pictures are made smaller for the detection.

    Example
    -------
    >>> tracker = FaceTracker(size=64)
    >>> black = np.zeros((120, 160, 3), dtype=np.uint8)
    >>> boxes, quality = tracker.track((i / 30, black) for i in range(3))
    >>> boxes[0], Quality(quality[0]).name
    (array([ 80.,  60., 120.]), 'FALLBACK')
    >>> tracker.crop(black, boxes[0]).shape
    (64, 64, 3)
    """

    def __init__(
        self,
        size=64,
        detect_every=5,
        smoothing=0.1,
        scale=1.0,
        min_face=0.15,
        working_width=240,
    ):
        self.size = size
        self.detect_every = detect_every
        self.smoothing = smoothing
        self.scale = scale
        self.min_face = min_face
        self.working_width = working_width
        self.settings = dict(vars(self))

    def __call__(self, path, frames_per_second=None):
        """Finds and crops the face in each frame of a video file.

        The file is decoded twice, so that a long clip in a large format
        needs no memory.

        Arguments
        ---------
        path : str
            A video file.
        frames_per_second : float
            Constant rate of the frames; as they are by default.

        Returns
        -------
        faces : Faces
            Crops, boxes and quality.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        boxes, quality = self.track(read_frames(path, frames_per_second))
        frames = read_frames(path, frames_per_second)
        crops = [
            self.crop(frame, box) for (_, frame), box in zip(frames, boxes)
        ]
        return Faces(np.stack(crops), boxes, quality)

    def track(self, frames):
        """Follows the face through a clip.

        Arguments
        ---------
        frames : iterable
            Time (s) and picture (`[height, width, 3]`, uint8, RGB) of each
            frame; at least one.

        Returns
        -------
        boxes : np.ndarray
            `[time, 3]`: x, y of the centre and side, pixels.
        quality : np.ndarray
            `[time]`, uint8, values of `Quality`.
        """
        times, found = [], {}
        last = None
        for index, (time, frame) in enumerate(frames):
            times.append(time)
            if index % self.detect_every == 0:
                box = self._detect(frame, last)
                if box is not None:
                    found[index] = last = box
        quality = np.full(len(times), Quality.FALLBACK, dtype=np.uint8)
        if not found:
            height, width = frame.shape[:2]
            centre = [width / 2, height / 2, min(height, width)]
            return np.tile(centre, (len(times), 1)), quality
        quality[:] = Quality.TRACKED
        quality[list(found)] = Quality.DETECTED
        return self._smooth(times, found), quality

    def crop(self, frame, box):
        """Cuts a face out of a picture.

        What lies outside the picture repeats its edge.

        Arguments
        ---------
        frame : np.ndarray
            `[height, width, 3]`, uint8.
        box : np.ndarray
            `[3]`: x, y of the centre and side, pixels.

        Returns
        -------
        crop : np.ndarray
            `[size, size, 3]`, uint8.
        """
        x, y, side = box[0], box[1], max(1, round(box[2]))
        rows = round(y - side / 2) + np.arange(side)
        columns = round(x - side / 2) + np.arange(side)
        crop = frame.take(rows, 0, mode="clip").take(columns, 1, mode="clip")
        return cv2.resize(
            crop, (self.size, self.size), interpolation=cv2.INTER_AREA
        )

    def _detect(self, frame, last):
        """Returns the box of the face, near the last one if there is one."""
        height, width = frame.shape[:2]
        shrink = min(1, self.working_width / width)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(
            grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
        )
        box = None
        if last is not None:
            # A face cannot have gone far, nor grown or shrunk much.
            x, y, side = last * shrink
            left, top = int(max(0, x - side)), int(max(0, y - side))
            around = grey[top : int(y + side), left : int(x + side)]
            box = _largest_face(around, 0.75 * side, 1.33 * side)
            if box is not None:
                box += [left, top, 0]
        if box is None:
            box = _largest_face(grey, self.min_face * min(grey.shape))
        return None if box is None else box / shrink

    def _smooth(self, times, found):
        detected = np.array(list(found.values()))
        # One detection that differs from both its neighbours is a mistake.
        detected = ndimage.median_filter(detected, (3, 1), mode="nearest")
        frames = np.arange(len(times))
        boxes = np.stack(
            [np.interp(frames, list(found), x) for x in detected.T], axis=1
        )
        boxes[:, 2] *= self.scale
        # Damaged files have frames that all come at the same time.
        frame_time = max((times[-1] - times[0]) / len(times), 1e-3)
        return ndimage.gaussian_filter1d(
            boxes, self.smoothing / frame_time, axis=0, mode="nearest"
        )


@lru_cache
def _cascade():
    # One a process: it cannot be pickled, and takes a while to load. Clips
    # are worked on side by side, so one thread a clip; and OpenCV's threads
    # do not survive a fork.
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(
        cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml"
    )


def _largest_face(grey, smallest, largest=None):
    limits = {} if largest is None else {"maxSize": (round(largest),) * 2}
    faces = _cascade().detectMultiScale(
        grey, minNeighbors=5, minSize=(round(smallest),) * 2, **limits
    )
    if len(faces) == 0:
        return None
    left, top, side, _ = max(faces, key=lambda face: face[2])
    return np.array([left + side / 2, top + side / 2, side], dtype=float)
