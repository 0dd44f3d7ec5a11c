"""Every YAML variable is used: in the YAML, its script or what scripts share."""

import csv
import re
from pathlib import Path

import pytest
from speechbrain.utils.run_opts import RunOptions

ROOT = Path(__file__).parents[2]
RECIPES = [
    row
    for table in sorted((ROOT / "tests" / "recipes").glob("*.csv"))
    for row in csv.DictReader(table.open(encoding="utf-8", newline=""))
]
SHARED = "".join(
    (ROOT / "auxformer_lobes" / name).read_text("utf-8")
    for name in ("training.py", "brain.py")
)


@pytest.mark.parametrize("row", RECIPES, ids=lambda row: row["Hparam_file"])
def test_every_variable_is_used(row):
    yaml = (ROOT / row["Hparam_file"]).read_text("utf-8")
    script = SHARED + (ROOT / row["Script_file"]).read_text("utf-8")
    variables = re.findall(r"^(\w+):(?! !apply:speechbrain)", yaml, re.M)
    in_yaml = re.findall(r"<(\w+)[\].\w]*>", yaml)
    in_script = re.findall(r"(?:hparams|modules)(?:\.|\[\")(\w+)", script)
    known = {*in_yaml, *in_script, *RunOptions().as_dict()}
    assert set(variables) - known == set()
    assert len(variables) == len(set(variables))
