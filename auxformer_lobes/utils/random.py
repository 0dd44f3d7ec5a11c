"""Independent random streams."""

import numpy as np

from auxformer_lobes.utils.errors import UserError


def stream_seed(*keys):
    """Seed of an independent random stream (numpy.random.SeedSequence).

    With a sum of the keys, seed 0 in epoch 2 would draw what seed 1 draws in
    epoch 1. Each use needs a number of keys of its own: missing keys count as 0.

    Arguments
    ---------
    *keys : int
        Not negative: seed of the run, epoch, process.

    Returns
    -------
    int
        63 bits.

    Raises
    ------
    UserError
        If a key is negative.

    Example
    -------
    >>> stream_seed(0, 2) == stream_seed(1, 1)
    False
    """
    if min(keys) < 0:
        raise UserError(f"seed: {min(keys)}: must not be negative")
    sequence = np.random.SeedSequence(keys)
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
