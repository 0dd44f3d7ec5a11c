"""Metrics with intervals over speakers, whatever the task."""

import math

import audmetric
import confidence_intervals
import numpy as np
import pytest

from auxformer_lobes.evaluation.metrics import bootstrap_metrics
from auxformer_lobes.evaluation.predictions import Predictions
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from tests.unit.small_tasks import (
    KINDS,
    SCALES,
    make_task,
    perfect_outputs,
    random_clips,
    random_predictions,
)

CLASSES = ["angry", "happy", "sad"]
NOTHING = dict.fromkeys(["value", "low", "high", "kind"])
kinds = pytest.mark.parametrize("kind", KINDS)


def speakers_of_a_task(task, num_speakers, clips_each, seed=0):
    """Truth, outputs and names of speakers of very different difficulty."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(num_speakers), clips_each)
    truth, wrong = random_clips(task, len(owner), seed, gaps=False)
    skill = rng.uniform(0.2, 1.0, num_speakers)[owner]
    right = rng.random(len(owner)) < skill
    outputs = np.where(right[:, None], perfect_outputs(task, truth), wrong)
    return truth, outputs, [str(s) for s in owner]


def score_classes(truth, predicted, speakers, **options):
    return bootstrap_metrics(
        CategoricalEmotion(CLASSES),
        np.array(truth)[:, None],
        np.eye(3)[list(predicted)],
        speakers,
        **options,
    )


@kinds
def test_intervals_hold_the_value_and_are_wider_than_clips_would_say(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 8, 100)
    by_speaker = bootstrap_metrics(task, truth, outputs, speakers)
    by_clip = bootstrap_metrics(task, truth, outputs, map(str, range(800)))
    for name in task.metrics:
        wide, narrow = by_speaker[name], by_clip[name]
        assert wide["low"] <= wide["value"] <= wide["high"]
        assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])
    for output in task.names:
        for name in task.details:
            figures = by_speaker["per_output"][output][name]
            assert figures["low"] <= figures["value"] <= figures["high"]


@kinds
def test_values_are_those_of_all_clips_together(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 5, 20)
    overall, details = task.compute_metrics(
        task.sufficient_statistics(truth, outputs).sum(0)
    )
    result = bootstrap_metrics(task, truth, outputs, speakers, num_samples=2)
    assert {*result} == {*task.metrics, "per_output"}
    assert [*result["per_output"]] == [*task.names]
    for name in task.metrics:
        assert result[name]["value"] == pytest.approx(overall[name])
    for i, output in enumerate(task.names):
        found = result["per_output"][output]
        assert {*found} == {*task.details, "support"}
        assert found["support"] == details["support"][i]
        for name in task.details:
            assert found[name]["value"] == pytest.approx(details[name][i])


def test_the_bootstrap_agrees_with_theory_where_there_is_one():
    """For accuracy over equal speakers: mean ± 1.96 standard errors."""
    task = make_task("categories")
    truth, outputs, speakers = speakers_of_a_task(task, 60, 40)
    result = bootstrap_metrics(task, truth, outputs, speakers, num_samples=5000)
    right = truth[:, 0] == outputs.argmax(1)
    means = right.reshape(60, 40).mean(1)
    half = 1.96 * means.std() / math.sqrt(60)
    accuracy = result["accuracy"]
    assert accuracy["low"] == pytest.approx(means.mean() - half, abs=0.01)
    assert accuracy["high"] == pytest.approx(means.mean() + half, abs=0.01)


def test_the_bootstrap_is_that_of_speakers_drawn_one_by_one():
    """Their clips put together and measured anew, for what is no mean."""
    task = make_task("attributes")
    truth, outputs, speakers = speakers_of_a_task(task, 12, 10)
    speakers = np.array(speakers)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        names = rng.choice(np.unique(speakers), 12)
        clips = np.concatenate([np.flatnonzero(speakers == n) for n in names])
        statistics = task.sufficient_statistics(truth[clips], outputs[clips])
        drawn.append(task.compute_metrics(statistics.sum(0))[0]["ccc"])
    low, high = np.percentile(drawn, [2.5, 97.5])
    ccc = bootstrap_metrics(task, truth, outputs, speakers)["ccc"]
    # Four standard errors of a percentile of 2000 draws, from the spread of
    # the draws: 4 * sqrt(0.025 * 0.975 / 2000) / density, for a normal one.
    error = 4 * 0.0035 / (0.058 / np.std(drawn))
    assert ccc["low"] == pytest.approx(low, abs=error)
    assert ccc["high"] == pytest.approx(high, abs=error)


def test_a_level_is_what_it_says():
    task = make_task("attributes")
    clips = speakers_of_a_task(task, 12, 10)
    wide, narrow = (
        bootstrap_metrics(task, *clips, level=x)["rmse"] for x in (0.95, 0.5)
    )
    assert wide["low"] < narrow["low"] < narrow["value"]
    assert narrow["value"] < narrow["high"] < wide["high"]


@kinds
def test_a_seed_gives_the_same_intervals_again(kind):
    task = make_task(kind)
    clips = speakers_of_a_task(task, 8, 20)
    assert bootstrap_metrics(task, *clips) == bootstrap_metrics(task, *clips)
    assert bootstrap_metrics(task, *clips) != bootstrap_metrics(
        task, *clips, seed=1
    )


@kinds
def test_the_order_of_clips_and_the_names_of_speakers_do_not_matter(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 8, 20)
    order = np.random.default_rng(0).permutation(len(truth))
    again = bootstrap_metrics(
        task,
        truth[order],
        outputs[order],
        [f"speaker {speakers[i]}" for i in order],
    )
    for name, figures in bootstrap_metrics(
        task, truth, outputs, speakers
    ).items():
        if name != "per_output":
            assert again[name] == pytest.approx(figures), name


@kinds
def test_one_speaker_says_nothing_of_others(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 1, 20)
    result = bootstrap_metrics(task, truth, outputs, speakers)
    assert all(math.isfinite(result[name]["value"]) for name in task.metrics)
    for figures in [result, *result["per_output"].values()]:
        for name in {*figures} - {"per_output", "support"}:
            assert figures[name]["low"] is None
            assert figures[name]["high"] is None


@kinds
def test_of_fewer_than_six_speakers_there_is_a_range_and_no_interval(kind):
    """The lowest and the highest value of one speaker's clips alone."""
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 6, 30)
    whole = bootstrap_metrics(task, truth, outputs, speakers)
    assert {whole[name]["kind"] for name in task.metrics} == {"interval"}
    made = bootstrap_metrics(task, truth[:150], outputs[:150], speakers[:150])
    alone = [
        bootstrap_metrics(
            task, truth[i : i + 30], outputs[i : i + 30], "x" * 30
        )
        for i in range(0, 150, 30)
    ]
    pairs = [(made, alone)] + [
        (made["per_output"][o], [of["per_output"][o] for of in alone])
        for o in task.names
    ]
    for figures, single in pairs:
        for name in {*figures} - {"per_output", "support"}:
            values = [of[name]["value"] for of in single]
            assert figures[name]["kind"] == "range"
            assert figures[name]["low"] == pytest.approx(min(values))
            assert figures[name]["high"] == pytest.approx(max(values))


