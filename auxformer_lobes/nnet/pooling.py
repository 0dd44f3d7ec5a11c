"""A whole stream in one vector, whatever it is padded with."""

import torch
import torch.nn as nn


def valid_frames(x, frames, mask=None):
    """Which frames are there: neither padding nor lost.

    Arguments
    ---------
    x : torch.Tensor
        `[batch, time, dim]`.
    frames : torch.Tensor
        Valid frames of each sample, `[batch]`.
    mask : torch.Tensor
        Frames that were not lost, boolean `[batch, time]`, and anything in the
        padding; all by default.

    Returns
    -------
    torch.Tensor
        Boolean `[batch, time]`.

    Example
    -------
    >>> valid_frames(torch.zeros(1, 3, 8), torch.tensor([2]))
    tensor([[ True,  True, False]])
    """
    valid = torch.arange(x.shape[1], device=x.device) < frames[:, None]
    return valid if mask is None else valid & mask


class LastFrame(nn.Module):
    """The last valid frame of each sample.

    Example
    -------
    >>> x = torch.arange(6.0).view(1, 3, 2)
    >>> LastFrame()(x, torch.tensor([2]))
    tensor([[2., 3.]])
    """

    def forward(self, x, frames, mask=None):
        """Picks the last valid frame; a sample without any gets zeros.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.
        frames : torch.Tensor
            Valid frames of each sample, `[batch]`.
        mask : torch.Tensor
            Frames that were not lost, boolean `[batch, time]`; all by default.

        Returns
        -------
        torch.Tensor
            `[batch, dim]`.
        """
        samples = torch.arange(x.shape[0], device=x.device)
        if mask is not None:  # the last one that was not lost
            places = torch.arange(1, x.shape[1] + 1, device=x.device)
            frames = (places * valid_frames(x, frames, mask)).amax(1)
        last = x[samples, (frames - 1).clamp(min=0)]
        return last * (frames > 0).unsqueeze(1)


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time, weighted by attention.

    Okabe et al., "Attentive statistics pooling for deep speaker embedding",
    Interspeech 2018; both statistics are projected back to `dim` channels.
    SpeechBrain's own (of ECAPA-TDNN) normalises by the batch, which mixes
    samples and their padding.

    Arguments
    ---------
    dim : int
        Number of channels.

    Example
    -------
    >>> pooling = AttentiveStatistics(20)
    >>> pooling(torch.rand(3, 9, 20), torch.tensor([9, 5, 0])).shape
    torch.Size([3, 20])
    """

    def __init__(self, dim):
        super().__init__()
        self.attention = nn.Sequential(
            nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1)
        )
        self.output = nn.Linear(2 * dim, dim)

    def forward(self, x, frames, mask=None):
        """Pools the valid frames; a sample without any gets zeros.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.
        frames : torch.Tensor
            Valid frames of each sample, `[batch]`.
        mask : torch.Tensor
            Frames that were not lost, boolean `[batch, time]`; all by default.

        Returns
        -------
        torch.Tensor
            `[batch, dim]`.
        """
        valid = valid_frames(x, frames, mask)
        scores = self.attention(x).squeeze(-1)
        # The lowest finite number, since a sample may have no valid frame.
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        weights = scores.softmax(1).unsqueeze(-1)
        # [batch, time, 1]
        mean = (weights * x).sum(1)
        variance = (weights * (x - mean.unsqueeze(1)) ** 2).sum(1)
        # The root has no gradient at zero, where a single frame is.
        deviation = variance.clamp(min=1e-6).sqrt()
        pooled = self.output(torch.cat([mean, deviation], 1))
        return pooled * valid.any(1, keepdim=True)


POOLING = {
    "last": lambda dim: LastFrame(),
    "attentive": AttentiveStatistics,
}


def pooling_of(name, dim):
    """Makes a pooling by its name.

    Arguments
    ---------
    name : str
        One of `POOLING`.
    dim : int
        Number of channels.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError
        If there is none of this name.

    Example
    -------
    >>> pooling_of("last", 20)
    LastFrame()
    """
    if name not in POOLING:
        raise ValueError(f"pooling {name!r} is not one of {[*POOLING]}")
    return POOLING[name](dim)
