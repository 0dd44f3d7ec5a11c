"""Models in folders and on the Hugging Face Hub: load, push, describe."""

import json
import math
import re
from copy import deepcopy
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import validate_repo_id
from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import recursive_update
from ruamel.yaml import YAML
from speechbrain.utils.logger import get_logger

from auxformer_lobes.sharing import layout, safe_loading
from auxformer_lobes.sharing.encoders import find_encoder
from auxformer_lobes.sharing.probe import check_outputs
from auxformer_lobes.sharing.schema import KEYS, MODULES, schema_of
from auxformer_lobes.tasks import set_fitted
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import hub_errors, offline
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import ObjectSpec, shown

logger = get_logger(__name__)

# Overrides of these types are data, to be checked; others are objects.
DATA = (type(None), bool, int, float, str, list, tuple)


def load(
    source, savedir=None, revision=None, trust_source=False, overrides=None
):
    """Loads an exported model, and runs nothing that it brings.

    Of a model on the Hub, only configuration and weights are fetched, never
    code. What was fetched before is not fetched again, and is enough where
    there is no network.

    Arguments
    ---------
    source : str or Path
        A folder that `export` has written, or a name on the Hub.
    savedir : str or Path
        Where to keep what is fetched; the Hub's own cache by default.
    revision : str
        Branch, tag or commit on the Hub.
    trust_source : bool
        Whether the model may run any code: `hyperparams.yaml` is not checked
        then, but loaded by hyperpyyaml.
    overrides : dict
        Changes to `hyperparams.yaml`: `{"visual_features": {"batch_frames":
        8}}`, or an object in place of one.

    Returns
    -------
    hparams : dict
        The objects and values of `hyperparams.yaml`: `task` (with what was
        fitted for it), `audio_features` and `visual_features` (extractors;
        None where the features of the training were precomputed),
        `min_face_quality`, `network`. Besides, `feature_dtype` ("audio" and
        "visual" → type in which features were stored), `modules` (name →
        module, in evaluation mode: `audio_norm`, `visual_norm`, `network`,
        and encoders that were fine-tuned, `audio_encoder`, `visual_encoder`)
        and `config`, the content of `config.json`.

    Raises
    ------
    UserError
        If there is no such model, or it is refused.
    """
    try:
        model = layout.ModelFolder(source, savedir, revision)
        return _load(model, trust_source, dict(overrides or {}))
    except OSError as error:
        where = error.filename or source
        reason = error.strerror or error
        raise UserError(
            f"{where}: cannot be read: {reason}: copy it again, or "
            "let yourself read it"
        )


def _load(model, trust_source, overrides):
    config = model.config()
    path = model.find(layout.HYPERPARAMS)
    model.verify(config, path)
    if trust_source:
        logger.warning(f"{model.source}: trusted, so that it may run any code")
        parsed = YAML().load(path)  # nodes: nothing is made
    else:
        parsed = safe_loading.parse_config(path)
    _override(parsed, overrides)
    for modality in MODALITIES:
        key = f"{modality}_features"
        if isinstance(parsed.get(key), dict):
            found = find_encoder(
                parsed[key], model, config, modality, trust_source
            )
            recursive_update(parsed[key], found)
            overrides[key] = deepcopy(overrides.get(key, {}))
            recursive_update(overrides[key], found)
    if trust_source:
        hparams = _load_trusted(path, overrides)
    else:
        with offline():
            hparams = safe_loading.instantiate(parsed)
    _check_fit(hparams, config, model.path)
    modules = {name: hparams[name] for name in MODULES if name in hparams}
    weights = model.find(layout.WEIGHTS)
    model.verify(config, weights)
    safe_loading.load_weights(modules, weights)
    for module in modules.values():
        module.eval()
    try:
        set_fitted(hparams["task"], config["fitted"])
    except UserError as error:
        path = model.path / layout.CONFIG
        raise UserError(f"{path}: {error}: export the model again")
    check_outputs(hparams, model.path)
    for modality in hparams["network"].dims:
        _compare_features(modality, hparams[f"{modality}_features"], config)
    return {
        **hparams,
        "feature_dtype": {m: hparams[f"{m}_dtype"] for m in MODALITIES},
        "modules": modules,
        "config": config,
    }


def _load_trusted(path, overrides):
    try:
        with open(path, encoding="utf-8") as file:
            return load_hyperpyyaml(file, overrides)
    except (OSError, UserError):
        raise
    # It runs code of any kind, which fails in any way.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: {reason}")


def info(source, savedir=None, revision=None):
    """Prints what a model is; no object of it is made.

    Arguments
    ---------
    source : str or Path
        A folder that `export` has written, or a name on the Hub.
    savedir : str or Path
        Where to keep what is fetched; the Hub's own cache by default.
    revision : str
        Branch, tag or commit on the Hub.

    Raises
    ------
    UserError
        If there is no such model.
    """
    from auxformer_lobes.sharing.model_card import summary

    model = layout.ModelFolder(source, savedir, revision)
    config = model.config()
    try:
        text = summary(config)
    except Exception:  # a stranger's file can hold anything anywhere
        raise UserError(
            f"{model.path / layout.CONFIG}: not of an export, or damaged"
        )
    print(text)


