"""Names of segments of files: media fragments of the W3C, `talk.mp4#t=10,15.5`.

Only times in seconds are read (temporal, NPT).
"""

import os
import re
from typing import NamedTuple, Optional

SECONDS = r"(\d{1,9}(?:\.\d{1,9})?)"
FRAGMENT = re.compile(rf"#t=(?:npt:)?{SECONDS}?(?:,{SECONDS})?\Z", re.A)


class Segment(NamedTuple):
    """A file, or a part of it.

    Arguments
    ---------
    file : str
        The file.
    start : float
        Where the part begins, s from the beginning of the file; None for the
        beginning.
    end : float
        Where it ends, s; None for the end of the file.
    """

    file: str
    start: Optional[float] = None
    end: Optional[float] = None

    @property
    def is_whole(self):
        """Whether it is the whole file."""
        return self.start is None and self.end is None


def split_segment(path):
    """Splits a media fragment off the name of a file.

    Arguments
    ---------
    path : str or Path
        A file, or a segment of one. What exists under the full name is a file.

    Returns
    -------
    Segment

    Example
    -------
    >>> split_segment("talk.mp4#t=10.25,15.8")
    Segment(file='talk.mp4', start=10.25, end=15.8)
    >>> split_segment("talk.mp4#t=,15.8").start is None
    True
    >>> split_segment("talk #t=1.mp4").is_whole
    True
    """
    path = os.fspath(path)
    found = FRAGMENT.search(path)
    if found is None or found.groups() == (None, None) or _exists(path):
        return Segment(path)
    times = (None if time is None else float(time) for time in found.groups())
    return Segment(path[: found.start()], *times)


def join_segment(file, start=None, end=None):
    """Names a segment of a file, as `split_segment` reads it.

    Arguments
    ---------
    file : str or Path
        The file.
    start : float
        Where the segment begins, s; None for the beginning of the file.
    end : float
        Where it ends, s; None for the end of the file.

    Returns
    -------
    str
        With times to the microsecond; the file alone without times.

    Example
    -------
    >>> join_segment("talk.mp4", 10.25, 15.8), join_segment("talk.mp4", 10)
    ('talk.mp4#t=10.25,15.8', 'talk.mp4#t=10')
    >>> join_segment("talk.mp4", end=2), join_segment("talk.mp4")
    ('talk.mp4#t=0,2', 'talk.mp4')
    """
    if start is None and end is None:
        return str(file)
    times = [start or 0] if end is None else [start or 0, end]
    return f"{file}#t={','.join(map(_format, times))}"


def _format(seconds):
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _exists(path):
    try:
        return os.path.lexists(path)
    except ValueError:  # a null character in the name
        return False
