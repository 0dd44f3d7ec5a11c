"""Exports a run: all that inference needs, and nothing else."""

import re
import shutil
from io import StringIO
from pathlib import Path

import torch
from hyperpyyaml import RefTag, dump_hyperpyyaml, load_hyperpyyaml
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.tag import Tag
from safetensors import SafetensorError
from safetensors.torch import save_file
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.features.checkpoints import read_weights
from auxformer_lobes.features.precomputed import PrecomputedFeatures
from auxformer_lobes.sharing import layout, onnx
from auxformer_lobes.sharing.description import describe, plain_value, reading
from auxformer_lobes.sharing.encoders import place_encoder
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.sharing.model_card import model_card
from auxformer_lobes.sharing.safe_loading import parse_config
from auxformer_lobes.sharing.schema import (
    KEYS,
    MODULES,
    OPTIONAL,
    TORCH_SCHEMAS,
)
from auxformer_lobes.sharing.workspace import workspace
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import one_line_os_errors
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import Configurable, arguments_of

logger = get_logger(__name__)

# Of a run's hyperparams.yaml: what an export holds, and what else it takes.
PARTS = [key for key in KEYS if not key.endswith("_dtype")]
HELPERS = ("audio_store", "visual_store", "model")
FOR_TRAINING = ("train_condition", "shared_loss")
OBJECTS = (Configurable, torch.nn.Module)


def export(run, out, include_encoders=False, license="other", with_onnx=False):
    """Exports the best checkpoint of a run, for use and to be shared.

    Nothing in the run's folder is changed. Export where the run was trained:
    paths in its `hyperparams.yaml` may be relative. That file is loaded by
    hyperpyyaml, so that it may run any code: export runs that you trust.

    Arguments
    ---------
    run : str or Path
        Output folder of a recipe.
    out : str or Path
        The folder to make. An older export there is replaced.
    include_encoders : bool
        Whether files of pretrained encoders are copied, not only named.
    license : str
        Of the weights, as the Hub names it: "apache-2.0", "cc-by-nc-4.0".
    with_onnx : bool
        Whether `network.onnx` is written, too, see `sharing.onnx`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If the run is not finished, an encoder has to be copied, or the folder
        holds something else.
    """
    run, out = Run(run), Path(out).resolve()
    if with_onnx:
        onnx.check_packages()
    check_room(out)
    settings = _read_settings(run)
    hparams = _make_parts(run, settings)
    checkpoint = run.evaluated_checkpoint(
        settings["select_by"], hparams["task"]
    )
    weights = checkpoint.paramfiles["model"]
    try:
        hparams["model"].load_state_dict(read_weights(weights))
    except RuntimeError as error:
        raise UserError(f"{weights}: {' '.join(str(error).split())}")
    modules = torch.nn.ModuleDict(
        {name: hparams[name] for name in MODULES if name in hparams}
    )
    try:
        with workspace(out) as folder:
            hub_names = _write_hyperparams(folder, hparams, include_encoders)
            _write_weights(folder / layout.WEIGHTS, modules)
            config = {
                **describe(run, settings, hparams, hub_names),
                "epoch": checkpoint.meta["epoch"],
                "parameters": sum(p.numel() for p in modules.parameters()),
                "bytes": (folder / layout.WEIGHTS).stat().st_size,
            }
            if with_onnx:
                module = onnx.FeaturesToOutputs.of(hparams)
                config["onnx"] = onnx.write_onnx(
                    folder / layout.ONNX, module, config
                )
            with reading(run.metrics_file):
                card = model_card(out.name, config, license)
            (folder / layout.CARD).write_text(card, "utf-8")
            layout.write_config(folder, config)
    except OSError as error:
        # A file that is to be copied, or one of the export to be.
        path = Path(error.filename or out)
        where = out if path.is_relative_to(out.parent) else path
        denied = isinstance(error, PermissionError)
        cure = "let yourself write" if denied else "make room for it"
        raise UserError(
            f"{where}: cannot be copied or written: {error.strerror or error}: "
            f"{cure} there, or name another folder"
        )
    except SafetensorError as error:  # its writer's, of a full disk
        raise UserError(
            f"{out}: cannot be written: {error}: make room for it there, or "
            "name another folder"
        )
    try:
        parse_config(out / layout.HYPERPARAMS)
    except UserError as refused:
        logger.warning(
            f"this model loads with trust_source=True only: {refused}"
        )
    return out


def add_onnx(model, out):
    """Copies an exported model, and writes `network.onnx` into the copy.

    Arguments
    ---------
    model : str or Path
        A folder that `export` has made.
    out : str or Path
        The folder to make, or the same: then the file is added.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If the model is damaged, or `out` holds something else.
    """
    onnx.check_packages()
    model, out = Path(model).resolve(), Path(out).resolve()
    check_room(out)
    hparams = load(model)
    config = hparams["config"]
    with one_line_os_errors(out), workspace(out) as folder:
        for name in layout.ModelFolder(model).files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(model / name, folder / name)
        module = onnx.FeaturesToOutputs.of(hparams)
        made = onnx.write_onnx(folder / layout.ONNX, module, config)
        layout.write_config(folder, {**config, "onnx": made})
    return out


