#!/usr/bin/env python3
"""Recipe for audiovisual emotion recognition on CREMA-D with AuxFormer.

It prepares the manifests, extracts the features that are missing, trains,
and evaluates the best checkpoint from sound and picture, from sound alone
and from picture alone. Interrupted anywhere, it goes on from where it was.

To run this recipe, do the following:
> python train.py hparams/auxformer_offline.yaml --data_folder /path/to/CREMA-D
"""

import sys

import speechbrain as sb
from crema_d_prepare import prepare_crema_d
from speechbrain.utils.distributed import run_on_main

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.experiments.recipe import (
    choose_partition,
    load_hparams,
    train_and_evaluate,
)
from auxformer_lobes.experiments.resume import run_folder
from auxformer_lobes.utils.errors import one_line_errors


class EmotionBrain(AuxFormerBrain):
    """AuxFormer on stored features, with the shared loss."""

    def compute_objectives(self, predictions, batch, stage):
        """From the logits of the three heads to the loss that they share."""
        logits, asked = predictions
        loss = self.modules.shared_loss(logits, batch.target.data, asked)
        self.record(batch, loss, logits, asked, stage)
        return loss.total


# RECIPE BEGINS!
if __name__ == "__main__":
    with one_line_errors():
        hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
        hparams = load_hparams(hparams_file, run_opts, overrides)
        # Another run's folder is refused, and left as it was.
        with run_folder(hparams):
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
                        "condition": hparams["condition"],
                        "released_labels": hparams["released_labels"],
                        "require_both": hparams["require_both"],
                        "open_video": hparams["open_video"],
                        "num_workers": hparams["num_workers"],
                    },
                )
        train_and_evaluate(EmotionBrain, hparams, run_opts)
