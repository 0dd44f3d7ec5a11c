"""The linear baseline."""

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxformer_lobes.augment.missing import CONDITIONS, Condition
from auxformer_lobes.evaluation.linear_baseline import (
    CHOICES_OF_C,
    RowSpace,
    linear_baseline,
    linear_model,
    pool,
)
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
    describe_task,
    task_of,
)
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_tasks import KINDS, make_task

kinds = pytest.mark.parametrize("kind", KINDS)


def clips(task, seed, count=60, shift=3.0):
    """Audio separates angry from the rest, visual sad from the rest.

    Of the votes, 80 % are for the label; arousal follows audio, valence visual.
    """
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        label = i % 3
        frames = rng.standard_normal((rng.integers(5, 9), 4))
        audio = frames + shift * (label == 0)
        visual = frames + shift * (label == 2)
        votes = np.full(3, 0.1)
        votes[label] = 0.8
        entry = {
            "emotion": ("angry", "happy", "sad")[label],
            "votes": votes.tolist(),
            "attributes": {
                "arousal": 2.0 + 2 * (label == 0),
                "valence": 2.0 + 2 * (label == 2),
                "dominance": 2.0 + label,
            },
        }
        _, truth = task.labels(*(entry[key] for key in task.takes))
        made.append(
            {
                "audio": torch.from_numpy(audio).float(),
                "visual": torch.from_numpy(visual).float(),
                "id": f"clip{i}",
                "audio_mask": torch.ones(len(frames), dtype=torch.bool),
                "visual_mask": torch.ones(len(frames), dtype=torch.bool),
                "seconds": 0.5,
                "truth": truth,
                "spk_id": f"speaker{i % 4}",
            }
        )
    return made


def datasets_of(task, **options):
    splits = ("train", "valid", "test")
    return {name: clips(task, i, **options) for i, name in enumerate(splits)}


@pytest.fixture
def task():
    return make_task("categories")


@pytest.fixture
def datasets(task):
    return datasets_of(task)


def supports(scores):
    return [figures["support"] for figures in scores["per_output"].values()]


def test_pooling_is_mean_and_deviation():
    assert pool(np.array([[1.0], [3.0]])).tolist() == [2.0, 1.0]
    assert pool(np.array([[1.0, 2.0]])).tolist() == [1.0, 2.0, 0.0, 0.0]


def score_baseline(*args, **options):
    """The metrics of a baseline, without its predictions."""
    return linear_baseline(*args, **options)[0]


@kinds
def test_both_inputs_beat_each(kind):
    task = make_task(kind)
    baseline = score_baseline(datasets_of(task), task, num_samples=50)
    assert [*baseline] == [condition.name for condition in CONDITIONS]
    metric = "uar" if kind in ("categories", "votes") else task.metrics[0]
    both = baseline["audio_visual"][metric]["value"]
    # A linear function of noise is not quite a step.
    assert both > (0.85 if kind == "attributes" else 0.95)
    assert baseline["audio_only"][metric]["value"] < both - 0.15
    assert baseline["visual_only"][metric]["value"] < both - 0.15


@kinds
def test_it_is_scored_as_a_network_is(kind):
    task = make_task(kind)
    for scores in score_baseline(
        datasets_of(task), task, num_samples=9
    ).values():
        assert {*scores} == {*task.metrics, "per_output", "C", "fitted"}
        assert [*scores["per_output"]] == [*task.names]
        assert scores["C"] in CHOICES_OF_C
        for name in task.metrics:
            figures = scores[name]
            assert figures["kind"] == "range"  # four speakers
            assert figures["low"] <= figures["high"]


@kinds
def test_its_predictions_are_those_that_were_scored(kind):
    task = make_task(kind)
    datasets = datasets_of(task, shift=0.5)
    metrics, predictions = linear_baseline(datasets, task, num_samples=9)
    assert [*predictions] == [*metrics]
    for condition, made in predictions.items():
        scores = metrics[condition]
        assert made.clips == [clip["id"] for clip in datasets["test"]]
        assert [*made.outputs] == ["linear_baseline"]
        own_task = task_of(describe_task(task), scores["fitted"])
        again = made.scores(own_task, "linear_baseline", num_samples=9)
        for name in task.metrics:
            assert again[name] == pytest.approx(scores[name]), name


