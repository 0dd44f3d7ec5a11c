"""Pretrained encoders of an exported model: named at their commit, or copied."""

import json
import re
import shutil
from pathlib import Path

from auxformer_lobes.features.checkpoints import WEIGHTS
from auxformer_lobes.sharing.hub_files import snapshot
from auxformer_lobes.sharing.layout import file_of, folder_of
from auxformer_lobes.sharing.schema import COPIED_MODEL, COPIED_WEIGHTS, SOURCE
from auxformer_lobes.utils.errors import UserError

# Of the machine of the training, and of no other.
OF_THE_MACHINE = ("save_path", "device")
# In a configuration, they ask transformers for code of a repository, or for
# another configuration in place of this one.
FOR_CODE = {
    "attn_implementation",
    "auto_map",
    "configuration_files",
    "experts_implementation",
    "quantization_config",
}


def place_encoder(told, folder, modality, include):
    """Says where an encoder is for everybody, or copies it.

    Arguments
    ---------
    told : dict
        Arguments of the extractor, as the run has them; they are changed.
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
    save_path = told.get("save_path")
    for key in OF_THE_MACHINE:
        told.pop(key, None)
    source, weights = told.get("source"), told.get("weights")
    found, name = Path(source or ""), None
    is_local = source and found.is_dir()
    if (weights or is_local) and not include:
        raise UserError(
            f"{modality}_features: {weights or source} is on this machine "
            "only: export it, too (include_encoders)"
        )
    if source and not is_local:
        found = snapshot(source, None, ["config.json"], save_path, offline=True)
        name = f"{source}@{found.name}"
    target = folder / "encoders" / modality
    if source and include:
        target.mkdir(parents=True)
        kinds = [] if weights else WEIGHTS
        files = next(filter(None, (sorted(found.glob(k)) for k in kinds)), [])
        for path in (*found.glob("*.json"), *files):
            shutil.copyfile(path, target / path.name)
        told["source"] = f"encoders/{modality}"
    elif source:
        told["source"] = name
    if weights:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(weights, f"{target}.pt")
        told["weights"] = f"encoders/{modality}.pt"
    return name


def find_encoder(told, folder, root, source, savedir=None):
    """Says where an encoder is on this machine; fetches it if need be.

    Only configurations and weights are fetched, never code.

    Arguments
    ---------
    told : dict
        Arguments of the extractor, as `place_encoder` has left them.
    folder : Path
        The export.
    root : Path
        What its links must not lead out of, see `exported.file_of`.
    source : str
        What the export is called.
    savedir : str or Path
        Where to keep what is fetched; the Hub's own cache by default.

    Returns
    -------
    dict
        Arguments of the extractor in place of these.

    Raises
    ------
    UserError
        If it cannot be had.
    """
    model, weights = str(told.get("source")), str(told.get("weights"))
    found = {}
    if re.fullmatch(COPIED_WEIGHTS, weights):
        _fetch([weights], folder, root, source, savedir)
        found["weights"] = str(file_of(folder, weights, root))
    if re.fullmatch(COPIED_MODEL, model):
        patterns = [
            f"{model}/*.{kind}" for kind in ("json", "safetensors", "bin")
        ]
        _fetch(patterns, folder, root, source, savedir)
        for path in folder_of(folder, model, root).iterdir():
            file_of(folder, path.relative_to(folder), root)
        found["source"] = found["save_path"] = str(folder / model)
    elif re.fullmatch(SOURCE, model):
        name, _, commit = model.partition("@")
        kinds = [None] if told.get("weights") else WEIGHTS
        for kind in kinds:
            patterns = ["*.json"] if kind is None else ["*.json", kind]
            there = snapshot(name, commit, patterns, savedir)
            if kind is None or any(there.glob(kind)):
                break
        else:
            raise UserError(f"{model}: has no weights, no {' or '.join(kinds)}")
        found["source"] = found["save_path"] = str(there)
    if "source" in found:
        _check_configs(found["source"])
    return found


def _fetch(patterns, folder, root, source, savedir):
    if folder != root:  # in the cache of the Hub
        snapshot(source, folder.name, patterns, savedir)


def _check_configs(folder):
    # All, as transformers takes config.4.0.0.json, too, in place of the plain
    # one.
    for path in Path(folder).glob("*.json"):
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
