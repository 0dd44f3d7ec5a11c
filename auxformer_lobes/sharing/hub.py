"""Models in folders and on the Hugging Face Hub: push, load, look at."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

import huggingface_hub
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from speechbrain.utils.logger import get_logger

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.sharing.encoders import find_encoder
from auxformer_lobes.sharing.hub_files import hub_errors, snapshot
from auxformer_lobes.sharing.layout import (
    CARD,
    CONFIG,
    HYPERPARAMS,
    WEIGHTS,
    file_of,
    files_of,
    read_config,
)
from auxformer_lobes.sharing.model_card import summary
from auxformer_lobes.sharing.safe_loading import build, load_weights, read_plan
from auxformer_lobes.sharing.schema import KEYS, Made
from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

# No training fits less or more; a threshold can be any probability.
FITTED = {"temperature": (1e-3, 1e3), "threshold": (0, 1)}
# What an override may be that is no object, and no change to one.
DATA = (type(None), bool, int, float, str, list, tuple)


class Pushed(NamedTuple):
    """What `push` has done, or would do.

    Arguments
    ---------
    url : str
        Where the model is; None in a dry run.
    files : list of tuple
        Name and size in bytes of each file.
    """

    url: Optional[str]
    files: list[tuple[str, int]]


def load(
    source, savedir=None, revision=None, trust_source=False, overrides=None
):
    """Loads an exported model, and runs nothing that comes with it.

    Of a model on the Hub, only configuration and weights are fetched, never
    code; what was fetched before is not fetched again, and is enough where
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
        Changes to what `hyperparams.yaml` says:
        `{"visual_features": {"batch_frames": 8}}`, or an extractor of one's
        own in place of one.

    Returns
    -------
    hparams : dict
        What `hyperparams.yaml` names, made: `task` (with what was fitted for
        it), `audio_features` and `visual_features` (extractors; None if the
        features of the training came from elsewhere), `feature_dtype`
        ("audio" and "visual" -> what features were stored as in training),
        `min_face_quality`, `missing`, and `modules` (name -> module, in
        evaluation mode: `audio_norm`, `visual_norm`, `auxformer`, and
        encoders that were trained too, `audio_encoder`, `visual_encoder`).
        `config` is what `config.json` says.

    Raises
    ------
    UserError
        If there is no such model, or it is refused.
    """
    folder, root = _fetch(source, savedir, revision)
    config = read_config(folder, root)
    path = file_of(folder, HYPERPARAMS, root)
    if trust_source:
        logger.warning(f"{source}: trusted, so that it may run any code")
        asked = YAML().load(path)  # to look at: it makes nothing
    else:
        asked = read_plan(path)
        _check_dims(asked, config, folder / CONFIG)
    overrides = dict(overrides or {})
    unknown = {*overrides} - {*KEYS, *asked}
    if unknown:
        raise UserError(
            f"overrides: {source} has no {min(unknown)}: choose among "
            f"{', '.join(asked)}"
        )
    _check_overrides(overrides)
    for modality in ("audio", "visual"):
        key = f"{modality}_features"
        arguments = _merged(asked.get(key), overrides.get(key, {}))
        arguments = getattr(arguments, "arguments", arguments)
        if isinstance(arguments, Mapping):
            overrides[key] = {
                **overrides.get(key, {}),
                **find_encoder(arguments, folder, root, source, savedir),
            }
    if trust_source:
        with open(path, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, overrides)
    else:
        hparams = build(_merged(asked, overrides))
    _check_parts(hparams, source)
    load_weights(hparams["modules"], file_of(folder, WEIGHTS, root))
    for module in hparams["modules"].values():
        module.eval()
    _set_fitted(hparams["task"], config, folder / CONFIG)
    for modality in ("audio", "visual"):
        _compare(modality, hparams[f"{modality}_features"], config)
    return {**hparams, "config": config}


def info(source, savedir=None, revision=None):
    """Prints what a model is; nothing is made for it.

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
    folder, root = _fetch(source, savedir, revision, [CONFIG])
    try:
        print(summary(read_config(folder, root)))
    except (
        AttributeError,
        LookupError,
        OverflowError,
        TypeError,
        ValueError,
    ):
        raise UserError(f"{folder / CONFIG}: not of an export, or damaged")


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
    Pushed
        Where it is now, and the files.

    Raises
    ------
    UserError
        If the folder is not whole, or the Hub refuses.
    """
    folder = Path(folder)
    names = files_of(folder)
    files = [(name, (folder / name).stat().st_size) for name in names]
    with hub_errors(repo_id):
        huggingface_hub.utils.validate_repo_id(repo_id)
        if "/" not in repo_id:  # the card could not say where it is
            raise UserError(f"{repo_id}: whose? Name it user/{repo_id}")
        if dry_run:
            return Pushed(None, files)
        if huggingface_hub.get_token() is None:
            raise UserError(
                f"{repo_id}: not logged in: run `hf auth login`, or set "
                "HF_TOKEN to a token that may write"
            )
        card = (folder / CARD).read_text("utf-8")
        example = f'from_hparams(source="{repo_id}"'
        card = re.sub(r'from_hparams\(source="[^"]*"', example, card)
        with tempfile.TemporaryDirectory() as work:
            for name in names:
                path = Path(work) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to((folder / name).resolve())
            (Path(work) / CARD).unlink()
            (Path(work) / CARD).write_text(card, "utf-8")
            url = huggingface_hub.create_repo(
                repo_id, private=private, exist_ok=update
            )
            huggingface_hub.upload_folder(
                repo_id=url.repo_id,
                folder_path=work,
                commit_message="AuxFormer by auxformer-lobes",
            )
    return Pushed(str(url), files)


def _fetch(source, savedir, revision, names=(CONFIG, HYPERPARAMS, WEIGHTS)):
    """The folder with these files, and the one that none leads out of."""
    if Path(source).is_dir():
        return Path(source), Path(source)
    folder = snapshot(source, revision, list(names), savedir)
    # In the cache, the files are links to blobs beside the snapshots.
    return folder, folder.parents[1]


def _check_dims(asked, config, path):
    """Numbers a frame, by which inputs that are missing are filled up."""
    for modality in ("audio", "visual"):
        told = config["features"].get(modality)
        dim = asked["network"].arguments.get(f"{modality}_dim")
        if not isinstance(told, dict) or told.get("dim") != dim:
            raise UserError(
                f"{path}: {modality} features are not those of the network: "
                "export the model again"
            )


def _check_overrides(overrides):
    """Data must be what the file could say, too; objects are anything."""
    for key, value in overrides.items():
        kind = KEYS.get(key)
        if kind is None or not isinstance(value, DATA):
            continue
        words = getattr(kind, "words", "names and values")
        if isinstance(kind, dict) or not kind.fits(value):
            raise UserError(f"overrides: {key} is not {words}")


def _check_parts(hparams, source):
    """What is made must fit together: else the first clip would tell."""
    network = hparams["modules"].get("network")
    if not isinstance(network, AuxFormer):  # of one's own, by trust
        return
    for modality, dim in network.dims.items():
        extractor = hparams[f"{modality}_features"]
        if extractor is not None and extractor.dim != dim:
            raise UserError(
                f"{source}: {modality}_features give {extractor.dim} numbers "
                f"a frame, and the network takes {dim}"
            )
    classes = network.num_classes
    if hparams["task"].num_outputs != classes:
        raise UserError(
            f"{source}: the task has {hparams['task'].num_outputs} outputs, "
            f"and the network {classes}"
        )


def _set_fitted(task, config, path):
    """What the training fitted, a threshold for example, and nothing else."""
    fitted = config["fitted"]
    if {*fitted} != {*task.settings}:
        raise UserError(
            f"{path}: `fitted` is not of this task: export it again"
        )
    for name, value in fitted.items():
        low, high = FITTED.get(name, (0, 1e6))
        if type(value) not in (int, float) or not low <= value <= high:
            raise UserError(
                f"{path}: fitted: {name} is not a number from {low} to {high}"
            )
        setattr(task, name, value)


def _compare(modality, extractor, config):
    """Warns of features that are not those of the training."""
    trained = config["features"].get(modality)
    if extractor is None or not isinstance(trained, dict):
        return
    # As in a file: tuples are lists there. Names of models may be folders.
    now = json.loads(json.dumps({**extractor.settings, "source": None}))
    changed = {k for k, v in now.items() if v != trained.get(k)} - {"source"}
    if changed:
        logger.warning(
            f"{modality} features are not those of the training, as these "
            f"settings differ: {', '.join(sorted(changed))}"
        )


def _merged(asked, changes):
    """What a file asks for, with changes to some of it."""
    if not isinstance(changes, Mapping):
        return changes
    if isinstance(asked, Made):
        return asked._replace(arguments=_merged(asked.arguments, changes))
    if not isinstance(asked, Mapping):
        if changes:
            raise UserError(
                f"overrides: there is nothing to set {[*changes]} of"
            )
        return asked
    changed = {k: _merged(asked.get(k), v) for k, v in changes.items()}
    return {**asked, **changed}
