"""The Brain that recipes share: statistics, selection and evaluation."""

import os
from collections import defaultdict

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.missing import (
    AUDIO_VISUAL,
    CONDITIONS,
    Stream,
    presence,
)
from auxformer_lobes.dataio.batches import collate, padding
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.dataio.workers import init_worker, one_line_worker_errors
from auxformer_lobes.evaluation.predictions import (
    Predictions,
    condition_metrics,
)
from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.nnet.schedulers import set_rate
from auxformer_lobes.utils.brain import NonBlockingBrain
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.precision import without_tf32
from auxformer_lobes.utils.random import stream_seed


class AuxFormerBrain(NonBlockingBrain):
    """A Brain that records the losses and predictions of a network's heads.

    A recipe's own Brain computes the loss in `compute_objectives`, and calls
    `record` there. Its modules are those of the recipes' YAML files:
    `network` (an `AudioVisualNetwork`), `audio_norm`, `visual_norm`,
    `train_condition`, `shared_loss` (updated with the losses of each epoch,
    if it is there) and, where encoders are trained too, `audio_encoder` or
    `visual_encoder`, with learning rates `hparams.lr` and
    `hparams.encoder_lr`. It needs `hparams.network`, `hparams.task`,
    `hparams.seed`, `hparams.number_of_epochs`, `hparams.select_by` (a loss or
    one of the task's metrics), `hparams.train_logger` and
    `hparams.output_folder`; a learning rate schedule may be
    `hparams.step_schedule`, called before each step, or
    `hparams.epoch_schedule`, called with each development loss.
    """

    condition = AUDIO_VISUAL

    def compute_forward(self, batch, stage):
        """Computes the logits of each head.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.
        stage : sb.Stage
            In training, `modules.train_condition` draws what is lost; else
            `condition` does.

        Returns
        -------
        logits : dict of torch.Tensor
            Head → `[batch, classes]`.
        head_mask : torch.Tensor
            Which heads contribute, boolean `[batch, heads]`.
        """
        batch = batch.to(self.device, non_blocking=True)
        condition = self.condition
        if stage == sb.Stage.TRAIN:
            condition = self.modules.train_condition
        return self._forward_under(condition, self.streams(batch), batch.id)

    def _forward_under(self, condition, streams, clips):
        """Logits and head mask of what a condition leaves."""
        left = condition(streams, clips)
        # Not of `modules`, where DistributedDataParallel may hide it.
        head_mask = self.hparams.network.head_mask(presence(left))
        return self.logits(left), head_mask

    def streams(self, batch):
        """Normalised features of a batch, and which frames are there.

        Where `modules` has an `audio_encoder` or a `visual_encoder`, which is
        trained too, features come out of it.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `audio` and `visual` features, the masks
            `audio_mask` and `visual_mask` of `add_features`, and perhaps the
            `seconds` of the clips.

        Returns
        -------
        dict of Stream
            "audio" and "visual"; masks and rates stay where the masks of the
            batch are, unless an encoder makes them.
        """
        unknown = torch.full([len(batch)], torch.nan)
        seconds = torch.as_tensor(getattr(batch, "seconds", unknown))
        streams = {}
        for modality in MODALITIES:
            x, lens = batch[modality]
            # Its padding is False.
            mask, relative = batch[f"{modality}_mask"]
            if f"{modality}_encoder" in self.modules:
                encoder = self.modules[f"{modality}_encoder"]
                x, lens, mask = encoder(x, lens, mask.to(x.device))
                relative = lens
            # Lost frames may hold anything; NaN would spoil gradients.
            lost = ~mask.to(x.device, non_blocking=True)
            x = x.masked_fill(lost.unsqueeze(-1), 0)
            x = self.modules[f"{modality}_norm"](x)
            frames = (relative * x.shape[1]).round()
            rate = frames / seconds.to(frames)
            streams[modality] = Stream(x, lens, mask, rate)
        return streams

    def logits(self, streams, **options):
        """Runs the network.

        Arguments
        ---------
        streams : dict of Stream
            "audio" and "visual".
        **options
            Further arguments of the network.

        Returns
        -------
        dict of torch.Tensor
            What the network returns.
        """
        audio, visual = (streams[modality] for modality in MODALITIES)
        present, audio_mask, visual_mask = (
            x.to(audio.data.device, non_blocking=True)
            for x in (presence(streams), audio.mask, visual.mask)
        )
        return self.modules.network(
            audio.data,
            visual.data,
            audio.lens,
            visual.lens,
            present,
            audio_mask,
            visual_mask,
            **options,
        )

    @torch.no_grad()
    def cross_attention(self, clip):
        """Which visual frame each audio frame of a clip attends to.

        Arguments
        ---------
        clip : dict
            An item of a dataset of `add_features`.

        Returns
        -------
        torch.Tensor
            Mean over layers and heads, `[audio_time, visual_time]`; None if
            the network has no such attention.
        """
        name = self.hparams.network.cross_attention
        if name is None:
            return None
        self.modules.eval()
        batch = PaddedBatch([clip]).to(self.device)
        streams = self.streams(batch)
        _, seen = self.logits(streams, return_attention=True)
        attention = seen[name].mean((0, 2))[0].cpu()
        for axis, (modality, stream) in enumerate(streams.items()):
            count = self.hparams.network.stacks[modality]
            frames = torch.arange(stream.data.shape[1]) // count
            attention = attention.index_select(axis, frames)
        return attention

    # With TF32, a clip's probabilities would depend on its batch by 1e-4.
    @without_tf32()
    @torch.no_grad()
    def evaluate_batch(self, batch, stage):
        """Evaluates a batch; in validation, under each condition.

        Where the network reads both modalities, the development set is
        evaluated with both, with the audio alone and with the visual modality
        alone, for `select_by`.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.
        stage : sb.Stage
            The stage of the experiment.

        Returns
        -------
        torch.Tensor
            The loss, with both modalities.
        """
        if stage != sb.Stage.VALID:
            return super().evaluate_batch(batch, stage)
        reads_both = len(self.hparams.network.modalities) > 1
        with self.evaluation_ctx:
            batch = batch.to(self.device, non_blocking=True)
            # Once, with encoders that are trained.
            streams = self.streams(batch)
            for condition in CONDITIONS if reads_both else [AUDIO_VISUAL]:
                made = self._forward_under(condition, streams, batch.id)
                if condition is AUDIO_VISUAL:
                    loss = self.compute_objectives(made, batch, stage)
                self.development[condition.name].add(
                    batch.id,
                    batch.spk_id,
                    batch.truth.data,
                    {
                        "combined": self.hparams.task.outputs(
                            combine_heads(*made)
                        )
                    },
                )
        return loss.detach().cpu()

    def record(self, batch, loss, logits, head_mask, stage):
        """Records the parts of the loss and, in the test, the predictions.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `truth` and `spk_id`.
        loss : LossParts
            Their loss.
        logits : dict of torch.Tensor
            Head → `[batch, classes]`.
        head_mask : torch.Tensor
            Which heads contribute, boolean `[batch, heads]`.
        stage : sb.Stage
            The stage of the experiment.
        """
        self.losses["loss"].append(loss.total.detach())
        for head, part in loss.heads.items():
            self.losses[f"loss_{head}"].append(part.detach())
        if stage == sb.Stage.TEST:
            self.record_predictions(batch, logits, head_mask)

    def record_predictions(self, batch, logits, head_mask):
        """Records the predictions of the heads that contribute.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `truth` and `spk_id`.
        logits : dict of torch.Tensor
            Head → `[batch, classes]`.
        head_mask : torch.Tensor
            Which heads contribute, boolean `[batch, heads]`.
        """
        logits = {
            "combined": combine_heads(logits, head_mask),
            **{head: logits[head] for head in self._active_heads()},
        }
        task = self.hparams.task
        self.predictions.add(
            batch.id,
            batch.spk_id,
            batch.truth.data,
            {head: task.outputs(scores) for head, scores in logits.items()},
        )

    def _active_heads(self):
        """The heads that contribute under the condition, if there are several."""
        network = self.hparams.network
        given = [m in self.condition.modalities for m in MODALITIES]
        (contributes,) = network.head_mask(torch.tensor([given])).tolist()
        pairs = zip(network.heads, contributes)
        return [h for h, does in pairs if does and len(network.heads) > 1]

    def on_stage_start(self, stage, epoch=None):
        """Starts the statistics of a stage.

        Arguments
        ---------
        stage : sb.Stage
            The stage of the experiment.
        epoch : int
            The epoch, from 1; None in the test.
        """
        super().on_stage_start(stage, epoch)
        self.losses = defaultdict(list)
        self.frames = []  # padded ones, and all, of each batch
        self.predictions = Predictions()
        self.development = defaultdict(Predictions)
        if stage == sb.Stage.TRAIN:
            # A run that was interrupted draws what it would have drawn.
            rank = int(os.environ.get("RANK", 0))
            torch.manual_seed(stream_seed(self.hparams.seed, epoch, rank))

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """After validation, logs the epoch and saves a checkpoint.

        Arguments
        ---------
        stage : sb.Stage
            The stage of the experiment.
        stage_loss : float
            Mean loss over the batches.
        epoch : int
            The epoch, from 1; None in the test.
        """
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.TEST:
            return
        stats = {
            name: torch.stack(parts).mean().item()
            for name, parts in self.losses.items()
        }
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            # No batch is left where a run goes on after the last one.
            padded, total = np.sum(self.frames or [(0, 1)], 0)
            self.loading = {
                "padding": padded / total,
                "waiting": self.waiting,
            }
            return
        task = self.hparams.task
        self._fit_task(self.development[AUDIO_VISUAL.name])
        stats.update(condition_metrics(self.development, task))
        meta = {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        # Not in the history, where a run that was resumed is the same.
        self.hparams.train_logger.log_stats(
            {**meta, **self.loading}, self.train_stats, stats
        )
        if hasattr(self.hparams, "epoch_schedule"):
            _, lr = self.hparams.epoch_schedule(
                [self.optimizer], epoch, stats["loss"]
            )
            set_rate(self.optimizer, lr)
        self._update_loss(self.train_stats, stats)
        self._write_epoch({**meta, "train": self.train_stats, "valid": stats})
        direction = task.direction(self.hparams.select_by)
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, **stats},
            **{f"{direction}_keys": [self.hparams.select_by]},
        )

    def _update_loss(self, *stats):
        """Updates a loss whose weights follow the losses of the heads."""
        if "shared_loss" in self.modules and self.train_stats:
            heads = self.hparams.network.heads
            losses = ({h: part[f"loss_{h}"] for h in heads} for part in stats)
            self.modules.shared_loss.end_epoch(*losses)

    @sb.utils.distributed.main_process_only
    def _write_epoch(self, entry):
        Run(self.hparams.output_folder).write_epoch(entry)

    def init_optimizers(self):
        """Makes the optimiser; encoders have a learning rate of their own."""
        super().init_optimizers()
        encoders = {
            weight
            for name in ("audio_encoder", "visual_encoder")
            if name in self.modules
            for weight in self.modules[name].parameters()
        }
        if not encoders:
            return
        scale = self.hparams.encoder_lr / self.hparams.lr
        for group in [*self.optimizer.param_groups]:
            slow = [w for w in group["params"] if w in encoders]
            group["params"] = [w for w in group["params"] if w not in encoders]
            self.optimizer.add_param_group(
                {
                    **group,
                    "params": slow,
                    "lr": scale * group["lr"],
                    "rate_scale": scale,
                }
            )

    def on_fit_start(self):
        """Refuses an unknown `hparams.select_by` before the first epoch.

        Raises
        ------
        UserError
            If it is neither a loss nor one of the task's metrics, or with
            `--jit`.
        """
        if self.jit:
            raise UserError(
                "--jit: TorchScript cannot compile these modules: use "
                "--compile --compile_module_keys=network"
            )
        self.hparams.task.check_selection(
            self.hparams.select_by, self.hparams.network.heads
        )
        super().on_fit_start()

    def on_fit_batch_start(self, batch, should_step):
        """Counts padding; sets the rate, where there is a `step_schedule`.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.
        should_step : bool
            Whether the optimiser is about to make a step.
        """
        self.frames.append(padding(batch))
        if should_step and hasattr(self.hparams, "step_schedule"):
            self.hparams.step_schedule(self.optimizer, self.total_steps)

    def fit(self, *args, **options):
        """Trains, see `speechbrain.Brain`.

        Raises
        ------
        UserError
            If features are damaged, or workers of the data loader end.
        """
        with one_line_worker_errors():
            super().fit(*args, **options)

    def evaluate(self, *args, **options):
        """Evaluates, see `speechbrain.Brain`.

        Raises
        ------
        UserError
            If features are damaged, or workers of the data loader end.
        """
        with one_line_worker_errors():
            return super().evaluate(*args, **options)

    def make_dataloader(self, dataset, stage, **options):
        """Makes a data loader, and counts the training steps to come.

        Arguments
        ---------
        dataset : Dataset
            The clips.
        stage : sb.Stage
            The stage of the experiment.
        **options
            Further arguments of `sb.Brain.make_dataloader`.

        Returns
        -------
        DataLoader
            Its batches.

        Raises
        ------
        UserError
            If the options are none of a data loader, or there would be no
            step of the optimiser in an epoch.
        """
        # Copies from pinned memory overlap with the device's work.
        pinned = {"pin_memory": self.device_type == "cuda"}
        options = {
            "collate_fn": collate,
            "worker_init_fn": init_worker,
            **pinned,
            **options,
        }
        try:
            loader = super().make_dataloader(dataset, stage, **options)
        except (TypeError, ValueError) as error:
            raise UserError(f"options of the data loader: {error}")
        if stage == sb.Stage.TRAIN:
            if "batch_sampler" in options and not self.distributed_launch:
                # So that SpeechBrain sets its epoch.
                self.train_sampler = options["batch_sampler"]
            elif self.train_sampler is not None:
                # It adds the epoch, so that neighbouring seeds would collide.
                self.train_sampler.seed = stream_seed(self.hparams.seed)
            # SpeechBrain begins to count anew in each epoch.
            steps = len(loader) // self.grad_accumulation_factor
            if not steps:
                raise UserError(
                    f"grad_accumulation_factor {self.grad_accumulation_factor}"
                    f": an epoch has {len(loader)} batches only, so that "
                    "nothing would be learnt: choose less"
                )
            self.total_steps = steps * self.hparams.number_of_epochs
        return loader

    def predict_conditions(
        self, valid_set, test_set, conditions, loader_kwargs
    ):
        """Predicts the test set under each condition, by the best checkpoint.

        A threshold or a temperature is fitted on the development set, with
        both modalities given. The predictions are not calibrated yet, see
        `Predictions.calibrated`.

        Arguments
        ---------
        valid_set : DynamicItemDataset
            The development set; None to leave the task as it was fitted.
        test_set : DynamicItemDataset
            The test set.
        conditions : sequence of Condition
            What the network is given in turn.
        loader_kwargs : dict
            Arguments of the data loader.

        Returns
        -------
        dict of Predictions
            By name of the condition.

        Raises
        ------
        UserError
            If there is no checkpoint.
        """
        if not self.checkpointer.list_checkpoints():
            raise UserError(
                f"{self.checkpointer.checkpoints_dir}: has no checkpoint: "
                "train first"
            )
        select_by = self.hparams.select_by
        direction = self.hparams.task.direction(select_by)
        self.on_evaluate_start(**{f"{direction}_key": select_by})
        if valid_set is not None:
            self._fit_task(
                self._predict(valid_set, AUDIO_VISUAL, loader_kwargs)
            )
        return {
            condition.name: self._predict(test_set, condition, loader_kwargs)
            for condition in conditions
        }

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Loads the checkpoint that a key selects; without, keeps the weights.

        Arguments
        ---------
        max_key : str
            Quantity of which the highest value is best.
        min_key : str
            Quantity of which the lowest value is best.
        """
        if max_key or min_key:
            super().on_evaluate_start(max_key, min_key)

    def _predict(self, dataset, condition, loader_kwargs):
        self.condition = condition.eval()
        try:
            self.evaluate(dataset, test_loader_kwargs=loader_kwargs)
        finally:
            self.condition = AUDIO_VISUAL
        return self.predictions

    def _fit_task(self, predictions):
        self.hparams.task.fit(
            np.array(predictions.truth),
            np.array(predictions.outputs["combined"]),
        )
