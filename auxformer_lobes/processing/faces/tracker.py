"""Detects, tracks and crops the face of the speaker.

The detector runs now and then, mostly only around the last known face. Between
detections, and where the face is turned away or half hidden, its points are
tracked, forward and backward in time, until they are lost. The boxes are then
smoothed over time, so that crops do not jitter. One face per clip is tracked,
the largest at the start; on request, the others too, one after the other.
"""

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from auxformer_lobes.processing.faces.boxes import cut_square
from auxformer_lobes.processing.faces.detection import CascadeDetector
from auxformer_lobes.processing.faces.points import FacePoints
from auxformer_lobes.processing.faces.smoothing import (
    FaceQuality,
    face_quality,
    smooth_boxes,
)
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import (
    FLAG,
    Configurable,
    arguments_of,
    integer,
    number,
    object_of,
    optional,
    shown,
)

MAX_TRACKED = 3.0  # s without a detection, after which points have drifted off
PATIENCE = 1.0  # s after which a lost face is searched for everywhere
EYES_ABOVE = 0.1  # of the side of a face, from its centre up to the eyes
MAX_FACES = 8  # that are tracked in a clip


class Faces(NamedTuple):
    """One face in each frame of a clip.

    Arguments
    ---------
    crops : np.ndarray
        `[time, size, size, 3]`, uint8, RGB.
    boxes : np.ndarray
        `[time, 4]`, float: centre x, centre y and side of the square around the
        face, pixels, and its clockwise rotation, degrees.
    quality : np.ndarray
        `[time]`, uint8, values of `FaceQuality`.
    """

    crops: np.ndarray
    boxes: np.ndarray
    quality: np.ndarray


