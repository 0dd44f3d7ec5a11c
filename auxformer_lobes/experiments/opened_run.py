"""A trained run, opened to predict the clips of a manifest."""

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAMLError
from speechbrain.dataio.dataset import DynamicItemDataset

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.dataset import (
    CURE,
    MEDIA,
    add_features,
    extract_features,
    load_manifests,
)
from auxformer_lobes.experiments.recipe import stores_of
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.tasks.base import Task
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import reason_of


class EvaluationBrain(AuxFormerBrain):
    """Records predictions, and computes no loss."""

    def compute_objectives(self, predictions, batch, stage):
        """Records the predictions, see `AuxFormerBrain`."""
        self.record_predictions(batch, *predictions)
        return torch.zeros(())


class OpenedRun(NamedTuple):
    """A run that is ready to predict the clips of a manifest.

    Arguments
    ---------
    brain : EvaluationBrain
        Predicts by the best checkpoint, see `predict_conditions`.
    hparams : dict
        The run's hyperparameters.
    dataset : DynamicItemDataset
        The clips.
    task : Task
        The run's, with what was fitted on its development set.
    common : Task
        The same, of the classes that the model and the manifest share.
    excluded : Counter
        Emotion → number of clips that are excluded for it.
    """

    brain: EvaluationBrain
    hparams: dict
    dataset: DynamicItemDataset
    task: Task
    common: Task
    excluded: Counter


def open_run(
    run,
    manifest=None,
    data_folder=None,
    num_workers=2,
    run_opts=None,
    feature_folder=None,
    brain_class=EvaluationBrain,
):
    """Opens a run to predict the clips of a manifest.

    Arguments
    ---------
    run : Run
        The run. Its hyperparams.yaml is executed.
    manifest : str, optional
        See `evaluate_run`; by default the run's own test manifest, whose clips
        are all kept.
    data_folder : str, optional
        What `{data_root}` in it stands for; by default the run's data folder.
    num_workers : int
        Processes that read media files.
    run_opts : dict, optional
        SpeechBrain's options, such as `device`.
    feature_folder : str, optional
        See `evaluate_run`.
    brain_class : type
        `EvaluationBrain`, or a subclass.

    Returns
    -------
    OpenedRun

    Raises
    ------
    UserError
        See `evaluate_run`.
    """
    if data_folder is not None:
        _check_folder(data_folder)
    hparams, fitted = _load(run, feature_folder)
    task = hparams["task"]
    run.evaluated_checkpoint(hparams["select_by"], task)
    for setting, value in fitted.items():
        setattr(task, setting, value)
    if data_folder is None:
        data_folder = hparams["data_folder"]
        _check_folder(data_folder)
    dataset = _load_clips(manifest or run.manifest("test"), data_folder)
    excluded, common = Counter(), task
    if manifest is not None and isinstance(task, CategoricalEmotion):
        common = CategoricalEmotion(
            _common_classes(task, dataset.data, manifest)
        )
        common.temperature = task.temperature
        task.label_rule = "P"  # votes may be on other emotions
        # Ties stay, as in training: clips without a class.
        shared = {*common.names, None}
        emotions = {c: e.get("emotion") for c, e in dataset.data.items()}
        excluded.update(e for e in emotions.values() if e not in shared)
        dataset = DynamicItemDataset(
            {
                clip: {**entry, "emotion": emotions[clip]}
                for clip, entry in dataset.data.items()
                if emotions[clip] in shared
            }
        )
    stores = stores_of(hparams)
    extract_features({"test": dataset}, stores, num_workers)
    dataset = add_features(
        dataset, stores, task, min_face_quality=hparams["min_face_quality"]
    )
    brain = brain_class(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    return OpenedRun(brain, hparams, dataset, task, common, excluded)


def _check_folder(data_folder):
    if not Path(data_folder).is_dir():
        raise UserError(
            f"--data_root {data_folder}: no such folder: name that of the corpus"
        )


def _load(run, feature_folder):
    """A run's hyperparameters, and what was fitted on its development set."""
    fitted = run.metrics().get("fitted", {})
    try:
        # The run may have been moved, or made from another folder.
        overrides = {"checkpointer": {"checkpoints_dir": str(run.checkpoints)}}
        if feature_folder is not None:
            for store in ("audio_store", "visual_store"):
                overrides[store] = {"folder": str(feature_folder)}
        with open(run.hyperparams, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, overrides)
    except (
        *(AttributeError, ImportError, LookupError, OSError),
        *(TypeError, ValueError, YAMLError),
    ) as error:
        if isinstance(error, OSError):
            raise UserError(
                f"{run.folder}: not the output folder of a finished run: "
                f"{error.filename}: {reason_of(error)}"
            )
        reason = " ".join(map(str, error.args))[:200]
        raise UserError(
            f"{run.hyperparams}: not of a finished run, or damaged: {reason}: "
            "start train.py there again, which writes it anew"
        )
    return hparams, fitted


def _load_clips(manifest, data_folder):
    dataset = load_manifests({"test": manifest}, data_folder)["test"]
    for clip, entry in dataset.data.items():
        missing = {*MEDIA.values(), "spk_id"} - {*entry}
        if missing:
            raise UserError(
                f"{manifest}: its clip {clip} has no {min(missing)}: {CURE}"
            )
    return dataset


def _common_classes(task, entries, manifest):
    emotions = {entry.get("emotion") for entry in entries.values()}
    common = [name for name in task.names if name in emotions]
    if len(common) < 2:
        raise UserError(
            f"{manifest}: has the emotions "
            f"{sorted(filter(None, emotions))}, the model "
            f"{list(task.names)}: they share fewer than two"
        )
    return common


def restrict_outputs(truth, outputs, task, common):
    """Labels and probabilities among fewer classes.

    Arguments
    ---------
    truth : array_like
        Index of the class, `[clips, 1]`; -1 if tied.
    outputs : dict
        Head → probabilities, `[..., classes]`.
    task : CategoricalEmotion
        All classes.
    common : CategoricalEmotion
        Those that are kept.

    Returns
    -------
    truth : np.ndarray
        `[clips, 1]`.
    outputs : dict of np.ndarray
        Head → renormalised probabilities, `[..., common classes]`.
    """
    columns = [task.names.index(name) for name in common.names]
    kept = {}
    for head, rows in outputs.items():
        shares = np.asarray(rows)[..., columns]
        kept[head] = shares / shares.sum(-1, keepdims=True)
    truth = [[-1 if i < 0 else columns.index(i)] for i in np.ravel(truth)]
    return np.array(truth), kept


@contextmanager
def writing(output):
    """Writes results, alone; a failure is one line that names the folder.

    Arguments
    ---------
    output : Run
        The folder, which is made.

    Raises
    ------
    UserError
        If it cannot be written, or another process writes there.
    """
    try:
        with output.lock():
            yield
    except OSError as error:
        raise UserError(
            f"{output.folder}: cannot be written: {reason_of(error)}: name "
            "another --output_folder"
        )
