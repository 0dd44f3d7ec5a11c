"""Running the cells of a study: each once, whatever happens on the way."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hyperpyyaml import resolve_references

from auxformer_lobes.experiments.experiment import plan_study, run_study
from auxformer_lobes.experiments.grid import shell
from auxformer_lobes.experiments.launchers import LocalLauncher, SlurmLauncher
from auxformer_lobes.utils.errors import UserError
from tests.unit.experiments.small_studies import (
    PYTHON,
    make_recipe,
    metrics_of,
    starts_of,
)

VARY = ["partition=1,2", "network=mult,broken"]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Plans a study of the recipe that trains nothing."""
    monkeypatch.setattr("auxformer_lobes.experiments.grid.POLL", 0.01)
    recipe = make_recipe(tmp_path)

    def _plan(vary=VARY, words=(), folder="study"):
        return plan_study(
            *recipe, words, vary, tmp_path / folder, shell(PYTHON)
        )

    return _plan


def run(grid, jobs=1, cells=None):
    """Runs cells; returns failures and those that ended, in their order."""
    launcher = LocalLauncher(jobs)
    ended = [*grid.run(launcher, grid.cells if cells is None else cells)]
    return [(cell.name, failure) for cell, failure, _ in ended]


def test_a_failed_cell_is_named_and_the_others_go_on(plan):
    _, grid = plan()
    ended = dict(run(grid))
    assert len(ended) == 4
    failed = {name: why for name, why in ended.items() if why}
    assert [*failed] == [
        "partition-1_network-broken",
        "partition-2_network-broken",
    ]
    reason = failed["partition-1_network-broken"]
    assert reason.startswith("network: out of order (see ")
    assert reason.endswith("partition-1_network-broken/output.log)")


def test_a_cell_that_is_killed_tells_so_rather_than_its_last_line(plan):
    _, grid = plan(["network=killed"])
    ((_, failure),) = run(grid)
    assert failure.startswith("killed by SIGKILL, perhaps for want of memory")
    grid.python = ["sh", "-c", '"$@"; exit $?', "sh", *grid.python]
    ((_, failure),) = run(grid)  # by a shell, as on Slurm
    assert failure.startswith("killed by SIGKILL")


def test_a_cell_that_failed_is_listed_as_failed_when_planned_again(plan):
    vary = ["network=mult,broken,late_fusion"]
    study, grid = plan(vary)
    for name, failure in run(grid, cells=grid.cells[:2]):
        grid.plan["failed"].update({name: failure} if failure else {})
    study.write(grid.plan)
    _, grid = plan(vary)
    states = [grid.state(cell) for cell in grid.cells]
    assert states == ["finished", "failed", "waiting"]


@pytest.mark.parametrize(
    "launcher, message",
    [
        ("torchrunn --standalone", "torchrunn --standalone: no such command"),
        ("torchrun '", "No closing quotation"),
        (" ", "no such command"),
    ],
)
def test_a_launcher_that_is_no_command_is_refused_before_anything_is_written(
    tmp_path, launcher, message
):
    folder = tmp_path / "study"
    with pytest.raises(UserError, match=f"--launcher.*{message}"):
        plan_study(*make_recipe(tmp_path), [], VARY, folder, launcher)
    assert not folder.exists()


def test_options_go_to_all_cells_and_varied_keys_to_their_own(plan):
    _, grid = plan(words=["--lr", "0.5"])
    run(grid)
    assert metrics_of(grid.cells[2])["options"] == {
        "lr": "0.5",
        "partition": "2",
        "network": "mult",
    }


def test_the_corpus_is_prepared_once_a_partition(plan):
    _, grid = plan()
    prepared = [cell.name for cell, _ in grid.prepare(LocalLauncher(1))]
    assert prepared == ["partition-1_network-mult", "partition-2_network-mult"]
    for cell in grid.cells:
        report = cell.run.read_json(cell.run.prepare_report, "")
        assert report["options"]["partition"] == cell.settings["partition"]
        assert cell.run.manifest("test").exists()
    assert [*map(starts_of, grid.cells)] == [["True"], [], ["True"], []]


def test_a_finished_cell_serves_those_that_are_not(plan):
    _, grid = plan(["partition=1,2", "network=mult,late_fusion"])
    list(grid.prepare(LocalLauncher(1)))
    run(grid, cells=[grid.cells[1]])
    for cell in (grid.cells[0], *grid.cells[2:]):
        cell.run.prepare_report.unlink()
    prepared = [cell.name for cell, _ in grid.prepare(LocalLauncher(1))]
    assert prepared == ["partition-2_network-mult"]
    assert grid.cells[0].run.prepare_report.exists()


def test_manifests_of_ones_own_need_no_preparation_report(plan):
    _, grid = plan(["network=mult,late_fusion,audio_only"])
    prepared = []
    for cell, _ in grid.prepare(LocalLauncher(1)):
        cell.run.prepare_report.unlink()
        prepared.append(cell)
    assert prepared == grid.cells[:1]
    assert all(cell.run.manifest("test").exists() for cell in grid.cells)


