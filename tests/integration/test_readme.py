"""The README's example works as it stands."""

import re
import runpy

from tests.integration.recipes import ROOT, global_state_restored

README = (ROOT / "README.md").read_text("utf-8")


def block(language):
    """The only code block of a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return code


def test_the_example_trains_when_pasted(tmp_path, monkeypatch, capsys):
    (tmp_path / "hparams.yaml").write_text(block("yaml"))
    (tmp_path / "train.py").write_text(block("python"))
    monkeypatch.chdir(tmp_path)
    with global_state_restored():
        runpy.run_path("train.py", run_name="__main__")
    assert "train_loss" in capsys.readouterr().err
