"""`missing.json` is checked when it is read: what is damaged is one line."""

import json

import pytest
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.reporting.missing_file import read_if_there, read_sweep
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_sweeps import (
    make_curve,
    make_study_sweep,
    make_sweep,
    make_twin,
    write_sweep,
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "missing.json"


def test_a_run_has_its_curves_and_twins(file):
    sweep = read_sweep(write_sweep(file, make_sweep()))
    assert len(sweep["curves"]) == 2 * 3 * 5
    assert sweep["curves"][0]["values"][0] == pytest.approx(0.8)
    assert [twin["twin"] for twin in sweep["twins"]] == ["audio_only"]
    assert (sweep["metric"], sweep["seeds"], sweep["burst"]) == (
        *("f1_macro", 3),
        0.5,
    )


def test_a_study_has_curves_by_system(file):
    sweep = read_sweep(write_sweep(file, make_study_sweep()))
    assert [*sweep["systems"]] == ["mult", "late_fusion", "audio_only"]
    assert sweep["cells"]["mult"] == 2
    assert sweep["sentences"] == ["mult is better by 4.1 points"]


def test_names_are_left_without_what_they_have_alike(file):
    cell = "seed-0_network-{}".format
    curve = make_curve(baselines=("own_late_fusion", cell("audio_early")))
    sweep = make_sweep(
        run=f"study/{cell('auxformer')}",
        curves=[curve],
        twins=[make_twin(twin=cell("audio_only"))],
    )
    sweep = read_sweep(write_sweep(file, sweep))
    (curve,), (twin,) = sweep["curves"], sweep["twins"]
    names = ["own_late_fusion", "audio_early"]
    assert [*curve["effective_robustness"]] == names
    assert twin["twin"] == "audio_only"


def test_what_is_undefined_is_none(file):
    curve = {**make_curve(), "area": float("nan"), "retention": None}
    curve["values"][1] = float("nan")
    write_sweep(file, make_sweep(curves=[curve]))
    (read,) = read_sweep(file)["curves"]
    assert read["area"] is read["retention"] is read["values"][1] is None


def test_a_sweep_of_another_epoch_is_not_that_of_the_metrics(file):
    write_sweep(file, make_sweep(epoch=3))
    assert read_sweep(file) == read_sweep(file, 3)
    with pytest.raises(UserError, match="of epoch 3, the metrics are of 2: st"):
        read_sweep(file, 2)


DAMAGED = {
    "no JSON": "{",
    "a list": [],
    "nothing": {},
    "no curve": make_sweep(curves=[None]),
    "text": make_sweep(curves=[{**make_curve(), "values": ["0.5"] * 6}]),
    "a short one": make_sweep(curves=[{**make_curve(), "low": [0.5]}]),
    "no severity": make_sweep(
        curves=[{**make_curve(), "severities": [None] * 6}]
    ),
    "another band": make_sweep(curves=[{**make_curve(), "band": "sd"}]),
    "a huge number": make_sweep(curves=[{**make_curve(), "area": 10**400}]),
    "no name": make_sweep(twins=[make_twin(twin=None)]),
    "no cells": make_study_sweep(cells={}),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_line(file, case):
    content = DAMAGED[case]
    if isinstance(content, str):
        file.write_text(content)
    else:
        write_sweep(file, content)
    with pytest.raises(UserError) as refused:
        read_sweep(file)
    cure = "damaged: start `auxformer evaluate --missing` again"
    assert str(refused.value) == f"{file}: {cure}"
    # A page goes on, and does not tell where it was made.
    assert read_if_there(file) == f"missing.json: {cure}"


def test_a_file_that_is_not_there_is_nothing(file):
    assert read_if_there(file) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text("ab", max_size=3),
    lambda of: (
        st.lists(of, max_size=2)
        | st.dictionaries(st.text("ab", max_size=3), of, max_size=2)
    ),
    max_leaves=4,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.lists(st.integers(0, 20), max_size=5), value=JSON)
def test_whatever_stands_somewhere_is_read_or_refused(file, path, value):
    sweep = json.loads(json.dumps(make_sweep(["combined"], ["bursts"])))
    at, last = {"root": sweep}, "root"
    for place in path:
        of = at[last]
        keys = [*of] if isinstance(of, dict) else [*range(len(of))]
        at, last = of, keys[place % len(keys)]
        if not isinstance(at[last], (dict, list)) or not at[last]:
            break
    at[last] = value
    write_sweep(file, sweep if path else value)
    try:
        assert read_sweep(file)["curves"] is not None
    except UserError as refused:
        assert "\n" not in str(refused)
