"""What the Brains of all recipes share: records, selection, evaluation."""

import json
import os
from collections import defaultdict

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.errors import UserError
from auxformer_lobes.evaluation import LOSSES, METRICS, Predictions
from auxformer_lobes.files import whole_file
from auxformer_lobes.modalities import INPUTS, combine_heads


class AuxFormerBrain(sb.Brain):
    """A Brain that records losses and predictions of AuxFormer's heads.

    A recipe's own Brain says how to get logits (`compute_forward`) and what
    they cost (`compute_objectives`), and calls `record` there. It needs
    `hparams.seed`, `hparams.number_of_epochs`, `hparams.select_by` (one of
    `evaluation.METRICS` or `LOSSES`), `hparams.train_logger` and
    `hparams.output_folder`; a learning rate schedule may be
    `hparams.step_schedule`, called before each step, or
    `hparams.epoch_schedule`, called with each development loss.
    """

    inputs = INPUTS["audio_visual"]

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
        """Normalises the features of a batch and runs the network on them.

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
        audio, audio_lens = batch.audio
        visual, visual_lens = batch.visual
        return self.modules.auxformer(
            self.modules.audio_norm(audio),
            self.modules.visual_norm(visual),
            audio_lens,
            visual_lens,
            present,
            **options,
        )

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

    def record(self, batch, loss, logits, present, stage):
        """Keeps the parts of the loss and, in evaluation, the predictions.

        Arguments
        ---------
        batch : PaddedBatch
            The clips, with their `label` and `spk_id`.
        loss : LossParts
            What they cost.
        logits : Logits
            What the heads say of them.
        present : torch.Tensor or None
            Which heads have a say, boolean `[batch, 2]`; None is all.
        stage : sb.Stage
            The stage of the experiment.
        """
        for name, part in loss._asdict().items():
            self.losses[name].append(part.detach())
        if stage == sb.Stage.TRAIN:
            return
        heads = {"combined": combine_heads(logits, present)}
        heads.update(logits._asdict())
        self.predictions.clips += batch.id
        self.predictions.speakers += batch.spk_id
        self.predictions.truth += batch.label.data.squeeze(1).tolist()
        for head, scores in heads.items():
            probabilities = scores.float().softmax(-1).tolist()
            self.predictions.probabilities[head] += probabilities

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
        stats.update(self.predictions.metrics("combined"))
        meta = {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        self.hparams.train_logger.log_stats(meta, self.train_stats, stats)
        if hasattr(self.hparams, "epoch_schedule"):
            _, lr = self.hparams.epoch_schedule(
                [self.optimizer], epoch, stats["loss"]
            )
            sb.nnet.schedulers.update_learning_rate(self.optimizer, lr)
        self._add_to_history(
            {**meta, "train": self.train_stats, "valid": stats}
        )
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, **stats},
            **{f"{self._extreme}_keys": [self.hparams.select_by]},
        )

    def on_fit_start(self):
        """Refuses a choice of the best epoch that would fail at its end.

        Raises
        ------
        UserError
            If `hparams.select_by` is unknown.
        """
        if self.hparams.select_by not in (*LOSSES, *METRICS):
            raise UserError(
                f"select_by {self.hparams.select_by!r} is unknown: choose "
                f"one of {', '.join((*LOSSES, *METRICS))}"
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
        """
        loader = super().make_dataloader(dataset, stage, **options)
        if stage == sb.Stage.TRAIN:
            steps = len(loader) * self.hparams.number_of_epochs
            self.total_steps = steps // self.grad_accumulation_factor
        return loader

    def predict_all(self, dataset, loader_kwargs):
        """Predicts a dataset from each input, with the best checkpoint.

        Arguments
        ---------
        dataset : DynamicItemDataset
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
        if self.checkpointer.find_checkpoint() is None:
            raise UserError("there is no checkpoint to evaluate: train first")
        predictions = {}
        for name, self.inputs in INPUTS.items():
            self.evaluate(
                dataset,
                test_loader_kwargs=loader_kwargs,
                **{f"{self._extreme}_key": self.hparams.select_by},
            )
            predictions[name] = self.predictions
        self.inputs = INPUTS["audio_visual"]
        return predictions

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
        with whole_file(self._history_file) as file:
            json.dump([*before, entry], file, indent=1)

    @property
    def _extreme(self):
        return "min" if self.hparams.select_by in LOSSES else "max"