def check_room(out):
    """Checks that only an export is replaced, and nobody's files beside it.

    Arguments
    ---------
    out : Path
        The folder to be.

    Raises
    ------
    UserError
        If there is something else.
    """
    try:
        _check_room(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be read: {error.strerror}")


def _check_room(out):
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        ours = {out / name for name in layout.ModelFolder(out).files()}
    except UserError:
        raise UserError(f"{out}: not an export: name a new folder")
    others = {path for path in out.rglob("*") if path.is_file()} - ours
    if others:
        raise UserError(
            f"{out}: an export with other files, {min(others).name} for one: "
            "name a new folder"
        )


def _read_settings(run):
    """The run's `hyperparams.yaml` as data: no object of it is made."""
    path = run.hyperparams
    try:
        settings = YAML().load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing: {run.folder} is not of a run")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}")
    except (YAMLError, ValueError) as error:  # or it is no text
        raise UserError(f"{path}: damaged: {' '.join(str(error).split())}")
    needed = {*PARTS, *HELPERS, "modules", "select_by"} - {*OPTIONAL}
    found = {*settings} if isinstance(settings, dict) else set()
    if missing := needed - found:
        raise UserError(
            f"{path}: has no {min(missing)}: only runs of the recipes of "
            "auxformer-lobes can be exported"
        )
    if unknown := {*(settings["modules"] or ())} - {*MODULES, *FOR_TRAINING}:
        logger.warning(
            "not exported, as inference does not know them: modules "
            f"{', '.join(sorted(unknown))}"
        )
    return settings


def _make_parts(run, settings):
    """Objects of a run that inference needs, and no others."""
    text = StringIO()
    parts = {k: settings[k] for k in (*PARTS, *HELPERS) if k in settings}
    dump_hyperpyyaml(parts, text)
    try:
        return load_hyperpyyaml(text.getvalue())
    except UserError:
        raise
    # It makes objects of any kind, and an edited or damaged file names any.
    except Exception as error:
        reason = " ".join(" ".join(map(str, error.args)).split())
        raise UserError(f"{run.hyperparams}: {reason}")


def _write_hyperparams(folder, hparams, include_encoders):
    """Writes the objects; returns the names of encoders on the Hub."""
    parts = {key: hparams[key] for key in PARTS if key in hparams}
    refs = {id(v): key for key, v in parts.items() if isinstance(v, OBJECTS)}
    nodes = {key: _node(value, refs) for key, value in parts.items()}
    hub_names = {}
    for modality in MODALITIES:
        key = f"{modality}_features"
        if isinstance(hparams[key], PrecomputedFeatures):
            nodes[key] = None  # they are files of the training clips
        else:
            if "precision" in nodes[key]:  # null depends on the machine
                nodes[key]["precision"] = hparams[key].precision
            hub_names[modality] = place_encoder(
                nodes[key], folder, modality, include_encoders
            )
        nodes[f"{modality}_dtype"] = str(hparams[f"{modality}_store"].dtype)
    with open(folder / layout.HYPERPARAMS, "w", encoding="utf-8") as file:
        file.write("# For inference, exported by auxformer-lobes.\n")
        dump_hyperpyyaml({k: nodes[k] for k in KEYS if k in nodes}, file)
    return hub_names


def _node(value, refs):
    """YAML of an object, or of a value."""
    if isinstance(value, (list, tuple)):
        return [_node(item, refs) for item in value]
    if not isinstance(value, OBJECTS):
        return plain_value(value)
    kind = type(value)
    # By the name by which users know classes of torch.
    module = re.sub(r"^torch\.nn\.modules\..*", "torch.nn", kind.__module__)
    path = f"{module}.{kind.__qualname__}"
    node = CommentedMap()
    node.yaml_set_ctag(Tag(suffix=f"!new:{path}"))
    for name, argument in _arguments(value, path).items():
        key = refs.get(id(argument))
        node[name] = RefTag(f"<{key}>") if key else _node(argument, refs)
    return node


def _arguments(made, path):
    if isinstance(made, Configurable):
        return arguments_of(made)
    if path not in TORCH_SCHEMAS:
        raise UserError(
            f"{path} does not keep its arguments and cannot be exported: "
            "derive it from auxformer_lobes.utils.schema.Configurable"
        )
    arguments = {name: getattr(made, name) for name in TORCH_SCHEMAS[path]}
    if "bias" in arguments:  # a parameter
        arguments["bias"] = arguments["bias"] is not None
    return arguments


def _write_weights(path, modules):
    tensors = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in modules.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
    # It is made private.
    shutil.copymode(path.with_name(layout.HYPERPARAMS), path)
