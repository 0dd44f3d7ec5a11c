"""Reads the checkpoints that the authors of AuxFormer published into ours.

Two networks share one set of names: the one of the paper (openSMILE
descriptors and VGG-Face) and the one released in October 2022 (wav2vec 2.0
and EMOCA).
"""

import pickle
import re
from pathlib import Path

import torch

from auxformer_lobes.utils.errors import UserError

# Published name -> our name, applied in this order.
RENAMED = [
    (r"^conv_1d_a\.", "audio_projection."),
    (r"^conv_1d_v\.", "visual_projection."),
    (r"^trans_a_with_v\.", "audio_from_visual."),
    (r"^trans_v_with_a\.", "visual_from_audio."),
    (r"^trans_a_mem\.", "audio_temporal."),
    (r"^trans_v_mem\.", "visual_temporal."),
    (r"^a_mem\.", "audio_auxiliary."),
    (r"^v_mem\.", "visual_auxiliary."),
    (r"\.self_attn\.in_proj_", ".attention.in_proj."),
    (r"\.self_attn\.", ".attention."),
    (r"\.layer_norms\.0\.", ".attention_norm."),
    (r"\.layer_norms\.1\.", ".feed_forward_norm."),
    (r"\.layer_norm\.", ".norm."),
    (r"\.fc1\.", ".feed_forward.0."),
    (r"\.fc2\.", ".feed_forward.3."),
    (r"^proj_aux1\.", "auxiliary_heads.0.branch.0."),
    (r"^proj_aux2\.", "auxiliary_heads.0.branch.3."),
    (r"^proj_aux3\.", "auxiliary_heads.0.branch.6."),
    (r"^out_layer_aux\.", "auxiliary_heads.0.output."),
    (r"^proj1\.", "main_head.branch.0."),
    (r"^proj2\.", "main_head.branch.3."),
    (r"^out_layer\.", "main_head.output."),
]

# Buffers that play no part in the outputs.
IGNORED = re.compile(r"\.(version|_float_tensor)$")


def rename(name):
    """Our name of a published parameter.

    Arguments
    ---------
    name : str
        The published name.

    Returns
    -------
    str
        Our name.

    Example
    -------
    >>> rename("trans_a_mem.layers.0.self_attn.in_proj_weight")
    'audio_temporal.layers.0.attention.in_proj.weight'
    """
    for published, ours in RENAMED:
        name = re.sub(published, ours, name)
    return name


def read_published(source):
    """Reads a published checkpoint.

    Arguments
    ---------
    source : str, Path or dict
        The published `final_head.pt`, or its state dict.

    Returns
    -------
    arguments : dict
        Arguments of `AuxFormer`: dimensions, layers, classes, projections.
    weights : dict
        Its state dict.

    Raises
    ------
    UserError
        If the source is not such a checkpoint.
    """
    state, name = source, "state dict"
    if not isinstance(source, dict):
        name = str(Path(source))
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise UserError(f"{name}: no such file") from None
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{name}: not a file of weights: {reason}"
            ) from None

    try:
        model_dim = state["proj_aux3.weight"].shape[0]
        arguments = {
            "model_dim": model_dim,
            "num_classes": len(state["out_layer.weight"]),
            "num_layers": 1
            + max(
                int(re.search(r"\.layers\.(\d+)\.", key)[1])
                for key in state
                if ".layers." in key
            ),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{name}: not a published AuxFormer head (final_head.pt): "
            "it misses proj_aux3.weight, out_layer.weight or the layers"
        ) from None
    for modality in ("audio", "visual"):
        projection = state.get(f"conv_1d_{modality[0]}.weight")
        arguments[f"{modality}_projection"] = projection is not None
        arguments[f"{modality}_dim"] = (
            model_dim if projection is None else projection.shape[1]
        )
    weights = {
        rename(key): value.squeeze(-1) if key.startswith("conv_1d") else value
        for key, value in state.items()
        if not IGNORED.search(key)
    }
    return arguments, weights
