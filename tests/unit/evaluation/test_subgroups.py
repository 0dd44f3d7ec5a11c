"""Metrics of groups of speakers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.evaluation.subgroups import measure_subgroups
from auxformer_lobes.evaluation.subsets import equal_parts
from tests.unit.small_tasks import KINDS, make_task, random_predictions

AGES = (20, 25.5, 40, "41", 60, 72)


def clips_of(task, count=72):
    """Predictions of six speakers, and entries with their gender and age."""
    made = random_predictions(task, count, num_speakers=6)
    entries = {
        f"clip{i}": {
            "gender": "female" if i % 6 < 2 else "male",
            "age": AGES[i % 6],
        }
        for i in range(count)
    }
    return made, entries


@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 5))
def test_parts_follow_the_order_and_keep_equal_values_together(values, count):
    parts = equal_parts(values, count)
    assert all(0 <= part < count for part in parts)
    pairs = sorted(zip(values, parts.tolist()))
    assert [part for _, part in pairs] == sorted(parts)
    assert len({*pairs}) == len({*values})


@given(st.integers(0, 40), st.integers(1, 5))
def test_parts_of_different_values_are_equal_to_one(length, count):
    sizes = np.bincount(equal_parts(range(length), count), minlength=count)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_has_the_metrics_of_its_clips(kind):
    task = make_task(kind)
    made, entries = clips_of(task)
    results = measure_subgroups(task, made, entries, num_samples=9)
    assert [*results] == [*made]
    for condition, of in made.items():
        groups = results[condition]["gender"]["groups"]
        assert [*groups] == ["female", "male"]
        rows = [i for i in range(72) if i % 6 < 2]
        part = replace(
            of,
            clips=[of.clips[i] for i in rows],
            speakers=[of.speakers[i] for i in rows],
            truth=[of.truth[i] for i in rows],
            outputs={"combined": [of.outputs["combined"][i] for i in rows]},
        )
        female = groups["female"]
        assert female["speakers"] == 2
        assert female["clips"] == task.has_label(np.array(part.truth)).sum()
        alone = part.scores(task, num_samples=9)
        for name in task.metrics:
            assert female[name] == pytest.approx(alone[name])
            assert female[name]["kind"] == "range"
            values = [of[name]["value"] for of in groups.values()]
            gap = results[condition]["gender"]["gap"][name]
            assert gap == pytest.approx(abs(values[0] - values[1]))


def test_ages_are_thirds_of_the_speakers():
    task = make_task("categories")
    made, entries = clips_of(task)
    age = measure_subgroups(task, made, entries, num_samples=9)["audio_only"][
        "age"
    ]
    assert [*age["groups"]] == ["20–25.5", "40–41", "60–72"]
    assert all(of["speakers"] == 2 for of in age["groups"].values())


def test_what_is_not_known_of_a_speaker_is_in_no_group():
    task = make_task("secondary")
    made, entries = clips_of(task)
    for i in range(0, 72, 6):
        entries[f"clip{i}"] = {"gender": None, "age": "unknown"}
    of = measure_subgroups(task, made, entries, num_samples=9)["audio_only"]
    for attribute in of.values():
        assert sum(g["speakers"] for g in attribute["groups"].values()) == 5


def test_further_columns_with_few_values_are_groups():
    made, entries = clips_of(make_task("categories"))
    for i, entry in enumerate(entries.values()):
        entry["columns"] = {"room": f"{i % 3}", "take": f"{i}"}
        entry["columns"] |= {"noise": "yes"} if i % 2 else {}
    results = measure_subgroups(make_task("categories"), made, entries)
    for of in results.values():
        assert [*of] == ["gender", "age", "room"]  # noise has one value only
        assert [*of["room"]["groups"]] == ["0", "1", "2"]


def test_one_group_is_compared_with_nothing():
    task = make_task("categories")
    made, entries = clips_of(task)
    for entry in entries.values():
        entry.update(gender="female", age=None)
    assert measure_subgroups(task, made, entries) == {}
    for entry in entries.values():
        entry.clear()
    assert measure_subgroups(task, made, entries) == {}


def test_a_group_without_a_label_has_no_figures_and_no_gap():
    task = make_task("categories")
    made, entries = clips_of(task)
    for of in made.values():
        for i in range(72):
            if i % 6 < 2:
                of.truth[i] = [-1]
    gender = measure_subgroups(task, made, entries, num_samples=9)[
        "audio_only"
    ]["gender"]
    female = gender["groups"]["female"]
    assert (female["clips"], female["speakers"]) == (0, 0)
    assert {female[name]["value"] for name in task.metrics} == {None}
    assert {*gender["gap"].values()} == {None}
