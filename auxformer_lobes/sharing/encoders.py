"""Pretrained encoders of an exported model: named at a commit, or copied."""

import json
import re
import shutil
from pathlib import Path

from auxformer_lobes.features.checkpoints import WEIGHTS
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import snapshot
from auxformer_lobes.utils.schema import COPIED_MODEL, COPIED_WEIGHTS, HUB_MODEL

# In a configuration, they ask transformers for code of a repository, or for
# another configuration in place of this one.
FOR_CODE = {
    "attn_implementation",
    "auto_map",
    "configuration_files",
    "experts_implementation",
    "quantization_config",
}


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


def find_encoder(arguments, model):
    """Finds an encoder on this machine, or fetches it.

    Only configurations and weights are fetched, never code.

    Arguments
    ---------
    arguments : dict
        Arguments of the extractor, as `place_encoder` has left them.
    model : ModelFolder
        The exported model.

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
    if re.fullmatch(COPIED_WEIGHTS, str(weights)):
        found["weights"] = str(model.find(weights))
    if re.fullmatch(COPIED_MODEL, source):
        folder = model.find(source, "json", "safetensors", "bin")
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
    # All of them: transformers prefers config.4.0.0.json to the plain one.
    for path in folder.glob("*.json"):
        _check_config(path)
    return {**found, "source": str(folder), "save_path": str(folder)}


def _check_config(path):
    if not path.is_file():
        raise UserError(f"{path}: not a file: refused")
    try:
        config = json.loads(path.read_text("utf-8"))
        asks_for_code = _asks_for_code(config)
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not JSON, or damaged")
    if asks_for_code:
        raise UserError(
            f"{path}: asks for code of its own "
            f"({' or '.join(sorted(FOR_CODE))}): refused"
        )
    if path.name.endswith(".index.json") and not _names_files(config):
        raise UserError(
            f"{path}: its weight_map is not of plain file names: refused"
        )


def _asks_for_code(config):
    if isinstance(config, dict):
        # Transformers keeps some as _name, or as _name_internal.
        names = {key.lstrip("_").removesuffix("_internal") for key in config}
        parts = config.values()
        return bool(FOR_CODE & names) or any(map(_asks_for_code, parts))
    return isinstance(config, list) and any(map(_asks_for_code, config))


def _names_files(index):
    """Whether an index leads to files beside it only."""
    names = index.get("weight_map") if isinstance(index, dict) else None
    return isinstance(names, dict) and all(
        isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)
        for name in names.values()
    )
