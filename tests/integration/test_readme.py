"""The README's example works as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def block(language):
    """The only code block of a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return code


def test_the_example_trains_when_pasted(tmp_path):
    (tmp_path / "hparams.yaml").write_text(block("yaml"))
    (tmp_path / "train.py").write_text(block("python"))
    command = [sys.executable, "train.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "train_loss" in run.stderr
