#!/usr/bin/env python3
"""Recipe for audiovisual emotion recognition on CREMA-D with AuxFormer.

It prepares the manifests, extracts the features that are missing, trains,
and evaluates the best checkpoint from sound and picture, from sound alone
and from picture alone. Interrupted anywhere, it goes on from where it was.

To run this recipe, do the following:
> python train.py hparams/auxformer_offline.yaml --data_folder /path/to/CREMA-D
"""

import os
import sys

import speechbrain as sb
from crema_d_prepare import prepare_crema_d
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAMLError
from speechbrain.utils.distributed import ddp_init_group, run_on_main

from auxformer_lobes import plots
from auxformer_lobes.brain import AuxFormerBrain
from auxformer_lobes.dataio import (
    add_features,
    extract_features,
    fit_norms,
    load_manifests,
)
from auxformer_lobes.errors import UserError, one_line_errors
from auxformer_lobes.floor import logistic_floor
from auxformer_lobes.report import (
    collect_metrics,
    print_prediction,
    print_table,
    write_report,
)
from auxformer_lobes.resume import check_same_run


class EmotionBrain(AuxFormerBrain):
    """AuxFormer on stored features, with the shared loss."""

    def compute_forward(self, batch, stage):
        """From features to the logits of the three heads."""
        batch = batch.to(self.device)
        present = self.visible(batch.present.data, stage)
        return self.logits(batch, present), present

    def compute_objectives(self, predictions, batch, stage):
        """From the logits of the three heads to the loss that they share."""
        logits, present = predictions
        if self.hparams.missing == "zeros":
            present = None
        if self.hparams.label_rule == "D":
            targets = batch.shares.data
        else:
            targets = batch.label.data.squeeze(1)
        loss = self.modules.shared_loss(logits, targets, present)
        self.record(batch, loss, logits, present, stage)
        return loss.total


def choose_partition(hparams):
    """The user's own lists of actors, or else a published partition.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Returns
    -------
    int or dict
        What `prepare_crema_d` takes.
    """
    own = {"valid": hparams["valid_actors"], "test": hparams["test_actors"]}
    if any(own.values()):
        if hparams["released_labels"]:
            raise UserError(
                "released_labels have a partition of their own: leave "
                "valid_actors and test_actors out"
            )
        return {split: actors or [] for split, actors in own.items()}
    return hparams["partition"]


def dataio_prep(hparams):
    """Makes the datasets, and extracts the features that are missing.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Returns
    -------
    dict
        "train", "valid" and "test" -> `DynamicItemDataset`.
    """
    manifests = {
        "train": hparams["train_annotation"],
        "valid": hparams["valid_annotation"],
        "test": hparams["test_annotation"],
    }
    stores = {
        "audio": hparams["audio_store"],
        "visual": hparams["visual_store"],
    }
    run_on_main(
        check_same_run,
        args=[hparams["save_folder"], manifests, stores, hparams["model"]],
    )
    datasets = load_manifests(manifests, hparams["data_folder"])
    run_on_main(
        extract_features,
        args=[datasets, stores],
        kwargs={"num_workers": hparams["num_workers"]},
    )
    return {
        split: add_features(
            dataset,
            stores,
            hparams["classes"],
            # Selection and test are on clips that have both.
            require_both=hparams["require_both"] or split != "train",
        )
        for split, dataset in datasets.items()
    }


def report(hparams, brain, datasets, predictions):
    """Writes and prints what the run has come to, next to the floor.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.
    brain : EmotionBrain
        The trained brain.
    datasets : dict
        Split -> dataset.
    predictions : dict of Predictions
        What `brain.predict_all` returns.
    """
    classes = hparams["classes"]
    bootstrap = {"num_samples": hparams["bootstrap_samples"]}
    floor = logistic_floor(datasets, classes, **bootstrap)
    metrics = collect_metrics(predictions, floor, classes, **bootstrap)
    example = datasets["test"][0]
    figures = {
        "confusion": plots.confusion_matrices(predictions, classes),
        "learning_curves": plots.learning_curves(
            brain.history(), hparams["select_by"]
        ),
        "prediction": plots.prediction(
            example["id"], predictions, classes, brain.cross_attention(example)
        ),
    }
    write_report(hparams["output_folder"], metrics, predictions, figures)
    print_table(metrics)
    print_prediction(example["id"], predictions, classes)
    print(f"results: {os.path.abspath(hparams['output_folder'])}")


# RECIPE BEGINS!
if __name__ == "__main__":
    with one_line_errors():
        # Reading command line arguments.
        hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
        ddp_init_group(run_opts)
        with one_line_errors(
            OSError, LookupError, TypeError, ValueError, YAMLError
        ):
            with open(hparams_file, encoding="utf-8") as fin:
                hparams = load_hyperpyyaml(fin, overrides)
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )

        # Data preparation and feature extraction, on one process only.
        if not hparams["skip_prep"]:
            run_on_main(
                prepare_crema_d,
                kwargs={
                    "data_folder": hparams["data_folder"],
                    "save_folder": hparams["manifest_folder"],
                    "label_rule": hparams["label_rule"],
                    "num_classes": hparams["num_classes"],
                    "partition": choose_partition(hparams),
                    "condition": hparams["condition"],
                    "released_labels": hparams["released_labels"],
                    "require_both": hparams["require_both"],
                    "open_video": hparams["open_video"],
                    "num_workers": hparams["num_workers"],
                },
            )
        datasets = dataio_prep(hparams)
        if hparams["checkpointer"].find_checkpoint() is None:
            fit_norms(datasets["train"], hparams["modules"])

        brain = EmotionBrain(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        brain.fit(
            hparams["epoch_counter"],
            datasets["train"],
            datasets["valid"],
            train_loader_kwargs=hparams["train_dataloader_opts"],
            valid_loader_kwargs=hparams["test_dataloader_opts"],
        )

        # Evaluation of the best checkpoint.
        predictions = brain.predict_all(
            datasets["test"], hparams["test_dataloader_opts"]
        )
        hparams["train_logger"].log_stats(
            {"epoch loaded": hparams["epoch_counter"].current},
            test_stats={
                f"{name} f1_macro": made.metrics("combined")["f1_macro"]
                for name, made in predictions.items()
            },
        )
        run_on_main(report, args=[hparams, brain, datasets, predictions])