def test_each_condition_has_a_threshold_of_its_own():
    task = make_task("secondary")
    metrics, _ = linear_baseline(
        datasets_of(task, shift=0.5), task, num_samples=9
    )
    thresholds = {of["fitted"]["threshold"] for of in metrics.values()}
    assert len(thresholds) > 1


def test_an_attribute_shows_in_its_own_modality_only():
    task = make_task("attributes")
    baseline = score_baseline(datasets_of(task), task, num_samples=9)
    audio = baseline["audio_only"]["per_output"]
    visual = baseline["visual_only"]["per_output"]
    assert audio["arousal"]["ccc"]["value"] > 0.8
    assert visual["valence"]["ccc"]["value"] > 0.8
    assert audio["valence"]["ccc"]["value"] < 0.5
    assert visual["arousal"]["ccc"]["value"] < 0.5


@kinds
def test_c_is_the_best_on_the_development_set(kind, monkeypatch):
    task = make_task(kind)
    datasets = datasets_of(task)
    values = {}
    for C in CHOICES_OF_C:
        monkeypatch.setattr(
            "auxformer_lobes.evaluation.linear_baseline.CHOICES_OF_C", (C,)
        )
        # What it would have on the development set, fitted to that.
        baseline = score_baseline(
            {**datasets, "test": datasets["valid"]}, task, num_samples=9
        )
        values[C] = baseline["audio_only"][task.metrics[0]]["value"]
    monkeypatch.undo()
    chosen = score_baseline(datasets, task, num_samples=9)["audio_only"]
    assert values[chosen["C"]] == max(values.values())


@kinds
def test_the_networks_own_task_is_left_as_it_was_fitted(kind):
    task = make_task(kind)
    before = dict(task.settings)
    score_baseline(datasets_of(task), task, num_samples=9)
    assert task.settings == before


@kinds
def test_the_test_set_decides_nothing(kind):
    """Neither C nor, of several emotions, the threshold.

    So that hits and squared errors in all clips are those in their halves.
    """
    task = make_task(kind)
    datasets = datasets_of(task, shift=0.5)
    test = datasets["test"]
    whole, first, second = (
        score_baseline({**datasets, "test": part}, task, num_samples=9)
        for part in (test, test[:30], test[30:])
    )
    for name in whole:
        expected = _sums(whole[name])
        assert len(expected) == 3
        np.testing.assert_allclose(
            _sums(first[name]) + _sums(second[name]), expected, rtol=1e-5
        )


def _sums(scores):
    return np.array(
        [
            figures["support"] * figures["recall"]["value"]
            if "recall" in figures
            else figures["support"] * figures["rmse"]["value"] ** 2
            for figures in scores["per_output"].values()
        ]
    )


def test_all_test_clips_count_under_each_condition(task, datasets):
    """As for a network: what is missing is no reason to leave a clip out."""
    for clip in datasets["test"][:10]:
        clip["visual"] = torch.full((1, 4), 1e6)
        clip["visual_mask"] = torch.tensor([False])
    results = score_baseline(datasets, task, num_samples=9)
    assert [sum(supports(scores)) for scores in results.values()] == [60] * 3


def test_a_lost_frame_is_not_pooled_whatever_it_holds(task):
    """The figures are those of clips without it."""
    shorter, with_holes = datasets_of(task), datasets_of(task)
    for split in with_holes.values():
        for clip in split:
            x, mask = clip["visual"], clip["visual_mask"]
            hole = torch.full((2, 4), float("nan"))
            clip["visual"] = torch.cat([x[:2], hole, x[2:]])
            lost = torch.zeros(2, dtype=torch.bool)
            clip["visual_mask"] = torch.cat([mask[:2], lost, mask[2:]])
    one, other = (
        linear_baseline(datasets, task, num_samples=9)[1]["audio_visual"]
        for datasets in (shorter, with_holes)
    )
    np.testing.assert_allclose(
        *(made.outputs["linear_baseline"] for made in (one, other)), atol=1e-6
    )


@kinds
@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_any_face_still_has_a_baseline(kind, split):
    task = make_task(kind)
    datasets = datasets_of(task)
    for clip in datasets[split]:
        clip["visual_mask"] = torch.zeros_like(clip["visual_mask"])
    results = score_baseline(datasets, task, num_samples=9)
    for scores in results.values():
        assert np.isfinite(scores[task.metrics[0]]["value"])


