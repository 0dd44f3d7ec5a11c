"""An export is complete or not there, whatever happens meanwhile."""

import json
import os
import shutil
import signal

import pytest
from safetensors import SafetensorError

from auxformer_lobes.sharing import export as export_module
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.workspace import workspace
from auxformer_lobes.utils.errors import UserError
from tests.unit.letters import in_a_process
from tests.unit.small_runs import make_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    work = tmp_path_factory.mktemp("workspace")
    make_run(work / "run")
    return work / "run"


def make(out, text):
    with workspace(out) as folder:
        (folder / "a").write_text(text)


def kill_while_making(out):
    with workspace(out) as folder:
        (folder / "a").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def kill_while_replacing(out):
    # The older folder is put aside, and the new one has no name yet.
    with workspace(out) as folder:
        os.replace(out, folder.with_name("older"))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("job", [kill_while_making, kill_while_replacing])
@pytest.mark.parametrize("later", ["model", "another"])
def test_what_a_killed_process_leaves_is_cleared(tmp_path, job, later):
    make(tmp_path / "model", "older")
    in_a_process(job, tmp_path / "model").join()
    assert [*tmp_path.glob(".export*")]
    make(tmp_path / later, "newer")
    assert {path.name for path in tmp_path.iterdir()} == {"model", later}
    assert (tmp_path / later / "a").read_text() == "newer"
    if later != "model":
        assert (tmp_path / "model" / "a").read_text() == "older"


def test_a_folder_of_ones_own_is_left_alone(tmp_path):
    own = tmp_path / ".export-notes"
    own.mkdir()
    (own / "notes.txt").touch()
    make(tmp_path / "model", "new")
    assert (own / "notes.txt").exists()


def refused(out):
    try:
        make(out, "second")
    except UserError as error:
        assert "another process is exporting to it: wait" in str(error)
        os._exit(3)


def test_one_process_at_a_time_makes_a_folder(tmp_path):
    with workspace(tmp_path / "model") as folder:
        second = in_a_process(refused, tmp_path / "model")
        second.join()
        assert second.exitcode == 3
        # Another folder is another matter, and clears nothing of this one.
        other = in_a_process(make, tmp_path / "other", "x")
        other.join()
        assert other.exitcode == 0 and folder.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other"}


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(28, "No space left on device"), "make room"),
        (SafetensorError("I/O error: No space left"), "make room"),
        (PermissionError(13, "Permission denied"), "let yourself write"),
    ],
)
def test_a_failure_to_write_is_one_line(
    finished, tmp_path, monkeypatch, error, reason
):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(export_module, "save_file", fail)
    with pytest.raises(UserError, match=f"^[^\n]*model: .*{reason}[^\n]*$"):
        export(finished, tmp_path / "model")
    assert not [*tmp_path.iterdir()]


DAMAGED = {
    "metrics.json": [("test", None), ("fitted", {}), ("test_speakers", 1)],
    "prepare_report.json": [("options", None), ("card", "x")],
    "audit.json": [("findings", ...)],
    "train.json": [("clip", {"spk_id": "a", "duration": "x"}), ("clip", [])],
    "test.json": [("clip", {})],
}


@pytest.mark.parametrize(
    "name, key, value",
    [(name, *each) for name, changes in DAMAGED.items() for each in changes],
)
def test_damaged_files_of_a_run_are_named(finished, tmp_path, name, key, value):
    run = shutil.copytree(finished, tmp_path / "run")
    path = run / name
    content = json.loads(path.read_text()) if path.exists() else {}
    content = {**content, key: value}
    if value is ...:
        del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"^[^\n]*{name}: [^\n]*: [^\n]*$"):
        export(run, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
