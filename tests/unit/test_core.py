"""Records, selection and evaluation that recipes share, with each task."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.frame_loss import LostStretch
from auxformer_lobes.augment.missing import (
    AUDIO_VISUAL,
    CONDITIONS,
    Available,
    Chain,
    ModalityDropout,
    presence,
)
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.nnet.losses import CrossEntropy, GradientBlending
from auxformer_lobes.nnet.schedulers import WarmupCosineScheduler
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_brains import (
    TASKS,
    SmallBrain,
    build,
    clips,
    fit,
    history_of,
    predict,
)

LOSSES = ("loss", "loss_main", "loss_audio", "loss_visual")


@pytest.fixture
def make_brain(tmp_path):
    """Builds brains, in folders of the test."""

    def _make(run="run", *args, **options):
        return build(tmp_path / run, *args, **options)

    return _make


def repredict(brain, dataset):
    """Predicts a dataset under each condition, with the task as it is."""
    return brain.predict_conditions(
        None, dataset, CONDITIONS, {"batch_size": 2}
    )


class Finished(NamedTuple):
    """A run to its end, for tests that only look at it."""

    kind: str
    brain: SmallBrain
    predictions: dict
    fitted: list  # what the task was fitted to in the end


@pytest.fixture(scope="module", params=["categories", "binary", "attributes"])
def finished(request, tmp_path_factory):
    """Trains with a task of each class in turn."""
    kind = request.param
    brain = build(tmp_path_factory.mktemp(kind), kind)
    task = fit(brain, kind, count=192).hparams.task
    fitted = []

    def _fit(truth, outputs):
        fitted.append((truth, outputs))
        type(task).fit(task, truth, outputs)

    task.fit = _fit
    return Finished(kind, brain, predict(brain, kind), fitted)


def test_it_learns_and_each_condition_gives_what_its_name_says(finished):
    made, task = finished.predictions, finished.brain.hparams.task
    assert [*made] == [condition.name for condition in CONDITIONS]
    metric = task.metrics[0]
    # A head of noise takes the mean of the heads a little off the truth.
    right = 0.8 if finished.kind == "attributes" else 1
    assert made["audio_visual"].metrics(task)[metric] >= right
    assert made["audio_only"].metrics(task, "audio")[metric] >= right
    assert made["visual_only"].metrics(task)[metric] < 0.9
    alone = made["audio_only"].outputs
    both = made["audio_visual"].outputs
    np.testing.assert_allclose(alone["audio"], both["audio"], atol=1e-5)
    assert not np.allclose(alone["main"], both["main"])


def test_what_is_predicted_is_kept_with_its_clip_and_truth(finished):
    expected = clips("test", finished.kind)
    for condition, made in finished.predictions.items():
        heads = {"combined", "main", "audio", "visual"}
        heads -= {"audio_only": {"visual"}, "visual_only": {"audio"}}.get(
            condition, set()
        )
        assert {*made.outputs} == heads
        assert made.clips == [clip["id"] for clip in expected]
        assert made.speakers == [clip["spk_id"] for clip in expected]
        assert made.truth == [clip["truth"].tolist() for clip in expected]
        for outputs in made.outputs.values():
            assert np.shape(outputs) == (12, 2)


def test_losses_and_metrics_are_logged_epoch_by_epoch(finished):
    metrics = finished.brain.hparams.task.metrics
    for epoch, entry in enumerate(history_of(finished.brain), start=1):
        assert entry["epoch"] == epoch
        assert {*entry["train"]} == {*LOSSES}
        means = {f"mean_{metric}" for metric in metrics}
        alone = {f"{metrics[0]}_{lost}_only" for lost in ("audio", "visual")}
        assert {*entry["valid"]} == {*LOSSES, *metrics, *means, *alone}
        parts = [entry["valid"][name] for name in LOSSES[1:]]
        assert entry["valid"]["loss"] == pytest.approx(np.mean(parts))
    log = Path(finished.brain.hparams.train_logger.save_file).read_text()
    assert log.count(f"valid {metrics[0]}: ") == 3
    # Of 3, 4 or 5 audio and 2 visual frames, 7.
    assert log.count("padding: 1.43e-01, waiting: ") == 3


def test_the_mean_over_conditions_is_what_the_checkpoint_predicts(finished):
    """It can select the epoch, and the test would find the same."""
    brain, metric = finished.brain, finished.brain.hparams.task.metrics[0]
    valid = repredict(brain, clips("valid", finished.kind))
    found = {name: of.metrics(brain.hparams.task) for name, of in valid.items()}
    run = Run(brain.hparams.output_folder)
    epoch = run.best_epoch(brain.hparams.select_by, brain.hparams.task)
    entry = history_of(brain)[epoch - 1]["valid"]
    assert entry[f"{metric}_audio_only"] == (
        pytest.approx(found["audio_only"][metric], abs=1e-4)
    )
    mean = np.mean([of[metric] for of in found.values()])
    assert entry[f"mean_{metric}"] == pytest.approx(mean, abs=1e-4)


def test_nothing_is_fitted_to_the_test_set(finished):
    ((truth, outputs),) = finished.fitted
    # What is evaluated afterwards is given both modalities again.
    assert finished.brain.condition is AUDIO_VISUAL
    valid = clips("valid", finished.kind)
    assert truth.tolist() == [clip["truth"].tolist() for clip in valid]
    again = repredict(finished.brain, valid)["audio_visual"]
    np.testing.assert_allclose(again.outputs["combined"], outputs, atol=1e-5)
    assert len(finished.fitted) == 1


def test_combined_outputs_can_be_calibrated_and_heads_stay(make_brain):
    brain = fit(make_brain())
    raw = predict(brain)["audio_visual"]
    # None is fitted to a development set that is all right, as this one is.
    brain.hparams.task.temperature = 2.0
    made = raw.calibrated(brain.hparams.task)
    assert made.outputs["main"] == raw.outputs["main"]
    assert not np.allclose(made.outputs["combined"], raw.outputs["combined"])


def test_clips_without_a_face_are_no_trouble(finished):
    """Visual only leaves nothing of them."""
    test = clips("test", finished.kind)
    for i in range(3):
        entry = test.data[f"test{i}"]
        entry["visual"] = torch.zeros(1, 3)
        entry["visual_mask"] = torch.tensor([False])
    made = repredict(finished.brain, test)
    for predictions in made.values():
        for outputs in predictions.outputs.values():
            assert np.isfinite(outputs).all()
    np.testing.assert_allclose(
        made["audio_visual"].outputs["combined"][:3],
        made["audio_only"].outputs["combined"][:3],
        rtol=1e-5,
    )


def test_streams_know_their_frames_per_second(make_brain):
    brain, test = make_brain(), clips("test")
    batch = [{**test[i], "seconds": 0.5 + i} for i in range(3)]
    streams = brain.streams(PaddedBatch(batch))
    # 3, 4 and 5 audio frames, 2 visual ones.
    assert streams["audio"].rate.tolist() == pytest.approx([6, 4 / 1.5, 2])
    assert streams["visual"].rate.tolist() == pytest.approx([4, 2 / 1.5, 0.8])
    streams = brain.streams(PaddedBatch([test[0]]))
    assert streams["audio"].rate.isnan().all()


def test_what_a_lost_frame_holds_reaches_neither_network_nor_gradients(
    make_brain,
):
    """Not even through a norm that is trained, as fine-tuning has it."""
    brain = make_brain()
    brain.modules["visual_norm"] = norm = torch.nn.LayerNorm(3)
    batch = list(clips("test"))[:2]
    found = []
    for content in (0.0, float("nan")):
        for clip in batch:
            torch.manual_seed(0)
            clip["visual"] = torch.randn(4, 3)
            clip["visual"][1] = content
            clip["visual_mask"] = torch.tensor([True, False, True, True])
        brain.modules.eval()
        norm.zero_grad()
        logits, _ = brain.compute_forward(PaddedBatch(batch), sb.Stage.VALID)
        sum(x.square().sum() for x in logits.values()).backward()
        found.append([*logits.values(), norm.weight.grad.clone()])
    assert found[0][-1].abs().max() > 0
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=0)


def test_a_recorded_output_is_what_the_task_makes_of_the_logits(make_brain):
    brain = make_brain(kind="attributes")
    brain.on_stage_start(sb.Stage.TEST)
    brain.modules.eval()
    batch = PaddedBatch(list(clips("valid", "attributes"))[:3])
    logits, head_mask = brain.compute_forward(batch, sb.Stage.TEST)
    brain.compute_objectives((logits, head_mask), batch, sb.Stage.TEST)
    outputs, task = brain.predictions.outputs, brain.hparams.task
    mean = torch.stack([*logits.values()]).mean(0)
    expected = {"combined": mean, **logits}
    assert outputs.keys() == expected.keys()
    for head, x in expected.items():
        np.testing.assert_allclose(
            outputs[head], task.outputs(x.detach()), rtol=1e-5
        )


def test_a_seed_gives_the_same_run(make_brain):
    first = fit(make_brain("first", number_of_epochs=2), count=24)
    second = fit(make_brain("second", number_of_epochs=2), count=24)
    # Exactly: the same batches, threads and machine.
    assert history_of(first) == history_of(second)
    assert len(history_of(first)) == 2
    third = fit(make_brain("third", number_of_epochs=2, seed=1), count=24)
    assert history_of(first) != history_of(third)


def test_each_epoch_draws_for_itself_and_the_same_again(make_brain):
    """Whatever was drawn before it, in a run that goes on for example."""
    brain = make_brain()
    drawn = []
    for epoch in (1, 2, 1):
        brain.on_stage_start(sb.Stage.TRAIN, epoch)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[2] != drawn[1]


def test_epochs_of_different_seeds_draw_different_numbers(make_brain):
    """With `seed + epoch`, seed 0 in epoch 2 drew what seed 1 drew in 1."""
    drawn, orders = [], []
    for seed, epoch in ((0, 2), (1, 1)):
        brain = make_brain(f"{seed}", seed=seed)
        brain.make_dataloader(
            clips("train"), sb.Stage.TRAIN, batch_size=2, shuffle=True
        )
        brain.train_sampler.set_epoch(epoch)
        orders.append([*brain.train_sampler])
        brain.on_stage_start(sb.Stage.TRAIN, epoch)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] != drawn[1]
    assert orders[0] != orders[1]


class Power(Exception):
    """Fails."""


class KilledBrain(SmallBrain):
    """A brain that is switched off in its second epoch."""

    def on_fit_batch_end(self, *args):
        if self.hparams.epoch_counter.current == 2:
            raise Power


@pytest.mark.parametrize("kind", ["categories", "secondary", "attributes"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(make_brain, kind):
    options = {"kind": kind, "number_of_epochs": 2}
    whole = fit(make_brain("whole", **options), kind, count=24)
    with pytest.raises(Power):
        fit(make_brain("killed", brain=KilledBrain, **options), kind, count=24)
    again = make_brain("killed", **options)
    assert [entry["epoch"] for entry in history_of(again)] == [1]
    # Exactly: the same batches, threads and machine.
    assert history_of(fit(again, kind, count=24)) == history_of(whole)
    assert predict(again, kind) == predict(whole, kind)
    assert again.hparams.task.settings == whole.hparams.task.settings


def test_a_loss_with_weights_of_its_own_is_told_what_each_head_lost(make_brain):
    def _make(run, **options):
        loss = GradientBlending(CrossEntropy(), super_epoch=1, equal_share=0.0)
        return make_brain(run, shared_loss=loss, **options)

    whole = fit(_make("whole"), count=24)
    *_, before, last = history_of(whole)
    ratios = {}
    for head in whole.hparams.network.heads:
        (train_0, valid_0), (train_1, valid_1) = (
            [entry[part][f"loss_{head}"] for part in ("train", "valid")]
            for entry in (before, last)
        )
        gain, gap = valid_0 - valid_1, valid_1 - train_1 - valid_0 + train_0
        ratios[head] = max(gain, 0) / max(gap**2, 1e-4)
    shares = {h: ratio / sum(ratios.values()) for h, ratio in ratios.items()}
    assert whole.modules.shared_loss.weights == pytest.approx(shares)
    # The development loss is the mean of the heads all the same.
    parts = [last["valid"][name] for name in LOSSES[1:]]
    assert last["valid"]["loss"] == pytest.approx(np.mean(parts))
    # A run that goes on has the weights that it had.
    with pytest.raises(Power):
        fit(_make("killed", brain=KilledBrain), count=24)
    again = fit(_make("killed"), count=24)
    assert history_of(again) == history_of(whole)


CHOICES = [
    ("categories", "loss", min),
    ("categories", "loss_audio", min),
    ("votes", "uar", max),
    ("secondary", "f1_micro", max),
    ("attributes", "ccc", max),
    ("attributes", "rmse", min),
    ("attributes", "mean_rmse", min),
    ("categories", "mean_f1_macro", max),
]


class RatedBrain(SmallBrain):
    """A brain whose epochs are as good as `ratings`."""

    ratings = [0.2, 0.9, 0.5]

    def on_stage_end(self, stage, stage_loss, epoch=None):
        name = self.hparams.select_by
        if stage == sb.Stage.VALID:
            rating = self.ratings[epoch - 1]
            if name in LOSSES:
                self.losses[name] = [torch.tensor(rating)]
            else:
                zeros = dict.fromkeys(self.hparams.task.metrics, 0.0)
                rated = {**zeros, name.removeprefix("mean_"): rating}
                for made in self.development.values():
                    made.metrics = lambda task: rated
        super().on_stage_end(stage, stage_loss, epoch)


@pytest.mark.parametrize("kind, select_by, best", CHOICES)
def test_the_best_checkpoint_is_the_best_epoch(
    make_brain, kind, select_by, best
):
    brain = make_brain("run", kind, RatedBrain, select_by=select_by)
    fit(brain, kind)
    history = history_of(brain)
    values = [entry["valid"][select_by] for entry in history]
    assert values == pytest.approx(brain.ratings)
    epoch = best(history, key=lambda entry: entry["valid"][select_by])["epoch"]
    assert epoch == {min: 1, max: 2}[best]
    run = Run(brain.hparams.output_folder)
    assert run.best_epoch(select_by, brain.hparams.task) == epoch
    checkpoint = run.best_checkpoint(select_by, brain.hparams.task)
    assert checkpoint.meta["epoch"] == epoch
    predict(brain, kind)
    assert brain.hparams.epoch_counter.current == epoch


@pytest.mark.parametrize("kind", ["categories", "secondary"])
def test_what_is_fitted_is_fitted_to_the_best_epoch(make_brain, kind):
    """Not to the last one, to which it was fitted before."""
    brain = fit(make_brain(kind=kind, brain=RatedBrain), kind)
    for name in brain.hparams.task.settings:
        setattr(brain.hparams.task, name, -1.0)
    predict(brain, kind)
    expected = TASKS[kind]()
    brain._predict(clips("valid", kind), AUDIO_VISUAL, {"batch_size": 5})
    expected.fit(
        np.array(brain.predictions.truth),
        np.array(brain.predictions.outputs["combined"]),
    )
    assert brain.hparams.task.settings == pytest.approx(expected.settings)


def test_the_rate_that_is_logged_is_that_of_the_last_step(make_brain):
    rates = [entry["lr"] for entry in history_of(fit(make_brain(), count=36))]
    steps = WarmupCosineScheduler(0.02, 4)
    optimizer = SimpleNamespace(param_groups=[{}])
    for step in range(1, 10):
        steps(optimizer, total_steps=9)
        if step % 3 == 0:
            expected = optimizer.param_groups[0]["lr"]
            assert rates[step // 3 - 1] == pytest.approx(expected)


def test_the_rate_ends_at_zero_with_gradients_of_several_batches(make_brain):
    brain = make_brain()
    brain.grad_accumulation_factor = 2
    fit(brain, count=36)  # 3 batches in each of 3 epochs: a step in each
    assert brain.total_steps == brain.hparams.step_schedule.num_steps == 3


def test_an_epoch_without_a_step_is_told(make_brain):
    brain = make_brain()
    brain.grad_accumulation_factor = 4
    with pytest.raises(UserError, match="factor 4: an epoch has 3 batches on"):
        fit(brain, count=36)


def test_a_batch_that_there_cannot_be_is_told(make_brain):
    with pytest.raises(UserError, match="data loader: batch_size should be"):
        make_brain().fit(
            range(1), clips("train"), train_loader_kwargs={"batch_size": 0}
        )


def test_the_train_condition_holds_in_training_only(make_brain):
    brain = make_brain()
    brain.modules["train_condition"] = Available(["audio"])
    batch = PaddedBatch(list(clips("test"))[:2])
    given = []
    brain.logits = lambda streams: given.append(presence(streams).tolist())
    for stage in (sb.Stage.TRAIN, sb.Stage.VALID):
        brain.compute_forward(batch, stage)
    assert given == [[[True, False]] * 2, [[True, True]] * 2]


@pytest.mark.parametrize(
    "missing, contributes",
    [("mask", [True, True, False]), ("zero_fill", [True, True, True])],
)
def test_heads_without_their_modality_do_not_contribute(
    make_brain, missing, contributes
):
    """All do where a missing modality is zeros, as published."""
    brain = make_brain()
    brain.hparams.network.missing = missing
    brain.condition = Available(["audio"])
    batch = PaddedBatch(list(clips("test"))[:2])
    _, head_mask = brain.compute_forward(batch, sb.Stage.TEST)
    assert head_mask.tolist() == [contributes] * 2
    names = zip(brain.hparams.network.heads, contributes)
    assert brain._active_heads() == [head for head, does in names if does]


def test_a_negative_seed_is_refused(make_brain):
    with pytest.raises(UserError, match="seed: -1: must not be negative"):
        fit(make_brain(seed=-1))


class Echo(torch.nn.Module):
    """An encoder of raw images of eight numbers; it repeats the clip."""

    def forward(self, x, lens, mask):
        return torch.cat([x, x], 1)[..., :3], lens, torch.cat([mask, mask], 1)


def test_an_encoder_that_is_trained_too_comes_before_the_norm(make_brain):
    brain = make_brain()
    brain.modules["visual_encoder"] = Echo()
    clip = {**clips("test")[0], "visual": torch.ones(2, 8)}
    clip["visual_mask"] = torch.tensor([True, False])
    brain.modules["visual_norm"].fit([torch.zeros(1, 3), torch.ones(1, 3)])
    seen = []
    brain.modules["visual_norm"].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    attention = brain.cross_attention(clip)
    assert attention.shape == (3, 4)
    assert (attention[2] > 0).tolist() == [True, False, True, False]
    torch.testing.assert_close(seen[0][0, ::2], torch.ones(2, 3))


class TrainedEcho(torch.nn.Linear):
    """An encoder of one layer."""

    def forward(self, x, lens, mask):
        return super().forward(x), lens, mask


def test_an_encoder_has_a_learning_rate_of_its_own(make_brain):
    """In proportion, all along the schedule."""
    brain = make_brain(lr=0.02, encoder_lr=0.002)
    brain.modules["audio_encoder"] = TrainedEcho(4, 4)
    encoder = [*brain.modules["audio_encoder"].parameters()]
    before = [weight.detach().clone() for weight in encoder]
    pairs = []

    class _Schedule(WarmupCosineScheduler):
        def __call__(self, optimizer, total_steps):
            super().__call__(optimizer, total_steps)
            pairs.append([group["lr"] for group in optimizer.param_groups])

    brain.hparams.step_schedule = _Schedule(0.02, 4)
    fit(brain, count=36)
    groups = [group["params"] for group in brain.optimizer.param_groups]
    assert [*map(id, groups[1])] == [*map(id, encoder)]
    both = [id(weight) for group in groups for weight in group]
    expected = {id(weight) for weight in brain.modules.parameters()}
    assert len(both) == len({*both}) and {*both} == expected
    assert len(pairs) == 9
    for fast, slow in pairs:
        assert slow == pytest.approx(fast / 10)
    assert pairs[-1][0] == history_of(brain)[-1]["lr"]
    assert not any(map(torch.equal, before, encoder))


def test_without_an_encoder_there_is_one_rate(make_brain):
    brain = make_brain()
    brain.init_optimizers()
    assert len(brain.optimizer.param_groups) == 1


def test_attention_is_a_figure_of_one_clip(make_brain):
    attention = make_brain().cross_attention(clips("test")[0])
    assert attention.shape == (3, 2)
    torch.testing.assert_close(attention.sum(1), torch.ones(3))


def test_attention_of_stacked_frames_is_that_of_each_of_them(make_brain):
    network = AuxFormer(4, 3, 10, 2, num_layers=1, num_classes=2, audio_stack=2)
    attention = make_brain(network=network).cross_attention(clips("test")[0])
    assert attention.shape == (3, 2)
    torch.testing.assert_close(attention[0], attention[1])
    assert not torch.allclose(attention[1], attention[2])


def test_a_batch_of_the_development_set_is_encoded_once(make_brain):
    brain, calls = make_brain(), []
    streams = brain.streams
    brain.streams = lambda batch: calls.append(batch.id) or streams(batch)
    brain.on_stage_start(sb.Stage.VALID)
    brain.modules.eval()
    batch = PaddedBatch(list(clips("valid"))[:3])
    brain.evaluate_batch(batch, sb.Stage.VALID)
    assert len(calls) == 1
    assert [*brain.development] == [condition.name for condition in CONDITIONS]


def test_what_cannot_be_evaluated_is_reported(make_brain):
    with pytest.raises(UserError, match="has no checkpoint: train"):
        predict(make_brain())


@pytest.mark.parametrize(
    "kind, select_by",
    [("categories", "f2"), ("categories", "ccc"), ("attributes", "uar")],
)
def test_a_choice_of_the_best_epoch_that_would_fail_is_refused(
    make_brain, kind, select_by
):
    brain = make_brain(kind=kind, select_by=select_by)
    metrics = TASKS[kind]().metrics
    means = [f"mean_{metric}" for metric in metrics]
    known = ", ".join([*LOSSES, *metrics, *means])
    message = f"select_by '{select_by}' is unknown: choose one of {known}"
    with pytest.raises(UserError) as error:
        fit(brain, kind)
    assert str(error.value) == message
    assert not history_of(brain)


@pytest.mark.parametrize("lr, warmup_steps", [(0, 1), (-1, 1), (1, -1)])
def test_rates_and_steps_below_zero_are_refused(lr, warmup_steps):
    with pytest.raises(ValueError, match="is not above 0, or"):
        WarmupCosineScheduler(lr, warmup_steps)


def test_without_a_warm_up_the_rate_begins_at_the_top():
    optimizer = SimpleNamespace(param_groups=[{}])
    WarmupCosineScheduler(0.5, 0)(optimizer, total_steps=9)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_training_step_never_waits_for_the_device(make_brain):
    """On the meta device, where reading a value is an error."""
    lossy = Chain([ModalityDropout(), LostStretch(0.4)], shares=[1.0, 0.25])
    network = AuxFormer(4, 3, 10, 2, num_classes=2, shortcut=True)
    brain = make_brain("meta", train_condition=lossy, network=network)
    batches = brain.make_dataloader(clips("a"), sb.Stage.TRAIN, batch_size=6)
    brain.device = torch.device("meta")
    brain.modules.to("meta").train()
    brain.init_optimizers()
    brain.optimizer.step = lambda: None  # fused kernels refuse this device
    brain.on_stage_start(sb.Stage.TRAIN, epoch=1)
    for batch in batches:
        brain.step += 1
        assert len(brain.fit_batch(batch)) == 0
    assert brain.optimizer_step == 2


def test_evaluation_is_in_float32_without_tf32(make_brain):
    """On a GPU, a clip's probabilities would depend on its batch."""
    brain, seen = make_brain(number_of_epochs=1), set()
    brain.modules["network"].register_forward_pre_hook(
        lambda network, _: seen.add(
            (network.training, torch.get_float32_matmul_precision())
        )
    )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        predict(fit(brain))
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == {(True, "medium"), (False, "highest")}


def test_torchscript_is_refused_with_what_to_use_instead(make_brain):
    brain = make_brain()
    brain.jit = True
    with pytest.raises(UserError, match="--jit: .* use --compile"):
        fit(brain)
