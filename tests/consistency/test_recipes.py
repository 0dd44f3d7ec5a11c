"""The recipe tables, in SpeechBrain's format, name what there is."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "tests" / "recipes").glob("*.csv"))
COLUMNS = (
    "Task,Dataset,Script_file,Hparam_file,Data_prep_file,Readme_file,"
    "Result_url,HF_repo,test_debug_flags,test_debug_checks,performance"
)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_table_names_every_yaml_and_every_file_exists(table):
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == COLUMNS.split(",")
    folder = ROOT / "recipes" / table.stem
    listed = {row["Hparam_file"] for row in rows}
    there = {str(p.relative_to(ROOT)) for p in folder.rglob("hparams/*.yaml")}
    assert listed == there
    for row in rows:
        assert row["Dataset"] == table.stem
        assert row["test_debug_flags"] and row["test_debug_checks"]
        for column in ("Script_file", "Data_prep_file", "Readme_file"):
            assert (ROOT / row[column]).is_file(), row[column]
        readme = (ROOT / row["Readme_file"]).read_text("utf-8")
        for column in ("Result_url", "HF_repo"):
            assert row[column] in readme


def test_every_recipe_has_a_table():
    recipes = {path.parent.name for path in ROOT.glob("recipes/*/train.py")}
    assert recipes == {table.stem for table in TABLES}
