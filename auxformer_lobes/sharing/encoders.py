"""Pretrained encoders of an exported model: named at a commit, or copied."""

import re
import shutil
from itertools import chain
from pathlib import Path

from speechbrain.utils.logger import get_logger

from auxformer_lobes.features.checkpoints import WEIGHTS
from auxformer_lobes.features.weight_files import check_weight_file
from auxformer_lobes.sharing.encoder_config import check_configs
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import snapshot
from auxformer_lobes.utils.schema import (
    COPIED_DETECTOR,
    COPIED_MODEL,
    COPIED_WEIGHTS,
    HUB_MODEL,
)

logger = get_logger(__name__)

NOT_PUBLISHED = "not the published weights of YuNet"


def place_encoder(arguments, folder, modality, include):
    """Names an encoder so that it is found on every machine, or copies it.

    Arguments
    ---------
    arguments : dict
        Arguments of the extractor; they are changed.
    folder : Path
        The export to be.
    modality : str
        "audio" or "visual".
    include : bool
        Whether to copy it.

    Returns
    -------
    str
        "user/name@commit"; None if it is not on the Hub.

    Raises
    ------
    UserError
        If it is on this machine only, and is not to be copied.
    """
    if detector := _detector_of(arguments):
        _place_detector(detector, folder, include)
    save_path = arguments.pop("save_path", None)
    arguments.pop("device", None)
    source, weights = arguments.get("source"), arguments.get("weights")
    found, name = Path(source or ""), None
    is_local = source and found.is_dir()
    if (weights or is_local) and not include:
        raise UserError(
            f"{modality}_features: {weights or source} is on this machine "
            "only: export it too, with --include_encoders"
        )
    if source and not is_local:
        found = snapshot(source, None, ["config.json"], save_path, offline=True)
        name = arguments["source"] = f"{source}@{found.name}"
    if source:
        try:
            check_configs(found, modality)
        except UserError as refused:
            logger.warning(
                f"this model loads with trust_source=True only: {refused}"
            )
    target = folder / "encoders" / modality
    if source and include:
        target.mkdir(parents=True)
        kinds = [] if weights else WEIGHTS
        files = next(filter(None, (sorted(found.glob(k)) for k in kinds)), [])
        for path in (*found.glob("*.json"), *files):
            shutil.copyfile(path, target / path.name)
        arguments["source"] = f"encoders/{modality}"
    if weights:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(weights, f"{target}.pt")
        arguments["weights"] = f"encoders/{modality}.pt"
    return name


def find_encoder(arguments, model, config, modality, trusted=False):
    """Finds an encoder on this machine, or fetches it; checks what it names.

    Only configurations and weights are fetched, never code.

    Arguments
    ---------
    arguments : dict
        Arguments of the extractor, as `place_encoder` has left them.
    model : ModelFolder
        The exported model.
    config : dict
        Its `config.json`, with checksums of what was copied.
    modality : str
        "audio" or "visual".
    trusted : bool
        Whether it may be of any type, see `check_configs`.

    Returns
    -------
    dict
        Arguments of the extractor in place of these.

    Raises
    ------
    UserError
        If it cannot be found or fetched, or is refused.
    """
    source, weights = str(arguments.get("source")), arguments.get("weights")
    found = {}
    if detector := _detector_of(arguments):
        path = _find_detector(detector, model, config, trusted)
        found["faces"] = {"detector": {"weights": str(path)}}
    if re.fullmatch(COPIED_WEIGHTS, str(weights)):
        path = model.find(weights)
        model.verify(config, path)
        check_weight_file(path)
        found["weights"] = str(path)
    if re.fullmatch(COPIED_MODEL, source):
        folder = model.find(source, "json", "safetensors", "bin")
        model.verify(config, folder)
    elif re.fullmatch(HUB_MODEL, source):
        name, _, commit = source.partition("@")
        # The first kind of weights that there is, where they are not a file.
        kinds = ["*.json"] if weights else WEIGHTS
        for kind in kinds:
            folder = snapshot(name, commit, ["*.json", kind], model.savedir)
            if any(folder.glob(kind)):
                break
        else:
            raise UserError(f"{source}: has no {' or '.join(kinds)}")
    else:
        return found
    check_configs(folder, modality, trusted)
    for path in chain.from_iterable(map(folder.glob, WEIGHTS)):
        check_weight_file(path)
    return {**found, "source": str(folder), "save_path": str(folder)}


def _detector_of(arguments):
    """Arguments of a face detector that has weights, of an extractor's."""
    faces = arguments.get("faces")
    detector = faces.get("detector") if isinstance(faces, dict) else None
    has_weights = isinstance(detector, dict) and "weights" in detector
    return detector if has_weights else None


def _place_detector(arguments, folder, include):
    """As `place_encoder`; the published weights go without saying."""
    from auxformer_lobes.processing.faces import yunet  # needs OpenCV

    save_path = arguments.pop("save_path", None)
    weights = arguments["weights"]
    if weights is None or yunet.sha256(weights) == yunet.PUBLISHED:
        arguments["weights"] = None
    elif not include:
        raise UserError(
            f"faces: {weights} is on this machine only: export it too, with "
            "--include_encoders"
        )
    else:
        logger.warning(
            "this model loads with trust_source=True only: "
            f"{weights}: {NOT_PUBLISHED}"
        )
    if include:
        found = weights or yunet.download(save_path, offline=True)
        arguments["weights"] = "encoders/faces.onnx"
        (folder / "encoders").mkdir(exist_ok=True)
        shutil.copyfile(found, folder / arguments["weights"])


def _find_detector(arguments, model, config, trusted):
    """The file of its weights."""
    from auxformer_lobes.processing.faces import yunet

    weights = arguments["weights"]
    if weights is None:
        return yunet.download(model.savedir)
    if not re.fullmatch(COPIED_DETECTOR, str(weights)):
        return weights
    path = model.find(weights)
    model.verify(config, path)
    # OpenCV reads it, which is not made for files of strangers.
    if not trusted and yunet.sha256(path) != yunet.PUBLISHED:
        raise UserError(f"{path}: {NOT_PUBLISHED}: refused")
    return path
