"""A new network and a new condition are one class each.

Whatever reads heads and conditions (loss, late fusion, training, metrics,
linear baseline, tables, figures) takes them as they are.
"""

import pytest
import torch

from auxformer_lobes.augment.missing import AUDIO_VISUAL, Condition, Stream
from auxformer_lobes.evaluation.collection import collect_metrics
from auxformer_lobes.models.base import AudioVisualNetwork
from auxformer_lobes.reporting.figures import learning_curves, prediction
from auxformer_lobes.reporting.tables import print_table
from tests.unit.small_brains import build, clips, fit, history_of


class EarlyFusion(AudioVisualNetwork):
    """One head on the mean of all frames of both modalities."""

    heads = {"main": ("audio", "visual")}

    def __init__(self, audio_dim, visual_dim, num_classes):
        super().__init__()
        self.dims = {"audio": audio_dim, "visual": visual_dim}
        self.num_classes = num_classes
        self.output = torch.nn.Linear(audio_dim + visual_dim, num_classes)

    def forward(self, audio, visual, audio_lens, visual_lens, present, *masks):
        means = [
            (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, True).clamp(min=1)
            for x, mask in zip((audio, visual), masks)
        ]
        return {"main": self.output(torch.cat(means, 1))}


class TwoViews(EarlyFusion):
    """Five heads: the fusion, and two on each modality alone."""

    heads = {
        "main": ("audio", "visual"),
        "audio_1": ("audio",),
        "audio_2": ("audio",),
        "visual_1": ("visual",),
        "visual_2": ("visual",),
    }

    def forward(self, *inputs):
        main = super().forward(*inputs)["main"]
        return {head: (i + 1) * main for i, head in enumerate(self.heads)}


class BurstLoss(Condition):
    """Loses bursts of frames (Gilbert model), a share of them in all.

    P(bad→good) = 1 / burst, P(good→bad) = share / (burst (1 - share)).
    """

    def __init__(self, share=0.4, burst=3, seed=0):
        super().__init__(f"bursts_{share:.0%}", seed)
        self.share, self.burst = share, burst

    def forward(self, streams, clips):
        to_bad = self.share / (self.burst * (1 - self.share))
        lost = {name: torch.zeros_like(s.mask) for name, s in streams.items()}
        for row, clip in enumerate(clips):
            for name, mask in lost.items():
                rng = self.rng(clip, name)
                bad = bool(rng.random() < self.share)
                for frame, draw in enumerate(rng.random(mask.shape[1])):
                    mask[row, frame] = bad
                    bad = bool(draw >= 1 / self.burst if bad else draw < to_bad)
        return {
            name: s._replace(mask=s.mask & ~lost[name])
            for name, s in streams.items()
        }


BURSTS = BurstLoss()


@pytest.fixture(scope="module", params=[EarlyFusion, TwoViews])
def brain(request, tmp_path_factory):
    """Trained with bursts of lost frames."""
    brain = build(
        tmp_path_factory.mktemp("run"),
        network=request.param(4, 3, 2),
        train_condition=BURSTS,
    )
    return fit(brain, count=96)


@pytest.fixture(scope="module")
def predictions(brain):
    return brain.predict_conditions(
        clips("valid"), clips("test"), [AUDIO_VISUAL, BURSTS], {"batch_size": 5}
    )


def test_it_is_trained_and_each_head_has_a_loss(brain):
    history = history_of(brain)
    losses = [f"loss_{head}" for head in brain.hparams.network.heads]
    assert [*history[0]["train"]] == ["loss", *losses]
    assert history[-1]["valid"]["loss"] < history[0]["valid"]["loss"]


def test_each_condition_and_head_has_its_metrics(brain, predictions, capsys):
    task, heads = brain.hparams.task, [*brain.hparams.network.heads]
    # What a single head predicts is the combined prediction.
    expected = ["combined", *(heads if len(heads) > 1 else [])]
    metrics = collect_metrics(predictions, task, num_samples=9)
    assert [*metrics["test"]] == ["audio_visual", "bursts_40%"]
    assert all([*of] == expected for of in metrics["test"].values())
    print_table(metrics, task)
    assert "bursts 40%" in capsys.readouterr().out


def test_figures_are_drawn(brain, predictions):
    task, history = brain.hparams.task, history_of(brain)
    curves, _ = learning_curves(history, "loss", 1, task).axes
    assert len(curves.lines) == 2 * len(history[0]["train"]) + 1
    attention = brain.cross_attention(clips("test")[0])
    assert prediction("test1", predictions, task, attention).axes


def test_lost_frames_depend_on_the_clip_alone(brain, predictions):
    alone = brain.predict_conditions(
        None, clips("test"), [BURSTS], {"batch_size": 1}
    )["bursts_40%"]
    torch.testing.assert_close(
        torch.tensor(alone.outputs["combined"]),
        torch.tensor(predictions["bursts_40%"].outputs["combined"]),
        atol=1e-5,
        rtol=0,
    )


def test_bursts_lose_the_share_that_they_say():
    frames = torch.ones(200, 100, dtype=torch.bool)
    streams = {
        name: Stream(
            torch.zeros(200, 100, 1),
            torch.ones(200),
            frames,
            torch.full((200,), 25.0),
        )
        for name in ("audio", "visual")
    }
    names = [f"clip{i}" for i in range(200)]
    left = BurstLoss(0.4, burst=3).eval()(streams, names)
    for stream in left.values():
        kept = stream.mask
        # Four standard errors of 20,000 frames in bursts of three.
        assert kept.float().mean().item() == pytest.approx(0.6, abs=0.04)
        starts = (kept[:, :-1] & ~kept[:, 1:]).sum() + (~kept[:, 0]).sum()
        mean_burst = (~kept).sum() / starts
        assert mean_burst.item() == pytest.approx(3, abs=0.3)
