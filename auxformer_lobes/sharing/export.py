"""Exports a run: all that inference needs, and nothing else."""

import json
import os
import shutil
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hyperpyyaml import RefTag, dump_hyperpyyaml, load_hyperpyyaml
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from safetensors.torch import save_file
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.run import SPLITS, Run
from auxformer_lobes.features.checkpoints import read_weights
from auxformer_lobes.features.precomputed import PrecomputedFeatures
from auxformer_lobes.sharing.encoders import place_encoder
from auxformer_lobes.sharing.layout import (
    CARD,
    CONFIG,
    FORMAT,
    HYPERPARAMS,
    VERSION,
    WEIGHTS,
    files_of,
)
from auxformer_lobes.sharing.model_card import model_card
from auxformer_lobes.sharing.safe_loading import read_plan
from auxformer_lobes.sharing.schema import KEYS, MODULES, OPTIONAL
from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

MODALITIES = ("audio", "visual")
# What a run's hyperparams.yaml must have for inference.
NEEDED = (
    "task",
    "audio_features",
    "visual_features",
    "min_face_quality",
    "audio_norm",
    "visual_norm",
    "network",
)
# What else is made of it here.
FOR_EXPORT = ("audio_store", "visual_store", "model", "modules")
FOR_TRAINING = ("train_condition", "shared_loss")
# What the model card says of the training.
TOLD = (
    "labels",
    "label_rule",
    "num_classes",
    "condition",
    "conditions",
    "partition",
    "require_both",
    "min_face_quality",
    "number_of_epochs",
    "batch_size",
    "lr",
    "encoder_lr",
    "select_by",
    "seed",
)


def export(run, out, include_encoders=False, license="other"):
    """Exports the best checkpoint of a run, for use and to be shared.

    To be run where the training was run: paths in its `hyperparams.yaml`, of
    pretrained encoders for example, may be relative. That file is loaded by
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
    run, out = Path(run), Path(out).resolve()
    _check_room(out)
    asked = _read_run(run)
    made, literals = _make(asked)
    metrics = _read_json(run / "metrics.json", "train and evaluate first")
    checkpoint = _load_best(run, asked, made)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=".export") as work:
            folder = Path(work) / out.name
            folder.mkdir()
            hub_names = _write_hyperparams(
                folder, asked, made, literals, include_encoders
            )
            _write_weights(folder / WEIGHTS, made["modules"])
            config = {
                **_describe(run, asked, made, metrics, hub_names),
                "epoch": checkpoint["epoch"],
                "bytes": (folder / WEIGHTS).stat().st_size,
            }
            (folder / CONFIG).write_text(json.dumps(config, indent=1), "utf-8")
            card = model_card(out.name, config, license)
            (folder / CARD).write_text(card, "utf-8")
            if out.exists():
                os.replace(out, Path(work) / "older")
            os.replace(folder, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}")
    try:
        read_plan(out / HYPERPARAMS)
    except UserError as refused:
        logger.warning(
            f"this model loads with trust_source=True only: {refused}"
        )
    return out


def _check_room(out):
    """Only an export is replaced, and nobody's files beside it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        ours = {out / name for name in files_of(out)}
    except UserError:
        raise UserError(f"{out}: not an export: name a new folder")
    others = {path for path in out.rglob("*") if path.is_file()} - ours
    if others:
        raise UserError(
            f"{out}: an export with other files, {min(others).name} for one: "
            "name a new folder"
        )


def _read_json(path, cure):
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing: {cure}")


def _read_run(run):
    """What the run was made from: all nodes, nothing is made."""
    path = run / HYPERPARAMS
    try:
        asked = YAML().load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing: {run} is not the folder of a run")
    except YAMLError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}")
    missing = [key for key in (*NEEDED, *FOR_EXPORT) if key not in asked]
    if missing:
        raise UserError(
            f"{path}: has no {missing[0]}: only runs of the recipes of "
            "auxformer-lobes can be exported"
        )
    unknown = {*asked["modules"]} - {*MODULES, *FOR_TRAINING}
    if unknown:
        logger.warning(
            f"not exported, as inference does not know them: modules "
            f"{', '.join(sorted(unknown))}"
        )
    return asked


def _make(asked):
    """Makes what inference needs, and the values of what is computed."""
    kept = {
        key: asked[key]
        for key in (*NEEDED, *OPTIONAL, *FOR_EXPORT)
        if key in asked
    }
    kept["modules"] = {
        name: module
        for name, module in asked["modules"].items()
        if name in MODULES
    }
    computed = {}

    def _collect(node):
        if _tag(node).startswith("!apply:"):
            computed[id(node)] = node
        if isinstance(node, (dict, list)):
            for part in node.values() if isinstance(node, dict) else node:
                _collect(part)

    _collect(kept)
    text = StringIO()
    # In one text, so that what is there several times is made once.
    dump_hyperpyyaml({**kept, "computed": [*computed.values()]}, text)
    try:
        made = load_hyperpyyaml(text.getvalue())
    except (ImportError, TypeError, ValueError) as error:
        reason = " ".join(map(str, error.args))
        raise UserError(f"{HYPERPARAMS}: {' '.join(reason.split())}")
    return made, dict(zip(computed, made["computed"]))


