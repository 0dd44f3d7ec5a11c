import pytest
import torch
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.models.streams import stack_frames


@given(
    frames=st.integers(0, 7),
    padding=st.integers(0, 5),
    count=st.integers(1, 4),
    lost=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_a_stack_depends_on_its_own_frames_alone(frames, padding, count, lost):
    mask = torch.tensor([lost]) & (torch.arange(7) < frames)
    x = torch.arange(14.0).view(1, 7, 2) * mask.unsqueeze(-1)
    lens = torch.tensor([frames])
    alone, number, there = stack_frames(x, lens, mask, count)
    padded = torch.nn.functional.pad(x, (0, 0, 0, padding))
    more = torch.nn.functional.pad(mask, (0, padding))
    other, same, still = stack_frames(padded, lens, more, count)
    assert number.item() == same.item() == -(-frames // count)
    assert torch.equal(alone, other[:, : alone.shape[1]])
    assert torch.equal(there, still[:, : there.shape[1]])
    assert not still[:, there.shape[1] :].any()
    # Each frame has its place, and a stack is lost only with all of its frames.
    assert torch.equal(alone.reshape(1, -1)[:, :14], x.reshape(1, -1))
    places = range(0, 7, count)
    assert there[0].tolist() == [mask[0, i : i + count].any() for i in places]


def test_a_network_on_stacked_frames_attends_to_fewer():
    options = {"num_heads": 2, "num_layers": 1, "model_dim": 20}
    model = AuxFormer(12, 7, audio_stack=4, visual_stack=2, **options)
    _, seen = model(
        torch.rand(1, 10, 12), torch.rand(1, 5, 7), return_attention=True
    )
    assert seen["audio_from_visual"].shape[-2:] == (3, 3)


@pytest.mark.parametrize("count", [0, -1, 1.5, None])
def test_a_stack_of_no_frame_is_refused(count):
    with pytest.raises(ValueError, match=f"audio_stack {count}: choose 1 or"):
        AuxFormer(12, 7, audio_stack=count)
