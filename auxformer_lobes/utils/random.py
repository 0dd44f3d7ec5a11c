"""Independent random streams."""

import numpy as np


def stream_seed(*keys):
    """Seed of a random stream that no other keys share.

    Sums of seeds do collide: seed 0 in epoch 2 would draw what seed 1 draws in
    epoch 1.

    Arguments
    ---------
    *keys : int
        Not negative: seed of the run, epoch, process.

    Returns
    -------
    int
        63 bits.

    Example
    -------
    >>> stream_seed(0, 2) == stream_seed(1, 1)
    False
    """
    sequence = np.random.SeedSequence(keys)
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
