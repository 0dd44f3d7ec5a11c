"""VGG-Face at its real size, with weights that are small on disk."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.features.vgg_face import VggFaceFeatures
from auxformer_lobes.processing.faces.tracker import FaceQuality
from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import astronaut, grey_images, write_media

# Parkhi et al., table 3: channels in and out.
CONVOLUTIONS = {
    "conv1_1": (3, 64),
    "conv1_2": (64, 64),
    "conv2_1": (64, 128),
    "conv2_2": (128, 128),
    "conv3_1": (128, 256),
    "conv3_2": (256, 256),
    "conv3_3": (256, 256),
    "conv4_1": (256, 512),
    "conv4_2": (512, 512),
    "conv4_3": (512, 512),
    "conv5_1": (512, 512),
    "conv5_2": (512, 512),
    "conv5_3": (512, 512),
}
POOLED = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")


def public_state():
    """A state dict of the names and shapes of `vgg_face_dag.pth`.

    Its 145 million weights overlap in memory, and so they do on disk.
    """
    numbers = torch.Generator().manual_seed(0)
    shapes = {
        **{k: (out, into, 3, 3) for k, (into, out) in CONVOLUTIONS.items()},
        "fc6": (4096, 512 * 7 * 7),
        "fc7": (4096, 4096),
        "fc8": (2622, 4096),
    }
    state = {}
    for name, shape in shapes.items():
        inputs = torch.Size(shape[1:]).numel()
        strides = (7, 5, 2, 1) if len(shape) == 4 else (5, 1)
        size = 1 + sum((n - 1) * s for n, s in zip(shape, strides))
        some = torch.randn(size, generator=numbers) * (2 / inputs) ** 0.5
        state[f"{name}.weight"] = some.as_strided(shape, strides)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=numbers)
    return state


def published_forward(state, crop):
    """Layer fc7 of one face, `[224, 224, 3]`, written from the paper."""
    mean = torch.tensor([129.186, 104.762, 93.594])
    x = (crop.float() - mean).permute(2, 0, 1)[None]
    for name in CONVOLUTIONS:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        x = F.conv2d(x, weight, bias, padding=1).clamp(min=0)
        if name in POOLED:
            n, channels, height, width = x.shape
            tiles = x.view(n, channels, height // 2, 2, width // 2, 2)
            x = tiles.amax((3, 5))
    x = x.reshape(-1)  # channels, rows, columns
    x = (state["fc6.weight"] @ x + state["fc6.bias"]).clamp(min=0)
    return (state["fc7.weight"] @ x + state["fc7.bias"]).clamp(min=0)


def close(values, expected):
    """Whether they are equal but for the order of sums.

    Sums of 25,088 products in float32 differ by some millionths of the
    largest value.
    """
    return (values - expected).abs().max() < 1e-4 * expected.max()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg_face_dag.pth"
    torch.save(public_state(), path)
    assert path.stat().st_size < 1e6
    return path


@pytest.fixture(scope="module")
def features(weights):
    preset = "recipes/CREMA-D/hparams/encoders/vgg_face.yaml"
    return load_extractor(
        Path(__file__).parents[3] / preset,
        f"{{weights: {weights}, frames_per_second: 2, device: cpu}}",
    )


@pytest.fixture(scope="module")
def faces(tmp_path_factory, features):
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    write_media(path, astronaut(1)[0], video_codec="libx264")
    return features.read("face", path)


@pytest.fixture(scope="module")
def values(features, faces):
    return features.encode([faces.data])[0]


def test_fc7_equals_the_published_network(features, faces, values):
    assert faces.data.shape == (2, 224, 224, 3)
    assert values.shape == (2, 4096) == (2, features.dim)
    assert values.min() == 0
    assert 0.1 < (values > 0).float().mean() < 0.9
    with torch.no_grad():
        expected = published_forward(public_state(), faces.data[0])
    assert close(values[0], expected)


def test_a_face_s_features_do_not_depend_on_those_beside_it(
    features, faces, values
):
    (second,) = features.encode([faces.data[1:]])
    assert close(second[0], values[1])
    assert not close(second[0], values[0])


def test_a_clip_without_a_face_says_so(features, faces, tmp_path):
    blank = write_media(tmp_path / "blank.flv", grey_images([99] * 3))
    clip_input = features.read("blank", blank)
    assert (clip_input.frame_validity == FaceQuality.FALLBACK).all()
    assert (faces.frame_validity != FaceQuality.FALLBACK).all()


def test_people_are_not_kept(features):
    names = features.load().state_dict()
    assert not any(name.startswith("fc8") for name in names)


def test_workers_get_no_weights(features, values):
    assert len(pickle.dumps(features)) < 2000


def test_settings_follow_the_weights_wherever_they_lie(
    weights, features, tmp_path
):
    (tmp_path / "copy.pth").write_bytes(weights.read_bytes())
    copy = VggFaceFeatures(tmp_path / "copy.pth", frames_per_second=2)
    assert copy.settings == features.settings
    state = public_state()
    state["fc7.bias"][0] += 1
    torch.save(state, tmp_path / "copy.pth")
    other = VggFaceFeatures(tmp_path / "copy.pth", frames_per_second=2)
    assert other.settings != features.settings


@pytest.mark.parametrize("legacy", [True, False])
def test_files_of_any_age_and_precision_are_read(tmp_path, legacy):
    state = public_state()
    state["conv1_1.weight"] = state["conv1_1.weight"].half()
    del state["fc8.weight"], state["fc8.bias"]
    path = tmp_path / "vgg.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    model = VggFaceFeatures(path).load()
    assert {w.dtype for w in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"fc6.weight": None}, "fc6.weight: none instead of"),
        ({"conv6_1.bias": torch.ones(2)}, "conv6_1.bias"),
        ({"conv1_1.weight": torch.ones(64, 1, 3, 3)}, "conv1_1.weight"),
        ({"fc6.weight": torch.ones(8, 2048)}, r"fc6.weight: \[8, 2048"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, change, reason):
    state = {**public_state(), **change}
    state = {k: v for k, v in state.items() if v is not None}
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=f"vgg.pth: not weights .*{reason}"):
        VggFaceFeatures(tmp_path / "vgg.pth").load()


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_damaged_and_malicious_files_are_named(tmp_path, weights):
    path = tmp_path / "vgg.pth"
    path.write_bytes(weights.read_bytes()[:300_000])
    with pytest.raises(UserError, match="vgg.pth: not a state dict"):
        VggFaceFeatures(path).load()
    torch.save({"fc6.weight": Evil(str(tmp_path / "ran"))}, path)
    with pytest.raises(UserError, match="vgg.pth: not a state dict"):
        VggFaceFeatures(path).load()
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_reported_at_once(tmp_path):
    with pytest.raises(UserError, match="typo.pth: No such file"):
        VggFaceFeatures(tmp_path / "typo.pth")
    (tmp_path / "vgg.pth").write_text("version https://git-lfs.github.com")
    with pytest.raises(UserError, match="vgg.pth: a Git LFS pointer"):
        VggFaceFeatures(tmp_path / "vgg.pth")
