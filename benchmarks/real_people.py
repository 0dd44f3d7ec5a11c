#!/usr/bin/env python3
"""Compares the networks on real people: half of RAVDESS.

Three folds of four unseen actors each, three seeds, all networks of the
recipes, on Fbank or ComParE features and the action units of the face. Settings
are those of recipes/CREMA-D/hparams/auxformer_offline.yaml, but 20 epochs.

Example
-------
> python benchmarks/real_people.py /path/to/RAVDESS --jobs 2
> python benchmarks/real_people.py /path/to/RAVDESS --audio compare
"""

import argparse
import os
import sys
from pathlib import Path

from ravdess_train import DIM, write_action_units

from auxformer_lobes.cli.main import main as auxformer

ROOT = Path(__file__).parents[1]
HPARAMS = ROOT / "recipes" / "CREMA-D" / "hparams"


def main():
    """Runs the study, and prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("folder", help="the corpus, with clips.csv and flac/")
    add("--output_folder", default="results/real_people")
    add("--audio", default="fbank", help="a file of hparams/encoders")
    add("--networks", help="separated by commas (default: all)")
    add("--seeds", default="0,1,2", help="separated by commas")
    add("--epochs", default="20")
    add("--jobs", default="1")
    options = parser.parse_args()
    networks = options.networks or ",".join(
        sorted(path.stem for path in (HPARAMS / "networks").iterdir())
    )
    output = Path(options.output_folder).resolve()
    units = output / "action_units"
    write_action_units(options.folder, units)
    features = "auxformer_lobes.features.precomputed.NumpyFeatures"
    arguments = {
        "data_folder": os.path.abspath(options.folder),
        "feature_folder": output / "features",
        "output_folder": output / options.audio,
        "visual_features": f"!new:{features} {{folder: {units}, dim: {DIM}}}",
        "audio_features": options.audio,
        "number_of_epochs": options.epochs,
        # The clips are short: reading is no work.
        "train_dataloader_opts": "{num_workers: 0}",
        "test_dataloader_opts": "{num_workers: 0}",
        "jobs": options.jobs,
    }
    vary = [f"seed={options.seeds}", "partition=1,2,3", f"network={networks}"]
    return auxformer(
        [
            "experiment",
            str(ROOT / "benchmarks" / "ravdess_train.py"),
            str(HPARAMS / "auxformer_offline.yaml"),
            *(f"--{name}={value}" for name, value in arguments.items()),
            *(f"--vary={each}" for each in vary),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
