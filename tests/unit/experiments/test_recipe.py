"""What a recipe writes at its end."""

import pytest

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments import recipe
from tests.unit.small_sweeps import make_sweep, write_sweep
from tests.unit.small_tasks import make_task


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that was swept; its page is not made."""
    monkeypatch.setattr(recipe, "run_report", lambda *_: "a page")
    run = Run(tmp_path)
    run.write_metrics({"epoch": 2})
    write_sweep(run.missing_file, make_sweep(["combined"]))
    return run


def write_report(run):
    recipe.write_report(run, make_task("categories"), {}, {})
    return run.report_file.read_text(), run.figure("missing").exists()


def test_a_run_that_was_swept_has_a_figure_beside_its_report(run):
    assert write_report(run) == ("a page", True)
    run.figure("missing").unlink()
    run.missing_file.unlink()
    assert write_report(run) == ("a page", False)


def test_a_damaged_sweep_does_not_cost_the_report(run, caplog):
    write_sweep(run.missing_file, [])
    assert write_report(run) == ("a page", False)
    assert "missing.png: UserError:" in caplog.text
    assert "damaged: start `auxformer evaluate --missing`" in caplog.text
