"""Dropout from random numbers that are cheap on a CPU."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, several times faster on a CPU.

    There, torch draws a number of 24 bits for each element, one after the
    other, which takes longer than all else that a small network does. Here,
    an element has 16 bits of a fast generator, which torch's own seeds: the
    result is reproducible by `torch.manual_seed`, elements are independent,
    and each is dropped with probability `p`, rounded to a multiple of
    2 ** -16. Elsewhere, and in a compiled module, it is torch's.

    Arguments
    ---------
    p : float
        Probability that an element is dropped.

    Example
    -------
    >>> dropout = Dropout(0.5)
    >>> sorted({*dropout(torch.ones(99)).tolist()})
    [0.0, 2.0]
    >>> dropout.eval()(torch.ones(2))
    tensor([1., 1.])
    """

    def forward(self, x):
        """Drops elements in training.

        Arguments
        ---------
        x : torch.Tensor
            Any shape.

        Returns
        -------
        torch.Tensor
            The same shape.
        """
        if not self.training or not self.p:
            return x
        if self.p == 1 or not is_eager_cpu(x):
            return F.dropout(x, self.p)
        kept = KeptElements(self.p)
        mask = kept.draw(x.shape).to(x.dtype)
        return x * mask.mul_(1 / kept.share)


class KeptElements:
    """Draws on a CPU what dropout keeps, seeded by torch's generator.

    Arguments
    ---------
    p : float
        Probability that an element is dropped, above 0.

    Attributes
    ----------
    share : float
        What is kept on average: 1 - p, rounded to a multiple of 2 ** -16.

    Example
    -------
    >>> kept = KeptElements(0.25)
    >>> kept.share, {*kept.draw([99]).tolist()} == {0, 1}
    (0.75, True)
    """

    def __init__(self, p):
        dropped = min(max(1, round(p * 2**16)), 2**16 - 1)
        self.share = 1 - dropped / 2**16
        self.last_dropped = np.int16(dropped - 2**15 - 1)
        seed = torch.randint(2**63 - 1, ()).item()
        self.generator = np.random.SFC64(seed)

    def draw(self, size):
        """Draws for each element whether it is kept.

        Arguments
        ---------
        size : sequence of int
            Any shape.

        Returns
        -------
        torch.Tensor
            uint8, of this shape: 1 or 0.
        """
        count = math.prod(size)
        # 16 bits an element.
        words = self.generator.random_raw(math.ceil(count / 4))
        kept = words.view(np.int16)[:count] > self.last_dropped
        # torch converts bytes to floats several times faster than booleans.
        return torch.from_numpy(kept.view(np.uint8)).view(size)


def is_eager_cpu(x):
    """Whether a tensor is on a CPU, in a module that is not compiled.

    Arguments
    ---------
    x : torch.Tensor
        Any tensor.

    Returns
    -------
    bool
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
