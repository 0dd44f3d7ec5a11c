"""A file is whole or not there."""

import os

import pytest

from auxformer_lobes.utils.files import atomic_write, clear_temporaries


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        with atomic_write(path) as file:
            file.write("half")
            raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_written_as_they_are(tmp_path):
    with atomic_write(tmp_path / "x", "wb") as file:
        file.write(b"\r\n\x00")
    assert (tmp_path / "x").read_bytes() == b"\r\n\x00"


def test_somebodys_own_files_are_no_leftovers(tmp_path):
    for name in ("chapter.tmp", "votes.csv.99.tmp"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    clear_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["chapter.tmp"]


def test_what_another_process_writes_is_no_leftover(tmp_path):
    with atomic_write(tmp_path / "votes.csv") as file:
        os.utime(file.name, (0, 0))
        clear_temporaries(tmp_path)
        assert os.path.exists(file.name)
