#!/usr/bin/env python3
"""AuxFormer on the half of RAVDESS that `real_people.py` measures.

Actors 1 to 12 speak two sentences in CREMA-D's six emotions (Livingstone and
Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", PLoS
ONE 2018). `partition` 1 to 3: four actors for the test, two for the development
set, six for training. The YAML files are those of recipes/CREMA-D.
"""

import csv
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import speechbrain as sb
from speechbrain.utils.distributed import run_on_main

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.manifests import is_prepared, write_manifests
from auxformer_lobes.dataio.run import SPLITS, Run
from auxformer_lobes.experiments.hparams import load_hparams, parse_arguments
from auxformer_lobes.experiments.recipe import train_and_evaluate
from auxformer_lobes.experiments.resume import prepared_run
from auxformer_lobes.utils.errors import UserError, one_line_errors

FOLDS = 3
ACTORS = 12
DIM = 35  # action units of OpenFace, their means over the clip


class EmotionBrain(AuxFormerBrain):
    """AuxFormer on stored features, with the shared loss."""

    def compute_objectives(self, predictions, batch, stage):
        """Computes the shared loss, and records it."""
        logits, head_mask = predictions
        loss = self.modules.shared_loss(logits, batch.target.data, head_mask)
        self.record(batch, loss, logits, head_mask, stage)
        return loss.total


def read_clips(folder):
    """Rows of the table of clips.

    Arguments
    ---------
    folder : str or Path
        The corpus: `clips.csv` and `flac/`.

    Returns
    -------
    list of dict
    """
    with open(Path(folder) / "clips.csv", newline="") as file:
        return [*csv.DictReader(file)]


def write_action_units(folder, target):
    """Writes the action units of each clip as a NumPy file `[1, 35]`.

    Arguments
    ---------
    folder : str or Path
        The corpus.
    target : Path
        Folder of the files.
    """
    target.mkdir(parents=True, exist_ok=True)
    for row in read_clips(folder):
        units = [float(v) for name, v in row.items() if name.startswith("AU")]
        np.save(target / row["clip"], np.array([units], dtype=np.float32))


def splits_of(fold):
    """Split of each actor; odd numbers are men, even ones women.

    Arguments
    ---------
    fold : int
        1 to 3.

    Returns
    -------
    dict
        Actor → split.

    Example
    -------
    >>> [actor for actor, split in splits_of(3).items() if split != "train"]
    [9, 10, 11, 12, 1, 2]
    """
    turned = [(4 * (fold - 1) + i) % ACTORS + 1 for i in range(ACTORS)]
    names = ["test"] * 4 + ["valid"] * 2 + ["train"] * 6
    return dict(zip(turned, names))


def prepare_ravdess(data_folder, save_folder, partition):
    """Writes the manifests of a fold.

    Arguments
    ---------
    data_folder : str
        The corpus.
    save_folder : str
        Folder to write to.
    partition : int
        The fold, 1 to 3.
    """
    if partition not in range(1, FOLDS + 1):
        raise UserError(f"partition {partition}: choose 1 to {FOLDS}")
    options = {"data_folder": data_folder, "partition": partition}
    if is_prepared(save_folder, options):
        return
    splits = splits_of(partition)
    manifests = {split: {} for split in SPLITS}
    for row in read_clips(data_folder):
        clip, actor = row["clip"], int(row["actor"])
        wav = f"flac/{clip}.flac"
        manifests[splits[actor]][clip] = {
            "wav": f"{{data_root}}/{wav}",
            # There is no video; its action units are found by the clip's name.
            "video": f"{{data_root}}/video/{clip}.mp4",
            "duration": soundfile.info(Path(data_folder) / wav).duration,
            "emotion": row["emotion"],
            # The emotion is the intended one: these clips have no votes here.
            "votes": None,
            "spk_id": f"{actor:02}",
            "gender": "male" if actor % 2 else "female",
            "sentence": clip.split("-")[4],
        }
    write_manifests("RAVDESS", save_folder, manifests, options, {}, [])


def main(argv):
    """Runs the recipe.

    Arguments
    ---------
    argv : list of str
        Arguments of the command line: the YAML file, and options.
    """
    with ExitStack() as stack:
        stack.enter_context(one_line_errors())
        hparams_file, run_opts, overrides = parse_arguments(argv)
        hparams = load_hparams(hparams_file, run_opts, overrides)
        stack.enter_context(Run(hparams["output_folder"]).lock())
        with prepared_run(hparams):
            sb.create_experiment_directory(
                experiment_directory=hparams["output_folder"],
                hyperparams_to_save=hparams_file,
                overrides=overrides,
            )
            run_on_main(
                prepare_ravdess,
                kwargs={
                    "data_folder": hparams["data_folder"],
                    "save_folder": hparams["output_folder"],
                    "partition": hparams["partition"],
                },
            )
        train_and_evaluate(EmotionBrain, hparams, run_opts)


if __name__ == "__main__":
    main(sys.argv[1:])
