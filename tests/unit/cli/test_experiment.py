"""auxformer experiment: what it prints before anything runs."""

import shlex
import subprocess

import pytest

from auxformer_lobes.cli.main import main
from auxformer_lobes.experiments.study import Study
from tests.unit.experiments.small_studies import PYTHON, make_recipe


@pytest.fixture
def command(tmp_path):
    """Runs the command on the recipe that trains nothing."""
    recipe = make_recipe(tmp_path)

    def _command(*options):
        return main(
            [
                "experiment",
                *recipe,
                "--lr=0.5",
                "--vary=network=mult,late_fusion",
                f"--output_folder={tmp_path / 'a study'}",
                f"--launcher={shlex.join(PYTHON)}",
                *options,
            ]
        )

    return _command


def test_a_dry_run_lists_the_cells_and_writes_nothing(
    command, capsys, tmp_path
):
    command("--dry_run")
    assert capsys.readouterr().out.splitlines() == [
        "waiting   network-mult",
        "waiting   network-late_fusion",
    ]
    assert not (tmp_path / "a study").exists()


def test_printed_commands_run_anywhere_and_are_collected_later(
    command, capsys, tmp_path
):
    command("--print_commands")
    for line in capsys.readouterr().out.splitlines():
        subprocess.run(line, shell=True, check=True)
    cells = Study(tmp_path / "a study").cells()
    assert [cell.state for cell in cells] == ["finished", "finished"]
    command("--print_commands")
    assert capsys.readouterr().out == ""