def test_a_class_of_few_speakers_has_a_range_among_intervals():
    result = score_classes([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0], "abcdef")
    kinds_of = {
        n: of["recall"]["kind"] for n, of in result["per_output"].items()
    }
    assert kinds_of == {"angry": "range", "happy": "range", "sad": None}
    assert result["uar"]["kind"] == "interval"


@pytest.mark.parametrize("kind", ["categories", "attributes"])
def test_values_are_those_of_audmetric(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 8, 20)
    result = bootstrap_metrics(task, truth, outputs, speakers, num_samples=2)
    if kind == "attributes":
        expected = {
            "ccc": np.mean([*map(audmetric.concordance_cc, truth.T, outputs.T)])
        }
    else:
        x, y = truth[:, 0], outputs.argmax(1)
        expected = {
            "uar": audmetric.unweighted_average_recall(x, y),
            "f1_macro": audmetric.unweighted_average_fscore(x, y),
            "accuracy": audmetric.accuracy(x, y),
        }
    for name, value in expected.items():
        assert result[name]["value"] == pytest.approx(value)


def test_intervals_are_those_of_confidence_intervals():
    """Of a clip per speaker: of several, it draws clips within speakers too."""
    task = make_task("categories")
    truth, outputs, _ = speakers_of_a_task(task, 12, 10)
    ours = bootstrap_metrics(task, truth, outputs, map(str, range(120)))
    value, (low, high) = confidence_intervals.evaluate_with_conf_int(
        outputs.argmax(1),
        lambda truth, decisions: np.mean(truth == decisions),
        truth[:, 0],
        num_bootstraps=400,
    )
    # Four standard errors of a percentile, as above.
    error = 4 * math.sqrt(0.025 * 0.975 / 400) / 0.058 * (high - low) / 3.92
    assert ours["accuracy"] == {
        "value": pytest.approx(value),
        "low": pytest.approx(low, abs=error),
        "high": pytest.approx(high, abs=error),
        "kind": "interval",
    }


