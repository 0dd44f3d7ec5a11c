#!/usr/bin/env python3
"""Measures the speed and memory of AuxFormer beside the published network.

Three networks: a plain port of the published computation, AuxFormer with the
published values, and AuxFormer with the default of the recipes. First, the
logits of the first two are compared. The time at the matrix rate is what the
network's matrix products would take if all ran as fast as one large product.

Example
-------
> python benchmarks/networks.py --device cpu --json bench.json
"""

import argparse
import ctypes
import json
import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from hyperpyyaml import load_hyperpyyaml
from machine import describe_machine, matrix_rate, time_calls
from published_network import PublishedAuxFormer
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.nnet import attention
from auxformer_lobes.nnet.losses import SharedLoss

RECIPE = Path(__file__).parents[1] / "recipes" / "CREMA-D" / "hparams"
AUDIO_DIM, VISUAL_DIM = 1024, 50
# (what, batch, audio frames, visual frames, repeats) by type of device.
WORK = {
    "cpu": [
        ("training", 32, 125, 75, 4),
        ("training", 8, 600, 360, 2),
        ("inference", 32, 125, 75, 9),
        ("inference", 8, 600, 360, 3),
        ("inference", 1, 125, 75, 30),
    ],
    "cuda": [
        ("training", 32, 125, 75, 20),
        ("training", 256, 125, 75, 10),
        ("training", 32, 600, 360, 10),
        ("inference", 32, 125, 75, 50),
        ("inference", 1, 125, 75, 50),
    ],
}


def build_networks():
    """Builds the three networks; the first two have the same weights.

    Returns
    -------
    dict of torch.nn.Module
        By name.
    """
    torch.manual_seed(0)
    published = PublishedAuxFormer(AUDIO_DIM, VISUAL_DIM)
    default = load_hyperpyyaml(
        f"network: !include:{RECIPE}/networks/auxformer.yaml\n"
        f"    audio_dim: {AUDIO_DIM}\n"
        f"    visual_dim: {VISUAL_DIM}\n"
    )["network"]
    return {
        "published": published,
        "same maths": AuxFormer.from_published(published.state_dict()),
        "recipe default": default,
    }


def largest_difference(networks, device):
    """Compares the logits of the port and of AuxFormer.

    Arguments
    ---------
    networks : dict of torch.nn.Module
        What `build_networks` returns.
    device : str
        Device of the networks.

    Returns
    -------
    float
        The largest difference of a logit.
    """
    audio, visual, _ = draw_batch(3, 40, 25, device)
    with torch.no_grad():
        theirs, ours = (
            networks[name].eval()(audio, visual)
            for name in ("published", "same maths")
        )
    return max((theirs[h] - ours[h]).abs().max().item() for h in ours)


def draw_batch(batch, audio_frames, visual_frames, device):
    """Draws features and labels.

    Arguments
    ---------
    batch : int
        Number of clips.
    audio_frames : int
        Audio frames of each.
    visual_frames : int
        Visual frames of each.
    device : str
        Where to draw them.

    Returns
    -------
    tuple of torch.Tensor
        Audio and visual features `[batch, time, channels]`, labels `[batch]`.
    """
    return (
        torch.randn(batch, audio_frames, AUDIO_DIM, device=device),
        torch.randn(batch, visual_frames, VISUAL_DIM, device=device),
        torch.randint(6, (batch,), device=device),
    )


