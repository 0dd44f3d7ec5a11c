"""Records, selection and evaluation that recipes share."""

from types import SimpleNamespace

import numpy as np
import pytest
import speechbrain as sb
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
from auxformer_lobes.checkpoints import WholeCheckpointer
from auxformer_lobes.errors import UserError
from auxformer_lobes.schedules import WarmupCosineScheduler

CLASSES = ["angry", "happy"]


class SmallBrain(AuxFormerBrain):
    """The least that a recipe adds."""

    def compute_forward(self, batch, stage):
        present = self.visible(batch.present.data, stage)
        return self.logits(batch, present), present

    def compute_objectives(self, predictions, batch, stage):
        logits, present = predictions
        labels = batch.label.data.squeeze(1)
        loss = self.modules.shared_loss(logits, labels, present)
        self.record(batch, loss, logits, present, stage)
        return loss.total


def clips(prefix, count=12):
    """The sign of the sound tells the class; the picture tells nothing."""
    generator = torch.Generator().manual_seed(len(prefix))
    return DynamicItemDataset(
        {
            f"{prefix}{i}": {
                "audio": torch.full((3 + i % 3, 4), 2.0 * (i % 2) - 1.0),
                "visual": torch.randn(2, 3, generator=generator),
                "present": torch.tensor([True, True]),
                "label": torch.tensor([i % 2]),
                "spk_id": f"{i % 3}",
            }
            for i in range(count)
        },
        output_keys=["id", "audio", "visual", "present", "label", "spk_id"],
    )


@pytest.fixture
def make_brain(tmp_path):
    """Builds a brain whose runs lie in a folder of their own."""

    def _make(run="run", **options):
        folder = tmp_path / run
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        modules = {
            "audio_norm": FeatureNorm(4),
            "visual_norm": FeatureNorm(3),
            "modality_dropout": ModalityDropout(0.2, 0.2),
            "auxformer": AuxFormer(
                4, 3, 10, 2, num_layers=1, num_classes=2, embedding_dropout=0.1
            ),
            "shared_loss": SharedLoss(),
        }
        hparams = {
            "seed": 0,
            "classes": CLASSES,
            "select_by": "loss",
            "number_of_epochs": 4,
            "output_folder": str(folder),
            "train_logger": FileTrainLogger(folder / "train_log.txt"),
            "step_schedule": WarmupCosineScheduler(0.01, 4),
            **options,
        }
        recoverables = {"model": modules["auxformer"]}
        return SmallBrain(
            modules,
            torch.optim.Adam,
            hparams,
            {"noprogressbar": True},
            WholeCheckpointer(folder / "save", recoverables),
        )

    return _make


def fit(brain):
    counter = EpochCounter(brain.hparams.number_of_epochs)
    loader = {"batch_size": 4}
    brain.fit(counter, clips("train"), clips("valid"), None, loader, loader)
    return brain


def test_it_learns_and_each_input_is_what_it_says(make_brain):
    brain = fit(make_brain(number_of_epochs=12))
    made = brain.predict_all(clips("test"), {"batch_size": 5})
    assert made["audio_visual"].metrics("combined")["uar"] == 1
    assert made["audio_only"].metrics("audio")["uar"] == 1
    assert made["visual_only"].metrics("combined")["uar"] < 0.9
    heard = made["audio_only"].probabilities
    seen_too = made["audio_visual"].probabilities
    np.testing.assert_allclose(heard["audio"], seen_too["audio"], atol=1e-6)
    assert not np.allclose(heard["main"], seen_too["main"])


def test_a_seed_gives_the_same_run(make_brain):
    first, second = fit(make_brain("first")), fit(make_brain("second"))
    assert first.history() == second.history()
    assert len(first.history()) == 4


@pytest.mark.parametrize("select_by, best", [("loss", min), ("uar", max)])
def test_the_best_checkpoint_is_the_best_epoch(make_brain, select_by, best):
    brain = fit(make_brain(select_by=select_by))
    key = {min: "min_key", max: "max_key"}[best]
    chosen = brain.checkpointer.find_checkpoint(**{key: select_by})
    values = [entry["valid"][select_by] for entry in brain.history()]
    assert chosen.meta[select_by] == best(values)


def test_the_rate_that_is_logged_is_that_of_the_last_step(make_brain):
    rates = [entry["lr"] for entry in fit(make_brain()).history()]
    steps = WarmupCosineScheduler(0.01, 4)
    optimizer = SimpleNamespace(param_groups=[{}])
    for step in range(1, 13):
        steps(optimizer, total_steps=12)
        if step % 3 == 0:
            expected = optimizer.param_groups[0]["lr"]
            assert rates[step // 3 - 1] == pytest.approx(expected)


def test_in_training_modalities_are_shut_off_and_in_validation_not(make_brain):
    brain = make_brain()
    present = torch.ones(500, 2, dtype=torch.bool)
    assert not brain.visible(present, sb.Stage.TRAIN).all()
    brain.modules.eval()
    assert brain.visible(present, sb.Stage.VALID).all()


def test_attention_is_a_picture_of_one_clip(make_brain):
    attention = make_brain().cross_attention(clips("test")[0])
    assert attention.shape == (3, 2)
    torch.testing.assert_close(attention.sum(1), torch.ones(3))


def test_what_cannot_be_evaluated_is_said(make_brain):
    with pytest.raises(UserError, match="no checkpoint to evaluate"):
        make_brain().predict_all(clips("test"), {})
    with pytest.raises(UserError, match="select_by 'f2' is unknown"):
        fit(make_brain(select_by="f2"))
