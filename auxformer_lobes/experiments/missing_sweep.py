"""Sweeps a run over what is missing: kind, modality, severity."""

import csv
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from auxformer_lobes.augment.frame_loss import (
    BOTH,
    BURST,
    FRAME_LOSSES,
    LostBursts,
)
from auxformer_lobes.augment.missing import AUDIO_VISUAL, presence
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.linear_baseline import HEAD as BASELINE
from auxformer_lobes.evaluation.metrics import defined_metrics
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.evaluation.sweep import Sweep, plan_passes
from auxformer_lobes.experiments.cross_corpus import output_of, print_excluded
from auxformer_lobes.experiments.opened_run import (
    EvaluationBrain,
    open_run,
    restrict_outputs,
    writing,
)
from auxformer_lobes.experiments.recipe import logged_failure, write_report
from auxformer_lobes.experiments.results import cells_at
from auxformer_lobes.experiments.swept import (
    SweptRun,
    check_clips,
    curves_of,
    read_swept,
    twins_of,
)
from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.reporting.missing_figures import save_sweep_figures
from auxformer_lobes.reporting.missing_file import LATE_FUSION, read_sweep
from auxformer_lobes.reporting.missing_tables import print_sweep
from auxformer_lobes.reporting.predictions_csv import read_predictions
from auxformer_lobes.reporting.tables import count_of
from auxformer_lobes.tasks import describe_task
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.precision import without_tf32

COLUMNS = (
    *("kind", "modality", "severity", "seed"),
    *("measured", "head", "metric", "value"),
)


class SweepBrain(EvaluationBrain):
    """Makes all forward passes of a sweep with each batch, which is read once.

    `plan` are its passes, see `plan_passes`.
    """

    plan = {}

    def on_stage_start(self, stage, epoch=None):
        """Starts the records, see `AuxFormerBrain`."""
        super().on_stage_start(stage, epoch)
        self.outputs = defaultdict(list)  # head, pass → batches
        self.lost = defaultdict(list)  # pass → shares of clips
        self.present, self.clips = [], Predictions()

    @without_tf32()
    def evaluate_batch(self, batch, stage):
        """Makes the passes, see `speechbrain.Brain`."""
        batch = batch.to(self.device)
        with self.evaluation_ctx:
            given = super().streams(batch)
        self.present.append(presence(given).cpu().numpy())
        for loss, condition in self.plan.items():
            self.left = condition(given, batch.id)
            self.lost[loss].append(_share_lost(given, self.left, loss.modality))
            self.predictions = Predictions()
            super().evaluate_batch(batch, stage)
            for head, rows in self.predictions.outputs.items():
                rows = np.array(rows, np.float32)
                self.outputs[head, loss].append(rows)
        self.clips.add(batch.id, batch.spk_id, batch.truth.data, {})
        return torch.zeros(())

    def streams(self, batch):
        """What a pass has left, see `AuxFormerBrain`."""
        return self.left

    def compute_objectives(self, predictions, batch, stage):
        """Records late fusion too, where single heads can be averaged."""
        loss = super().compute_objectives(predictions, batch, stage)
        logits, head_mask, *_ = predictions
        heads = self.hparams.network.heads.items()
        alone = {h: i for i, (h, reads) in enumerate(heads) if len(reads) == 1}
        if len(alone) > 1:
            fused = combine_heads(
                {head: logits[head] for head in alone},
                head_mask[:, [*alone.values()]],
            )
            rows = self.hparams.task.outputs(fused).tolist()
            self.predictions.outputs[LATE_FUSION] += rows
        return loss

    def swept(self, draws):
        """What was predicted.

        Arguments
        ---------
        draws : int
            How often each loss was drawn.

        Returns
        -------
        Sweep
        """
        heads = dict.fromkeys(head for head, _ in self.outputs)
        shares = [np.concatenate(self.lost[loss]) for loss in self.plan]
        return Sweep(
            self.clips.clips,
            self.clips.speakers,
            np.array(self.clips.truth),
            np.concatenate(self.present),
            draws,
            [*self.plan],
            # NaN: a clip that lacked the modality before.
            np.array([np.nanmean(x) if (x == x).any() else 0 for x in shares]),
            {
                head: np.stack(
                    [np.concatenate(self.outputs[head, x]) for x in self.plan]
                )
                for head in heads
            },
        )


def _share_lost(given, left, modality):
    """Share of the frames that each clip lost; NaN where it had none."""
    shares = [
        1 - left[m].mask.sum(1) / given[m].mask.sum(1)
        for m in MODALITIES
        if modality in (m, BOTH)
    ]
    return torch.stack(shares).nanmean(0).cpu().numpy()


