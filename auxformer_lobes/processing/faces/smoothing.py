"""The way of a face through a clip, from the places that are known of it."""

from enum import IntEnum

import numpy as np
from scipy import ndimage

BRIDGED = 0.5  # s between known places, across which one may interpolate


class Quality(IntEnum):
    """How the place of the face in a frame came about."""

    FALLBACK = 0  # not known: what is cropped is a guess
    TRACKED = 1  # followed from a frame where it was detected
    DETECTED = 2


def path_through(times, places, jumps, with_eyes, smoothing):
    """Leads a smooth way through the places where a face is known to be.

    Arguments
    ---------
    times : list of float
        s, of each frame.
    places : dict
        Frame to box, `[4]`: x, y of the centre, side and angle.
    jumps : dict
        Frame where the face was detected to how far, `[4]`, that is from
        where its points have led.
    with_eyes : list of int
        Frames where its eyes were found, which tell the angle.
    smoothing : float
        s, standard deviation of a Gaussian over time; 0 for none.

    Returns
    -------
    boxes : np.ndarray
        `[time, 4]`, of each frame.

    Example
    -------
    >>> box = np.array([40.0, 30.0, 20.0, 0.0])
    >>> path_through(
    ...     [0.0, 0.1, 0.2], {0: box, 2: 2 * box}, {0: 0 * box}, [], 0
    ... )[1]
    array([60., 45., 30.,  0.])
    """
    frames = np.arange(len(times))
    known, boxes = _bent(places, jumps, with_eyes)
    boxes = np.stack(
        [np.interp(frames, known, column) for column in boxes.T], axis=1
    )
    if not smoothing:
        return boxes
    # Damaged files have frames that all come at the same time.
    frame_time = max((times[-1] - times[0]) / len(times), 1e-3)
    return ndimage.gaussian_filter1d(
        boxes, smoothing / frame_time, axis=0, mode="nearest"
    )


def quality_of(times, places, detected):
    """Tells how the place of a face in each frame came about.

    Arguments
    ---------
    times : list of float
        s, of each frame.
    places : dict
        With each frame where its place is known.
    detected : dict
        With each frame where it was detected.

    Returns
    -------
    quality : np.ndarray
        `[time]`, uint8, values of `Quality`.

    Example
    -------
    >>> quality_of([0.0, 0.1, 0.2, 0.3], {0: None, 2: None}, {0: None})
    array([2, 1, 1, 0], dtype=uint8)
    """
    quality = np.full(len(times), Quality.FALLBACK, dtype=np.uint8)
    known = np.sort(list(places))
    for start, end in zip(known, known[1:]):
        if times[end] - times[start] <= BRIDGED:
            quality[start:end] = Quality.TRACKED
    quality[known] = Quality.TRACKED
    quality[list(detected)] = Quality.DETECTED
    return quality


def _bent(places, jumps, with_eyes):
    """Bends the way of the points so that it leads through the detections.

    Points go smoothly, but drift; detections do not drift, but tremble.
    """
    known = np.sort(list(places))
    boxes = np.array([places[index] for index in known])
    drift = np.zeros_like(boxes)
    drift[np.searchsorted(known, list(jumps))] = list(jumps.values())
    drift = drift.cumsum(axis=0)
    for column, seen in enumerate([list(jumps)] * 3 + [with_eyes]):
        if not seen:
            boxes[:, column] = 0
            continue
        shifts = drift[np.searchsorted(known, seen), column]
        # One that differs from both its neighbours is a mistake.
        shifts = ndimage.median_filter(shifts, 3, mode="nearest")
        boxes[:, column] += np.interp(known, seen, shifts) - drift[:, column]
    return known, boxes
