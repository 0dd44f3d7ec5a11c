"""What a benchmark runs on, and how fast that is."""

import platform
import re
import subprocess
import time
from pathlib import Path

import torch


def matrix_rate(device, dtype):
    """Speed of a large product of matrices.

    Arguments
    ---------
    device : str
        Where they are.
    dtype : torch.dtype
        Of the matrices.

    Returns
    -------
    float
        FLOP/s, the best of ten products.
    """
    size = 2048 if torch.device(device).type == "cpu" else 8192
    matrix = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / min(time_calls([lambda: matrix @ matrix], 10)[0])


def time_calls(calls, repeats):
    """Times functions in turn, so that all see the same machine.

    Arguments
    ---------
    calls : list of callable
        What is timed.
    repeats : int
        How often, after a first time that does not count.

    Returns
    -------
    list of list of float
        For each function, its times in s.
    """
    times = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, spent in zip(calls, times):
            synchronize()
            started = time.perf_counter()
            call()
            synchronize()
            if repeat:
                spent.append(time.perf_counter() - started)
    return times


def synchronize():
    """Waits for the GPU, if one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def describe_machine(device):
    """Names what the figures are of.

    Arguments
    ---------
    device : str
        "cpu" or "cuda".

    Returns
    -------
    dict
        Device, cores, versions, commit.
    """
    name = platform.processor() or platform.machine()
    if device != "cpu":
        name = torch.cuda.get_device_name()
    elif (cpus := Path("/proc/cpuinfo")).exists():
        models = re.findall(r"model name\s*: (.*)", cpus.read_text())
        name = models[0] if models else name
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip() or None,
    }
