"""Whether a device can be used."""

import torch

from auxformer_lobes.utils.errors import UserError


def check_device(device):
    """Makes sure that a device is there.

    Arguments
    ---------
    device : str or torch.device
        As torch names it; None for torch's own.

    Raises
    ------
    UserError
        If nothing can be computed on it.

    Example
    -------
    >>> check_device("meta")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: device meta: ...
    """
    try:
        # Some that are known cannot be used, such as meta.
        torch.zeros(1, device=device).cpu()
    except (AssertionError, RuntimeError) as error:
        raise UserError(f"device {device}: {str(error).splitlines()[0]}")
