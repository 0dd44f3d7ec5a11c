"""Arguments that objects remember, and checks of arguments."""

import copy
import math
import pickle

import pytest
import torch

from auxformer_lobes.utils.schema import (
    FLAG,
    MODEL,
    NAMES,
    Configurable,
    ObjectSpec,
    Ref,
    arguments_of,
    integer,
    number,
    object_of,
    one_of,
    optional,
    reference,
)


class Base(Configurable, torch.nn.Module):
    def __init__(self, dim, dropout=0.1):
        super().__init__()
        self.layer = torch.nn.Linear(dim, dim)


class Derived(Base):
    def __init__(self, *args, gate=True, **options):
        super().__init__(*args, **options)


def test_an_object_remembers_what_it_was_made_with():
    assert arguments_of(Base(4)) == {"dim": 4, "dropout": 0.1}
    made = Derived(dim=4, dropout=0.5)
    assert arguments_of(made) == {"gate": True, "dim": 4, "dropout": 0.5}


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_its_copies_remember_too(again):
    assert arguments_of(again(Base(4))) == {"dim": 4, "dropout": 0.1}


def test_remembering_changes_nothing_else():
    assert {*Base(4).state_dict()} == {"layer.weight", "layer.bias"}
    with pytest.raises(TypeError, match="dims"):
        Base(dims=4)


COMMIT = "0" * 40
CHECKS = {
    "integer": (integer(1, 9), [1, 9], [0, 10, 1.0, True, "1", None]),
    "number": (number(0, 1), [0, 0.5, 1], [-1, 2, True, math.nan, math.inf]),
    "flag": (FLAG, [True, False], [1, 0, None, "True"]),
    "choice": (one_of("mask", 1), ["mask", 1], ["Mask", True, 1.0]),
    "names": (NAMES, [[], ["a b"]], ["a", ["a\n"], ["x" * 101], [1]]),
    "optional": (optional(FLAG), [None, True], ["null"]),
    "model": (
        MODEL,
        [f"user/name@{COMMIT}", "encoders/audio"],
        ["user/name", "user/name@main", f"../a/b@{COMMIT}", "encoders/x", "/"],
    ),
    "object": (
        object_of("a.B"),
        [ObjectSpec("a.B", {})],
        [ObjectSpec("a.C", {}), "a.B", {}],
    ),
    "reference": (reference("a"), [Ref("a")], [Ref("b"), "a", ("a",)]),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_accepts_what_it_describes(name):
    check, valid, others = CHECKS[name]
    assert all(map(check.accepts, valid))
    assert not any(map(check.accepts, others))
    assert check.description
