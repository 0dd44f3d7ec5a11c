"""Every YAML variable is used: in the YAML, its script or what scripts share."""

import csv
import re
from pathlib import Path
from textwrap import indent

import pytest
from hyperpyyaml import resolve_references
from speechbrain.utils.run_opts import RunOptions

from auxformer_lobes.experiments.hparams import is_text
from auxformer_lobes.utils.overrides import check_options

ROOT = Path(__file__).parents[2]
RECIPES = [
    row
    for table in sorted((ROOT / "tests" / "recipes").glob("*.csv"))
    for row in csv.DictReader(table.open(encoding="utf-8", newline=""))
]
SHARED = "".join(
    (ROOT / "auxformer_lobes" / name).read_text("utf-8")
    for name in ("experiments/recipe.py", "experiments/audit.py", "core.py")
)


# The network stacks the frames of some features.
FEATURES = {"audio_features", "visual_features", "network"}
LABELS = {"labels", "label_rule", "num_classes", "task", "select_by"}


@pytest.mark.parametrize("row", RECIPES, ids=lambda row: row["Hparam_file"])
def test_every_variable_is_used(row):
    yaml = (ROOT / row["Hparam_file"]).read_text("utf-8")
    script = SHARED + (ROOT / row["Script_file"]).read_text("utf-8")
    variables = re.findall(r"^(\w+):(?! !apply:speechbrain)", yaml, re.M)
    in_yaml = re.findall(r"<(\w+)[\].\w]*>", yaml)
    in_script = re.findall(
        r"(?:hparams|modules)(?:\.get\(\"|\.|\[\")(\w+)", script
    )
    known = {*in_yaml, *in_script, *RunOptions().as_dict()}
    assert set(variables) - known == set()
    assert len(variables) == len(set(variables))


FILES = sorted((ROOT / "recipes").glob("*/hparams/**/*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_object_has_the_options_that_are_set(path):
    needed = re.findall(r"^(\w+): !PLACEHOLDER", path.read_text("utf-8"), re.M)
    with path.open(encoding="utf-8") as file:
        text = resolve_references(file, dict.fromkeys(needed, "x")).getvalue()
    check_options(f"file:\n{indent(text, '  ')}")


@pytest.mark.parametrize("row", RECIPES, ids=lambda row: row["Hparam_file"])
def test_paths_on_the_command_line_are_text(row):
    yaml = (ROOT / row["Hparam_file"]).read_text("utf-8")
    paths = re.findall(r"^(\w+): (?!!include).*/", yaml, re.M)
    assert "data_folder" in paths
    assert [name for name in paths if not is_text(name)] == []


def sections(path):
    """What a file says under each key, without comments."""
    text = re.sub(r" *(?<!\S)#.*", "", (ROOT / path).read_text("utf-8"))
    parts = re.split(r"^(\w+):", text, flags=re.M)
    return {k: v.split() for k, v in zip(parts[1::2], parts[2::2])}


@pytest.mark.parametrize(
    "folder, varies",
    [
        # What is learnt, and from which features.
        ("CREMA-D", {"output_folder"} | FEATURES),
        ("MSP-IMPROV", {"output_folder"} | FEATURES | LABELS),
        ("OwnCorpus", {"output_folder"} | FEATURES | LABELS),
    ],
)
def test_what_flavours_repeat_is_the_same(folder, varies):
    """HyperPyYAML shares no objects between files, so they repeat much."""
    hparams = Path("recipes", folder, "hparams")
    expected = sections(hparams / "auxformer.yaml")
    flavours = [
        path
        for path in sorted((ROOT / hparams).glob("auxformer_*.yaml"))
        if not path.stem.endswith(("finetune", "published"))
    ]
    assert flavours
    for path in flavours:
        found = sections(path)
        assert found.keys() == expected.keys()
        changed = {key for key in found if found[key] != expected[key]}
        assert changed <= varies, path
