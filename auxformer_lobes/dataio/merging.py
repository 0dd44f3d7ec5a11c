"""Merges feature stores that were extracted on different machines."""

import json
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.dataio.hdf5_clips import is_of_system
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import reason_of


def merge_stores(files, folder):
    """Merges stores with the same settings.

    Arguments
    ---------
    files : list of str
        HDF5 files of the stores.
    folder : str
        Folder of the merged store, new or existing.

    Returns
    -------
    FeatureStore
        The merged store, to read from.

    Raises
    ------
    UserError
        If their settings differ, or a clip differs between them.
    """
    stores = [_open_store(Path(file)) for file in files]
    for store in stores:
        store.merge()  # files that a killed run has left in staging
    for store in stores:
        different = _different_keys(stores[0].settings, store.settings)
        if different:
            raise UserError(
                f"{store.path}: settings differ from {stores[0].path} "
                f"({', '.join(different)}): merge only stores with the same "
                "settings"
            )
    merged = FeatureStore(folder, stores[0].features, str(stores[0].dtype))
    merged.merge()
    sources = {}  # clip to the first store that has it
    for store in [merged, *stores]:
        for clip in store:
            source = sources.setdefault(clip, store)
            if not _same(source.arrays(clip), store.arrays(clip)):
                raise UserError(
                    f"{clip}: differs between {source.path} and {store.path}: "
                    "extract it again into one of them, and delete the other"
                )
    for clip, source in tqdm(
        sources.items(), "merge", unit="clip", disable=None
    ):
        if source is not merged:
            merged.add_arrays(clip, source.arrays(clip))
    for store in stores:
        for clip, failure in store.failures().items():
            if clip not in sources:
                merged.fail(clip, *failure)
    merged.merge()
    return merged


def _open_store(path):
    """Opens a store from its file alone, without its extractor."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            settings = json.loads(file.attrs["settings"])
        dtype = settings.pop("dtype")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: omit a shard in which all clips failed"
        )
    # Any: a damaged file fails wherever the library notices it.
    except Exception as error:
        if is_of_system(error):
            raise UserError(f"{path}: {reason_of(error)}")
        raise UserError(f"{path}: not a feature store, or damaged")
    features = Extractor(dim=None)
    features.settings = settings
    store = FeatureStore(path.parent, features, dtype)
    store.path = path
    return store


def _different_keys(one, other):
    """Names of the settings that differ between two stores."""
    one, other = json.loads(one), json.loads(other)
    return sorted(
        name for name in {*one, *other} if one.get(name) != other.get(name)
    )


def _same(one, other):
    """Whether the arrays of a clip agree, within 1 % for the features.

    Machines and devices round differently.
    """
    mine, theirs = one["features"], other["features"]
    return (
        one["source"] == other["source"]
        and np.array_equal(
            one.get("frame_validity"), other.get("frame_validity")
        )
        and mine.shape == theirs.shape
        and np.allclose(
            mine.astype(np.float32),
            theirs.astype(np.float32),
            rtol=0.01,
            atol=0.01 * np.abs(mine).max(),
        )
    )
