#!/usr/bin/env python3
"""Compares each network of the recipes in ONNX with torch.

Random weights and features, of 1024 audio channels (two layers of an encoder,
summed) and 50 visual ones (two frames stacked into one). The largest difference
is that of all outputs over random batches of 1 to 5 clips of 1 to 60 frames,
with lost frames, padding that is not zero, and clips without a modality. The
latency is that of one thread, clips × audio × visual frames.

Example
-------
> python benchmarks/onnx_networks.py --networks auxformer late_fusion
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import onnxruntime
import torch
from hyperpyyaml import load_hyperpyyaml
from machine import describe_machine, time_calls

from auxformer_lobes.nnet.normalization import FeatureNorm
from auxformer_lobes.sharing.onnx import FeaturesToOutputs, compare, write_onnx
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)

FOLDER = Path(__file__).parents[1] / "recipes/CREMA-D/hparams/networks"
NAMES = ("angry", "happy", "neutral", "sad")
SIZES = f"""
    audio_dim: 1024
    visual_dim: 50
    audio_layers: 2
    visual_stack: 2
    num_classes: {len(NAMES)}
"""
DIMS = {"audio": 1024, "visual": 50}
TASKS = {
    "categorical": CategoricalEmotion,
    "multilabel": MultiLabelEmotion,
    "dimensional": DimensionalEmotion,
}
WORK = [(1, 125, 75), (32, 125, 75)]
CONFIG = {
    **{"task": "", "labels": [], "network": {"heads": {}}, "fitted": {}},
    **{"features": {"audio": {}, "visual": {}}, "corpus": {}},
}


def build(name, task):
    """Makes a network with random weights, and what goes with it.

    Arguments
    ---------
    name : str
        Its file, without suffix.
    task : str
        One of `TASKS`.

    Returns
    -------
    FeaturesToOutputs
    """
    torch.manual_seed(0)
    text = f"network: !include:{FOLDER / name}.yaml{SIZES}"
    network = load_hyperpyyaml(text)["network"]
    if network.shortcut is not None:  # as if it had learnt something
        for output in network.shortcut.outputs.values():
            torch.nn.init.normal_(output.weight, std=1e-3)
    norms = {m: FeatureNorm(dim) for m, dim in DIMS.items()}
    for norm in norms.values():
        norm.fit([1 + 2 * torch.randn(99, len(norm.mean))])
    made = TASKS[task](NAMES)
    if task == "categorical":
        made.temperature = 1.7
    return FeaturesToOutputs(network, norms, made)


def largest_difference(session, module, count=60):
    """The largest difference over random inputs.

    Arguments
    ---------
    session : onnxruntime.InferenceSession
        The exported file.
    module : FeaturesToOutputs
        What was exported.
    count : int
        Batches.

    Returns
    -------
    float
    """
    rng, differences = random.Random(0), []
    for seed in range(count):
        frames = {m: rng.randint(1, 60) for m in DIMS}
        inputs = module.draw_inputs(rng.randint(1, 5), frames, seed)
        for x, mask in zip(inputs[::2], inputs[1::2]):
            for clip in mask:
                clip[rng.randint(0, len(clip)) :] = False  # none, at times
            x[~mask] = 1e4
        differences.append(compare(session, module, inputs))
    return max(differences)


def measure(name, task, path):
    """Exports a network, and prints what it measures.

    Arguments
    ---------
    name : str
        Its file, without suffix.
    task : str
        One of `TASKS`.
    path : Path
        Where to write the file.
    """
    module, start = build(name, task), time.perf_counter()
    made = write_onnx(path, module, CONFIG)
    seconds = time.perf_counter() - start
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    cells = [name, task, f"{largest_difference(session, module):.1e}"]
    cells += [f"{made['bytes'] / 1e6:.1f}", f"{seconds:.0f}"]
    for batch, audio, visual in WORK:
        inputs = module.draw_inputs(batch, {"audio": audio, "visual": visual})
        feed = {k: x.numpy() for k, x in zip(module.input_names, inputs)}

        def _in_onnx(feed=feed):
            session.run(None, feed)

        @torch.no_grad()
        def _in_torch(inputs=inputs):
            module(*inputs)

        times = time_calls([_in_torch, _in_onnx], 200 // batch)
        cells += [f"{1000 * sorted(of)[len(of) // 2]:.1f}" for of in times]
    print(f"| {' | '.join(cells)} |", flush=True)


def main():
    """Runs the benchmark."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=names, choices=names)
    parser.add_argument("--tasks", nargs="+", default=["categorical"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe_machine("cpu"))
    titles = ["network", "task", "largest difference", "MB", "export, s"]
    for work in WORK:
        shape = " × ".join(map(str, work))
        titles += [f"torch, ms, {shape}", f"onnxruntime, ms, {shape}"]
    print(f"| {' | '.join(titles)} |")
    print(f"|{'---|' * len(titles)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            for task in options.tasks:
                measure(name, task, Path(folder) / "network.onnx")


if __name__ == "__main__":
    main()
