"""Normalises features by the statistics of the training clips."""

import torch
from speechbrain.processing.features import combine_gaussian_statistics

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import (
    CHANNELS,
    Configurable,
    number,
    optional,
)


class FeatureNorm(Configurable, torch.nn.Module):
    """Gives each channel mean 0 and standard deviation 1, and clips outliers.

    The statistics are those of all frames `fit` has seen. They are buffers,
    so that a checkpoint of the model holds them.

    Arguments
    ---------
    dim : int
        Channels of the features.
    clip : float
        Normalised values are clipped to ±`clip`; None for no clipping.

    Example
    -------
    >>> norm = FeatureNorm(dim=2, clip=3)
    >>> norm.fit([torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0]])])
    >>> norm(torch.tensor([[[1.0, 1.0], [2.0, 1.0], [99.0, 1.0]]]))
    tensor([[[0., 0.],
             [1., 0.],
             [3., 0.]]])
    """

    schema = {"dim": CHANNELS, "clip": optional(number(0, 1e6))}

    def __init__(self, dim, clip=5.0):
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("count", torch.tensor(0))

    @property
    def fitted(self):
        """Whether the statistics of some features are known."""
        return self.count > 0

    def fit(self, features):
        """Takes the statistics of these features, all frames alike.

        Arguments
        ---------
        features : iterable of torch.Tensor
            `[time, dim]` each.

        Raises
        ------
        UserError
            If there are no features.
        """
        statistics = None
        for frames in features:
            found = _statistics(frames)
            statistics = (
                combine_gaussian_statistics(statistics, found)
                if statistics
                else found
            )
        if statistics is None:
            raise UserError(
                "normalisation: no training clip has features: see the "
                "failures that the extraction reported"
            )
        count, mean, variance = statistics
        self.count.fill_(count)
        self.mean.copy_(mean)
        self.std.copy_(variance.sqrt())

    def forward(self, features):
        """Normalises features.

        Arguments
        ---------
        features : torch.Tensor
            `[..., dim]`.

        Returns
        -------
        normalised : torch.Tensor
            `[..., dim]`, 0 in channels that were constant in training.
        """
        # float32 cannot tell a smaller deviation from none.
        varies = self.std > 1e-6 * self.mean.abs()
        scale = torch.where(varies, 1 / self.std, 0)
        # In place: new memory costs more than the arithmetic.
        normalised = (features - self.mean).mul_(scale)
        if self.clip is None:
            return normalised
        return normalised.clamp_(-self.clip, self.clip)


def _statistics(frames):
    """Count, mean and variance, as `gaussian_statistics` of SpeechBrain.

    That takes 15 times as long in float64. The mean is taken off before
    squaring, and so is what rounding has left of it.
    """
    rounded = frames.float().mean(0)
    deviations = frames - rounded
    rest = deviations.mean(0).double()
    variance = deviations.square_().mean(0).double() - rest**2
    return len(frames), rounded.double() + rest, variance.clamp(min=0)
