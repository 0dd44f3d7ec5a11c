"""Small experiments: the test predictions of a few cells."""

from dataclasses import replace

import numpy as np

from auxformer_lobes.evaluation.pooled_metrics import CellScores
from tests.unit.small_tasks import perfect_outputs, random_clips


def make_cells(
    task, num_speakers=(3, 3), seeds=(0, 1), skill=0.6, system=0, clips_each=5
):
    """Makes the cells of a system, a partition per entry of `num_speakers`.

    The clips depend on the partition only, the predictions also on the seed
    and the system. A share of about `skill` of them is right, more of some
    speakers than of others.
    """
    cells = []
    for partition, count in enumerate(num_speakers):
        owner = np.repeat(np.arange(count), clips_each)
        truth, _ = random_clips(task, len(owner), partition, gaps=False)
        spread = np.random.default_rng(partition).uniform(-0.3, 0.3, count)
        for seed in seeds:
            stream = 1000 * system + 10 * (partition + 1) + (seed or 0)
            rng = np.random.default_rng(stream)
            right = rng.random(len(owner)) < skill + spread[owner]
            _, wrong = random_clips(task, len(owner), stream + 500)
            outputs = np.where(
                right[:, None], perfect_outputs(task, truth), wrong
            )
            cells.append(
                CellScores(
                    partition,
                    seed,
                    tuple(task.names),
                    [f"clip{partition}_{i}" for i in range(len(owner))],
                    [f"speaker{partition}_{i}" for i in owner],
                    truth,
                    task.sufficient_statistics(truth, outputs),
                )
            )
    return cells


def take(cell, rows):
    """Returns a cell with some of its clips, in their order."""
    return replace(
        cell,
        clips=[cell.clips[i] for i in rows],
        speakers=[cell.speakers[i] for i in rows],
        truth=cell.truth[rows],
        statistics=cell.statistics[rows],
    )


def shuffle(cells, seed):
    """Returns the same cells and clips in another order."""
    rng = np.random.default_rng(seed)
    cells = [take(cell, rng.permutation(len(cell.clips))) for cell in cells]
    return [cells[i] for i in rng.permutation(len(cells))]


def accuracy_by_speaker(cells):
    """Returns accuracies `[cells, speakers]`; equally many clips each."""
    return np.array(
        [
            [
                np.trace(statistics.sum(0)) / len(statistics)
                for name in dict.fromkeys(cell.speakers)
                for statistics in [
                    cell.statistics[np.array(cell.speakers) == name]
                ]
            ]
            for cell in cells
        ]
    )