def _tag(node):
    return node.tag.value or "" if hasattr(node, "tag") else ""


def _load_best(run, asked, made):
    """Gives the network its best weights; says of which epoch they are."""
    found = Run(run).best_checkpoint(asked["select_by"], made["task"])
    path = found.paramfiles["model"]
    try:
        made["model"].load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}")
    return found.meta


def _write_hyperparams(folder, asked, made, literals, include_encoders):
    names = {
        id(asked[key]): key for key in (*NEEDED, *OPTIONAL) if key in asked
    }

    def _part(node):
        if id(node) in names and isinstance(node, (dict, list, TaggedScalar)):
            return RefTag(f"<{names[id(node)]}>")
        return _whole(node)

    def _whole(node):
        """The node without comments, anchors and computed values."""
        if id(node) in literals:
            return _literal(literals[id(node)])
        if isinstance(node, dict):
            plain = CommentedMap({k: _part(v) for k, v in node.items()})
        elif isinstance(node, list):
            plain = CommentedSeq(_part(item) for item in node)
        elif isinstance(node, TaggedScalar):
            plain = TaggedScalar(node.value, node.style)
        else:
            return _literal(node)
        if _tag(node):
            plain.yaml_set_ctag(node.tag)
        return plain

    told = {
        key: _whole(asked[key]) for key in (*NEEDED, *OPTIONAL) if key in asked
    }
    hub_names = {}
    for modality in MODALITIES:
        key = f"{modality}_features"
        if isinstance(made[key], PrecomputedFeatures):
            told[key] = None  # they are files of the training clips
        elif isinstance(told[key], dict):
            hub_names[modality] = place_encoder(
                told[key], folder, modality, include_encoders
            )
    told["feature_dtype"] = {
        modality: str(made[f"{modality}_store"].dtype)
        for modality in MODALITIES
    }
    told["modules"] = {name: RefTag(f"<{name}>") for name in made["modules"]}
    with open(folder / HYPERPARAMS, "w", encoding="utf-8") as file:
        file.write("# AuxFormer for inference, exported by auxformer-lobes.\n")
        dump_hyperpyyaml({k: told[k] for k in KEYS if k in told}, file)
    return hub_names


def _literal(value):
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        raise UserError(
            f"{HYPERPARAMS}: {value!r} is computed, and cannot be written down"
        )


def _write_weights(path, modules):
    tensors = {
        f"{name}.{key}": tensor.clone(memory_format=torch.contiguous_format)
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
    shutil.copymode(path.with_name(HYPERPARAMS), path)  # it is made private


def _describe(run, asked, made, metrics, hub_names):
    """What `config.json` says: no path, nobody's name."""
    task = made["task"]
    report = _read_json(Run(run).prepare_report, "prepare the corpus again")
    features = {}
    for modality in MODALITIES:
        extractor = made[f"{modality}_features"]
        settings = {k: v for k, v in extractor.settings.items() if k != "path"}
        features[modality] = {
            **settings,
            "dim": extractor.dim,
            "hub": hub_names.get(modality),
            "released": isinstance(extractor, PrecomputedFeatures),
        }
    clips = {
        split: _read_json(run / f"{split}.json", "prepare the corpus again")
        for split in SPLITS
    }
    speakers = {
        split: {clip["spk_id"] for clip in of.values()}
        for split, of in clips.items()
    }
    training = {k: _literal(asked[k]) for k in TOLD if k in asked}
    if isinstance(report["options"]["partition"], dict):
        training["partition"] = "own lists"
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "task": type(task).__name__,
        "labels": list(task.names),
        "fitted": metrics["fitted"],
        "features": features,
        "parameters": sum(
            parameter.numel()
            for module in made["modules"].values()
            for parameter in module.parameters()
        ),
        "training": training,
        "corpus": report.get("card", {}),
        "clips": {
            split: {
                "clips": len(of),
                "speakers": len(speakers[split]),
                "minutes": round(
                    sum(c["duration"] for c in of.values()) / 60, 1
                ),
            }
            for split, of in clips.items()
        },
        "test_speakers_are_new": speakers["test"].isdisjoint(
            speakers["train"] | speakers["valid"]
        ),
        "metrics": {
            "names": list(task.metrics),
            "scale": task.scale,
            "lower_is_better": list(task.lower_is_better),
            **{k: metrics.get(k) for k in ("test", "linear_baseline")},
        },
        "versions": {
            name: version(name)
            for name in (
                "auxformer-lobes",
                "speechbrain",
                "torch",
                "transformers",
            )
        },
    }
