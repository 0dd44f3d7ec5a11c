"""Settings of all tests."""

import gc

import torch
from hypothesis import settings
from speechbrain.utils.importutils import LazyModule

# Hypothesis asks every module for its file, which would make SpeechBrain's
# lazy modules import packages that are not installed.
LazyModule.__file__ = None

# Two processes of two threads each stand in each other's way on two cores.
torch.set_num_threads(1)

# The same examples in each run, on every machine.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_collection_finish():
    """Leaves what was imported out of all searches for garbage: 0.3 s each."""
    gc.freeze()


def pytest_unconfigure():
    """Likewise what the tests have made, of the last searches."""
    gc.freeze()
