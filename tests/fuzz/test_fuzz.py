"""Damaged files are read as far as they can be, or refused in one line.

`make test` tries a few mutations, the same each time; `make fuzz MINUTES=10`
as many as it can, new ones each time, and keeps the smallest that fail in
`results/fuzz/`. Each is tried in a process of its own: it may neither hang nor
crash, nor take gigabytes.
"""

import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies

from tests.fuzz.children import in_child
from tests.fuzz.mutations import mutations
from tests.fuzz.targets import TARGETS

FAILURES = Path("results") / "fuzz"
ROUND = 50  # examples between two looks at the clock


class Failed(AssertionError):
    """A mutation that is neither read nor refused."""


@pytest.fixture(scope="module", params=TARGETS, ids=lambda make: make.__name__)
def target(request, tmp_path_factory):
    """What is attacked: its files, and what reads them."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    media = request.config.getoption("fuzz_media")
    if request.param.__name__ in ("media", "recognizer") and media:
        return request.param(folder, sorted(Path(media).iterdir()))
    return request.param(folder)


def test_whole_files_are_read(target, tmp_path):
    for file in target.files:
        outcome = in_child(target.check, _copy(target, file, tmp_path))
        assert outcome.kind == "read", outcome.reason


def test_damaged_files_are_read_or_refused(target, tmp_path, request, counts):
    minutes = request.config.getoption("fuzz_minutes")
    end = time.monotonic() + 60 * minutes / len(TARGETS)
    count = counts.setdefault(target.name, Counter())
    for number in range(1, 1_000_000):
        failure = _attack(target, tmp_path, count, number if minutes else None)
        if failure and not minutes:
            raise failure
        if time.monotonic() > end:
            break
    assert not count["failed"], f"see {FAILURES}"


def _attack(target, folder, count, number):
    """A round of mutations; the smallest failure, if there is one."""
    last = []

    @settings(
        max_examples=ROUND if number else target.examples,
        derandomize=not number,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[*HealthCheck],
    )
    @given(strategies.sampled_from(range(len(target.files))), mutations)
    def _try(index, changes):
        path = _copy(target, target.files[index], folder)
        content = path.read_bytes()
        for change in changes:
            content = change(content)
        path.unlink()  # a link to the whole one
        path.write_bytes(content)
        outcome = in_child(target.check, path)
        count["tried"] += 1
        if outcome.kind != "failed":
            count[outcome.kind] += 1
            return
        last[:] = path, content
        raise Failed(f"{path.name}: {changes}: {outcome.reason}")

    if number:
        _try = seed(time.time_ns())(_try)
    try:
        _try()
    except Failed as failure:
        path, content = last
        count["failed"] += 1
        kept = FAILURES / f"{target.name}-{number}{path.suffix}"
        if number:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
            kept.with_suffix(".txt").write_text(str(failure), "utf-8")
        return failure
    return None


def _copy(target, file, folder):
    """Copies the folder of a file, by links; the path of the file there."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    if not target.is_folder:
        copy.mkdir()
        return Path(shutil.copyfile(file, copy / file.name))
    shutil.copytree(target.folder, copy)
    return copy / file.relative_to(target.folder)
