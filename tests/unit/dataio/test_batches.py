"""How clips become a batch."""

import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from auxformer_lobes.dataio.batches import collate, dynamic_batches, padding
from auxformer_lobes.utils.errors import UserError

OPTIONS = {"max_batch_length": 6, "bucket_boundaries": [1.5, 3.0]}


def dataset(seconds):
    entries = {f"clip{i}": {"duration": x} for i, x in enumerate(seconds)}
    return DynamicItemDataset(entries)


def test_masks_and_labels_stay_where_they_are_read():
    clip = {
        "id": "clip",
        "seconds": 1.0,
        **{m: torch.zeros(2, 3) for m in ("audio", "visual")},
        **{m: torch.ones(2) for m in ("audio_mask", "visual_mask")},
        **{label: torch.zeros(1) for label in ("target", "truth")},
    }
    batch = collate([clip]).to("meta")
    moved = [
        key
        for key, value in clip.items()
        if torch.is_tensor(value) and batch[key].data.is_meta
    ]
    assert moved == ["audio", "visual", "target"]


def test_frames_behind_the_end_of_a_clip_are_padding_and_lost_ones_are_not():
    lengths = {"audio_mask": (7, 3, 5), "visual_mask": (1, 1, 2)}
    clips = [
        {
            name: torch.zeros(counts[i]).bool()
            for name, counts in lengths.items()
        }
        for i in range(3)
    ]
    assert padding(collate(clips)) == (6 + 2, 21 + 6)


def test_batches_have_all_clips_of_similar_length_anew_each_epoch():
    seconds = [1.0, 2.9, 1.2, 2.5, 1.1, 2.7, 1.4, 2.2]
    epochs = []
    for epoch in (1, 2, 1):
        sampler = dynamic_batches(dataset(seconds), seed=3, **OPTIONS)
        sampler.set_epoch(epoch)
        batches = [*sampler]
        assert sorted(sum(batches, [])) == [*range(8)]
        for batch in batches:
            lengths = [seconds[i] for i in batch]
            assert sum(lengths) <= 6
            assert (max(lengths) < 1.5) == (min(lengths) < 1.5)
        epochs.append(batches)
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_a_clip_of_unknown_duration_is_told(seconds):
    with pytest.raises(UserError, match="no duration of clip1: prepare it"):
        dynamic_batches(dataset([1.0, seconds]), **OPTIONS)


@pytest.mark.parametrize(
    "options", [{"max_length": 1}, {"max_batch_length": 6}]
)
def test_options_that_there_are_not_are_told(options):
    with pytest.raises(UserError, match="dynamic_batch_sampler: "):
        dynamic_batches(dataset([1.0]), **options)
