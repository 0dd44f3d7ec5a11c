"""From manifests and feature stores to the datasets of a recipe."""

import json
import math

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.extraction_report import print_report
from auxformer_lobes.nnet.normalization import FeatureNorm
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import reason_of

logger = get_logger(__name__)

# The manifest key of the file that each modality is extracted from.
MEDIA = {"audio": "wav", "visual": "video"}
CURE = "name a manifest that a recipe prepared, or prepare it again"


def load_manifests(manifests, data_folder):
    """Loads the manifests of a recipe, without features yet.

    Arguments
    ---------
    manifests : dict
        Split -> path of its JSON manifest.
    data_folder : str
        What `{data_root}` in a manifest stands for.

    Returns
    -------
    dict
        Split -> `DynamicItemDataset`.

    Raises
    ------
    UserError
        If a manifest cannot be read, is damaged, or has no clips.
    """
    datasets = {}
    for split, path in manifests.items():
        try:
            with open(path, encoding="utf-8") as file:
                entries = json.load(file)
            # Not by SpeechBrain's reader, for which braces anywhere in an
            # entry, as in a transcript, stand for something.
            datasets[split] = DynamicItemDataset(
                {
                    clip: _located(entry, data_folder)
                    for clip, entry in entries.items()
                }
            )
        except OSError as error:
            raise UserError(f"{path}: {reason_of(error)}")
        except (RecursionError, ValueError) as error:
            raise UserError(f"{path}: not a JSON manifest: {error}: {CURE}")
        except (AttributeError, IndexError, TypeError):  # no entries in it
            raise UserError(f"{path}: has no clips: {CURE}")
    return datasets


def _located(entry, data_folder):
    """An entry with the media files where they are."""
    files = {
        key: entry[key].replace("{data_root}", str(data_folder))
        for key in MEDIA.values()
        if isinstance(entry.get(key), str)
    }
    return {**entry, **files}


def extract_features(datasets, stores, num_workers=0):
    """Extracts what the stores do not have yet.

    Where processes train together, all of them call this and each extracts its
    share; the main process prints the report.

    Arguments
    ---------
    datasets : dict
        Split -> dataset of `load_manifests`.
    stores : dict
        "audio" and "visual" -> `FeatureStore`.
    num_workers : int
        Worker processes that read media files.
    """
    entries = {
        clip: entry
        for dataset in datasets.values()
        for clip, entry in dataset.data.items()
    }
    for modality, store in stores.items():
        paths = {
            clip: entry[MEDIA[modality]]
            for clip, entry in entries.items()
            if entry[MEDIA[modality]] is not None
        }
        report = extract(
            store, paths, num_workers, description=f"{modality} features"
        )
        logger.info(
            f"{modality} features: {len(report.extracted)} clips extracted in "
            f"{report.seconds:.0f} s, {report.present} already stored"
        )
        if if_main_process() and (report.extracted or report.failed):
            seconds = sum(
                entries[clip].get("duration") or 0 for clip in report.extracted
            )
            print_report(report, f"{modality} features", seconds)
        if report.damaged:
            logger.warning(
                f"{modality} features of {len(report.damaged)} clips were "
                f"damaged in {store.path}, and are extracted again"
            )
        if report.failed:
            logger.warning(
                f"{modality} features of {len(report.failed)} clips failed: "
                f"reasons in {store.failures_path}"
            )
        if report.invalid:
            logger.warning(
                f"{modality} features: no face in {len(report.invalid)} "
                "clips, cropped at the image centre"
            )


def add_features(dataset, stores, task, require_both=False, min_face_quality=0):
    """Adds features and labels to a dataset.

    Each item has `audio` and `visual` `[time, channels]`, `audio_mask` and
    `visual_mask`, boolean `[time]`, which say which of their frames are there,
    the `seconds` that the clip lasts (NaN where the manifest has no
    `duration`), and the `target` and `truth` of the task. A missing modality is
    one frame of zeros that is not there. A clip with neither modality is
    excluded.

    Arguments
    ---------
    dataset : DynamicItemDataset
        A dataset of `load_manifests`.
    stores : dict
        "audio" and "visual" -> `FeatureStore`.
    task : Task
        What is predicted.
    require_both : bool
        Whether a clip that lacks one modality is excluded too.
    min_face_quality : int
        Frames of lower face quality keep their place in time, but count as
        lost; a clip without any other lacks the modality, but is not excluded
        for it.

    Returns
    -------
    DynamicItemDataset
        With these items.

    Raises
    ------
    UserError
        If no clip is left, or the manifest lacks the labels of the task.
    """
    task.check(dataset.data)
    enough = all if require_both else any
    stored = {
        modality: _stored(store, dataset.data, MEDIA[modality])
        for modality, store in stores.items()
    }
    usable = {
        clip: entry
        for clip, entry in dataset.data.items()
        if enough(clip in clips for clips in stored.values())
    }
    if not usable:
        raise UserError(
            "no clip of a split has features: search the log for `failed`"
        )
    if len(usable) < len(dataset):
        missing = len(dataset) - len(usable)
        logger.warning(f"{missing} clips lack features and are excluded")

    dataset = DynamicItemDataset(usable)
    for modality, store in stores.items():
        clips = stored[modality]
        dataset.add_dynamic_item(
            _reader(modality, store, clips, min_face_quality)
        )
    dataset.add_dynamic_item(
        lambda clip: usable[clip].get("duration") or math.nan,
        takes="id",
        provides="seconds",
    )
    dataset.add_dynamic_item(
        task.labels, takes=task.takes, provides=["target", "truth"]
    )
    dataset.set_output_keys(
        [
            *("id", "audio", "visual", "audio_mask", "visual_mask"),
            *("seconds", "target", "truth", "spk_id"),
        ]
    )
    return dataset


def _stored(store, entries, medium):
    """The clips with features, listed once: to ask for each takes longer."""
    # Preparation may have rejected a file that was extracted before.
    return {clip for clip in store if entries.get(clip, {}).get(medium)}


def _reader(modality, store, stored, min_face_quality):
    """Reads all frames, and which of them are there."""

    @takes("id")
    @provides(modality, f"{modality}_mask")
    def _read(clip):
        if clip not in stored:
            # Pixels are bytes, and a batch has one dtype.
            dtype = torch.uint8 if store.dtype == "uint8" else torch.float32
            nothing = torch.zeros(1, store.features.dim, dtype=dtype)
            return nothing, torch.zeros(1, dtype=torch.bool)
        features, validity = store.read(clip)
        if validity is None:
            return features, torch.ones(len(features), dtype=torch.bool)
        return features, validity >= min_face_quality

    return _read


def fit_norms(dataset, modules):
    """Fits `audio_norm` and `visual_norm` on the training split's valid frames.

    Not that of a modality of which the corpus has no file.

    Arguments
    ---------
    dataset : DynamicItemDataset
        The training split, with features.
    modules : dict
        The modules of the recipe; only a `FeatureNorm` is fitted.
    """
    for modality, medium in MEDIA.items():
        norm = modules[f"{modality}_norm"]
        is_there = any(entry[medium] for entry in dataset.data.values())
        if isinstance(norm, FeatureNorm) and is_there:
            mask = f"{modality}_mask"
            with dataset.output_keys_as([modality, mask]):
                norm.fit(
                    clip[modality][clip[mask]]
                    for clip in dataset
                    if clip[mask].any()
                )
