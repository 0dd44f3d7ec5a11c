"""AuxFormer computes what the published networks compute."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.models.published import rename
from auxformer_lobes.nnet.losses import SharedLoss
from auxformer_lobes.utils.errors import UserError

DATA = Path(__file__).parents[2] / "data" / "reference" / "forward.json"
VARIANTS = json.loads(DATA.read_text())["variants"]
CASES = [
    pytest.param(variant, case, id=f"{variant}-{case['seed']}")
    for variant, published in VARIANTS.items()
    for case in published["cases"]
]


def published_weights(variant):
    """The state dict that `weight_rule` in the fixture describes."""
    state = {}
    for name, shape in VARIANTS[variant]["state_dict"]:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x = rng.standard_normal(shape).astype(np.float32) * np.float32(0.05)
        if name.endswith("alpha"):
            x += np.float32(0.5)
        if "layer_norm" in name and name.endswith("weight"):
            x += 1
        state[name] = torch.from_numpy(x)
    return state


def published_inputs(variant, case):
    """Audio and visual features that `input_rule` describes."""

    def draw(seed, frames, dim):
        rng = np.random.default_rng(seed)
        shape = (case["batch"], frames, dim)
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    sizes = VARIANTS[variant]
    audio = draw(case["seed"], case["audio_frames"], sizes["audio_dim"])
    visual = draw(case["seed"] + 1, case["visual_frames"], sizes["visual_dim"])
    return (
        audio * (not case.get("zero_audio")),
        visual * (not case.get("zero_visual")),
    )


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def models():
    return {v: AuxFormer.from_published(published_weights(v)) for v in VARIANTS}


@pytest.mark.parametrize("variant, case", CASES)
def test_logits_loss_and_gradients_equal_the_published_ones(
    models, variant, case
):
    model = models[variant]
    model.zero_grad()
    logits = model(*published_inputs(variant, case))
    for head in ("main", "audio", "visual"):
        expected = torch.tensor(case[head])
        torch.testing.assert_close(logits[head], expected, atol=1e-5, rtol=0)

    labels = torch.arange(case["batch"]) % VARIANTS[variant]["num_classes"]
    thirds = dict.fromkeys(("main", "audio", "visual"), 0.3333)
    loss = SharedLoss(thirds)(logits, labels)
    assert loss.total.item() == pytest.approx(case["loss"], abs=1e-5)

    loss.total.backward()
    parameters = dict(model.named_parameters())
    for name, norm in case["grad_norms"].items():
        gradient = parameters[rename(name)].grad.norm().item()
        assert gradient == pytest.approx(norm, rel=1e-3), name


def test_the_number_of_parameters_is_the_published_one(models, variant):
    count = sum(p.numel() for p in models[variant].parameters())
    assert count == VARIANTS[variant]["parameters"]


def test_a_checkpoint_on_disk_gives_the_same_network(models, tmp_path):
    variant = "wav2vec2_emoca"
    path = tmp_path / "final_head.pt"
    torch.save(published_weights(variant), path)
    loaded = AuxFormer.from_published(path).state_dict()
    for name, weight in models[variant].state_dict().items():
        assert torch.equal(loaded[name], weight)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"weight": Payload()}, tmp_path / "final_head.pt")
    with pytest.raises(UserError, match="final_head.pt"):
        AuxFormer.from_published(tmp_path / "final_head.pt")
    assert not (tmp_path / "executed").exists()


def test_what_is_no_published_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        AuxFormer.from_published(tmp_path / "nowhere.pt")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(UserError, match="text.pt: not a file of weights"):
        AuxFormer.from_published(tmp_path / "text.pt")
    with pytest.raises(UserError, match="not a published AuxFormer head"):
        AuxFormer.from_published({"weight": torch.zeros(3)})
    incomplete = published_weights("wav2vec2_emoca")
    del incomplete["a_mem.layers.3.fc1.bias"]
    with pytest.raises(UserError, match="audio_auxiliary.layers.3"):
        AuxFormer.from_published(incomplete)
