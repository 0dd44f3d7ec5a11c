"""From manifests and feature stores to the datasets of a recipe."""

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes
from speechbrain.utils.logger import get_logger

from auxformer_lobes.errors import UserError
from auxformer_lobes.features.normalization import FeatureNorm

logger = get_logger(__name__)

# What each modality is extracted from: a key of the manifest.
MEDIA = {"audio": "wav", "visual": "video"}


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
    """
    return {
        split: DynamicItemDataset.from_json(
            path, replacements={"data_root": data_folder}
        )
        for split, path in manifests.items()
    }


def extract_features(datasets, stores, num_workers=0):
    """Extracts what the stores do not have yet.

    Arguments
    ---------
    datasets : dict
        Split -> dataset of `load_manifests`.
    stores : dict
        "audio" and "visual" -> `FeatureStore`.
    num_workers : int
        Processes that read media files.
    """
    for modality, store in stores.items():
        paths = {
            clip: entry[MEDIA[modality]]
            for dataset in datasets.values()
            for clip, entry in dataset.data.items()
            if entry[MEDIA[modality]] is not None
        }
        report = store.extract(paths, num_workers, f"{modality} features")
        logger.info(
            f"{modality} features: {report.extracted} clips extracted in "
            f"{report.seconds:.0f} s, {report.present} were there"
        )
        for clip, reason in report.failed.items():
            logger.warning(f"{modality} features of {clip} failed: {reason}")
        if report.untrusted:
            logger.warning(
                f"{modality} features: no face in {len(report.untrusted)} "
                "clips, the centre of the picture was taken"
            )


def add_features(dataset, stores, classes, require_both=False):
    """Connects a dataset with its features and labels.

    Each item then has `audio` `[time, channels]` and `visual` likewise (one
    frame of zeros where a modality is missing), `present` `[2]`, `label`
    `[1]` (-1 where the votes are tied) and `shares` `[classes]`. A clip with
    neither modality is dropped.

    Arguments
    ---------
    dataset : DynamicItemDataset
        A dataset of `load_manifests`.
    stores : dict
        "audio" and "visual" -> `FeatureStore`.
    classes : list of str
        Names of the classes, in the order of the manifest's votes.
    require_both : bool
        Whether a clip that lacks one modality is dropped too.

    Returns
    -------
    DynamicItemDataset
        The dataset with these items.

    Raises
    ------
    UserError
        If no clip is left, or an emotion is not among the classes.
    """
    strangers = {e["emotion"] for e in dataset.data.values()} - {*classes, None}
    if strangers:
        raise UserError(
            f"manifest has the emotions {sorted(strangers)}, not among "
            f"{list(classes)}: prepare it again with the same num_classes"
        )
    enough = all if require_both else any
    usable = {
        clip: entry
        for clip, entry in dataset.data.items()
        if enough(
            _is_present(store, clip, entry[MEDIA[modality]])
            for modality, store in stores.items()
        )
    }
    if not usable:
        raise UserError(
            "no clip of a split has features: look for `failed` in the log"
        )
    if len(usable) < len(dataset):
        missing = len(dataset) - len(usable)
        logger.warning(f"{missing} clips lack features and are left out")

    dataset = DynamicItemDataset(usable)
    for item in (
        *(_reader(modality, store) for modality, store in stores.items()),
        _presence(stores),
        *_labels(classes),
    ):
        dataset.add_dynamic_item(item)
    dataset.set_output_keys(
        ["id", "audio", "visual", "present", "label", "shares", "spk_id"]
    )
    return dataset


def _is_present(store, clip, path):
    """Preparation may have refused a file that was extracted before."""
    return path is not None and clip in store


def _reader(modality, store):
    """Reads features, or a frame of zeros where there are none."""

    @takes("id", MEDIA[modality])
    @provides(modality)
    def _read(clip, path):
        if _is_present(store, clip, path):
            return store[clip]
        return torch.zeros(1, store.features.dim)

    return _read


def _presence(stores):
    """Says which modalities a clip has."""

    @takes("id", *MEDIA.values())
    @provides("present")
    def _present(clip, *paths):
        return torch.tensor(
            [
                _is_present(store, clip, path)
                for store, path in zip(stores.values(), paths)
            ]
        )

    return _present


def _labels(classes):
    """Labels as numbers."""

    @takes("emotion")
    @provides("label")
    def _label(emotion):
        return torch.tensor([-1 if emotion is None else classes.index(emotion)])

    @takes("votes")
    @provides("shares")
    def _shares(votes):
        return torch.tensor(votes)

    return _label, _shares


def fit_norms(dataset, modules):
    """Fits `audio_norm` and `visual_norm` on the training split, exactly.

    Arguments
    ---------
    dataset : DynamicItemDataset
        The training split, with features.
    modules : dict
        The modules of the recipe; a norm that is no `FeatureNorm` is left
        as it is.
    """
    for index, modality in enumerate(MEDIA):
        norm = modules[f"{modality}_norm"]
        if isinstance(norm, FeatureNorm):
            with dataset.output_keys_as([modality, "present"]):
                norm.fit(
                    clip[modality] for clip in dataset if clip["present"][index]
                )
