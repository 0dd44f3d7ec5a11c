"""What AuxFormer promises beyond the published networks."""

import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.nnet.attention import AttentionMask
from auxformer_lobes.nnet.transformer import TransformerStack

SIZES = {"audio_dim": 12, "visual_dim": 7, "model_dim": 20, "num_layers": 2}
CHOICES = [
    {},
    {"causal": False},
    {"pooling": "attentive"},
    {"missing": "zero_fill"},
    {"shared_auxiliary_head": False, "auxiliary_passes": 1},
]


def build(**choices):
    torch.manual_seed(0)
    return AuxFormer(**SIZES, **choices).eval()


def draw(batch, audio_frames, visual_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, audio_frames, 12, generator=generator),
        torch.randn(batch, visual_frames, 7, generator=generator),
    )


def assert_same(logits, expected):
    for head, theirs in expected.items():
        torch.testing.assert_close(logits[head], theirs, atol=1e-5, rtol=0)


@pytest.fixture(scope="module", params=CHOICES, ids=str)
def model(request):
    return build(**request.param)


@settings(max_examples=12, deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4
    ),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    content=st.sampled_from([0.0, 1e30, float("nan"), float("inf")]),
)
def test_logits_do_not_depend_on_batch_and_padding(
    model, frames, padding, content
):
    samples = [draw(1, *f, seed=i) for i, f in enumerate(frames)]
    alone = [model(*sample) for sample in samples]
    longest = [max(f[i] for f in frames) + padding[i] for i in range(2)]
    audio, visual = (
        torch.full((len(frames), longest[i], SIZES[f"{name}_dim"]), content)
        for i, name in enumerate(("audio", "visual"))
    )
    for i, (a, v) in enumerate(samples):
        audio[i, : a.shape[1]] = a[0]
        visual[i, : v.shape[1]] = v[0]
    lens = torch.tensor(frames) / torch.tensor(longest)
    together = model(audio, visual, lens[:, 0], lens[:, 1])
    assert_same(
        together, {h: torch.cat([a[h] for a in alone]) for h in model.heads}
    )


def test_relative_lengths_of_every_length_are_exact(model):
    """0.29 * 100 is 28.999…: rounding, not truncation, finds the frame."""
    audio, visual = draw(1, 100, 3)
    frames = torch.arange(1, 101)
    padding = torch.arange(100) >= frames[:, None]
    padded = audio.masked_fill(padding.unsqueeze(-1), float("nan"))
    logits = model(padded, visual.expand(100, -1, -1), frames / 100)
    assert all(x.isfinite().all() for x in logits.values())
    half = model(audio, visual, torch.tensor([0.5]))
    assert_same(half, model(audio[:, :50], visual))


@pytest.mark.parametrize("present", [(1, 0), (0, 1), (0, 0)])
def test_a_missing_modality_is_finite_in_value_and_gradient(model, present):
    audio, visual = draw(2, 6, 4)
    present = torch.tensor([present, (1, 1)], dtype=torch.bool)
    logits = model(audio, visual, present=present)
    model.zero_grad()
    sum(x.sum() for x in logits.values()).backward()
    assert all(x.isfinite().all() for x in logits.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name


def test_a_missing_modality_is_not_attended_to(model):
    audio, visual = draw(2, 6, 4)
    present = torch.tensor([[True, False], [True, True]])
    expected = model(audio, visual, present=present)
    visual[0] = float("nan")
    assert_same(model(audio, visual, present=present), expected)


def test_length_zero_means_missing():
    model = build()
    audio, visual = draw(1, 6, 4)
    zero, absent = torch.tensor([0.0]), torch.tensor([[True, False]])
    assert_same(
        model(audio, visual, visual_lens=zero),
        model(audio, visual, present=absent),
    )


def test_zeros_is_what_the_published_network_makes_of_a_lost_modality():
    model = build(missing="zero_fill")
    audio, visual = draw(1, 6, 4)
    absent = torch.tensor([[True, False]])
    assert_same(model(audio, visual, present=absent), model(audio, 0 * visual))


def test_an_auxiliary_head_reads_its_own_modality_only(model):
    (audio, visual), (_, other) = draw(1, 6, 4), draw(1, 6, 4, seed=9)
    first, second = model(audio, visual), model(audio, other)
    assert torch.equal(first["audio"], second["audio"])
    assert not torch.allclose(first["main"], second["main"])


def test_weights_are_returned_on_request_and_change_nothing(model):
    audio, visual = draw(2, 6, 4)
    lens = torch.tensor([1.0, 0.5])
    logits, attention = model(audio, visual, lens, return_attention=True)
    assert_same(logits, model(audio, visual, lens))
    shapes = {name: tuple(w.shape) for name, w in attention.items()}
    for name, expected in {
        "audio_from_visual": (6, 4),
        "visual_from_audio": (4, 6),
        "audio_temporal": (6, 6),
        "visual_temporal": (4, 4),
        "audio_auxiliary_0": (6, 6),
        "visual_auxiliary_0": (4, 4),
    }.items():
        assert shapes[name] == (2, 2, 10, *expected), name
    assert len(shapes) == 4 + 2 * model.auxiliary_passes
    weights = attention["visual_from_audio"]
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 10, 4))
    # Of the second sample, three of six audio frames are padding.
    assert weights[:, 1, :, :, 3:].abs().max() == 0


