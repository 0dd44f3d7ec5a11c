"""What a network does on the development set, under each condition."""

from collections import defaultdict

import numpy as np
import torch

from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.models.base import fit_head_weights


class Development:
    """Collects logits on the development set, by condition.

    Example
    -------
    >>> from speechbrain.dataio.batch import PaddedBatch
    >>> from auxformer_lobes.models.auxformer import AuxFormer
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> network = AuxFormer(8, 5, num_classes=2, combination="fitted")
    >>> logits = {head: torch.eye(2) for head in network.heads}
    >>> head_mask = torch.ones(2, 3, dtype=torch.bool)
    >>> batch = PaddedBatch(
    ...     [
    ...         {"id": "a", "spk_id": "1", "truth": truth, "target": truth}
    ...         for truth in torch.tensor([[0], [1]])
    ...     ]
    ... )
    >>> development = Development()
    >>> development.add("audio_visual", batch, logits, head_mask)
    >>> task = CategoricalEmotion(["angry", "happy"])
    >>> development.fit(network, task.criterion)
    >>> development.metrics(network, task)["mean_f1_macro"]
    1.0
    """

    def __init__(self):
        self.rows = defaultdict(lambda: defaultdict(list))

    def add(self, condition, batch, logits, head_mask):
        """Adds a batch.

        Arguments
        ---------
        condition : str
            Name of the condition.
        batch : PaddedBatch
            The clips, with their `truth`, `target` and `spk_id`.
        logits : dict of torch.Tensor
            Head → `[batch, classes]`.
        head_mask : torch.Tensor
            Which heads contribute, boolean `[batch, heads]`.
        """
        rows = self.rows[condition]
        rows["clips"] += batch.id
        rows["speakers"] += batch.spk_id
        rows["truth"].append(batch.truth.data)
        rows["target"].append(batch.target.data)
        rows["logits"].append(torch.stack([*logits.values()], 1).float())
        rows["head_mask"].append(head_mask)

    def fit(self, network, criterion):
        """Fits the weights of the network's heads, if it has them.

        Arguments
        ---------
        network : AudioVisualNetwork
            Its `head_weights` are set.
        criterion : torch.nn.Module
            Loss of `[clips, classes]` and targets.
        """
        if network.head_weights is None:
            return
        logits, head_mask, target = (
            torch.cat([x for rows in self.rows.values() for x in rows[name]])
            for name in ("logits", "head_mask", "target")
        )
        network.head_weights.copy_(
            fit_head_weights(logits, head_mask, target, criterion)
        )

    def predictions(self, network, task):
        """Combined predictions.

        Arguments
        ---------
        network : AudioVisualNetwork
            It combines its heads.
        task : Task
            What was predicted.

        Returns
        -------
        dict of Predictions
            By name of the condition.
        """
        predictions = {}
        for condition, rows in self.rows.items():
            logits = torch.cat(rows["logits"])
            by_head = dict(zip(network.heads, logits.unbind(1)))
            combined = network.combine(by_head, torch.cat(rows["head_mask"]))
            made = Predictions()
            made.add(
                rows["clips"],
                rows["speakers"],
                torch.cat(rows["truth"]),
                {"combined": task.outputs(combined)},
            )
            predictions[condition] = made
        return predictions

    def metrics(self, network, task):
        """Metrics, and their means over the conditions.

        Arguments
        ---------
        network : AudioVisualNetwork
            It combines its heads.
        task : Task
            What was predicted.

        Returns
        -------
        dict of float
            The `metrics` of the task under the first condition, the first of
            them under each other one, `<metric>_<condition>`, and
            `mean_<metric>` of each.
        """
        found = {
            condition: made.metrics(task)
            for condition, made in self.predictions(network, task).items()
        }
        first, *others = found
        return {
            **found[first],
            **{
                f"{task.metrics[0]}_{other}": found[other][task.metrics[0]]
                for other in others
            },
            **{
                f"mean_{metric}": float(
                    np.mean([of[metric] for of in found.values()])
                )
                for metric in task.metrics
            },
        }
