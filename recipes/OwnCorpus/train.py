#!/usr/bin/env python3
"""Recipe for audiovisual emotion recognition on your own clips with AuxFormer.

A table of clips, such as `auxformer init FOLDER` writes, is all it needs. It
prepares the manifests, extracts the features that are missing, trains, and
evaluates the best checkpoint under each test condition: both modalities, audio
only, visual only. Clips of one modality train a network on that one.

To run this recipe, do the following:
> python train.py hparams/auxformer_offline.yaml --data_folder FOLDER \\
>     --table clips.csv
"""

import sys
from contextlib import ExitStack

import speechbrain as sb
from own_corpus_prepare import prepare_own_corpus
from own_corpus_table import classes_of, find_labels, modalities_of, open_table
from speechbrain.utils.distributed import run_on_main

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.hparams import load_hparams, parse_arguments
from auxformer_lobes.experiments.one_modality import one_modality_defaults
from auxformer_lobes.experiments.recipe import train_and_evaluate
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
    """Values that the table decides, see `parse_arguments`."""
    table = open_table(hparams["table"], hparams["data_folder"])
    labels = find_labels(
        table, hparams["labels"], hparams["votes"], hparams["attributes"]
    )
    defaults = one_modality_defaults(
        table.path, modalities_of(table, hparams["data_folder"]), hparams
    )
    if labels.kind == "attributes":
        defaults["attributes"] = labels.columns
    elif hparams["classes"] is None:
        defaults["classes"] = classes_of(table, labels)
    return defaults


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
                    prepare_own_corpus,
                    kwargs={
                        "data_folder": hparams["data_folder"],
                        "table": hparams["table"],
                        "save_folder": hparams["output_folder"],
                        "labels": hparams["labels"],
                        "votes": hparams["votes"],
                        "classes": hparams["classes"],
                        "label_rule": hparams["label_rule"],
                        "attributes": hparams["attributes"],
                        "scale": (hparams["low"], hparams["high"]),
                        "num_folds": hparams["num_folds"],
                        "fold": hparams["fold"],
                        "split_seed": hparams["split_seed"],
                        "require_both": hparams["require_both"],
                        "longest": hparams["longest"],
                        "num_workers": hparams["num_workers"],
                        "card": hparams["corpus"],
                    },
                )
        train_and_evaluate(EmotionBrain, hparams, run_opts)


# RECIPE BEGINS!
if __name__ == "__main__":
    main(sys.argv[1:])
