"""Which heads contribute, and how they are combined."""

import torch

from auxformer_lobes.models.base import AudioVisualNetwork, combine_heads

PRESENT = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
LOGITS = {
    head: torch.full((4, 1), value)
    for head, value in {"main": 1.0, "audio": 2.0, "visual": 6.0}.items()
}


class ThreeHeads(AudioVisualNetwork):
    heads = {
        "main": ("audio", "visual"),
        "audio": ("audio",),
        "visual": ("visual",),
    }


def test_a_head_contributes_if_a_modality_that_it_reads_is_present():
    assert ThreeHeads().head_mask(PRESENT).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, False, True],
        [False, False, False],
    ]


def test_all_heads_contribute_where_missing_modalities_are_zeros():
    network = ThreeHeads()
    network.missing = "zero_fill"
    assert network.head_mask(PRESENT).all()


def test_the_combined_prediction_averages_the_heads_that_contribute():
    combined = combine_heads(LOGITS, ThreeHeads().head_mask(PRESENT))
    # Where none does, all do: the logits stay finite.
    torch.testing.assert_close(
        combined.flatten(), torch.tensor([3.0, 1.5, 3.5, 3.0])
    )
    torch.testing.assert_close(
        combine_heads(LOGITS).flatten(), torch.full((4,), 3.0)
    )
