"""What the Brains of all recipes share: records, selection, evaluation."""

import json
import os
from collections import defaultdict

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.missing import INPUTS, combine_heads
from auxformer_lobes.evaluation.predictions import LOSSES, Predictions
from auxformer_lobes.nnet.schedulers import set_rate
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write


class AuxFormerBrain(sb.Brain):
    """A Brain that records losses and predictions of AuxFormer's heads.

    A recipe's own Brain says what the logits cost (`compute_objectives`), and
    calls `record` there. Its modules are those of the recipes' YAML files:
    `auxformer`, `audio_norm`, `visual_norm`, `modality_dropout` and, where
    encoders are trained too, `audio_encoder` or `visual_encoder`, for which
    there are `hparams.lr` and `hparams.encoder_lr`. It needs `hparams.task`,
    `hparams.missing` (of `AuxFormer`), `hparams.seed`,
    `hparams.number_of_epochs`, `hparams.select_by` (one of
    `evaluation.LOSSES` or the task's metrics), `hparams.train_logger` and
    `hparams.output_folder`; a learning rate schedule may be
    `hparams.step_schedule`, called before each step, or
    `hparams.epoch_schedule`, called with each development loss.
    """

    inputs = INPUTS["audio_visual"]

    def compute_forward(self, batch, stage):
        """From features to the logits of the three heads.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.
        stage : sb.Stage
            The stage of the experiment.

        Returns
        -------
        logits : Logits
            What the heads say.
        asked : torch.Tensor or None
            Of which modalities each sample's heads are asked, boolean
            `[batch, 2]`; None is all, where the network tells a missing
            modality by zeros, as published.
        """
        batch = batch.to(self.device)
        present = self.visible(batch.present.data, stage)
        asked = None if self.hparams.missing == "zero_fill" else present
        return self.logits(batch, present), asked

    def visible(self, present, stage):
        """What the network is given of what is present.

        Arguments
        ---------
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`.
        stage : sb.Stage
            In training `modules.modality_dropout` has its say, else the
            input that is evaluated.

        Returns
        -------
        torch.Tensor
            Boolean `[batch, 2]`.
        """
        if stage == sb.Stage.TRAIN:
            return self.modules.modality_dropout(present)
        return present & torch.tensor(self.inputs, device=present.device)

    def logits(self, batch, present, **options):
        """Runs the network on what a batch has of sound and picture.

        Where `modules` has an `audio_encoder` or a `visual_encoder`, which is
        trained too, features come out of it; then they are normalised.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `audio` and `visual` features.
        present : torch.Tensor
            What the network is given of them, boolean `[batch, 2]`.
        **options
            Further arguments of `AuxFormer.forward`.

        Returns
        -------
        Logits
            What `AuxFormer.forward` returns.
        """
        audio, audio_lens = self._encode("audio", *batch.audio)
        visual, visual_lens = self._encode("visual", *batch.visual)
        return self.modules.auxformer(
            audio, visual, audio_lens, visual_lens, present, **options
        )

    def _encode(self, modality, x, lens):
        if f"{modality}_encoder" in self.modules:
            x, lens = self.modules[f"{modality}_encoder"](x, lens)
        return self.modules[f"{modality}_norm"](x), lens

    @torch.no_grad()
    def cross_attention(self, clip):
        """Which visual frame each audio frame of a clip looks at.

        Arguments
        ---------
        clip : dict
            An item of a dataset of `dataio.add_features`.

        Returns
        -------
        torch.Tensor
            Mean over layers and heads, `[audio_time, visual_time]`.
        """
        self.modules.eval()
        batch = PaddedBatch([clip]).to(self.device)
        _, seen = self.logits(batch, batch.present.data, return_attention=True)
        return seen["audio_from_visual"].mean((0, 2))[0].cpu()

    def record(self, batch, loss, logits, asked, stage):
        """Keeps the parts of the loss and, in evaluation, the predictions.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `truth` and `spk_id`.
        loss : LossParts
            What they cost.
        logits : Logits
            What the heads say of them.
        asked : torch.Tensor or None
            Which heads have a say, boolean `[batch, 2]`; None is all.
        stage : sb.Stage
            The stage of the experiment.
        """
        for name, part in loss._asdict().items():
            self.losses[name].append(part.detach())
        if stage != sb.Stage.TRAIN:
            self.record_predictions(batch, logits, asked)

    def record_predictions(self, batch, logits, asked):
        """Keeps what is predicted of a batch.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `truth` and `spk_id`.
        logits : Logits
            What the heads say of them.
        asked : torch.Tensor or None
            Which heads have a say, boolean `[batch, 2]`; None is all.
        """
        heads = {"combined": combine_heads(logits, asked)}
        heads.update(logits._asdict())
        self.predictions.clips += batch.id
        self.predictions.speakers += batch.spk_id
        self.predictions.truth += batch.truth.data.tolist()
        for head, scores in heads.items():
            outputs = self.hparams.task.outputs(scores).tolist()
            self.predictions.outputs[head] += outputs

    def on_stage_start(self, stage, epoch=None):
        """Starts the records of a stage.

        Arguments
        ---------
        stage : sb.Stage
            The stage of the experiment.
        epoch : int
            The epoch, from 1; None in the test.
        """
        self.losses = defaultdict(list)
        self.predictions = Predictions()
        if stage == sb.Stage.TRAIN:
            # A run that was interrupted draws what it would have drawn.
            torch.manual_seed(self.hparams.seed + epoch)

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
        if stage == sb.Stage.TEST:
            return
        stats = {
            "loss" if name == "total" else f"loss_{name}": torch.stack(parts)
            .mean()
            .item()
            for name, parts in self.losses.items()
        }
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        self._fit_task()
        stats.update(self.predictions.metrics(self.hparams.task))
        meta = {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        self.hparams.train_logger.log_stats(meta, self.train_stats, stats)
        if hasattr(self.hparams, "epoch_schedule"):
            _, lr = self.hparams.epoch_schedule(
                [self.optimizer], epoch, stats["loss"]
            )
            set_rate(self.optimizer, lr)
        self._add_to_history(
            {**meta, "train": self.train_stats, "valid": stats}
        )
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, **stats},
            **{f"{self._extreme}_keys": [self.hparams.select_by]},
        )

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
        """Refuses a choice of the best epoch that would fail at its end.

        Raises
        ------
        UserError
            If `hparams.select_by` is unknown.
        """
        known = (*LOSSES, *self.hparams.task.metrics)
        if self.hparams.select_by not in known:
            raise UserError(
                f"select_by {self.hparams.select_by!r} is unknown: choose "
                f"one of {', '.join(known)}"
            )
        super().on_fit_start()

    def on_fit_batch_start(self, batch, should_step):
        """Sets the learning rate, where `hparams.step_schedule` is given.

        Arguments
        ---------
        batch : PaddedBatch
            The clips.
        should_step : bool
            Whether the optimiser is about to make a step.
        """
        if should_step and hasattr(self.hparams, "step_schedule"):
            self.hparams.step_schedule(self.optimizer, self.total_steps)

    def make_dataloader(self, dataset, stage, **options):
        """Makes a data loader; that of the training says how many steps come.

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
        try:
            loader = super().make_dataloader(dataset, stage, **options)
        except (TypeError, ValueError) as error:
            raise UserError(f"options of the data loader: {error}")
        if stage == sb.Stage.TRAIN:
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

    def predict_all(self, valid_set, test_set, loader_kwargs):
        """Predicts the test set from each input, with the best checkpoint.

        What turns outputs into decisions, a threshold for example, is fitted
        on the development set, given both modalities.

        Arguments
        ---------
        valid_set : DynamicItemDataset
            The development set.
        test_set : DynamicItemDataset
            The test set.
        loader_kwargs : dict
            Arguments of the data loader.

        Returns
        -------
        dict of Predictions
            For each of `INPUTS`, what was predicted.

        Raises
        ------
        UserError
            If there is no checkpoint.
        """
        self._predict(valid_set, "audio_visual", loader_kwargs)
        self._fit_task()
        return self.predict_each_input(test_set, loader_kwargs)

    def predict_each_input(self, dataset, loader_kwargs):
        """Predicts a dataset from each input, with the best checkpoint.

        Arguments
        ---------
        dataset : DynamicItemDataset
            The clips.
        loader_kwargs : dict
            Arguments of the data loader.

        Returns
        -------
        dict of Predictions
            For each of `INPUTS`, what was predicted.

        Raises
        ------
        UserError
            If there is no checkpoint.
        """
        return {
            name: self._predict(dataset, name, loader_kwargs) for name in INPUTS
        }

    def _predict(self, dataset, name, loader_kwargs):
        if self.checkpointer.find_checkpoint() is None:
            raise UserError(
                f"{self.checkpointer.checkpoints_dir}: has no checkpoint: "
                "train first"
            )
        self.inputs = INPUTS[name]
        self.evaluate(
            dataset,
            test_loader_kwargs=loader_kwargs,
            **{f"{self._extreme}_key": self.hparams.select_by},
        )
        self.inputs = INPUTS["audio_visual"]
        return self.predictions

    def _fit_task(self):
        self.hparams.task.fit(
            np.array(self.predictions.truth),
            np.array(self.predictions.outputs["combined"]),
        )

    def history(self):
        """What was logged so far.

        Returns
        -------
        list of dict
            For each epoch, `epoch`, `lr`, and the `train` and `valid` stats.
        """
        if not os.path.exists(self._history_file):
            return []
        with open(self._history_file, encoding="utf-8") as file:
            return json.load(file)

    @property
    def _history_file(self):
        return os.path.join(self.hparams.output_folder, "history.json")

    @sb.utils.distributed.main_process_only
    def _add_to_history(self, entry):
        """Adds an epoch; epochs that are run again replace themselves."""
        before = [e for e in self.history() if e["epoch"] < entry["epoch"]]
        with atomic_write(self._history_file) as file:
            json.dump([*before, entry], file, indent=1)

    @property
    def _extreme(self):
        small = (*LOSSES, *self.hparams.task.lower_is_better)
        return "min" if self.hparams.select_by in small else "max"
