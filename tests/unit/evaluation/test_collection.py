"""All metrics of a test, as they stand in metrics.json."""

import json

import numpy as np
import pytest

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.tasks import task_of
from tests.unit.small_tasks import (
    KINDS,
    make_task,
    random_metrics,
    random_predictions,
)

kinds = pytest.mark.parametrize("kind", KINDS)
NAMES = [condition.name for condition in CONDITIONS]


@kinds
def test_metrics_say_what_they_were_measured_on(kind):
    task = make_task(kind)
    metrics = random_metrics(task)
    truth = np.array(random_predictions(task)["audio_visual"].truth)
    unlabelled = (~task.has_label(truth)).sum()
    assert metrics["test_clips"] == 12
    assert metrics["test_clips_unlabelled"] == unlabelled
    assert (unlabelled > 0) == (kind not in ("secondary", "binary"))
    assert metrics["test_speakers"] == ["speaker0", "speaker1", "speaker2"]
    assert metrics["outputs"] == [*task.names]
    assert metrics["fitted"] == task.settings


@kinds
def test_metrics_are_those_of_each_condition_and_head(kind):
    task = make_task(kind)
    metrics, made = random_metrics(task), random_predictions(task)
    assert [*metrics["test"]] == NAMES
    for name, heads in metrics["test"].items():
        assert [*heads] == [*made[name].outputs]
        for head, scores in heads.items():
            assert scores == made[name].scores(task, head, num_samples=50)


@kinds
def test_metrics_are_json_without_nan(kind):
    metrics = random_metrics(make_task(kind))

    def _refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(json.dumps(metrics), parse_constant=_refuse) == metrics


@kinds
def test_the_task_of_the_metrics_can_be_made_again(kind):
    task = make_task(kind)
    metrics = json.loads(json.dumps(random_metrics(task)))
    again = task_of(metrics["task"], metrics["fitted"])
    assert type(again) is type(task)
    assert (again.names, again.settings) == (task.names, task.settings)