class FaceTracker(Configurable):
    """Crops a face out of each frame of a clip, to squares of one size.

    Arguments
    ---------
    size : int
        Side of the crops, pixels.
    detect_every : float
        Time from one detection to the next, s.
    smoothing : float
        Standard deviation of the Gaussian that smooths the boxes over time, s;
        0 for none.
    margin : float
        Border around the face on each of the four sides, as a fraction of the
        side of the face. The detected face reaches from the forehead to below
        the mouth.
    align : bool
        Whether to rotate and shift crops so that the eyes are level and at a
        fixed place. Where eyes are not detected, tracked points give the
        rotation since; if they are never detected, crops are upright.
    min_face : float
        Side of the smallest face, as a fraction of the shorter side of the
        image.
    working_width : int
        Width to which larger images are reduced for detection and tracking,
        pixels.
    detector : CascadeDetector or YuNetDetector
        Detects faces and eyes; by default a `CascadeDetector`.

    Raises
    ------
    UserError
        If the detector is something else.

    Example
    -------
    >>> tracker = FaceTracker(size=64)
    >>> black = np.zeros((120, 160, 3), dtype=np.uint8)
    >>> boxes, quality = tracker.track((i / 30, black) for i in range(3))
    >>> boxes[0], FaceQuality(quality[0]).name
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
        "detector": optional(
            object_of(
                "auxformer_lobes.processing.faces.detection.CascadeDetector",
                "auxformer_lobes.processing.faces.yunet.YuNetDetector",
            )
        ),
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
        detector=None,
    ):
        self.size = size
        self.detect_every = detect_every
        self.smoothing = smoothing
        self.margin = margin
        self.align = align
        self.min_face = min_face
        self.working_width = working_width
        if not hasattr(detector or CascadeDetector, "find_faces"):
            raise UserError(
                f"detector: {shown(detector)} is not a detector: write "
                "!new:auxformer_lobes.processing.faces.yunet.YuNetDetector {}"
            )
        self.detector = detector or CascadeDetector()
        settings = arguments_of(self)
        del settings["detector"]
        self.settings = {**settings, **self.detector.settings}

    def __call__(self, path, frames_per_second=None):
        """Crops the largest face out of each frame of a video.

        Arguments
        ---------
        path : str
            A video file.
        frames_per_second : float
            Constant frame rate, frames/s; by default that of the video.

        Returns
        -------
        Faces

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        return self.all_faces(path, frames_per_second, max_faces=1)[0]

    def all_faces(self, path, frames_per_second=None, max_faces=MAX_FACES):
        """Crops every face out of each frame of a video.

        The file is decoded once per face to track it, and once more to crop, so
        that long videos in a large format are never in memory.

        Arguments
        ---------
        path : str
            A video file.
        frames_per_second : float
            Constant frame rate, frames/s; by default that of the video.
        max_faces : int
            Number of faces to track; the largest come first.

        Returns
        -------
        list of Faces
            If there is no face, one that holds the centre of the images.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        tracks = []
        while len(tracks) < max_faces:
            frames = read_frames(path, frames_per_second)
            boxes, quality = self.track(frames, tracks)
            # A second face that is detected only once is a false detection.
            detections = (quality == FaceQuality.DETECTED).sum()
            if tracks and detections < min(2, len(quality)):
                break
            tracks.append((boxes, quality))
            if not detections:
                break
        crops = [
            [self.crop(image, boxes[index]) for boxes, _ in tracks]
            for index, (_, image) in enumerate(
                read_frames(path, frames_per_second)
            )
        ]
        return [
            Faces(np.stack(own), *track)
            for own, track in zip(zip(*crops), tracks)
        ]

    def track(self, frames, other_tracks=()):
        """Tracks a face through a clip.

        Arguments
        ---------
        frames : iterable
            Time (s) and image (`[height, width, 3]`, uint8, RGB) of each frame;
            at least one.
        other_tracks : sequence of tuple
            Earlier results of `track`, whose faces are not tracked again.

        Returns
        -------
        boxes : np.ndarray
            `[time, 4]`: x, y of the centre and side, pixels; angle, degrees.
        quality : np.ndarray
            `[time]`, uint8, values of `FaceQuality`.
        """
        # Boxes are in the coordinates of the reduced images until the end.
        times, boxes, with_eyes = [], {}, []
        corrections = {}  # frame to detected minus tracked box
        attempted = detected = -np.inf  # s, of the last attempt and detection
        recent = []  # (frame, reduced image) since the last detection
        points = None  # None while the face is lost
        for index, (time, image) in enumerate(frames):
            times.append(time)
            grey = self._reduce(image)
            zoom = image.shape[1] / grey.shape[1]
            is_free = partial(self._is_free, other_tracks, zoom)
            recent.append((index, grey))
            if time - times[recent[0][0]] > MAX_TRACKED:
                recent.pop(0)
                points = None
            if points and not _follow(points, recent[-1:], boxes, is_free):
                points = None
            if abs(time - attempted) < self.detect_every:
                continue
            attempted = time
            is_free_now = partial(is_free, index)
            found = None
            if boxes:
                last = boxes[max(boxes)]
                found = self._find_near(
                    image, grey, last, time - detected, is_free_now
                )
            # Nobody replaces a face that is still tracked, or was visible a
            # moment ago.
            if found is None and not points and time - detected > PATIENCE:
                found = self._find_anywhere(
                    image, grey, is_free_now, bool(other_tracks)
                )
            if found is None:
                continue
            box, has_eyes = self._level(image, grey, found)
            if has_eyes:
                with_eyes.append(index)
            if not points:
                # The face was lost before: track it backward in time.
                _follow(FacePoints(grey, box), recent[-2::-1], boxes, is_free)
            corrections[index] = box - boxes.get(index, box)
            boxes[index] = box
            points = FacePoints(grey, box)
            recent = recent[-1:]
            detected = time
        height, width = image.shape[:2]
        if not boxes:
            centre = [width / 2, height / 2, min(height, width), 0]
            quality = np.full(len(times), FaceQuality.FALLBACK, dtype=np.uint8)
            return np.tile(centre, (len(times), 1)), quality
        path = smooth_boxes(
            times, boxes, corrections, with_eyes, self.smoothing
        )
        path[:, :3] *= width / grey.shape[1]
        path[:, 2] *= 1 + 2 * self.margin
        return path, face_quality(times, boxes, corrections)

    def crop(self, image, box):
        """Crops a face; beyond its borders, the image repeats its edge.

        Arguments
        ---------
        image : np.ndarray
            `[height, width, 3]`, uint8.
        box : np.ndarray
            `[4]`: x, y of the centre and side, pixels; angle, degrees.

        Returns
        -------
        np.ndarray
            `[size, size, 3]`, uint8.
        """
        return cv2.resize(
            cut_square(image, box),
            (self.size, self.size),
            interpolation=cv2.INTER_AREA,
        )

    def _reduce(self, image):
        # INTER_AREA is slow on large images: reduce them linearly first.
        smaller = _narrow(image, 2 * self.working_width, cv2.INTER_LINEAR)
        grey = cv2.cvtColor(smaller, cv2.COLOR_RGB2GRAY)
        return _narrow(grey, self.working_width, cv2.INTER_AREA)

    def _is_free(self, other_tracks, zoom, index, box):
        """Whether no other tracked face is at this box in this frame."""
        for boxes, quality in other_tracks:
            x, y, side, _ = boxes[index] / zoom
            reach = max(side / (1 + 2 * self.margin), box[2]) / 2
            if quality[index] and np.hypot(box[0] - x, box[1] - y) < reach:
                return False
        return True

    def _find_near(self, image, grey, last, elapsed, is_free):
        """Detects the face near its last box, at a similar size."""
        x, y, side, angle = last
        # With time, it can have moved farther and changed its size more.
        elapsed = np.clip(elapsed, 0, 2)
        reach, growth = 0.6 + 0.5 * elapsed, 1.2 + 0.4 * elapsed
        window = [x, y, 2 * reach * side, angle]
        found = self.detector.find_faces(
            image, grey, window, side / growth, side * growth
        )
        return min(
            (face for face in found if is_free(face.box)),
            key=lambda face: np.hypot(*(face.box - last)[:2]),
            default=None,
        )

    def _find_anywhere(self, image, grey, is_free, needs_eyes):
        """Detects the largest face; rotated ones only if they have eyes."""
        height, width = grey.shape
        least = self.min_face * min(height, width)
        for angle in (0, 30, -30) if self.align else (0,):
            window = [width / 2, height / 2, max(height, width), angle]
            found = self.detector.find_faces(image, grey, window, least)
            for face in sorted(found, key=lambda face: -face.box[2]):
                if not is_free(face.box):
                    continue
                # Rotated windows give many false detections.
                is_sure = angle == 0 and not needs_eyes
                if is_sure or self._eyes(image, grey, face) is not None:
                    return face
        return None

    def _eyes(self, image, grey, face):
        if face.eyes is not None:
            return face.eyes
        return self.detector.find_eyes(image, grey, face)

    def _level(self, image, grey, face):
        """Aligns a box with the eyes; returns it, and whether it has eyes.

        Without eyes, the angle only guides the next detection; it is halved
        each time, so that it cannot drift away.
        """
        box = face.box
        eyes = self._eyes(image, grey, face) if self.align else None
        if eyes is None:
            return box * [1, 1, 1, 0.5], False
        middle, across = eyes.mean(0), eyes[1] - eyes[0]
        angle = np.arctan2(across[1], across[0])
        down = np.array([-np.sin(angle), np.cos(angle)])
        centre = middle + EYES_ABOVE * box[2] * down
        return np.array([*centre, box[2], np.degrees(angle)]), True


def _narrow(image, width, interpolation):
    """Reduces images that are wider than that."""
    zoom = min(1, width / image.shape[1])
    size = [max(1, round(zoom * x)) for x in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=interpolation)


def _follow(points, frames, boxes, is_free):
    """Tracks through frames and adds boxes; returns whether it goes on.

    It stops where the face is lost, its box is known already, or another face
    is.
    """
    for index, grey in frames:
        box = points.follow(grey)
        if box is None or index in boxes or not is_free(index, box):
            return False
        boxes[index] = box
    return True
