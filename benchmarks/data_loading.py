#!/usr/bin/env python3
"""Measures whether reading stored features keeps up with the training.

It fills two stores with random features of so many clips, in a temporary
folder: 1000 clips of the default sizes take 0.3 GB, twice that for a moment.
Then it reads an epoch, and trains one, with the network of the recipes.

Example
-------
> python benchmarks/data_loading.py --clips 4900 --num_workers 2
"""

import argparse
import tempfile
import time
from pathlib import Path

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataset import DynamicItemDataset

from auxformer_lobes import AuxFormerBrain, FeatureNorm, SharedLoss
from auxformer_lobes.augment.frame_loss import LostBursts
from auxformer_lobes.augment.missing import Chain, ModalityDropout
from auxformer_lobes.dataio.dataset import add_features, fit_norms
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.tasks import CategoricalEmotion

NETWORK = (
    Path(__file__).parents[1]
    / "recipes/CREMA-D/hparams/networks/auxformer.yaml"
)
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad")
SECONDS = 2.5  # of a clip


class Brain(AuxFormerBrain):
    """A recipe's, whose first batch is noted."""

    first_batch = None

    def compute_objectives(self, predictions, batch, stage):
        """Computes the shared loss, and records it."""
        logits, head_mask = predictions
        loss = self.modules.shared_loss(logits, batch.target.data, head_mask)
        self.record(batch, loss, logits, head_mask, stage)
        return loss.total

    def on_fit_batch_start(self, batch, should_step):
        """Notes when the first batch is there."""
        self.first_batch = self.first_batch or time.perf_counter()
        super().on_fit_batch_start(batch, should_step)


def make_stores(folder, clips, shapes):
    """Fills stores with random features.

    Arguments
    ---------
    folder : str
        Their folder.
    clips : list of str
        Names of the clips.
    shapes : dict of tuple
        Modality → most frames of a clip, and channels; clips have from half as
        many frames.

    Returns
    -------
    dict of FeatureStore
    """
    rng, stores = torch.Generator().manual_seed(0), {}
    for modality, (frames, dim) in shapes.items():
        store = FeatureStore(folder, Extractor(dim, modality=modality))
        longest = torch.randn(frames, dim, generator=rng)
        lengths = torch.randint(
            frames // 2, frames + 1, [len(clips)], generator=rng
        )
        for clip, length in zip(clips, lengths.tolist()):
            store.add(clip, None, longest[:length], version=0)
        store.merge()
        stores[modality] = store
    return stores


def measure(folder, args):
    """Reads and trains an epoch.

    Arguments
    ---------
    folder : str
        A temporary folder.
    args : argparse.Namespace
        The options of the command line.

    Returns
    -------
    dict of float
        What was measured, by name.
    """
    clips = [f"clip{i}" for i in range(args.clips)]
    shapes = {"audio": args.audio, "visual": args.visual}
    stores = make_stores(folder, clips, shapes)
    task = CategoricalEmotion(EMOTIONS)
    entries = {
        clip: {
            "wav": "a.wav",
            "video": "a.mp4",
            "duration": SECONDS,
            "emotion": EMOTIONS[i % 6],
            "votes": None,
            "spk_id": "1",
        }
        for i, clip in enumerate(clips)
    }
    start = time.perf_counter()
    dataset = add_features(DynamicItemDataset(entries), stores, task)
    modules = {f"{m}_norm": FeatureNorm(dim) for m, (_, dim) in shapes.items()}
    fit_norms(dataset, modules)
    lossy = Chain([ModalityDropout(), LostBursts(0.4)], [1.0, 0.25])
    modules["train_condition"] = lossy
    dims = (f"    {m}_dim: {dim}\n" for m, (_, dim) in shapes.items())
    text = f"network: !include:{NETWORK}\n{''.join(dims)}"
    modules |= load_hyperpyyaml(text)
    modules["shared_loss"] = SharedLoss(criterion=task.criterion)
    hparams = {
        "network": modules["network"],
        "task": task,
        "seed": 0,
        "number_of_epochs": 1,
        "select_by": "loss",
    }
    brain = Brain(
        modules,
        lambda weights: torch.optim.Adam(weights, fused=True),
        hparams,
        {"device": args.device, "noprogressbar": True},
    )
    options = {"batch_size": args.batch_size, "num_workers": args.num_workers}
    loader = brain.make_dataloader(
        dataset, sb.Stage.TRAIN, shuffle=True, **options
    )
    brain.fit([1], loader)
    trained = time.perf_counter()
    for _ in loader:
        pass
    return {
        "clips/s, reading alone": args.clips / (time.perf_counter() - trained),
        "clips/s, training": args.clips / (trained - brain.first_batch),
        "share of the epoch that waited": brain.loading["waiting"],
        "share of padded frames": brain.loading["padding"],
        "seconds to the first batch": brain.first_batch - start,
    }


def main():
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=1000)
    shape = {"type": int, "nargs": 2, "metavar": ("FRAMES", "CHANNELS")}
    parser.add_argument("--audio", default=(125, 1024), **shape)
    parser.add_argument("--visual", default=(75, 50), **shape)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, value in measure(folder, args).items():
            print(f"{name:32} {value:8.3g}")


if __name__ == "__main__":
    main()
