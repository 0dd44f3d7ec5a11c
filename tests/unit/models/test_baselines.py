"""What every network of the recipes promises, whatever its architecture."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.models.baselines import EarlyFusion
from auxformer_lobes.utils.modalities import MODALITIES

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "recipes/CREMA-D/hparams/networks").glob("*.yaml"))
# Of the audio, two layers of an encoder lie side by side.
SIZES = """
    audio_dim: 12
    visual_dim: 7
    audio_layers: 2
    num_classes: 3
    model_dim: 20
    num_heads: 2
    num_layers: 2
    audio_stack: 2
"""
DIMS = {"audio": 12, "visual": 7}


def build(path):
    torch.manual_seed(0)
    model = load_hyperpyyaml(f"network: !include:{path}{SIZES}")["network"]
    if model.shortcut is not None:  # as if it had learnt something
        for output in model.shortcut.outputs.values():
            torch.nn.init.normal_(output.weight, std=0.01)
    return model


def draw(batch, audio_frames, visual_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, audio_frames, 12, generator=generator),
        torch.randn(batch, visual_frames, 7, generator=generator),
    )


def assert_same(logits, expected):
    for head, theirs in expected.items():
        torch.testing.assert_close(logits[head], theirs, atol=1e-5, rtol=0)


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def model(request):
    """Small, with all other values those of the file."""
    return build(request.param).eval()


def test_there_are_nine_networks():
    assert len(FILES) == 9


def test_the_heads_are_those_that_it_declares(model):
    logits = model(*draw(2, 6, 4))
    assert [*logits] == [*model.heads]
    assert {scores.shape for scores in logits.values()} == {(2, 3)}
    assert model.dims == DIMS
    assert model.num_classes == 3
    read = {m for reads in model.heads.values() for m in reads}
    assert read == {*model.modalities}


def test_the_losses_of_its_heads_reach_every_parameter(model):
    logits = model(*draw(3, 6, 4))
    model.zero_grad()
    sum(x.square().sum() for x in logits.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    for modality in model.modalities:
        projection = getattr(model, f"{modality}_projection")
        assert projection.weight.grad.abs().max() > 0


def test_the_embedding_is_the_input_of_a_layer(model):
    seen = []
    layer = model.embedding_layer
    hook = layer.register_forward_pre_hook(lambda _, x: seen.extend(x))
    model(*draw(2, 6, 4))
    hook.remove()
    ((batch, width),) = [x.shape for x in seen]
    assert batch == 2
    assert width in (20, 40)


@settings(max_examples=6, deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4
    ),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    content=st.sampled_from([0.0, 1e30, float("nan"), float("inf")]),
    lost=st.floats(0, 1),
    masked_padding=st.booleans(),
)
def test_logits_do_not_depend_on_batch_and_padding(
    model, frames, padding, content, lost, masked_padding
):
    """With and without lost frames; a mask need not know of the padding."""
    samples = [draw(1, *f, seed=i) for i, f in enumerate(frames)]
    generator = torch.Generator().manual_seed(0)
    masks = [
        [torch.rand(1, n, generator=generator) >= lost for n in f]
        for f in frames
    ]
    alone = [
        model(*sample, audio_mask=audio_mask, visual_mask=visual_mask)
        for sample, (audio_mask, visual_mask) in zip(samples, masks)
    ]
    padded = [
        torch.full(
            (len(frames), max(f[i] for f in frames) + padding[i], dim), content
        )
        for i, dim in enumerate(DIMS.values())
    ]
    padded_masks = [torch.full(x.shape[:2], not masked_padding) for x in padded]
    for row, (sample, own_masks) in enumerate(zip(samples, masks)):
        for x, mask, own, own_mask in zip(
            padded, padded_masks, sample, own_masks
        ):
            x[row, : own.shape[1]] = own[0]
            mask[row, : own.shape[1]] = own_mask[0]
    lens = [
        torch.tensor([f[i] / x.shape[1] for f in frames])
        for i, x in enumerate(padded)
    ]
    together = model(*padded, *lens, None, *padded_masks)
    assert_same(
        together,
        {head: torch.cat([one[head] for one in alone]) for head in model.heads},
    )


@pytest.mark.parametrize("present", [(1, 0), (0, 1), (0, 0)])
def test_a_missing_modality_is_finite_in_value_and_gradient(model, present):
    present = torch.tensor([present, (1, 1)], dtype=torch.bool)
    logits = model(*draw(2, 6, 4), present=present)
    model.zero_grad()
    sum(x.sum() for x in logits.values()).backward()
    combined = combine_heads(logits, model.head_mask(present))
    assert combined.isfinite().all()
    assert all(x.isfinite().all() for x in logits.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() < 1e6, name


def test_what_a_missing_modality_holds_changes_nothing(model):
    audio, visual = draw(2, 6, 4)
    present = torch.tensor([[True, False], [False, True]])
    expected = model(audio, visual, present=present)
    audio[1], visual[0] = float("nan"), float("inf")
    assert_same(model(audio, visual, present=present), expected)


@settings(max_examples=6, deadline=None)
@given(
    lost=st.lists(st.booleans(), min_size=10, max_size=10),
    content=st.sampled_from([1e30, float("nan")]),
)
def test_a_lost_frame_leaves_a_hole_whatever_it_holds(model, lost, content):
    inputs = draw(1, 6, 4)
    masks = [~torch.tensor([part]) for part in (lost[:6], lost[6:])]
    named = {f"{m}_mask": mask for m, mask in zip(MODALITIES, masks)}
    expected = model(*inputs, **named)
    changed = [
        x.masked_fill(~mask.unsqueeze(-1), content)
        for x, mask in zip(inputs, masks)
    ]
    found = model(*changed, **named)
    assert all(x.isfinite().all() for x in found.values())
    assert_same(found, expected)


@pytest.mark.parametrize("lost", [[0], [1], [0, 1]])
def test_all_frames_lost_is_a_missing_modality(model, lost):
    inputs = draw(2, 6, 4)
    present = torch.ones(2, 2, dtype=torch.bool)
    present[0, lost] = False
    masks = [
        there[:, None].expand(x.shape[:2])
        for x, there in zip(inputs, present.T)
    ]
    found = model(*inputs, None, None, None, *masks)
    assert_same(found, model(*inputs, present=present))
    model.zero_grad()
    sum(x.sum() for x in found.values()).backward()
    assert all(x.isfinite().all() for x in found.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name


def has_positions(model, head):
    """All but the auxiliary networks, which are as published."""
    return head == "main" or not isinstance(model, AuxFormer)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_lost_frame_keeps_the_others_in_their_place(model, modality):
    """A hole in the middle is no shorter clip."""
    inputs = dict(zip(MODALITIES, draw(1, 7, 7)))
    hole = torch.tensor([[True, True, False, False, True, True, True]])
    found = model(**inputs, **{f"{modality}_mask": hole})
    shorter = {**inputs, modality: inputs[modality][hole][None]}
    for head, expected in model(**shorter).items():
        if modality in model.heads[head] and has_positions(model, head):
            assert not torch.allclose(found[head], expected, atol=1e-4), head


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_place_of_a_hole_matters(model, modality):
    """Though the frames that are left are the same, in the same order."""
    inputs = draw(1, 7, 7)
    index, logits = MODALITIES.index(modality), []
    for there in ([0, 1, 2, 3], [0, 1, 5, 6]):
        mask = torch.zeros(1, 7, dtype=torch.bool)
        mask[:, there] = True
        x = torch.zeros_like(inputs[index])
        x[:, there] = inputs[index][:, :4]
        given = dict(zip(MODALITIES, inputs))
        given.update({modality: x, f"{modality}_mask": mask})
        logits.append(model(**given))
    for head, reads in model.heads.items():
        if modality in reads and has_positions(model, head):
            one, other = (x[head] for x in logits)
            assert not torch.allclose(one, other, atol=1e-4), head


def test_a_modality_without_a_frame_is_missing(model):
    (audio, _), nothing = draw(2, 6, 4), torch.zeros(2, 0, 7)
    zero = torch.zeros(2)
    found = model(audio, nothing)
    assert all(x.isfinite().all() for x in found.values())
    if model.missing == "mask":
        absent = torch.tensor([[True, False]] * 2)
        for given in (
            model(audio, draw(2, 6, 4)[1], visual_lens=zero),
            model(audio, draw(2, 6, 4)[1], present=absent),
        ):
            assert_same(found, given)


def test_a_head_reads_its_modalities_only(model):
    first, second = draw(2, 6, 4), draw(2, 6, 4, seed=9)
    expected = model(*first)
    for index, modality in enumerate(MODALITIES):
        inputs = [second[i] if i == index else first[i] for i in range(2)]
        for head, scores in model(*inputs).items():
            same = torch.allclose(scores, expected[head], atol=1e-5)
            assert same == (modality not in model.heads[head]), head


def test_cross_modal_attention_is_shown_where_there_is_any(model):
    names = ("AuxFormer", "MulT")
    assert (model.cross_attention is not None) == (
        type(model).__name__ in names
    )
    if model.cross_attention:
        inputs, lens = draw(2, 6, 4), torch.tensor([1.0, 0.5])
        logits, seen = model(*inputs, lens, return_attention=True)
        assert_same(logits, model(*inputs, lens))
        # Two audio frames are stacked into one.
        assert seen[model.cross_attention].shape == (2, 2, 2, 3, 4)


def test_early_fusion_aligns_both_streams_by_their_share_of_the_clip():
    model = EarlyFusion(12, 7, model_dim=20).eval()
    audio, visual = draw(1, 8, 4)
    # Half as many visual frames: each goes with two of the audio.
    assert_same(
        model(audio, visual), model(audio, visual.repeat_interleave(2, 1))
    )
    # Twice as many: each second one is used.
    assert_same(
        model(audio[:, :2], visual), model(audio[:, :2], visual[:, 1::2])
    )


def test_early_fusion_keeps_what_one_modality_has_where_the_other_is_lost():
    model = EarlyFusion(12, 7, model_dim=20).eval()
    audio, visual = draw(1, 4, 4)
    hole = torch.tensor([[True, False, True, True]])
    found = model(audio, visual, audio_mask=hole)["main"]
    other = visual.clone()
    other[0, 1] += 1.0
    assert not torch.allclose(
        model(audio, other, audio_mask=hole)["main"], found, atol=1e-4
    )
    # But what both have lost is not looked at.
    both = {"audio_mask": hole, "visual_mask": hole}
    assert_same(model(audio, other, **both), model(audio, visual, **both))