def test_tied_clips_are_left_out():
    with_tie = score_classes([0, 1, -1], [0, 2, 2], "aab")
    assert with_tie == score_classes([0, 1], [0, 2], "aa")


@pytest.mark.parametrize("kind", ["categories", "votes", "attributes"])
def test_a_speaker_of_whom_nothing_is_known_does_not_count(kind):
    task = make_task(kind)
    truth, outputs, speakers = speakers_of_a_task(task, 4, 10)
    unknown = np.full_like(truth, np.nan if kind == "attributes" else -1)
    with_more = bootstrap_metrics(
        task,
        np.concatenate([unknown, truth]),
        np.concatenate([outputs, outputs]),
        ["nobody"] * 40 + speakers,
    )
    assert with_more == bootstrap_metrics(task, truth, outputs, speakers)


def test_a_speaker_of_whom_something_is_known_counts_for_that():
    task = DimensionalEmotion(SCALES)
    truth, outputs, speakers = speakers_of_a_task(task, 3, 10)
    truth[:10, 1] = np.nan
    per_output = bootstrap_metrics(task, truth, outputs, speakers)["per_output"]
    assert [per_output[n]["support"] for n in SCALES] == [30, 20, 30]
    for figures in (per_output["arousal"]["ccc"], per_output["valence"]["ccc"]):
        assert figures["low"] < figures["high"]


def test_what_a_single_speaker_shows_has_no_range():
    """However often it is drawn, it is the same."""
    result = score_classes([0, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1], "aabbcc")
    assert result["per_output"]["happy"]["recall"]["low"] is not None
    result = score_classes([0, 1, 1, 1], [0, 0, 1, 0], "aabb")
    angry = result["per_output"]["angry"]
    assert angry["recall"] == NOTHING | {"value": 1.0}
    # Who never is angry may be taken for it.
    assert angry["precision"] == pytest.approx(
        {"value": 1 / 3, "low": 0.0, "high": 0.5, "kind": "range"}
    )

    task = DimensionalEmotion(SCALES)
    truth, outputs, speakers = speakers_of_a_task(task, 2, 10)
    truth[10:, 1] = np.nan
    per_output = bootstrap_metrics(task, truth, outputs, speakers)["per_output"]
    assert per_output["valence"]["ccc"]["value"] is not None
    assert per_output["valence"]["ccc"]["low"] is None
    assert per_output["arousal"]["ccc"]["low"] is not None


def test_a_class_that_never_occurs_has_no_figures():
    result = score_classes([0, 0], [0, 0], "ab")
    angry, _, sad = result["per_output"].values()
    assert angry["recall"]["value"] == 1
    assert sad["support"] == 0
    assert sad["f1"] == NOTHING


def test_an_attribute_that_is_never_known_has_no_figures():
    task = DimensionalEmotion(SCALES)
    truth, outputs, speakers = speakers_of_a_task(task, 3, 10)
    truth[:, 1] = np.nan
    found = bootstrap_metrics(task, truth, outputs, speakers)["per_output"][
        "valence"
    ]
    assert found == {"support": 0, "ccc": NOTHING, "rmse": NOTHING}


def test_a_head_is_scored_by_its_likeliest_class():
    task = CategoricalEmotion(CLASSES)
    made = Predictions(["x", "y"], ["1", "2"], [[0], [2]])
    made.outputs["main"] = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]
    assert made.metrics(task, "main")["accuracy"] == 1
    assert made.scores(task, "main")["accuracy"]["value"] == 1


@kinds
def test_each_head_is_scored_by_what_it_says(kind):
    task = make_task(kind)
    made = random_predictions(task)["audio_visual"]
    for head in made.outputs:
        scores = made.scores(task, head, num_samples=2)
        for name, value in made.metrics(task, head).items():
            assert scores[name]["value"] == pytest.approx(value)
    values = {made.metrics(task, h)[task.metrics[0]] for h in made.outputs}
    assert len(values) == len(made.outputs) == 4
    assert made.metrics(task) == made.metrics(task, "combined")
