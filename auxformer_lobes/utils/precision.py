"""Precision of products in float32."""

from contextlib import contextmanager

import torch


@contextmanager
def without_tf32():
    """Float32 is float32 on a GPU; SpeechBrain allows TF32, with 10 bits.

    It decorates functions, too.

    Example
    -------
    >>> with without_tf32():
    ...     torch.get_float32_matmul_precision()
    'highest'
    """
    convolutions = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), convolutions.allow_tf32
    try:
        torch.set_float32_matmul_precision("highest")
        convolutions.allow_tf32 = False
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        convolutions.allow_tf32 = before[1]