def test_without_request_no_weights_are_computed(monkeypatch):
    model = build()
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda *_: pytest.fail("weights were computed")
    )
    model(*draw(1, 6, 4))


@given(
    st.integers(0, 6), st.integers(1, 6), st.integers(6, 8), st.integers(6, 8)
)
@settings(deadline=None, max_examples=50)
def test_the_causal_mask_is_the_published_one_of_each_sample(q, k, nq, nk):
    frames = torch.tensor([q]), torch.tensor([k])
    mask = AttentionMask(*frames, nq, nk, causal=True)
    assert bool(mask.has_key.all())
    for i in range(q):
        visible = [j for j in range(k) if j <= i + abs(q - k)]
        assert mask.visible[0, 0, i].nonzero().flatten().tolist() == visible


@settings(max_examples=12, deadline=None)
@given(
    lost=st.lists(st.booleans(), min_size=6, max_size=6),
    content=st.sampled_from([1e30, float("nan")]),
)
def test_a_lost_frame_leaves_a_hole_whatever_it_holds(model, lost, content):
    audio, visual = draw(1, 6, 4)
    kept = ~torch.tensor([lost])
    expected = model(audio, visual, audio_mask=kept)
    audio = audio.masked_fill(~kept.unsqueeze(-1), content)
    found = model(audio, visual, audio_mask=kept)
    assert all(x.isfinite().all() for x in found.values())
    assert_same(found, expected)


def test_a_lost_frame_keeps_the_others_in_their_place():
    """Positions see a hole, not a shorter clip."""
    model = build(causal=False, pooling="attentive")
    audio, visual = draw(1, 6, 4)
    hole = torch.tensor([[True, False, True, True, True, True]])
    with_hole = model(audio, visual, audio_mask=hole)
    shorter = model(audio[:, hole[0]], visual)
    assert not torch.allclose(with_hole["main"], shorter["main"], atol=1e-5)
    # Self-attention without positions does not tell the two apart.
    torch.testing.assert_close(
        with_hole["audio"], shorter["audio"], atol=1e-5, rtol=0
    )


def test_all_frames_lost_is_a_missing_modality(model):
    audio, visual = draw(2, 6, 4)
    none = torch.zeros(2, 6, dtype=torch.bool)
    absent = torch.tensor([[False, True]] * 2)
    assert_same(
        model(audio, visual, audio_mask=none),
        model(audio, visual, present=absent),
    )


@pytest.mark.parametrize("causal", [True, False])
def test_without_keys_attention_adds_nothing(causal):
    stack = TransformerStack(20, 2, 1, positions=True, causal=causal).eval()
    x, none = torch.randn(1, 3, 20), torch.zeros(1, dtype=torch.long)
    frames = torch.tensor([3])
    seen = [
        stack(x, frames, torch.randn(1, 4, 20), none, return_weights=wanted)
        for wanted in (True, False)
    ]
    torch.testing.assert_close(seen[0][0], seen[1][0])
    assert seen[0][1].abs().max() == 0


def test_heads_are_shared_or_not():
    assert len(build().auxiliary_heads) == 1
    assert len(build(shared_auxiliary_head=False).auxiliary_heads) == 2


def test_features_of_the_models_width_are_projected_only_on_request():
    same = {**SIZES, "audio_dim": 20}
    assert not list(AuxFormer(**same).audio_projection.parameters())
    wanted = AuxFormer(**same, audio_projection=True)
    assert wanted.audio_projection.weight.shape == (20, 20)


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"pooling": "mean"}, "pooling 'mean'"),
        ({"missing": "ignore"}, "missing 'ignore'"),
        ({"audio_projection": False}, "audio_projection is needed"),
        ({"num_heads": 3}, "model_dim 20 is not a multiple"),
    ],
)
def test_an_impossible_choice_says_what_is_wrong(choice, message):
    with pytest.raises(ValueError, match=message):
        AuxFormer(**{**SIZES, **choice})


def test_gradients_of_the_deep_published_network_stay_finite_at_zeros():
    """Each normalisation of frames that are zero multiplies them by 316."""
    model = AuxFormer(**{**SIZES, "num_layers": 5}, missing="zero_fill")
    present = torch.tensor([[False, True], [True, False]])
    logits = model(*draw(2, 6, 4), present=present)
    sum(x.sum() for x in logits.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() < 1e3, name


def test_without_auxiliary_networks_there_is_one_head():
    model = build(auxiliary_networks=False)
    assert model.heads == {"main": ("audio", "visual")}
    torch.manual_seed(0)
    names = {name.partition(".")[0] for name in model.state_dict()}
    assert not any("auxiliary" in name for name in names)
    # The fusion network is the same.
    whole = build()
    whole.load_state_dict(model.state_dict(), strict=False)
    inputs = draw(2, 6, 4)
    assert_same(model(*inputs), {"main": whole(*inputs)["main"]})


def test_it_compiles_in_one_piece():
    """Without graph breaks, which SpeechBrain's --compile would hide."""
    options = {"shortcut": True, "audio_stack": 2, "auxiliary_networks": False}
    model = AuxFormer(**{**SIZES, "num_layers": 1}, **options).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    audio, visual = draw(2, 6, 4)
    lens, mask = torch.tensor([1.0, 0.5]), torch.rand(2, 6) > 0.2
    features = audio, visual, lens, None, None, mask
    assert_same(compiled(*features), model(*features))
