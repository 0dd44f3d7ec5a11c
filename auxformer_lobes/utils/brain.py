"""A Brain whose training steps do not wait for the device."""

import logging
import math
import time

import speechbrain as sb
import torch

logger = logging.getLogger(__name__)

STEPS_PER_READING = 10  # of the losses, where reading waits for a device


class NonBlockingBrain(sb.Brain):
    """A Brain whose training steps do not wait for the device.

    `speechbrain.Brain` reads each loss, for which the host waits until a GPU
    has finished the step, and then the GPU waits for the next one. Here the
    losses are read every ten steps, if not on a CPU. What is not finite still
    never reaches the weights, with or without `--skip_nonfinite_grads`: a
    gradient scaler, whose scale is 1, skips such a step. It does so on the
    device where the optimiser is `fused`, and else has to wait for it. Steps
    that were skipped count towards `--nonfinite_patience`.

    It measures, too, how long a stage waits for its batches: on a GPU that has
    work left, waiting does no harm. See `speechbrain.Brain` for the arguments.
    A subclass that overrides `on_stage_start` and `on_stage_end` calls these.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._unread = []  # losses of steps
        self._skips_only = not self.scaler.is_enabled()
        if self._skips_only:
            self.scaler = torch.GradScaler(
                self.device, init_scale=1.0, growth_interval=2**31 - 1
            )

    def fit_batch(self, batch):
        """Makes a training step, see `speechbrain.Brain`.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.

        Returns
        -------
        torch.Tensor
            Losses of the steps that were read now, `[steps]`; on a GPU, most
            times none.

        Raises
        ------
        ValueError
            If more losses of an epoch than `nonfinite_patience` were not
            finite.
        """
        self._waited += time.perf_counter() - self._idle_since
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            self.scaler.scale(loss / self.grad_accumulation_factor).backward()
        if should_step:
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        self._unread.append(loss.detach())
        is_due = len(self._unread) >= STEPS_PER_READING
        is_free = torch.device(self.device).type == "cpu"
        losses = self._read() if is_due or is_free else torch.zeros(0)
        self._idle_since = time.perf_counter()
        return losses

    def _read(self):
        """Losses that were not read yet, checked."""
        if not self._unread:
            return torch.zeros(0)
        losses, self._unread = torch.stack(self._unread).cpu(), []
        for loss in losses:
            self.check_loss_isfinite(loss)
        if self._skips_only:
            # The scaler has halved its scale at each step that it skipped.
            skipped = round(-math.log2(self.scaler.get_scale()))
            self.scaler.update(1.0)
            for _ in range(skipped - int((~losses.isfinite()).sum())):
                logger.warning("A step was skipped: gradients are not finite.")
                self.check_loss_isfinite(torch.tensor(math.nan))
        return losses

    def _save_intra_epoch_ckpt(self):
        """Saves a checkpoint that holds the mean of all losses so far."""
        losses = self._read()
        self.avg_train_loss = self.update_average(losses, self.avg_train_loss)
        super()._save_intra_epoch_ckpt()

    def update_average(self, loss, avg_loss):
        """Updates the mean over the steps of a stage.

        Arguments
        ---------
        loss : torch.Tensor
            Losses of the last steps, `[steps]` or a scalar; those that are not
            finite do not count.
        avg_loss : float
            The mean before.

        Returns
        -------
        float
        """
        finite = loss[loss.isfinite()]
        return avg_loss + float((finite - avg_loss).sum()) / self.step

    @property
    def waiting(self):
        """Share of the stage, so far, in which it waited for batches."""
        return self._waited / (time.perf_counter() - self._start)

    def on_stage_start(self, stage, epoch=None):
        """Starts the clock.

        Arguments
        ---------
        stage : sb.Stage
            The stage of the experiment.
        epoch : int
            The epoch, from 1; None in the test.
        """
        self._start = self._idle_since = time.perf_counter()
        self._waited = 0.0
        self._unread = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Reads the losses of the last steps of an epoch.

        Arguments
        ---------
        stage : sb.Stage
            The stage of the experiment.
        stage_loss : float
            Mean loss over the steps that were read before: in training on a
            GPU, 0 if they were fewer than ten.
        epoch : int
            The epoch, from 1; None in the test.

        Raises
        ------
        ValueError
            See `fit_batch`.
        """
        self._read()
