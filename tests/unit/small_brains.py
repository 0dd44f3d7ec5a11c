"""A small network, a Brain and clips for each task, for the tests."""

from functools import partial

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.train_logger import FileTrainLogger

from auxformer_lobes import (
    AuxFormer,
    AuxFormerBrain,
    FeatureNorm,
    ModalityDropout,
    SharedLoss,
)
from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.nnet.schedulers import WarmupCosineScheduler
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.checkpoints import AtomicCheckpointer

CLASSES = ["angry", "happy"]
TASKS = {
    "categories": lambda: CategoricalEmotion(CLASSES),
    "votes": lambda: CategoricalEmotion(CLASSES, label_rule="D"),
    "secondary": lambda: MultiLabelEmotion(CLASSES),
    "binary": lambda: MultiLabelEmotion(CLASSES, binary=True),
    "attributes": lambda: DimensionalEmotion(["arousal", "valence"]),
}


class SmallBrain(AuxFormerBrain):
    """The least that a recipe adds."""

    def compute_objectives(self, predictions, batch, stage):
        logits, head_mask = predictions
        loss = self.modules.shared_loss(logits, batch.target.data, head_mask)
        self.record(batch, loss, logits, head_mask, stage)
        return loss.total


def clips(prefix, kind="categories", count=12):
    """The sign of audio gives the label; visual is noise."""
    generator = torch.Generator().manual_seed(sum(map(ord, prefix)))
    task, items = TASKS[kind](), {}
    for i in range(count):
        happy = i % 2
        entry = {
            "emotion": CLASSES[happy],
            "votes": [0.9 - 0.8 * happy, 0.1 + 0.8 * happy],
            "attributes": {"arousal": 2.0 + happy, "valence": 1.5 + 3 * happy},
        }
        target, truth = task.labels(*(entry[key] for key in task.takes))
        items[f"{prefix}{i}"] = {
            "audio": torch.full((3 + i % 3, 4), 2.0 * happy - 1.0),
            "visual": torch.randn(2, 3, generator=generator),
            "audio_mask": torch.ones(3 + i % 3, dtype=torch.bool),
            "visual_mask": torch.ones(2, dtype=torch.bool),
            "target": target,
            "truth": truth,
            "spk_id": f"{i % 3}",
        }
    return DynamicItemDataset(items, output_keys=["id", *items[f"{prefix}0"]])


def history_of(brain):
    """Losses and metrics by epoch, as the run folder has them."""
    return Run(brain.hparams.output_folder).history()


def build(
    folder,
    kind="categories",
    brain=SmallBrain,
    network=None,
    train_condition=None,
    shared_loss=None,
    **options,
):
    """Builds a brain whose run lies in a folder of its own."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    task = TASKS[kind]()
    modules = {
        "audio_norm": FeatureNorm(4),
        "visual_norm": FeatureNorm(3),
        "train_condition": train_condition or ModalityDropout(0.2, 0.2),
        "network": network
        or AuxFormer(
            4,
            3,
            10,
            2,
            num_layers=1,
            num_classes=2,
            shared_auxiliary_head=False,
            embedding_dropout=0.1,
        ),
        "shared_loss": shared_loss or SharedLoss(criterion=task.criterion),
    }
    hparams = {
        "seed": 0,
        "task": task,
        "network": modules["network"],
        "select_by": "loss",
        "number_of_epochs": 3,
        "output_folder": str(folder),
        "train_logger": FileTrainLogger(folder / "train_log.txt"),
        "step_schedule": WarmupCosineScheduler(0.02, 4),
        **options,
    }
    counter = EpochCounter(hparams["number_of_epochs"])
    recoverables = {
        "model": modules["network"],
        "shared_loss": modules["shared_loss"],
        "step_schedule": hparams["step_schedule"],
        "epoch_counter": counter,
    }
    return brain(
        modules,
        partial(torch.optim.Adam, fused=True),
        {**hparams, "epoch_counter": counter},
        {"noprogressbar": True},
        AtomicCheckpointer(folder / "save", recoverables),
    )


def fit(brain, kind="categories", count=12):
    """Trains a brain on so many clips."""
    brain.fit(
        brain.hparams.epoch_counter,
        clips("train", kind, count),
        clips("valid", kind),
        train_loader_kwargs={"batch_size": 12, "shuffle": True},
        valid_loader_kwargs={"batch_size": 12},
    )
    return brain


def predict(brain, kind="categories", test="test"):
    """Predicts twelve clips under each condition."""
    return brain.predict_conditions(
        clips("valid", kind), clips(test, kind), CONDITIONS, {"batch_size": 5}
    )
