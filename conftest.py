"""Settings of all tests."""

import gc

import pytest
import torch
from hypothesis import settings
from speechbrain.utils.importutils import LazyModule

# Hypothesis asks every module for its file, which would make SpeechBrain's
# lazy modules import packages that are not installed.
LazyModule.__file__ = None

# Two processes of two threads each stand in each other's way on two cores.
torch.set_num_threads(1)

COUNTS = pytest.StashKey()

# The same examples in each run, on every machine.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_addoption(parser):
    """Adds the options of `make fuzz` and `make kills`."""
    group = parser.getgroup("accidents")
    group.addoption(
        "--fuzz_minutes",
        type=float,
        default=0,
        help="how long files are damaged at random; 0 for a few, the same ones",
    )
    group.addoption(
        "--fuzz_media", help="folder of media files to damage, in place of ours"
    )
    group.addoption(
        "--kills", type=int, default=1, help="how often each job is killed"
    )


@pytest.fixture(scope="session")
def counts(request):
    """Name of what is tried → `Counter` of outcomes, printed at the end."""
    counted = {}
    yield counted
    request.config.stash[COUNTS] = counted


def pytest_terminal_summary(terminalreporter, config):
    """Prints the counts of `make fuzz` and `make kills`."""
    for name, count in config.stash.get(COUNTS, {}).items():
        found = ", ".join(f"{number} {how}" for how, number in count.items())
        terminalreporter.write_line(f"{name:12} {found}")


def pytest_collection_finish():
    """Leaves what was imported out of all searches for garbage: 0.3 s each."""
    gc.freeze()


def pytest_unconfigure():
    """Likewise what the tests have made, of the last searches."""
    gc.freeze()
