"""Why clips have no features."""

import json
from typing import NamedTuple

from auxformer_lobes.dataio.hdf5_clips import DamagedClipError


class Failure(NamedTuple):
    """Why a clip has no features.

    Arguments
    ---------
    file : str
        Its wav or video file.
    reason : str
        What is wrong with the file.
    """

    file: str
    reason: str


def parse_failures(text):
    """Reads a table of failures.

    Arguments
    ---------
    text : bytes
        JSON: clip -> its `Failure`.

    Returns
    -------
    dict of Failure
        By clip; empty if the table is damaged, since clips that failed are
        tried again anyway.

    Example
    -------
    >>> parse_failures(b'{"one": {"file": "one.wav", "reason": "empty"}}')
    {'one': Failure(file='one.wav', reason='empty')}
    >>> parse_failures(b'{"one": {"fi')
    {}
    """
    try:
        return {c: _failure(**each) for c, each in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def format_failures(failures):
    """Writes a table of failures.

    Arguments
    ---------
    failures : dict of Failure
        By clip.

    Returns
    -------
    str
        JSON, for `parse_failures`.
    """
    table = {clip: failures[clip]._asdict() for clip in sorted(failures)}
    return json.dumps(table, indent=1)


def load_failure(path):
    """Loads a staged failure.

    Arguments
    ---------
    path : pathlib.Path
        A JSON file.

    Returns
    -------
    Failure

    Raises
    ------
    DamagedClipError
        If it is damaged.
    """
    try:
        return _failure(**json.loads(path.read_bytes()))
    except (TypeError, ValueError) as error:
        raise DamagedClipError(f"{path}: {error}")


def _failure(file, reason):
    if not (isinstance(file, str) and isinstance(reason, str)):
        raise TypeError("no text")
    return Failure(file, reason)
