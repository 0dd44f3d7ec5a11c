"""The logistic regression that a network must beat."""

import numpy as np
import pytest
import torch

from auxformer_lobes.floor import logistic_floor, pool

CLASSES = ("angry", "happy", "sad")


def clips(seed, count=60):
    """The sound tells angry from the rest, the picture sad from the rest."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        label = i % 3
        frames = rng.standard_normal((rng.integers(5, 9), 4))
        audio, visual = frames + 3 * (label == 0), frames + 3 * (label == 2)
        made.append(
            {
                "audio": torch.from_numpy(audio).float(),
                "visual": torch.from_numpy(visual).float(),
                "present": torch.tensor([True, True]),
                "label": torch.tensor([label]),
                "spk_id": f"speaker{i % 4}",
            }
        )
    return made


@pytest.fixture
def datasets():
    return {name: clips(i) for i, name in enumerate(["train", "valid", "test"])}


def test_pooling_is_mean_and_deviation():
    assert pool(torch.tensor([[1.0], [3.0]])).tolist() == [2.0, 1.0]


def test_both_inputs_beat_each(datasets):
    floor = logistic_floor(datasets, CLASSES)
    both = floor["audio_visual"]["uar"]["value"]
    assert both > 0.95
    assert floor["audio_only"]["uar"]["value"] < both - 0.15
    assert floor["visual_only"]["uar"]["value"] < both - 0.15


def test_clips_without_a_modality_count_where_it_is_not_needed(datasets):
    for clip in datasets["test"][:10]:
        clip["present"] = torch.tensor([True, False])
        clip["visual"] = torch.full((1, 4), 1e6)
    floor = logistic_floor(datasets, CLASSES)
    support = {
        name: sum(c["support"] for c in scores["per_class"].values())
        for name, scores in floor.items()
    }
    assert support == {"audio_visual": 50, "audio_only": 60, "visual_only": 50}


def test_tied_clips_are_left_out(datasets):
    for clip in datasets["train"][::7] + datasets["test"][:5]:
        clip["label"] = torch.tensor([-1])
    per_class = logistic_floor(datasets, CLASSES)["audio_only"]["per_class"]
    assert sum(c["support"] for c in per_class.values()) == 55
