#!/usr/bin/env python3
"""Recipe for audiovisual emotion recognition on CREMA-D with AuxFormer.

It prepares the manifests, extracts the features that are missing, trains,
and evaluates the best checkpoint under each test condition: both modalities,
audio only, visual only. Interrupted anywhere, it resumes where it was.

To run this recipe, do the following:
> python train.py hparams/auxformer_offline.yaml --data_folder /path/to/CREMA-D
"""

import sys
from contextlib import ExitStack

import speechbrain as sb
from crema_d_prepare import modalities_of_copy, prepare_crema_d
from speechbrain.utils.distributed import run_on_main

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.hparams import load_hparams, parse_arguments
from auxformer_lobes.experiments.one_modality import one_modality_defaults
from auxformer_lobes.experiments.recipe import (
    choose_partition,
    train_and_evaluate,
)
from auxformer_lobes.experiments.resume import prepared_run
from auxformer_lobes.utils.errors import one_line_errors


class EmotionBrain(AuxFormerBrain):
    """AuxFormer on stored features, with the shared loss."""

    def compute_objectives(self, predictions, batch, stage):
        """Computes the shared loss, and records it."""
        logits, head_mask = predictions
        loss = self.modules.shared_loss(logits, batch.target.data, head_mask)
        self.record(batch, loss, logits, head_mask, stage)
        return loss.total


def data_defaults(hparams):
    """Values that the data decide, see `parse_arguments`."""
    folder = hparams["data_folder"]
    modalities = modalities_of_copy(folder, hparams["open_video"])
    return one_modality_defaults(folder, modalities, hparams)


def main(argv):
    """Runs the recipe.

    Arguments
    ---------
    argv : list of str
        Arguments of the command line: the YAML file, and options.
    """
    with ExitStack() as stack:
        stack.enter_context(one_line_errors())
        hparams_file, run_opts, overrides = parse_arguments(argv, data_defaults)
        hparams = load_hparams(hparams_file, run_opts, overrides)
        stack.enter_context(Run(hparams["output_folder"]).lock())
        # The folder of another run is refused, and left as it was.
        with prepared_run(hparams):
            # The run folder keeps a copy of this script too.
            sb.create_experiment_directory(
                experiment_directory=hparams["output_folder"],
                hyperparams_to_save=hparams_file,
                overrides=overrides,
            )
            # Data preparation, on one process only.
            if not hparams["skip_prep"]:
                run_on_main(
                    prepare_crema_d,
                    kwargs={
                        "data_folder": hparams["data_folder"],
                        "save_folder": hparams["output_folder"],
                        "label_rule": hparams["label_rule"],
                        "num_classes": hparams["num_classes"],
                        "partition": choose_partition(
                            hparams,
                            hparams["valid_actors"],
                            hparams["test_actors"],
                        ),
                        "presentation": hparams["presentation"],
                        "released_labels": hparams["released_labels"],
                        "split_file": hparams["split_file"],
                        "require_both": hparams["require_both"],
                        "open_video": hparams["open_video"],
                        "num_workers": hparams["num_workers"],
                    },
                )
        train_and_evaluate(EmotionBrain, hparams, run_opts)


# RECIPE BEGINS!
if __name__ == "__main__":
    main(sys.argv[1:])
