"""Finds, follows and crops the face of the person who speaks.

Now and then the face is detected, most of the time only around its last
place. In between, and where it is turned away or half hidden, its points are
followed from both sides, until they are lost. The places are smoothed over
time, so that crops do not tremble. What is followed is one face a clip, the
largest one at the start; on request, the others too, one after the other.
"""

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from auxformer_lobes.processing.faces.points import (
    FacePoints,
    cut_square,
    find_eyes,
    find_faces,
)
from auxformer_lobes.processing.faces.smoothing import (
    Quality,
    path_through,
    quality_of,
)
from auxformer_lobes.processing.media import read_frames
from auxformer_lobes.utils.schema import (
    FLAG,
    Configurable,
    arguments_of,
    integer,
    number,
)

FOLLOWED = 3.0  # s without a detection, after which points have gone astray
PATIENCE = 1.0  # s after which a lost face is looked for everywhere
EYES_ABOVE = 0.1  # of the face's side, from its centre up to the eyes
MOST_FACES = 8  # that are followed in a clip


class Faces(NamedTuple):
    """The face in each frame of a clip.

    Arguments
    ---------
    crops : np.ndarray
        `[time, size, size, 3]`, uint8, RGB.
    boxes : np.ndarray
        `[time, 4]`, float: x and y of the centre of the face and the side of
        the square around it, pixels, and by how many degrees the square is
        turned clockwise.
    quality : np.ndarray
        `[time]`, uint8, values of `Quality`.
    """

    crops: np.ndarray
    boxes: np.ndarray
    quality: np.ndarray


