"""What a network, a loss or a task is imported with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
