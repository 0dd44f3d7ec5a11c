"""Merges feature stores that were made on different machines."""

import json
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.utils.errors import UserError


def merge_stores(files, folder):
    """Merges stores of the same features that lie in folders of their own.

    Arguments
    ---------
    files : list of str
        The HDF5 files of the stores.
    folder : str
        Where the merged store lies, or is made.

    Returns
    -------
    store : FeatureStore
        The merged one; its features can be read.

    Raises
    ------
    UserError
        If they have other settings, or a clip differs between them.
    """
    stores = [_reopened(Path(file)) for file in files]
    for store in stores:
        store.merge()  # what a run that was killed has left
    for store in stores:
        changed = _difference(stores[0].settings, store.settings)
        if changed:
            raise UserError(
                f"{store.path}: has other settings than {stores[0].path} "
                f"({', '.join(changed)}): only stores of the same features "
                "can be merged"
            )
    merged = FeatureStore(folder, stores[0].features, str(stores[0].dtype))
    merged.merge()
    homes = {}
    for store in [merged, *stores]:
        for clip in store:
            home = homes.setdefault(clip, store)
            if not _same(home.arrays(clip), store.arrays(clip)):
                raise UserError(
                    f"{clip}: differs between {home.path} and {store.path}: "
                    "extract it again into one of them, and delete the other"
                )
    for clip, home in tqdm(homes.items(), "merge", unit="clip", disable=None):
        if home is not merged:
            merged.add_arrays(clip, home.arrays(clip))
    for store in stores:
        for clip, failure in store.failures().items():
            if clip not in homes:
                merged.fail(clip, *failure)
    merged.merge()
    return merged


def _reopened(path):
    """A store as it can be opened without its extractor."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            settings = json.loads(file.attrs["settings"])
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: leave out a share of which all clips failed"
        )
    except (OSError, KeyError):
        raise UserError(f"{path}: not a feature store, or damaged")
    dtype = settings.pop("dtype")
    features = Extractor(dim=None)
    features.settings = settings
    store = FeatureStore(path.parent, features, dtype)
    store.path = path
    return store


def _difference(one, other):
    """Names of the settings in which two stores differ."""
    one, other = json.loads(one), json.loads(other)
    return sorted(
        name for name in {*one, *other} if one.get(name) != other.get(name)
    )


def _same(one, other):
    """Whether two stores hold the same of a clip.

    Another machine, or another device, rounds in another way.
    """
    mine, theirs = one["features"], other["features"]
    return (
        one["source"] == other["source"]
        and np.array_equal(one.get("quality"), other.get("quality"))
        and mine.shape == theirs.shape
        and np.allclose(
            mine.astype(np.float32),
            theirs.astype(np.float32),
            rtol=0.01,
            atol=0.01 * np.abs(mine).max(),
        )
    )