class FaceTracker(Configurable):
    """Makes square face crops of one size from a clip.

    Arguments
    ---------
    size : int
        Side of the crops, pixels.
    detect_every : float
        s from one detection to the next; in between, points are followed.
    smoothing : float
        s, standard deviation of the Gaussian that smooths place and size;
        0 for none.
    margin : float
        What the crop shows around the face, as a share of the face's side,
        on each of the four sides. The face as the cascade sees it reaches
        from the forehead to below the mouth.
    align : bool
        Whether crops are turned and placed so that the eyes are level and
        always in the same place. Where they are not found, the points tell
        how far the head has turned since; if they never are, crops are
        upright.
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
    (array([ 80.,  60., 120.,   0.]), 'FALLBACK')
    >>> tracker.crop(black, boxes[0]).shape
    (64, 64, 3)
    """

    schema = {
        "size": integer(8, 1024),
        "detect_every": number(0, 60),
        "smoothing": number(0, 60),
        "margin": number(0, 2),
        "align": FLAG,
        "min_face": number(0.01, 1),
        "working_width": integer(32, 4096),
    }

    def __init__(
        self,
        size=64,
        detect_every=0.33,
        smoothing=0.1,
        margin=0.0,
        align=True,
        min_face=0.15,
        working_width=240,
    ):
        self.size = size
        self.detect_every = detect_every
        self.smoothing = smoothing
        self.margin = margin
        self.align = align
        self.min_face = min_face
        self.working_width = working_width
        self.settings = arguments_of(self)

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
        return self.each(path, frames_per_second, most=1)[0]

    def each(self, path, frames_per_second=None, most=MOST_FACES):
        """Finds and crops every face of a video file.

        The file is decoded once more for each face.

        Arguments
        ---------
        path : str
            A video file.
        frames_per_second : float
            Constant rate of the frames; as they are by default.
        most : int
            How many faces are followed; the largest come first.

        Returns
        -------
        list of Faces
            Crops, boxes and quality of each face; where there is none, those
            of the middle of the picture.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        tracks = []
        while len(tracks) < most:
            frames = read_frames(path, frames_per_second)
            boxes, quality = self.track(frames, tracks)
            # What is seen once, beside a face, may be anything.
            seen = (quality == Quality.DETECTED).sum()
            if tracks and seen < min(2, len(quality)):
                break
            tracks.append((boxes, quality))
            if not seen:
                break
        crops = [
            [self.crop(frame, boxes[index]) for boxes, _ in tracks]
            for index, (_, frame) in enumerate(
                read_frames(path, frames_per_second)
            )
        ]
        return [
            Faces(np.stack(own), *track)
            for own, track in zip(zip(*crops), tracks)
        ]

    def track(self, frames, others=()):
        """Follows a face through a clip.

        Arguments
        ---------
        frames : iterable
            Time (s) and picture (`[height, width, 3]`, uint8, RGB) of each
            frame; at least one.
        others : sequence of tuple
            What `track` has returned of other faces: these are not followed.

        Returns
        -------
        boxes : np.ndarray
            `[time, 4]`: x, y of the centre and side, pixels; angle, degrees.
        quality : np.ndarray
            `[time]`, uint8, values of `Quality`.
        """
        times, places, with_eyes = [], {}, []
        jumps = {}  # from where points have led to where a face is detected
        tried = found = -np.inf  # s, of the last attempt and detection
        recent = []  # frames since the last detection
        points = None
        for index, (time, frame) in enumerate(frames):
            times.append(time)
            grey = self._shrunk(frame)
            zoom = frame.shape[1] / grey.shape[1]
            is_free = partial(self._is_free, others, zoom)
            recent.append((index, grey))
            if time - times[recent[0][0]] > FOLLOWED:
                recent.pop(0)
                points = None
            if points and not _follow(points, recent[-1:], places, is_free):
                points = None
            if abs(time - tried) < self.detect_every:
                continue
            tried = time
            is_free_now = partial(is_free, index)
            box = None
            if places:
                last = places[max(places)]
                box = self._find_near(grey, last, time - found, is_free_now)
            # Nobody takes the place of a face that is still followed, or was
            # there a moment ago.
            if box is None and not points and time - found > PATIENCE:
                box = self._find_anywhere(
                    frame, grey, is_free_now, bool(others)
                )
            if box is None:
                continue
            box, eyes = self._level(frame, grey, box)
            if eyes:
                with_eyes.append(index)
            if not points:
                _follow(FacePoints(grey, box), recent[-2::-1], places, is_free)
            jumps[index] = box - places.get(index, box)
            places[index] = box
            points = FacePoints(grey, box)
            recent = recent[-1:]
            found = time
        height, width = frame.shape[:2]
        if not places:
            centre = [width / 2, height / 2, min(height, width), 0]
            quality = np.full(len(times), Quality.FALLBACK, dtype=np.uint8)
            return np.tile(centre, (len(times), 1)), quality
        boxes = path_through(times, places, jumps, with_eyes, self.smoothing)
        boxes[:, :3] *= width / grey.shape[1]
        boxes[:, 2] *= 1 + 2 * self.margin
        return boxes, quality_of(times, places, jumps)

    def crop(self, frame, box):
        """Cuts a face out of a picture.

        What lies outside the picture repeats its edge.

        Arguments
        ---------
        frame : np.ndarray
            `[height, width, 3]`, uint8.
        box : np.ndarray
            `[4]`: x, y of the centre and side, pixels; angle, degrees.

        Returns
        -------
        crop : np.ndarray
            `[size, size, 3]`, uint8.
        """
        return cv2.resize(
            cut_square(frame, box),
            (self.size, self.size),
            interpolation=cv2.INTER_AREA,
        )

    def _shrunk(self, frame):
        # The good method is slow on large pictures: first the quick one.
        smaller = _narrow(frame, 2 * self.working_width, cv2.INTER_LINEAR)
        grey = cv2.cvtColor(smaller, cv2.COLOR_RGB2GRAY)
        return _narrow(grey, self.working_width, cv2.INTER_AREA)

    def _is_free(self, others, zoom, index, box):
        """Whether no other face is at this place in this frame."""
        for boxes, quality in others:
            x, y, side, _ = boxes[index] / zoom
            reach = max(side / (1 + 2 * self.margin), box[2]) / 2
            if quality[index] and np.hypot(box[0] - x, box[1] - y) < reach:
                return False
        return True

    def _find_near(self, grey, last, since, is_free):
        """Finds the face around its last place, with its last size."""
        x, y, side, angle = last
        # The longer ago, the farther it can be, and the larger or smaller.
        since = np.clip(since, 0, 2)
        reach, growth = 0.6 + 0.5 * since, 1.2 + 0.4 * since
        window = [x, y, 2 * reach * side, angle]
        found = find_faces(grey, window, side / growth, side * growth)
        return min(
            filter(is_free, found),
            key=lambda box: np.hypot(*(box - last)[:2]),
            default=None,
        )

    def _find_anywhere(self, frame, grey, is_free, in_doubt):
        """Finds the largest face; one that has eyes, if it is in doubt."""
        height, width = grey.shape
        for angle in (0, 30, -30) if self.align else (0,):
            window = [width / 2, height / 2, max(height, width), angle]
            found = find_faces(grey, window, self.min_face * min(height, width))
            for box in filter(is_free, sorted(found, key=lambda box: -box[2])):
                # With the head tilted one sees faces in anything.
                is_sure = angle == 0 and not in_doubt
                if is_sure or _eyes(frame, grey, box) is not None:
                    return box
        return None

    def _level(self, frame, grey, box):
        """Turns and moves a box after the eyes; tells whether it has any.

        Without them the angle is no more than a hint for the next detection;
        it halves each time, so that it cannot go astray.
        """
        eyes = _eyes(frame, grey, box) if self.align else None
        if eyes is None:
            return box * [1, 1, 1, 0.5], False
        middle, across = eyes.mean(0), eyes[1] - eyes[0]
        angle = np.arctan2(across[1], across[0])
        down = np.array([-np.sin(angle), np.cos(angle)])
        centre = middle + EYES_ABOVE * box[2] * down
        return np.array([*centre, box[2], np.degrees(angle)]), True


def _narrow(picture, width, interpolation):
    """Makes a picture smaller if it is wider than that."""
    zoom = min(1, width / picture.shape[1])
    size = [max(1, round(zoom * x)) for x in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=interpolation)


def _eyes(frame, grey, box):
    """The eyes in the large picture, for the place in the small one."""
    zoom = frame.shape[1] / grey.shape[1]
    eyes = find_eyes(frame, box * [zoom, zoom, zoom, 1])
    return None if eyes is None else eyes / zoom


def _follow(points, frames, places, is_free):
    """Adds places; returns False when lost, or where the place is known."""
    for index, grey in frames:
        box = points.follow(grey)
        if box is None or index in places or not is_free(index, box):
            return False
        places[index] = box
    return True
