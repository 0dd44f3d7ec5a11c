"""The arrays of clips in an HDF5 file, with checksums.

Disks and copies flip bits, and nothing else would notice: features that are
off by one bit are features. A CRC-32 finds all errors within 32 neighbouring
bits. It is several times as fast as any digest of `hashlib`, and HDF5's own
filter of this kind would need arrays in chunks, which take longer to read.
"""

import errno
import shutil
import zlib
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import unquote

import h5py
import numpy as np

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import clip_of, key_of, reason_of

# `source` is the `Extractor.version` of the clip's file.
ARRAYS = ("features", "frame_validity", "source")
# An attribute of the features. `source` is not covered: were it damaged, the
# file would seem to have changed, and the clip would be extracted again.
CHECKSUM = "crc32"
COVERED = ("features", "frame_validity")


class DamagedClipError(Exception):
    """The arrays of a clip are not those that were stored."""


def checksum(clip, arrays):
    """CRC-32 of the arrays of a clip.

    Arguments
    ---------
    clip : str
        Its name, which is covered too: a damaged index may lead to the arrays
        of another clip.
    arrays : dict of numpy.ndarray
        By the names of `ARRAYS`.

    Returns
    -------
    int

    Example
    -------
    >>> arrays = {"features": np.zeros((2, 3), "float16")}
    >>> before = checksum("one", arrays)
    >>> arrays["features"].view("uint8")[0, 0] ^= 1
    >>> checksum("one", arrays) == before
    False
    """
    value = zlib.crc32(key_of(clip).encode())
    for name in COVERED:
        array = arrays.get(name)
        if array is not None:
            kind = f"{name} {array.dtype.str} {array.shape}"
            value = zlib.crc32(kind.encode(), value)
            value = zlib.crc32(np.ascontiguousarray(array), value)
    return value


@contextmanager
def reading(path):
    """Turns what reading a file of clips raises into one line.

    Arguments
    ---------
    path : pathlib.Path
        The HDF5 file.

    Raises
    ------
    UserError
        If it cannot be read, or is damaged.
    """
    try:
        yield
    except (UserError, DamagedClipError):
        raise
    # Any: damaged structure is met wherever the library gets to it.
    except Exception as error:
        if is_of_system(error):
            raise UserError(f"{path}: {reason_of(error)}")
        raise UserError(
            f"{path}: damaged: delete it, and start again: its features are "
            "extracted again"
        )


def is_of_system(error):
    """Whether an error is of the disk or of permissions: nothing is damaged.

    Arguments
    ---------
    error : Exception
        What h5py raised.

    Returns
    -------
    bool
    """
    number = getattr(error, "errno", None)
    return bool(number) and number != errno.EINVAL  # a place before the file


def path_of(name, clip):
    """Where an array of a clip is in the file.

    Arguments
    ---------
    name : str
        One of `ARRAYS`.
    clip : str
        Name of the clip.

    Returns
    -------
    str
    """
    return f"{name}/{key_of(clip)}"


def read_arrays(file, clip, names=ARRAYS):
    """Reads arrays of a clip, and checks them.

    Arguments
    ---------
    file : h5py.File
        The file.
    clip : str
        A clip in the file.
    names : collection of str
        Which of `ARRAYS`. They are checked if all that the checksum covers is
        among them, and there is one: files of older versions have none.

    Returns
    -------
    dict of numpy.ndarray
        By name; `frame_validity` only if there is one.

    Raises
    ------
    DamagedClipError
        If they are damaged.
    """
    arrays, stored = {}, None
    try:
        for name in names:
            array, found = _read(file, path_of(name, clip), name)
            if array is not None:
                arrays[name] = array
            stored = found if name == "features" else stored
    # Any: damaged structure is met wherever the library gets to it.
    except Exception as error:
        if is_of_system(error):
            raise
        raise DamagedClipError(f"{clip}: {error}")
    is_complete = {*COVERED} <= {*names}
    if is_complete and stored not in (None, checksum(clip, arrays)):
        raise DamagedClipError(f"{clip}: wrong checksum")
    return arrays


def _read(file, path, name):
    """An array, and its checksum; None where there is none."""
    try:
        # The lower level of h5py, which takes a third of the time.
        dataset = h5py.h5d.open(file.id, path.encode())
    except KeyError:
        if name == "frame_validity" and path not in file:
            return None, None
        raise  # it is there, but cannot be opened
    array = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    if name != "features" or not h5py.h5a.exists(dataset, CHECKSUM.encode()):
        return array, None
    stored = np.empty((), np.uint32)
    h5py.h5a.open(dataset, CHECKSUM.encode()).read(stored)
    return array, int(stored)


def load_staged(path):
    """Loads the arrays of a staged clip, and checks them.

    Arguments
    ---------
    path : pathlib.Path
        A file that `numpy.savez` wrote; `clip_of` gives its clip.

    Returns
    -------
    dict of numpy.ndarray
        By name.

    Raises
    ------
    DamagedClipError
        If it is damaged.
    """
    content = path.read_bytes()
    try:
        with np.load(BytesIO(content)) as file:
            arrays = {**file}
        made = checksum(clip_of(path), arrays)
        # Of an older version, it has none but those of the zip format.
        stored = int(arrays.pop(CHECKSUM, made))
        arrays["source"]
    # Any: a part of a file may look like anything.
    except Exception as error:
        raise DamagedClipError(f"{path}: {error}")
    if made != stored:
        raise DamagedClipError(f"{path}: wrong checksum")
    return arrays


def write_clips(new, old, settings, staged, outdated):
    """Writes a file with the clips of another one, and staged ones.

    Arguments
    ---------
    new : pathlib.Path
        The file to write.
    old : pathlib.Path
        The file to start from, if it is there.
    settings : str
        Those of the store.
    staged : list of pathlib.Path
        Files for `load_staged`, whose clips are added, or replaced.
    outdated : collection of str
        Clips to leave out.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    replaced = {*outdated, *map(clip_of, staged)}
    try:
        if old.exists():
            shutil.copyfile(old, new)
        with _writable(new, settings) as target:
            for clip in replaced:
                for name in ARRAYS:
                    if path_of(name, clip) in target:
                        del target[path_of(name, clip)]
            _add_staged(target, staged)
    # Any: of a damaged file, which cannot be changed. It can be read in part.
    except Exception as error:
        if is_of_system(error):
            raise
        new.unlink(missing_ok=True)
        with (
            h5py.File(old, "r", locking=False) as source,
            _writable(new, settings) as target,
        ):
            for clip in {*map(unquote, source["features"])} - replaced:
                try:
                    _write_arrays(target, clip, read_arrays(source, clip))
                except DamagedClipError:
                    continue
            _add_staged(target, staged)


def _writable(path, settings):
    # The latest format has checksums of its structure.
    file = h5py.File(path, "a", libver="latest")
    file.attrs["settings"] = settings
    file.require_group("features")
    return file


def _add_staged(target, staged):
    for path in staged:
        _write_arrays(target, clip_of(path), load_staged(path))


def _write_arrays(target, clip, arrays):
    for name in ARRAYS:
        if name in arrays:
            target[path_of(name, clip)] = arrays[name]
    features = target[path_of("features", clip)]
    features.attrs[CHECKSUM] = np.uint32(checksum(clip, arrays))
