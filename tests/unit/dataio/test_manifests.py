"""A preparation is not made again, unless what it wrote is damaged."""

import json
import os

import pytest

from auxformer_lobes.dataio.manifests import is_prepared
from auxformer_lobes.dataio.run import SPLITS, Run

OPTIONS = {"partition": 1, "speakers": (1, 2)}


@pytest.fixture
def run(tmp_path):
    """A folder that was prepared."""
    run = Run(tmp_path)
    for split in SPLITS:
        run.manifest(split).write_text('{"clip": {"spk_id": "1"}}')
    run.prepare_report.write_text(json.dumps({"options": OPTIONS}))
    return run


def test_the_same_options_are_prepared_once(run):
    assert is_prepared(run.folder, OPTIONS)
    assert not is_prepared(run.folder, {**OPTIONS, "partition": 2})


@pytest.mark.parametrize("name", ["prepare_report", "train", "test"])
@pytest.mark.parametrize("content", [b"", b'{"clip": {"spk', b"\xff", b"[1]"])
def test_damaged_files_are_prepared_again(run, name, content):
    (run.folder / f"{name}.json").write_bytes(content)
    assert not is_prepared(run.folder, OPTIONS)


def test_a_file_that_was_only_replaced_is_no_damage(run):
    os.utime(run.manifest("train"), (0, 0))
    assert is_prepared(run.folder, OPTIONS)
