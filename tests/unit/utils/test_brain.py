"""A Brain whose training steps do not wait for the device."""

from functools import partial

import pytest
import torch

from auxformer_lobes.utils.brain import STEPS_PER_READING, NonBlockingBrain

FUSED = partial(torch.optim.Adam, lr=0.1, fused=True)
SEVERAL = partial(torch.optim.Adam, lr=0.1)


class Mean(NonBlockingBrain):
    """The loss is the weight times the mean of a batch."""

    def compute_forward(self, batch, stage):
        return self.modules.linear(batch)

    def compute_objectives(self, predictions, batch, stage):
        return predictions.mean()


def make(optimizer=FUSED, kind=Mean):
    torch.manual_seed(0)
    modules = {"linear": torch.nn.Linear(1, 1)}
    return kind(modules, optimizer, run_opts={"noprogressbar": True})


def batches(values):
    return torch.utils.data.DataLoader(
        [torch.tensor([float(x)]) for x in values]
    )


@pytest.mark.parametrize("optimizer", [FUSED, SEVERAL])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_never_reaches_the_weights(optimizer, value):
    brains = make(optimizer), make(optimizer)
    for brain, values in zip(brains, ([1, 2], [1, value, 2])):
        brain.fit(range(1), batches(values))
    expected, found = (brain.modules.linear.weight for brain in brains)
    torch.testing.assert_close(found, expected)


def test_losses_that_are_not_finite_are_counted_and_end_the_training():
    with pytest.raises(ValueError, match="Loss is not finite"):
        make().fit(range(1), batches([float("nan")] * 4))
    make().fit(range(2), batches([float("nan")] * 3))  # of each epoch


def test_gradients_that_are_not_finite_are_counted_too():
    """A scale of 1, halved at each step that is skipped, would end at 0."""

    class Steep(Mean):
        def compute_objectives(self, predictions, batch, stage):
            # Finite, with a gradient that is not.
            return (0 * predictions.mean()).abs().sqrt()

    with pytest.raises(ValueError, match="not finite"):
        make(kind=Steep).fit(range(1), batches([1.0] * 4))
    brain = make(kind=Steep)
    brain.fit(range(1), batches([1.0] * 3))
    assert brain.scaler.get_scale() == 1
    assert all(x.isfinite().all() for x in brain.modules.parameters())


def test_the_average_is_that_of_all_finite_losses_that_were_read():
    brain, average = make(), 0.0
    losses = torch.tensor([1.0, 2.0, 6.0, 3.0])
    for brain.step, read in ((1, 1), (2, 0), (4, 3)):
        now, losses = losses[:read], losses[read:]
        average = brain.update_average(now, average)
    assert average == pytest.approx(3.0)
    assert brain.update_average(torch.tensor(torch.inf), average) == average


def test_losses_are_read_every_few_steps_but_on_a_cpu():
    brain = make()
    brain.on_fit_start()
    brain.on_stage_start(None)
    brain.step = 1
    assert len(brain.fit_batch(torch.ones(1, 1))) == 1
    brain.device = torch.device("cuda")
    brain.on_fit_start()
    brain.on_stage_start(None)
    read = []
    for brain.step in range(1, 2 * STEPS_PER_READING + 1):
        read.append(len(brain.fit_batch(torch.ones(1, 1))))
    assert read == 2 * [*[0] * (STEPS_PER_READING - 1), STEPS_PER_READING]


def test_it_knows_how_long_it_waited_for_batches(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(Mean):
        def compute_forward(self, batch, stage):
            clock[0] += 3.0
            return super().compute_forward(batch, stage)

    brain = Slow({"linear": torch.nn.Linear(1, 1)}, FUSED)
    brain.on_fit_start()
    brain.on_stage_start(None)
    for brain.step in (1, 2):
        clock[0] += 1.0
        brain.fit_batch(torch.ones(1, 1))
    assert brain.waiting == 0.25
