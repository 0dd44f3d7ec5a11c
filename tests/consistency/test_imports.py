"""What a network, a loss or a task is imported with; the rooms."""

import os
import re
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
HEAVY = {"matplotlib", "sklearn", "cv2", "av", "transformers", "speechbrain"}
WITHOUT = (
    "nnet.attention nnet.pooling nnet.losses models.auxformer tasks "
    "augment.missing evaluation.predictions"
)
WITH_SPEECHBRAIN = "nnet.normalization nnet.schedulers core"
# matplotlib is for plots: it writes a cache, where nothing can be written.
RECOGNIZERS = "cli.predict cli.timeline cli.models inference.audiovisual"


def test_heavy_packages_are_not_imported():
    code = "import sys"
    for modules in (WITHOUT, WITH_SPEECHBRAIN, RECOGNIZERS):
        for name in modules.split():
            code += f", auxformer_lobes.{name}"
        code += "; print(*sys.modules); import sys"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    without, with_speechbrain, all_three = ({*x.split()} for x in printed)
    assert "auxformer_lobes" in without
    assert not HEAVY & without
    assert HEAVY & with_speechbrain == {"speechbrain"}
    assert "av" in all_three and "matplotlib" not in all_three


def test_the_rooms_are_documented_in_the_order_of_imports():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text[text.index("| room of") :].partition("\n\n")[0]
    _, _, *rows = table.splitlines()
    rooms = [re.match(r"\| `(\w+)(\.py)?` \|", row)[1] for row in rows]
    assert rooms == contract["layers"]
