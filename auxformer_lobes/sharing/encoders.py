"""Pretrained encoders of an exported model: named at a commit, or copied."""

import json
import re
import shutil
from pathlib import Path

from auxformer_lobes.features.checkpoints import WEIGHTS
from auxformer_lobes.sharing.hub_files import snapshot
from auxformer_lobes.sharing.layout import find
from auxformer_lobes.utils.errors import UserError
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
        Arguments of the extractor in the run. They are changed; folders and
        devices of this machine are removed.
    folder : Path
        The export to be.
    modality : str
        "audio" or "visual".
    include : bool
        Whether to copy it.

    Returns
    -------
    str
        Its name on the Hub and the commit, "user/name@commit"; None if it has
        none.

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


def find_encoder(arguments, folder, root, source, savedir=None):
    """Finds an encoder on this machine, or fetches it.

    Only configurations and weights are fetched, never code.

    Arguments
    ---------
    arguments : dict
        Arguments of the extractor, as `place_encoder` has left them.
    folder : Path
        The exported model.
    root : Path
        What its links must not lead out of, see `layout.find`.
    source : str
        The model's name or folder, as the user gave it.
    savedir : str or Path
        Where to keep what is fetched; the Hub's own cache by default.

    Returns
    -------
    dict
        Arguments of the extractor in place of these.

    Raises
    ------
    UserError
        If it cannot be found or fetched, or is refused.
    """
    model, weights = str(arguments.get("source")), str(arguments.get("weights"))
    found = {}

    def _fetch(*patterns):
        if folder != root:  # in the cache of the Hub
            snapshot(source, folder.name, patterns, savedir)

    if re.fullmatch(COPIED_WEIGHTS, weights):
        _fetch(weights)
        found["weights"] = str(find(folder, weights, root))
    if re.fullmatch(COPIED_MODEL, model):
        kinds = ("json", "safetensors", "bin")
        _fetch(*(f"{model}/*.{kind}" for kind in kinds))
        for path in find(folder, model, root, is_folder=True).iterdir():
            find(folder, path.relative_to(folder), root)
        found["source"] = found["save_path"] = str(folder / model)
    elif re.fullmatch(HUB_MODEL, model):
        name, _, commit = model.partition("@")
        # The first kind of weights that there is, where none are copied.
        kinds = ["*.json"] if arguments.get("weights") else WEIGHTS
        for kind in kinds:
            there = snapshot(name, commit, ["*.json", kind], savedir)
            if any(there.glob(kind)):
                break
        else:
            raise UserError(f"{model}: has no {' or '.join(kinds)}")
        found["source"] = found["save_path"] = str(there)
    if "source" in found:
        # All of them: transformers prefers config.4.0.0.json to the plain one.
        for path in Path(found["source"]).glob("*.json"):
            _check_config(path)
    return found


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