def push(folder, repo_id, private=True, update=False, dry_run=False):
    """Puts an exported model on the Hub.

    The token is that of `HF_TOKEN`, or of `hf auth login`. In the model card,
    the example then loads the model by its name.

    Arguments
    ---------
    folder : str or Path
        What `export` has written; other files in it stay here.
    repo_id : str
        Its name on the Hub, "user/name".
    private : bool
        Whether others cannot see it; one that is there stays as it is.
    update : bool
        Whether it may be there already, as an older version.
    dry_run : bool
        Whether nothing is sent.

    Returns
    -------
    url : str
        Where the model is now; None in a dry run.
    files : list of tuple
        Name and size in bytes of each file.

    Raises
    ------
    UserError
        If the folder is not whole, or the Hub refuses.
    """
    folder = Path(folder)
    names = check_folder(folder)
    example = f'from_hparams(source="{repo_id}"'
    card = (folder / layout.CARD).read_text("utf-8")
    card = re.sub(r'from_hparams\(source="[^"]*"', example, card)
    contents = {n: folder / n for n in names} | {layout.CARD: card.encode()}
    return upload(contents, repo_id, private, update, dry_run)


def check_folder(folder):
    """Checks an exported model as a whole, before it is shared.

    Arguments
    ---------
    folder : Path
        What `export` has written.

    Returns
    -------
    list of str
        Its files.

    Raises
    ------
    UserError
        If it is not there, not whole or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: export a model first")
    model = layout.ModelFolder(folder)
    names, config = model.files(), model.config()
    for name in {*names} - {layout.CONFIG, layout.CARD}:
        model.verify(config, folder / name)
    return names


def upload(contents, repo_id, private, update, dry_run, space_sdk=None):
    """Puts files on the Hub, in one commit.

    Arguments
    ---------
    contents : dict
        Name → `Path` of a file, or its bytes.
    repo_id : str
        "user/name".
    private : bool
        Whether others cannot see it; one that is there stays as it is.
    update : bool
        Whether it may be there already, as an older version.
    dry_run : bool
        Whether nothing is sent.
    space_sdk : str, optional
        Makes a Space, by this library, in place of a model.

    Returns
    -------
    url : str
        Where it is now; None in a dry run.
    files : list of tuple
        Name and size in bytes of each file.

    Raises
    ------
    UserError
        If the Hub refuses.
    """
    files = [
        (name, len(x) if isinstance(x, bytes) else x.stat().st_size)
        for name, x in contents.items()
    ]
    with hub_errors(repo_id):
        validate_repo_id(repo_id)
        if "/" not in repo_id:  # the card could not say where it is
            raise UserError(f"{repo_id}: whose? Name it user/{repo_id}")
        if dry_run:
            return None, files
        if huggingface_hub.get_token() is None:
            raise UserError(
                f"{repo_id}: not logged in: run `hf auth login`, or set "
                "HF_TOKEN to a token that may write"
            )
        repo_type = "space" if space_sdk else "model"
        url = huggingface_hub.create_repo(
            repo_id,
            private=private,
            exist_ok=update,
            repo_type=repo_type,
            space_sdk=space_sdk,
        )
        huggingface_hub.create_commit(
            url.repo_id,
            [
                huggingface_hub.CommitOperationAdd(name, content)
                for name, content in contents.items()
            ],
            commit_message="AuxFormer by auxformer-lobes",
            repo_type=repo_type,
        )
    return str(url), files


def _override(parsed, overrides):
    """Data must be valid in the file, too; objects can be anything."""
    _check_finite(overrides, "overrides")
    try:
        recursive_update(parsed, overrides, must_match=True)
    except (KeyError, TypeError):
        raise UserError(
            f"overrides: {', '.join(map(str, overrides))}: choose among "
            f"{', '.join(parsed)}, and arguments of objects"
        )
    for key, override in overrides.items():
        value, check = parsed[key], KEYS.get(key)
        if check and isinstance(value, DATA) and not check.accepts(value):
            raise UserError(f"overrides: {key} is not {check.description}")
        if isinstance(value, ObjectSpec) and isinstance(override, dict):
            _check_numbers(value, override, key)


def _check_finite(value, name):
    if isinstance(value, dict):
        for key, part in value.items():
            _check_finite(part, f"{name}: {key}")
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_finite(part, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value}, not a finite number")


def _check_numbers(made, override, name):
    """Numbers have limits; names of folders and devices are the user's own."""
    schema = schema_of(made.path)
    for key, value in override.items():
        part, check = made.get(key), schema.get(key)
        if isinstance(part, ObjectSpec) and isinstance(value, dict):
            _check_numbers(part, value, f"{name}: {key}")
        elif type(value) in (int, float) and not (
            check is None or check.accepts(value)
        ):
            raise UserError(
                f"overrides: {name}: {key} is {shown(value)}, not "
                f"{check.description}"
            )


def _check_fit(hparams, config, folder):
    """Refuses parts that do not fit together, before the first clip does."""
    task, network = hparams["task"], hparams["network"]
    for modality, dim in network.dims.items():
        trained = config["features"].get(modality)
        if not isinstance(trained, dict) or trained.get("dim") != dim:
            raise UserError(
                f"{folder / layout.CONFIG}: {modality} features are not those "
                "of the network: export the model again"
            )
        extractor = hparams[f"{modality}_features"]
        if extractor is not None and extractor.dim != dim:
            raise UserError(
                f"{folder}: {modality}_features have {extractor.dim} "
                f"channels, the network takes {dim}"
            )
    if task.num_outputs != network.num_classes:
        raise UserError(
            f"{folder}: the task has {task.num_outputs} outputs, the network "
            f"{network.num_classes}"
        )


def _compare_features(modality, extractor, config):
    """Warns of features that are not those of the training."""
    if extractor is None:
        return
    # As in the file, where tuples are lists. A model may lie in a folder here.
    settings = json.loads(json.dumps({**extractor.settings, "source": None}))
    trained = {**config["features"][modality], "source": None}
    changed = {k for k, v in settings.items() if v != trained.get(k)}
    if changed:
        logger.warning(
            f"{modality} features are not those of the training, as these "
            f"settings differ: {', '.join(sorted(changed))}"
        )
