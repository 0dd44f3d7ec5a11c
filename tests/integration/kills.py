"""Kills a job at random moments, as `make kills N=25` does."""

import random
import time
from collections import Counter

from auxformer_lobes.utils import files
from tests.unit.letters import in_a_process

# What a killed process may leave, and the next start has to clear.
LEFTOVERS = ("*.tmp", ".export*", "saving.txt")


def kill_again_and_again(name, job, check, request, counts):
    """Kills a job, and does it again to its end, as often as `--kills` says.

    Each time, the moment of the kill is drawn over the time that the job takes.

    Arguments
    ---------
    name : str
        In the counts.
    job : callable
        Takes a number: what each time is done, into a folder of its own.
    check : callable
        Takes the number, after the job was done again; returns its folder,
        where nothing may be left that is only temporary.
    request : pytest.FixtureRequest
        For `--kills`.
    counts : dict of Counter
        The fixture.
    """
    # A start of Python takes longer.
    request.getfixturevalue("monkeypatch").setattr(files, "MIN_AGE", 0)
    kills = request.config.getoption("kills")
    rng, count = random.Random(kills), counts.setdefault(name, Counter())
    start = time.monotonic()
    assert _run(job, 0) == 0
    seconds = time.monotonic() - start
    for number in range(1, kills + 1):
        killed = _run(job, number, rng.uniform(0, seconds)) != 0
        count["killed" if killed else "ended before"] += 1
        assert _run(job, number) == 0, f"{name} {number}: fails"
        folder = check(number)
        left = [p.name for kind in LEFTOVERS for p in folder.rglob(kind)]
        assert not left, f"{name} {number}: {left}"
        count["held"] += 1


def _run(job, number, seconds=None):
    """The exit code of a job, which is killed after some seconds."""
    process = in_a_process(job, number)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode
