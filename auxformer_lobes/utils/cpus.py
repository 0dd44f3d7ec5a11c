"""How many CPUs there are to use."""

import os


def cpus():
    """CPUs of this process; its share of them under torchrun.

    Returns
    -------
    int
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count()
    return cpus // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
