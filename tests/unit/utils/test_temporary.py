"""Temporary files where there is no room for them."""

import shutil
from types import SimpleNamespace

import pytest

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.temporary import full_disk_errors, temporary_folder


def write_on(monkeypatch, free):
    """Fails as a library does on a disk with so many bytes."""
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with full_disk_errors("folder"):
        raise ValueError("Invalid argument")


def test_a_full_disk_is_told_whatever_a_library_says(monkeypatch):
    with pytest.raises(UserError, match="is full: make room there, or set"):
        write_on(monkeypatch, free=4096)


def test_other_failures_stay_what_they_are(monkeypatch):
    with pytest.raises(ValueError, match="Invalid argument"):
        write_on(monkeypatch, free=1 << 30)


def test_no_place_for_temporary_files_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="temporary files: No such file"):
        with temporary_folder():
            pass
