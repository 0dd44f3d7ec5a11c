"""Smooth path of a face through a clip, from its detected and tracked boxes."""

from enum import IntEnum

import numpy as np
from scipy import ndimage

MAX_INTERPOLATED = 0.5  # s between known boxes that interpolation may bridge


class FaceQuality(IntEnum):
    """How the box of the face in a frame was obtained."""

    FALLBACK = 0  # unknown: the crop may show anything
    TRACKED = 1  # tracked from, or interpolated between, known frames
    DETECTED = 2


def smooth_boxes(times, boxes, corrections, with_eyes, smoothing):
    """Interpolates and smooths the known boxes of a face.

    Arguments
    ---------
    times : list of float
        Time of each frame, s.
    boxes : dict
        Frame to box, `[4]`: x, y, side and angle, where the face is known.
    corrections : dict
        Frame to `[4]`, where the face was detected: detected minus tracked box.
    with_eyes : list of int
        Frames in which eyes were detected, whose angle is thus exact.
    smoothing : float
        Standard deviation of a Gaussian over time, s; 0 for none.

    Returns
    -------
    np.ndarray
        Box of each frame, `[time, 4]`.

    Example
    -------
    >>> box = np.array([40.0, 30.0, 20.0, 0.0])
    >>> smooth_boxes(
    ...     [0.0, 0.1, 0.2], {0: box, 2: 2 * box}, {0: 0 * box}, [], 0
    ... )[1]
    array([60., 45., 30.,  0.])
    """
    frames = np.arange(len(times))
    known, corrected = _correct_drift(boxes, corrections, with_eyes)
    path = np.stack(
        [np.interp(frames, known, column) for column in corrected.T], axis=1
    )
    if not smoothing:
        return path
    # Damaged files may give the same time to all frames.
    frame_time = max((times[-1] - times[0]) / len(times), 1e-3)
    return ndimage.gaussian_filter1d(
        path, smoothing / frame_time, axis=0, mode="nearest"
    )


def face_quality(times, boxes, detected):
    """Grades each frame by how its box was obtained.

    Arguments
    ---------
    times : list of float
        Time of each frame, s.
    boxes : dict
        Its keys are the frames in which the face is known.
    detected : dict
        Its keys are the frames in which it was detected.

    Returns
    -------
    np.ndarray
        `[time]`, uint8, values of `FaceQuality`.

    Example
    -------
    >>> face_quality([0.0, 0.1, 0.2, 0.3], {0: None, 2: None}, {0: None})
    array([2, 1, 1, 0], dtype=uint8)
    """
    quality = np.full(len(times), FaceQuality.FALLBACK, dtype=np.uint8)
    known = np.sort(list(boxes))
    for start, end in zip(known, known[1:]):
        if times[end] - times[start] <= MAX_INTERPOLATED:
            quality[start:end] = FaceQuality.TRACKED
    quality[known] = FaceQuality.TRACKED
    quality[list(detected)] = FaceQuality.DETECTED
    return quality


def _correct_drift(boxes, corrections, with_eyes):
    """Shifts the tracked boxes so that they pass through the detections.

    Tracked points move smoothly but drift; detections do not drift but
    jitter. Between two detections, the accumulated drift is removed linearly,
    so that the result moves as the points do. Returns the known frames and
    their boxes, `[known, 4]`.
    """
    known = np.sort(list(boxes))
    tracked = np.array([boxes[index] for index in known])
    drift = np.zeros_like(tracked)
    drift[np.searchsorted(known, list(corrections))] = list(
        corrections.values()
    )
    drift = drift.cumsum(axis=0)
    # Position and size are known wherever the face was detected, the angle
    # only where its eyes were.
    for column, exact in enumerate([list(corrections)] * 3 + [with_eyes]):
        if not exact:
            tracked[:, column] = 0
            continue
        shifts = drift[np.searchsorted(known, exact), column]
        # A shift unlike both its neighbours is a false detection.
        shifts = ndimage.median_filter(shifts, 3, mode="nearest")
        tracked[:, column] += np.interp(known, exact, shifts) - drift[:, column]
    return known, tracked