def test_jobs_run_side_by_side_and_share_the_threads(
    plan, tmp_path, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    _, grid = plan(["partition=1,2,3"])
    gate = tmp_path / "gate"
    gate.touch()
    ended = []
    thread = threading.Thread(target=lambda: ended.extend(run(grid, jobs=2)))
    thread.start()
    while sum(map(len, map(starts_of, grid.cells))) < 2:
        time.sleep(0.01)
    assert starts_of(grid.cells[2]) == []
    gate.unlink()
    thread.join()
    assert len(ended) == 3
    assert metrics_of(grid.cells[0])["threads"] == "4"
    launcher = LocalLauncher(2)
    assert [
        launcher.environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in (0, 1)
    ] == ["4,6", "5"]
    # More jobs than GPUs: two share one.
    launcher = LocalLauncher(4)
    assert launcher.environment(3)["CUDA_VISIBLE_DEVICES"] == "4"


def test_threads_are_shared_out_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity")  # as on macOS
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert LocalLauncher(2).environment(0)["OMP_NUM_THREADS"] == "4"


def test_an_interrupted_study_stops_its_cells_and_goes_on(plan, tmp_path):
    # A suite that runs in the background of a shell ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    study, grid = plan(["partition=1,2"])
    gate = tmp_path / "gate"
    gate.touch()
    jobs = grid.run(LocalLauncher(1), grid.cells)
    stopped = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    stopped.start()
    with pytest.raises(KeyboardInterrupt):
        next(jobs)
    gate.unlink()
    assert [cell.state for cell in grid.cells] == ["waiting", "waiting"]
    assert [why for _, why in run(grid)] == [None, None]
    assert [cell.state for cell in grid.cells] == ["finished", "finished"]


def test_a_cell_that_another_process_trains_is_waited_for(plan):
    _, grid = plan(["partition=1"])
    (cell,) = grid.cells
    cell.run.folder.mkdir(parents=True)
    hold = (
        "import fcntl, sys\n"
        "file = open('.lock', 'a')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "open('metrics.json', 'w').write('{\"complete\": true}')\n"
    )
    with subprocess.Popen(
        [*PYTHON, "-c", hold],
        cwd=cell.run.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        assert cell.state == "running"
        threading.Timer(0.2, other.stdin.close).start()
        assert run(grid) == [(cell.name, None)]
    assert starts_of(cell) == []


def test_a_cell_of_other_settings_is_refused(plan):
    _, grid = plan(["seed=1"])
    (cell,) = grid.cells
    cell.run.folder.mkdir(parents=True)
    text = "# one\n# two\n# three\nseed: 1\npartition: 1\nlr: 0.2\n"
    cell.run.hyperparams.write_text(text)
    with pytest.raises(UserError, match="other settings \\(changed: lr, "):
        grid.check()


def test_what_the_data_decide_is_the_setting_of_a_cell(plan):
    study, grid = plan(["seed=1"])
    script = Path(grid.plan["script"])
    defaults = (
        'def data_defaults(hparams):\n    return {"lr": hparams["lr"] / 2}'
    )
    guarded = script.read_text().replace("\n", "\n    ")
    script.write_text(
        f"{defaults}\n\nif __name__ == '__main__':\n    {guarded}"
    )
    (cell,) = grid.cells
    cell.run.folder.mkdir(parents=True)
    overrides = {"seed": 1, "output_folder": str(cell.run.folder), "lr": 0.05}
    with open(grid.plan["hparams"]) as file:
        settings = resolve_references(file, overrides).getvalue()
    cell.run.hyperparams.write_text(f"# one\n# two\n# three\n{settings}")
    grid.check()


@pytest.mark.parametrize(
    "vary, words, message",
    [
        (["sed=1,2"], [], "--sed: not in .*: did you mean --seed?"),
        (["seed=1,2"], ["--seed", "3"], "given twice"),
        (["seed=1,2"], ["--lrr", "3"], "did you mean --lr?"),
        (["seed='"], [], "--seed '"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(
    plan, vary, words, message
):
    study = None
    with pytest.raises((SystemExit, UserError), match=message):
        study, grid = plan(vary, words)
        grid.check()
    assert study is None or not study.folder.exists()


def test_slurm_cells_run_through_submitit(plan, tmp_path):
    study, grid = plan(["network=mult,broken"])
    launcher = SlurmLauncher(
        tmp_path / "slurm", 2, {"cluster": "local", "timeout_min": 5}
    )
    ended = {
        cell.name: failure
        for cell, failure, _ in grid.run(launcher, grid.cells)
    }
    assert ended["network-mult"] is None
    assert "network: out of order" in ended["network-broken"]


@pytest.mark.parametrize("text", ["gpu", "[", "{cluster: local, tme: 5}"])
def test_bad_slurm_options_are_one_line(plan, text):
    study, grid = plan(["seed=1"])
    with pytest.raises(UserError, match="--slurm"):
        run_study(study, grid, slurm=text)
