"""A trained run on another manifest, of another corpus perhaps."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataset import DynamicItemDataset

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.dataset import (
    MEDIA,
    add_features,
    extract_features,
    load_manifests,
)
from auxformer_lobes.evaluation.predictions import HEADS, Predictions
from auxformer_lobes.experiments.recipe import stores_of
from auxformer_lobes.reporting.tables import (
    collect_metrics,
    print_table,
    write_report,
)
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError


class _JudgedBrain(AuxFormerBrain):
    """Predicts; what it would have cost to learn does not matter."""

    def compute_objectives(self, predictions, batch, stage):
        """Keeps the predictions, see `AuxFormerBrain`."""
        logits, asked = predictions
        self.record_predictions(batch, logits, asked)
        return logits.main.new_zeros(())


def evaluate_run(
    run,
    manifest,
    data_folder,
    output_folder=None,
    num_workers=2,
    run_opts=None,
    feature_folder=None,
):
    """Evaluates the best checkpoint of a run on any manifest.

    Features are extracted as in the run, unless they are stored. Classes that
    the model or the manifest does not have are left out, with their clips: the
    model then chooses among those that both have. The floor of the run is not
    there, since it is not kept.

    Arguments
    ---------
    run : str
        A run's output folder. Its hyperparams.yaml is executed: name a run
        that you trust.
    manifest : str
        JSON manifest, as a recipe's preparation writes it.
    data_folder : str
        What `{data_root}` in the manifest stands for.
    output_folder : str, optional
        Where to write metrics, predictions and pictures; by default a folder
        in the run, named after the manifest and the folder that it lies in.
    num_workers : int
        Processes that read media files.
    run_opts : dict, optional
        SpeechBrain's options, such as `device`.
    feature_folder : str, optional
        Where features are stored; by default that of the run, which may be
        relative to the folder that it was trained in.

    Returns
    -------
    dict
        What was written to metrics.json.

    Raises
    ------
    UserError
        If the folder is no finished run, the manifest cannot be read, fewer
        than two classes are common, or the output folder has other results.
    """
    if not Path(data_folder).is_dir():
        raise UserError(f"--data_root {data_folder}: no such folder")
    run, manifest = Path(run), Path(manifest)
    name = f"on_{manifest.resolve().parent.name}_{manifest.stem}"
    output_folder = Path(output_folder or run / name)
    _keep_others(output_folder, manifest)
    hparams, fitted = _load(run, feature_folder)
    task = hparams["task"]
    for setting, value in fitted.items():
        setattr(task, setting, value)

    dataset = _load_clips(manifest, data_folder)
    left_out = Counter()
    if isinstance(task, CategoricalEmotion):
        judged = CategoricalEmotion(
            _common_classes(task, dataset.data, manifest)
        )
        judged.temperature = task.temperature
        task.label_rule = "P"  # votes may be on other emotions
        left_out.update(
            entry.get("emotion") or "tied"
            for entry in dataset.data.values()
            if entry.get("emotion") not in judged.names
        )
        dataset = DynamicItemDataset(
            {
                clip: entry
                for clip, entry in dataset.data.items()
                if entry.get("emotion") in judged.names
            }
        )
    stores = stores_of(hparams)
    extract_features({"test": dataset}, stores, num_workers)
    dataset = add_features(
        dataset, stores, task, min_face_quality=hparams["min_face_quality"]
    )
    brain = _JudgedBrain(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    predictions = brain.predict_each_input(
        dataset, hparams["test_dataloader_opts"]
    )
    if isinstance(task, CategoricalEmotion):
        predictions = {
            name: _restrict(made, task, judged)
            for name, made in predictions.items()
        }
        task = judged
    metrics = {
        "run": str(run.resolve()),
        "manifest": str(manifest.resolve()),
        "left_out": dict(left_out),
        **collect_metrics(
            predictions, {}, task, num_samples=hparams["bootstrap_samples"]
        ),
    }
    output_folder.mkdir(parents=True, exist_ok=True)
    write_report(
        output_folder, metrics, predictions, task, task.figures(predictions)
    )
    print_table(metrics, task)
    if left_out:
        told = ", ".join(f"{n} {name}" for name, n in left_out.most_common())
        print(f"left out, since not all know these emotions: {told}")
    print(f"results: {output_folder.resolve()}")
    return metrics


def _keep_others(output_folder, manifest):
    """Refuses a folder with the results on another manifest."""
    metrics = output_folder / "metrics.json"
    if metrics.exists():
        other = json.loads(metrics.read_text("utf-8")).get("manifest")
        if other != str(manifest.resolve()):
            raise UserError(
                f"{output_folder}: has the results on {other or 'a run'}: "
                "give another --output_folder"
            )


def _load(run, feature_folder):
    """A run's hyperparameters, and what its task was fitted to."""
    try:
        fitted = json.loads((run / "metrics.json").read_text("utf-8"))["fitted"]
        # The run may have been moved, or made from another folder.
        overrides = {"checkpointer": {"checkpoints_dir": str(run / "save")}}
        if feature_folder is not None:
            for store in ("audio_store", "visual_store"):
                overrides[store] = {"folder": str(feature_folder)}
        with open(run / "hyperparams.yaml", encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, overrides)
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{run}: not the output folder of a finished run: {reason}"
        )
    return hparams, fitted


def _load_clips(manifest, data_folder):
    try:
        dataset = load_manifests({"test": manifest}, data_folder)["test"]
        entries = dataset.data.items()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{manifest}: not a JSON manifest: {reason}")
    except (AttributeError, IndexError):  # no entries in it
        entries = ()
    if not entries:
        raise UserError(f"{manifest}: has no clips: name one of a recipe")
    for clip, entry in entries:
        missing = {*MEDIA.values(), "spk_id"} - {*entry}
        if missing:
            raise UserError(
                f"{manifest}: its clip {clip} has no {min(missing)}: name a "
                "manifest that a recipe prepared"
            )
    return dataset


def _common_classes(task, entries, manifest):
    emotions = {entry.get("emotion") for entry in entries.values()}
    common = [name for name in task.names if name in emotions]
    if len(common) < 2:
        raise UserError(
            f"{manifest}: has the emotions "
            f"{sorted(filter(None, emotions))}, the model "
            f"{list(task.names)}: fewer than two are common"
        )
    return common


def _restrict(made, task, judged):
    """Predictions among fewer classes, their shares among each other."""
    columns = [task.names.index(name) for name in judged.names]
    outputs = {}
    for head in HEADS:
        shares = np.array(made.outputs[head])[:, columns]
        outputs[head] = (shares / shares.sum(1, keepdims=True)).tolist()
    truth = [[columns.index(index)] for (index,) in made.truth]
    return Predictions(made.clips, made.speakers, truth, outputs)
