"""Whether a loaded model works at all, before the first file is read for it."""

import torch

from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

FRAMES = 8
# Both modalities, and each alone.
PRESENT = ((True, True), (True, False), (False, True))


def check_outputs(hparams, folder):
    """Refuses a model whose parts do not work together, by random features.

    Arguments
    ---------
    hparams : dict
        Objects of a `hyperparams.yaml`, with their weights.
    folder : Path
        The model, for errors.

    Raises
    ------
    UserError
        If a norm has another width than the network, something fails, or
        outputs are not finite.
    """
    network, task = hparams["network"], hparams["task"]
    numbers = torch.Generator().manual_seed(0)
    present = torch.tensor(PRESENT)
    inputs, masks = [], []
    for i, modality in enumerate(MODALITIES):
        # A network of one modality has no other, nor a norm that fits it.
        dim = network.dims.get(modality, 1)
        x = torch.randn(len(PRESENT), FRAMES, dim, generator=numbers)
        if modality in network.dims:
            x = _normalise(hparams[f"{modality}_norm"], x, modality, folder)
        inputs.append(x)
        masks.append(present[:, i : i + 1].expand(-1, FRAMES))
    lens = torch.ones(len(PRESENT))
    try:
        with torch.no_grad():
            logits = network(*inputs, lens, lens, present, *masks)
            mask = network.head_mask(present)
            outputs = task.outputs(combine_heads(logits, mask))
    # Networks of one's own may raise errors of any type.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{folder}: the network fails: {reason:.200}")
    # Of samples without a head, there is nothing to be said.
    outputs = outputs[mask.any(1)]
    if not outputs.isfinite().all():
        raise UserError(
            f"{folder}: its outputs are not finite: its weights are damaged, "
            "or not of a training that converged"
        )


def _normalise(norm, x, modality, folder):
    """The normalised features; their width is that of every weight."""
    dim = x.shape[-1]
    shapes = {tuple(w.shape) for w in norm.state_dict().values() if w.ndim}
    try:
        if shapes - {(dim,)}:
            raise ValueError(f"it is {min(shapes)[0]} channels wide")
        with torch.no_grad():
            normalised = norm(x.clone())
        if normalised.shape != x.shape:
            raise ValueError(f"its outputs are {list(normalised.shape)}")
    # As above.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{folder}: {modality}_norm does not fit features of {dim} "
            f"channels: {reason:.200}"
        )
    return normalised
