"""A linear path from statistics over time to the logits."""

import torch
import torch.nn as nn

from auxformer_lobes.nnet.dropout import Dropout
from auxformer_lobes.nnet.pooling import valid_frames

CLIP = 4.0  # standard deviations; of few frames, statistics are far off
EPS = 1e-5  # of a variance, as in torch.nn.BatchNorm1d
# An Adam step changes each weight by the learning rate, and so the logits in
# proportion to the inputs. Outputs are scaled to learn as fast as of so many:
# chosen among 1000 and 2000 on development actors of RAVDESS.
INPUTS = 2000


class StatisticsShortcut(nn.Module):
    """Adds to each head a linear model of its modalities' statistics.

    Cheng et al., "Wide & deep learning for recommender systems", DLRS 2016:
    what a linear model can learn from the mean and the standard deviation of
    each channel over time, the network need not learn anew, which on a small
    corpus it does badly. The statistics are those of the frames that are there,
    standardised over clips (see `ClipNorm`). The linear layers start from zero.

    Arguments
    ---------
    dims : dict of int
        Modality → channels of its features.
    heads : dict of tuple
        Head → modalities that it reads.
    num_classes : int
        Outputs of each head.
    dropout : float
        Dropout of the statistics.

    Example
    -------
    >>> heads = {"main": ("audio", "visual"), "audio": ("audio",)}
    >>> shortcut = StatisticsShortcut({"audio": 8, "visual": 5}, heads, 6)
    >>> frames = torch.tensor([9, 4])
    >>> logits = shortcut(
    ...     {
    ...         "audio": (torch.rand(2, 9, 8), frames, None),
    ...         "visual": (torch.rand(2, 9, 5), frames, None),
    ...     }
    ... )
    >>> {head: scores.shape for head, scores in logits.items()}
    {'main': torch.Size([2, 6]), 'audio': torch.Size([2, 6])}
    """

    def __init__(self, dims, heads, num_classes, dropout=0.0):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleDict(
            {modality: ClipNorm(2 * dim) for modality, dim in dims.items()}
        )
        self.dropout = Dropout(dropout)
        self.outputs = nn.ModuleDict(
            {
                head: nn.Linear(2 * sum(dims[m] for m in reads), num_classes)
                for head, reads in heads.items()
            }
        )
        for output in self.outputs.values():
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)

    def forward(self, streams):
        """Scores each class.

        Arguments
        ---------
        streams : dict of tuple
            Modality → features `[batch, time, channels]`, zero where they are
            not valid; the valid frames of each sample, `[batch]`; and which
            of them are there, boolean `[batch, time]`, or None for all.

        Returns
        -------
        dict of torch.Tensor
            Head → `[batch, classes]`. A modality without a frame adds nothing.
        """
        statistics = {
            modality: self.norms[modality](*frame_statistics(*stream))
            for modality, stream in streams.items()
        }
        return {
            head: self._score(
                self.outputs[head], torch.cat([statistics[m] for m in reads], 1)
            )
            for head, reads in self.heads.items()
        }

    def _score(self, output, x):
        return output(self.dropout(x)) * (INPUTS / x.shape[1])


class ClipNorm(nn.Module):
    """Standardises over clips, and bounds outliers.

    Batch normalisation without learnt parameters, in which clips that lack the
    modality do not count. SpeechBrain turns torch's own into one that needs a
    GPU where processes train together.

    Arguments
    ---------
    dim : int
        Number of channels.
    momentum : float
        Weight of a batch in the running statistics.

    Example
    -------
    >>> norm = ClipNorm(1)
    >>> x, has = torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([1, 1, 0])
    >>> norm(x, has.bool()).round(decimals=3).tolist()
    [[-1.0], [1.0], [0.0]]
    """

    def __init__(self, dim, momentum=0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))

    def forward(self, x, has):
        """Standardises by the batch in training, else by running statistics.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, channels]`.
        has : torch.Tensor
            Which clips have the modality, boolean `[batch]`.

        Returns
        -------
        torch.Tensor
            `[batch, channels]`, within ±4, 0 where a clip lacks the modality.
        """
        mean, var = self.mean, self.var
        if self.training:
            count = has.sum()
            weights = (has / count.clamp(min=1)).unsqueeze(1)
            batch_mean = (weights * x).sum(0)
            batch_var = (weights * (x - batch_mean) ** 2).sum(0)
            # A single clip has no variance.
            enough = count > 1
            mean = torch.where(enough, batch_mean, mean)
            var = torch.where(enough, batch_var, var)
            unbiased = batch_var * count / (count - 1).clamp(min=1)
            step = self.momentum * enough
            with torch.no_grad():
                self.mean.lerp_(batch_mean, step)
                self.var.lerp_(unbiased, step)
        x = (x - mean) * (var + EPS).rsqrt()
        return x.clamp(-CLIP, CLIP) * has.unsqueeze(1)


def frame_statistics(x, frames, mask=None):
    """Mean and standard deviation over the frames that are there.

    Arguments
    ---------
    x : torch.Tensor
        `[batch, time, channels]`.
    frames : torch.Tensor
        Valid frames of each sample, `[batch]`.
    mask : torch.Tensor
        Frames that are there, boolean `[batch, time]`; all by default.

    Returns
    -------
    statistics : torch.Tensor
        `[batch, 2 * channels]`.
    has_frames : torch.Tensor
        Whether there is any frame, boolean `[batch]`.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> frame_statistics(x, torch.tensor([2]))
    (tensor([[2., 1.]]), tensor([True]))
    """
    valid = valid_frames(x, frames, mask)
    weights = valid.unsqueeze(-1).to(x)
    count = weights.sum(1).clamp(min=1)
    # [batch, 1]
    mean = (weights * x).sum(1) / count
    # In place: new memory costs more than the arithmetic.
    squares = (x - mean.unsqueeze(1)).square_().mul_(weights)
    variance = squares.sum(1) / count
    # The root has no gradient at zero, where a single frame is.
    deviation = variance.clamp(min=1e-12).sqrt()
    return torch.cat([mean, deviation], 1), valid.any(1)
