"""What a network, a loss or a task is imported with; the rooms."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
HEAVY = ("matplotlib", "sklearn", "cv2", "av", "transformers", "speechbrain")


@pytest.mark.parametrize(
    "modules, allowed",
    [
        (
            "nnet.attention nnet.pooling nnet.losses models.auxformer tasks "
            "augment.missing evaluation.predictions",
            (),
        ),
        ("nnet.normalization nnet.schedulers core", ("speechbrain",)),
    ],
)
def test_heavy_packages_are_not_imported(modules, allowed):
    names = ", ".join(f"auxformer_lobes.{name}" for name in modules.split())
    code = f"import sys, {names}; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "auxformer_lobes" in printed
    assert {*HEAVY} & {*printed} <= {*allowed}


def test_the_rooms_are_documented_in_the_order_of_imports():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text[text.index("| room of") :].partition("\n\n")[0]
    _, _, *rows = table.splitlines()
    rooms = [re.match(r"\| `(\w+)(\.py)?` \|", row)[1] for row in rows]
    assert rooms == contract["layers"]
