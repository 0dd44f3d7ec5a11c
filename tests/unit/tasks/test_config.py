"""Tasks as plain data, and back."""

import json

import pytest

from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
    describe_task,
    task_of,
)
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import arguments_of

TASKS = [
    CategoricalEmotion(("angry", "sad"), "D", [1.0, 2.0], 0.1),
    CategoricalEmotion(["angry", "sad"]),
    MultiLabelEmotion(["angry", "sad"], binary=True),
    DimensionalEmotion(),
    DimensionalEmotion(["arousal"], 1, 7, [2.0], 0.0),
]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_made_again_of_its_description(task):
    config = json.loads(json.dumps(describe_task(task)))
    fitted = dict.fromkeys(task.settings, 0.25)
    again = task_of(config, fitted)
    assert type(again) is type(task)
    assert again.settings == fitted
    assert json.dumps(arguments_of(again)) == json.dumps(arguments_of(task))
    assert task_of(config).settings == type(task)(**arguments_of(task)).settings


class Own(CategoricalEmotion):
    """A task of a user."""


def test_a_task_of_your_own_is_named_and_not_made():
    config = describe_task(Own(["angry", object()]))
    assert config == {"class": f"{__name__}.Own"}
    with pytest.raises(UserError, match="unknown class .*Own': choose Categ"):
        task_of(config)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"class": "os.system"}, "unknown class 'os.system'"),
        ({"class": ["CategoricalEmotion"]}, "unknown class"),
        ({"classes": "angry"}, "'classes' is not a list"),
        ({"classes": ["<script>"]}, "'classes' is not a list"),
        ({"label_rule": "X"}, "'label_rule' is not one of"),
        ({"clases": []}, "'clases' is not one of its arguments"),
    ],
)
def test_a_description_is_checked(changes, message):
    config = {**describe_task(TASKS[0]), **changes}
    with pytest.raises(UserError, match=message):
        task_of(config)


@pytest.mark.parametrize("config", [None, [], "CategoricalEmotion", {}])
def test_what_is_no_description_is_refused(config):
    with pytest.raises(UserError, match="unknown class None"):
        task_of(config)


def test_a_missing_argument_is_one_line():
    with pytest.raises(UserError, match="missing 1 required .*'classes'"):
        task_of({"class": "CategoricalEmotion"})


@pytest.mark.parametrize(
    "fitted", [{}, {"threshold": 0.5}, {"temperature": "1"}, ["temperature"]]
)
def test_what_was_fitted_is_checked(fitted):
    with pytest.raises(UserError, match="^fitted: "):
        task_of(describe_task(TASKS[0]), fitted)