def sweep_run(
    run,
    manifest=None,
    data_folder=None,
    output_folder=None,
    num_workers=2,
    run_opts=None,
    feature_folder=None,
    seeds=3,
    against=(),
    quiet=False,
):
    """Measures how the best checkpoint of a run does where something is missing.

    Writes `missing.csv`, `missing.npz`, `missing.json` and `missing.png`, and
    the report of the run again.

    Arguments
    ---------
    run : str
        A run's output folder, see `evaluate_run`.
    manifest : str, optional
        JSON manifest; by default the run's own, of the test.
    data_folder : str, optional
        What `{data_root}` in the manifest stands for; by default the run's
        data folder.
    output_folder : str, optional
        Where to write; by default the run, or for another manifest a folder
        in it.
    num_workers : int
        Processes that read media files.
    run_opts : dict, optional
        SpeechBrain's options, such as `device`.
    feature_folder : str, optional
        Where features are stored; by default that of the run.
    seeds : int
        How often each loss is drawn.
    against : sequence of str
        Folders of other runs that were swept over the same clips: with both
        modalities, baselines of effective robustness; with one, twins.
    quiet : bool
        Whether nothing is printed.

    Returns
    -------
    dict
        The content of `missing.json`.

    Raises
    ------
    UserError
        If the run has no checkpoint, the manifest cannot be read, or another
        run was not swept, or over other clips.
    """
    began = time.monotonic()
    cells = cells_at(against) if against else []
    others = [read_swept(cell.run, cell.name) for cell in cells]
    run, output = Run(run), Run(output_folder or run)
    if manifest is not None:
        output = output_of(run, manifest, output_folder)
    source = {
        "run": str(run.folder.resolve()),
        "manifest": str(Path(manifest or run.manifest("test")).resolve()),
    }
    if output.folder.resolve() != run.folder.resolve():
        _check_unused(run, output, source)
    output.check_unlocked()  # now, and not after the work
    opened = open_run(
        run,
        manifest,
        data_folder,
        num_workers,
        run_opts,
        feature_folder,
        SweepBrain,
    )
    brain, hparams, task = opened.brain, opened.hparams, opened.common
    for other in others:
        check_clips(other, opened.dataset.data, task)
    network, bootstrap = hparams["network"], hparams["bootstrap_samples"]
    unmeasured = sum(
        not entry.get("duration") for entry in opened.dataset.data.values()
    )
    # Bursts are in seconds.
    kinds = [k for k in FRAME_LOSSES if not unmeasured or k is not LostBursts]
    brain.plan = plan_passes(network.modalities, seeds, kinds)
    brain.predict_conditions(
        None, opened.dataset, [AUDIO_VISUAL], hparams["test_dataloader_opts"]
    )
    sweep = brain.swept(seeds)
    if task is not opened.task:
        sweep.truth, sweep.outputs = restrict_outputs(
            sweep.truth, sweep.outputs, opened.task, task
        )
    content = {
        **source,
        "epoch": run.metrics().get("epoch"),
        "heads": {head: [*reads] for head, reads in network.heads.items()},
        "task": describe_task(task),
        "fitted": task.settings,
        "metric": task.metrics[0],
        "seeds": seeds,
        "burst": BURST,
        "clips": len(sweep.clips),
        "speakers": len({*sweep.speakers}),
        "passes": len(sweep.passes),
    }
    swept = SweptRun(output, run.folder.resolve().name, content, sweep, task)
    beside = {other.name: [other] for other in others}
    content["curves"] = curves_of([swept], beside, bootstrap)
    content["twins"] = twins_of([swept], beside, bootstrap)
    content["seconds"] = round(time.monotonic() - began, 1)
    with writing(output):
        with atomic_write(output.missing_table) as file:
            write_table(file, sweep, task)
        with atomic_write(output.missing_predictions, "wb") as file:
            sweep.save(file)
        # Then: it marks the sweep as finished.
        with atomic_write(output.missing_file) as file:
            json.dump(content, file, indent=1)
    with logged_failure("missing.png"):
        made = read_sweep(output.missing_file)
        save_sweep_figures(output, made, task.scale)
    if manifest is None and output.is_complete():
        with logged_failure("report.html"):
            made = read_predictions(output.predictions_file, task)
            for of in made.values():
                of.outputs.pop(BASELINE, None)
            write_report(output, task, made, opened.dataset.data)
    if not quiet:
        print_sweep(content, task)
        print_excluded(opened.excluded)
        if unmeasured:
            print(
                f"bursts left out: {count_of(unmeasured, 'clip')} without a "
                "duration in the manifest"
            )
        print(f"results: {output.folder.resolve()}")
    return content


def _check_unused(run, output, source):
    """Refuses a folder with results of another run, or of other clips."""
    for file in (output.missing_file, output.metrics_file):
        before = (
            output.read_json(file, "delete it") if file.exists() else source
        )
        for key, now in source.items():
            # A run that was moved takes the folders in it along.
            was_moved = key == "run" and run.folder in output.folder.parents
            if before.get(key) != now and not was_moved:
                raise UserError(
                    f"{output.folder}: has results of "
                    f"{before.get(key) or 'a training'}: name another "
                    "--output_folder"
                )


def write_table(file, sweep, task):
    """Writes all metrics of a sweep as CSV: `COLUMNS`, a value a row.

    Arguments
    ---------
    file : file
        Open for text.
    sweep : Sweep
        The predictions.
    task : Task
        What was predicted.
    """
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for kind in sweep.kinds:
        for modality in sweep.modalities:
            for point in sweep.points(kind, modality):
                severity, draw, measured, outputs = point
                for head, rows in outputs.items():
                    made = task.sufficient_statistics(sweep.truth, rows)
                    overall, _ = defined_metrics(task, made.sum(0))
                    for metric, value in overall.items():
                        writer.writerow(
                            [
                                *(kind, modality, severity),
                                "" if draw is None else draw,
                                f"{measured:.6f}",
                                *(head, metric),
                                f"{value:.6f}" if np.isfinite(value) else "",
                            ]
                        )
