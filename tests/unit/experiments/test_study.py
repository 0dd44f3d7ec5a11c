"""Studies: which cells there are, and what a folder is refused for."""

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.experiments.study import Study, expand
from auxformer_lobes.utils.errors import UserError

PLAN = {
    "script": "train.py",
    "hparams": "hparams.yaml",
    "options": {"lr": "0.1"},
    "vary": ["seed"],
    "cells": {"seed-0": {"seed": "0"}},
}


def test_a_grid_has_all_combinations_the_first_key_outermost():
    cells = expand(["partition=1,2", "seed=0,1"])
    assert [*cells] == [
        "partition-1_seed-0",
        "partition-1_seed-1",
        "partition-2_seed-0",
        "partition-2_seed-1",
    ]
    assert cells["partition-2_seed-0"] == {"partition": "2", "seed": "0"}


def test_a_comma_in_brackets_or_quotes_separates_nothing():
    cells = expand(["network=mult,'!include:a, b.yaml {x: [1, 2]}'"])
    values = [settings["network"] for settings in cells.values()]
    assert values == ["mult", "'!include:a, b.yaml {x: [1, 2]}'"]


@given(
    st.lists(
        st.text(st.characters(exclude_characters=",'\"[](){}\n"), min_size=1)
        .map(str.strip)
        .filter(bool),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
@settings(max_examples=100)
def test_each_value_has_a_folder_of_its_own(values):
    cells = expand([f"key={','.join(values)}"])
    assert [made["key"] for made in cells.values()] == values
    for name in cells:
        assert "/" not in name and name.isprintable() and len(name) < 60


@pytest.mark.parametrize(
    "words, message",
    [
        (["seed"], "--vary seed: write key=value,value"),
        (["seed="], "write key=value,value"),
        (["=1"], "write key=value,value"),
        (["seed=1,,2"], "write key=value,value"),
        (["seed=1,1"], "1 is given twice"),
        (["seed=1", "seed=2"], "seed: given twice"),
        (["data_folder=a,b"], "a study is of one corpus"),
        (["output_folder=a,b"], "each cell has a folder of its own"),
    ],
)
def test_what_is_no_grid_is_refused(words, message):
    with pytest.raises(UserError, match=message):
        expand(words)


def test_a_cell_knows_its_partition_its_seed_and_its_system(tmp_path):
    study = Study(tmp_path)
    words = ["partition=2", "seed=5", "network=mult", "audio_features=fbank"]
    (cell,) = study.cells_of(expand(words))
    assert (cell.partition, cell.seed) == ("partition 2", "5")
    assert cell.system == "network mult, audio_features fbank"
    assert cell.baseline == "linear baseline (audio_features fbank)"
    (cell,) = study.cells_of(expand(["network=mult"]))
    assert (cell.system, cell.baseline) == ("mult", "linear baseline")
    (cell,) = study.cells_of(expand(["lr=0.001"]))
    assert cell.system == "lr 0.001"  # a number alone would say nothing
    (cell,) = study.cells_of(expand(["seed=5"]))
    assert (cell.partition, cell.system) == ("", "model")


def test_a_study_grows(tmp_path):
    study = Study(tmp_path / "study")
    study.write(study.planned(PLAN))
    more = {**PLAN, "cells": {"seed-1": {"seed": "1"}}}
    study.write(study.planned(more))
    assert [cell.name for cell in study.cells()] == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"script": "other.py"}, "other script \\(train.py; now other.py\\)"),
        ({"options": {"lr": "0.2"}}, "other options \\(--lr\\)"),
        ({"options": {}}, "other options \\(--lr\\)"),
        ({"vary": ["seed", "lr"]}, "other vary \\(seed; now seed, lr\\)"),
    ],
)
def test_a_study_has_one_set_of_settings(tmp_path, change, message):
    study = Study(tmp_path)
    study.write({**PLAN, "failed": {}})
    with pytest.raises(UserError, match=message):
        study.planned({**PLAN, **change})


def test_other_folders_are_no_studies(tmp_path):
    (tmp_path / "thesis.tex").touch()
    study = Study(tmp_path)
    with pytest.raises(UserError, match="holds something else"):
        study.planned(PLAN)
    with pytest.raises(UserError, match="output folder of `auxformer exp"):
        study.read()
    for content in ("{", "[]", "{}", '{"cells": []}'):
        study.file.write_text(content)
        with pytest.raises(UserError, match="damaged"):
            study.read()