def test_training_without_any_face_is_an_error(task, datasets):
    for clip in datasets["train"]:
        clip["visual_mask"] = torch.zeros_like(clip["visual_mask"])
    with pytest.raises(UserError, match="no labelled training clip has audio"):
        score_baseline(datasets, task)


def test_a_condition_that_loses_frames_changes_the_test_only(task):
    datasets = datasets_of(task, shift=1.0)

    class FirstFrame(Condition):
        def forward(self, streams, clips):
            first = torch.arange(9) < 1
            return {
                name: s._replace(mask=s.mask & first[: s.mask.shape[1]])
                for name, s in streams.items()
            }

    conditions = [FirstFrame("first_frame"), *CONDITIONS]
    results = score_baseline(datasets, task, conditions, num_samples=9)
    assert results["first_frame"]["C"] == results["audio_visual"]["C"]
    lost, whole = (
        results[name]["uar"]["value"]
        for name in ("first_frame", "audio_visual")
    )
    assert lost < whole


def test_tied_clips_are_left_out(task, datasets):
    for clip in datasets["train"][::7] + datasets["test"][:5]:
        clip["truth"] = torch.tensor([-1])
    assert sum(supports(score_baseline(datasets, task)["audio_only"])) == 55


def test_a_clip_counts_for_the_attributes_that_are_known():
    """In the test, as for a network; the fit needs all of them."""
    task = make_task("attributes")
    datasets = datasets_of(task)
    for clip in datasets["train"][::7] + datasets["test"][:5]:
        clip["truth"][1] = float("nan")
    baseline = score_baseline(datasets, task, num_samples=9)
    assert supports(baseline["audio_only"]) == [60, 55, 60]


def test_classes_that_training_does_not_have_are_never_predicted(
    task, datasets
):
    datasets["train"] = [c for c in datasets["train"] if c["truth"] != 2]
    scores = score_baseline(datasets, task, num_samples=9)["audio_visual"]
    assert scores["per_output"]["sad"]["recall"]["value"] == 0
    assert scores["per_output"]["angry"]["recall"]["value"] == 1


@pytest.mark.filterwarnings("error")
def test_an_emotion_that_all_clips_have_or_none_is_no_trouble():
    task = MultiLabelEmotion(["angry", "happy", "sad"])
    datasets = datasets_of(task)
    for dataset in datasets.values():
        for clip in dataset:
            clip["truth"] = torch.tensor([int(clip["truth"][0]), 1, 0])
    scores = score_baseline(datasets, task, num_samples=9)["audio_only"]
    assert supports(scores) == [20, 60, 0]
    assert scores["per_output"]["happy"]["f1"]["value"] == 1


@pytest.mark.parametrize("names", [["arousal"], ["arousal", "valence"]])
def test_attributes_may_be_one_or_several(names):
    task = DimensionalEmotion(names)
    baseline = score_baseline(datasets_of(task), task, num_samples=9)
    assert [*baseline["audio_only"]["per_output"]] == names


def test_two_classes_are_enough():
    task = CategoricalEmotion(["angry", "happy"])
    datasets = {
        name: [clip for clip in dataset if clip["truth"] < 2]
        for name, dataset in datasets_of(make_task("categories")).items()
    }
    baseline = score_baseline(datasets, task, num_samples=9)
    assert baseline["audio_only"]["uar"]["value"] > 0.9


@pytest.mark.parametrize("columns", [200, 8])  # more than clips, and fewer
def test_it_is_a_plain_regression_on_standardised_columns(columns):
    """The solver stops at gradients of 1e-6: 1e-4 of a probability."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)
    train = rng.standard_normal((40, columns)) + truth[:, None]
    test = rng.standard_normal((9, columns)) + 1
    test[0] = np.nan
    space = make_pipeline(SimpleImputer(), StandardScaler(), RowSpace())
    expected_steps = make_pipeline(
        SimpleImputer(), StandardScaler(), LogisticRegression(tol=1e-8)
    )
    coordinates = space.fit_transform(train)
    assert coordinates.shape == (40, min(columns, 40))
    model = linear_model(make_task("categories"), 1.0)
    outputs = model.fit(coordinates, truth).predict_proba(space.transform(test))
    expected = expected_steps.fit(train, truth).predict_proba(test)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
