"""A file is whole or not there."""

import pytest

from auxformer_lobes.utils.files import atomic_write


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