def training_step(network, precision):
    """Makes a function of a batch that does a training step.

    Arguments
    ---------
    network : torch.nn.Module
        The network.
    precision : context manager
        Of the forward pass.

    Returns
    -------
    callable
        Forward pass, shared loss, backward pass, clipping and Adam.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    loss = SharedLoss()

    def step(audio, visual, labels):
        network.train()
        with precision:
            total = loss(network(audio, visual), labels).total
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def inference(network, precision):
    """Makes a function of a batch that computes its logits.

    Arguments
    ---------
    network : torch.nn.Module
        The network.
    precision : context manager
        Of the forward pass.

    Returns
    -------
    callable
    """

    def infer(audio, visual, labels):
        network.eval()
        with torch.inference_mode(), precision:
            network(audio, visual)

    return infer


def count_flops(network, audio, visual, labels):
    """Counts the operations of the matrix products of a forward pass.

    Arguments
    ---------
    network : torch.nn.Module
        The network.
    audio : torch.Tensor
        Audio features, `[batch, time, channels]`.
    visual : torch.Tensor
        Visual features.
    labels : torch.Tensor
        Not used.

    Returns
    -------
    float
        FLOP. A training step has three times as many.
    """
    network.eval()
    # Of one clip, through products that the counter knows.
    known = patch.object(attention, "MANY_WEIGHTS", math.inf)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), known:
        with FlopCounterMode(display=False) as counter:
            network(audio[:1], visual[:1])
    return counter.get_total_flops() * len(audio)


def peak_memory(call, device):
    """Memory that a function needs beyond what is held before.

    Arguments
    ---------
    call : callable
        The function.
    device : str
        Where it computes.

    Returns
    -------
    float
        GiB; on a CPU, NaN where the system does not tell.
    """
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**30
    try:
        # Give back what is free, then reset the peak (Linux).
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        call()
        return (_resident("VmHWM") - before) / 2**20
    except (OSError, AttributeError):
        return float("nan")


def _resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(name))


def measure(device, precision):
    """Measures all networks at all sizes.

    Arguments
    ---------
    device : str
        "cpu" or "cuda".
    precision : str
        "float32", "bfloat16" or "float16", by autocast.

    Returns
    -------
    dict
        The machine, the rate of its matrix products, and one row a network
        and size.
    """
    dtype = getattr(torch, precision)
    context = nullcontext()
    if dtype != torch.float32:
        context = torch.autocast(device, dtype)
    networks = {k: v.to(device) for k, v in build_networks().items()}
    result = {
        **describe_machine(device),
        "precision": precision,
        "largest_difference": largest_difference(networks, device),
        "matrix_rate": matrix_rate(device, dtype),
        "rows": [],
    }
    for what, *size, repeats in WORK[device]:
        data = draw_batch(*size, device)
        make = training_step if what == "training" else inference
        steps = [make(network, context) for network in networks.values()]
        calls = [partial(step, *data) for step in steps]
        # The fastest: all that disturbs a measurement makes it slower.
        times = [min(x) for x in time_calls(calls, repeats)]
        for name, call, seconds in zip(networks, calls, times):
            flops = count_flops(networks[name], *data)
            result["rows"].append(
                {
                    "work": what,
                    "size": " × ".join(map(str, size)),
                    "network": name,
                    "seconds": seconds,
                    "speedup": times[0] / seconds,
                    "matrix_seconds": (3 if make is training_step else 1)
                    * flops
                    / result["matrix_rate"],
                    "peak_gib": peak_memory(call, device),
                }
            )
    return result


def print_result(result):
    """Prints what `measure` returns.

    Arguments
    ---------
    result : dict
        What `measure` returns.
    """
    print(
        f"{result['device']}, {result['threads']} threads, "
        f"{result['capability']}, torch {result['torch']}, "
        f"{result['precision']}, commit {result['commit']}\n"
        f"matrix rate: {result['matrix_rate'] / 1e9:.0f} GFLOP/s; "
        "largest difference from the published logits: "
        f"{result['largest_difference']:.1e}"
    )
    table = Table()
    for column in ("work", "batch × audio × visual", "network"):
        table.add_column(column)
    for column in (
        "ms",
        "× published",
        "ms at the matrix rate",
        "share of the rate",
        "peak GiB",
    ):
        table.add_column(column, justify="right")
    previous = None
    for row in result["rows"]:
        work = row["work"], row["size"]
        if previous not in (None, work):
            table.add_section()
        table.add_row(
            *(work if work != previous else ("", "")),
            row["network"],
            f"{1000 * row['seconds']:.3g}",
            f"{row['speedup']:.2f}",
            f"{1000 * row['matrix_seconds']:.3g}",
            f"{row['matrix_seconds'] / row['seconds']:.0%}",
            f"{row['peak_gib']:.2f}",
        )
        previous = work
    Console(width=None if Console().is_terminal else 110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--device", default="cpu", choices=[*WORK])
    add(
        "--precision",
        default="float32",
        choices=["float32", "bfloat16", "float16"],
        help="by autocast; float32 is TF32 on a GPU",
    )
    add("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is found")
    torch.set_float32_matmul_precision("high")
    found = measure(arguments.device, arguments.precision)
    print_result(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
