"""Precision and batches of pretrained encoders."""

import json
from copy import copy

import pytest
import torch

from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features import encoder_base
from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.features.encoder_base import EncoderFeatures, is_fast
from auxformer_lobes.features.face_base import FaceModelFeatures
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
from auxformer_lobes.features.vision import (
    ImageModelFeatures,
    VideoModelFeatures,
)
from auxformer_lobes.utils.errors import UserError
from tests.unit.speech_models import (
    FAMILIES,
    save_model as save_speech_model,
)
from tests.unit.vision_models import (
    SIZE,
    VIDEO_MODELS,
    save_model as save_vision_model,
    smooth_crops,
)

HALVES = {"float16": 0.01, "bfloat16": 0.03}  # and their largest errors
SPEECH = [*((family, "layer") for family in FAMILIES), ("hubert", "group")]
VISION = ("vit", "clip", "dinov2", "swin", "resnet", "videomae")


@pytest.fixture
def fast_halves(monkeypatch):
    """A device that is fast in every precision, as a recent GPU is."""
    monkeypatch.setattr(encoder_base, "is_fast", lambda dtype, device: True)


def relative_error(features, expected):
    return (features - expected).norm() / expected.norm()


def agree(make, clips):
    """Whether the halves agree with float32, clip by clip."""
    expected = make("float32").encode(clips)
    for precision, tolerance in HALVES.items():
        features = make(precision)
        found = features.encode(clips)
        assert features.encoder.model.dtype == getattr(torch, precision)
        for values, exact in zip(found, expected, strict=True):
            assert values.dtype == torch.float32
            assert 0 < relative_error(values, exact) < tolerance


@pytest.mark.parametrize("kind", SPEECH, ids="-".join)
def test_speech_models_agree_in_half_precision(tmp_path, fast_halves, kind):
    family, norm = kind
    # oneDNN in torch 2.11 fails on 8 channels a group in bfloat16 with AMX.
    groups = {"num_conv_pos_embedding_groups": 2}
    folder = save_speech_model(tmp_path, family=family, norm=norm, **groups)
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(n, generator=generator) for n in (4000, 9000)]
    agree(
        lambda precision: SpeechModelFeatures(
            folder, folder, layer="all", device="cpu", precision=precision
        ),
        clips,
    )


@pytest.mark.parametrize("kind", VISION)
def test_vision_models_agree_in_half_precision(tmp_path, fast_halves, kind):
    save_vision_model(tmp_path, kind)
    make = VideoModelFeatures if kind in VIDEO_MODELS else ImageModelFeatures
    agree(
        lambda precision: make(
            tmp_path, tmp_path, device="cpu", precision=precision
        ),
        [smooth_crops(5), smooth_crops(3, seed=1)],
    )


class Squares(FaceModelFeatures):
    """Squares of the first pixels, by a device with room for some crops."""

    def __init__(self, room=100, batch_size=16, **options):
        super().__init__(3, SIZE, None, None, batch_size, "cpu", **options)
        self.room = room
        self.sizes = []

    def load(self):
        """A module with a weight."""
        return torch.nn.Linear(3, 3)

    def forward(self, batch):
        """As a GPU does, in the precision of the encoder."""
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to ...")
        pixels = torch.stack(batch)[:, 0, 0].to(self.encoder.weight.dtype)
        return pixels.square()


def test_a_batch_too_large_is_halved_and_so_are_those_after_it():
    clips = [smooth_crops(n, seed=n) for n in (7, 20, 1)]
    features = Squares(room=5)
    found = features.encode(clips)
    assert features.sizes == [16, 8, 4, 4, 8, 4, 4, 4, 4, 4]
    for values, crops in zip(found, clips, strict=True):
        assert torch.equal(values, crops[:, 0, 0].float().square())


def test_a_batch_of_speech_is_halved_by_its_seconds(tmp_path, monkeypatch):
    folder = save_speech_model(tmp_path)
    features = SpeechModelFeatures(folder, folder, device="cpu")
    clips = [torch.randn(n) for n in (900, 8000, 4000, 2000, 1000)]
    expected = features.encode(clips)
    forward, shapes = features.forward, []

    def with_little_room(batch):
        shapes.append((len(batch), len(batch[-1])))
        if len(batch) * len(batch[-1]) > 9000:
            raise torch.OutOfMemoryError
        return forward(batch)

    monkeypatch.setattr(features, "forward", with_little_room)
    for values, wanted in zip(features.encode(clips), expected, strict=True):
        torch.testing.assert_close(values, wanted, rtol=1e-5, atol=1e-5)
    assert shapes == [(5, 8000), (2, 1000), (3, 8000), (1, 2000), (2, 8000)] + [
        (1, 4000),
        (1, 8000),
    ]
    shapes.clear()
    features.encode(clips)
    assert shapes == [(3, 2000), (1, 4000), (1, 8000)]


def test_one_input_too_large_ends_the_extraction_with_a_cure(tmp_path):
    class Crops(Squares):
        def read(self, clip, path):
            return ClipInput(smooth_crops(2))

    with pytest.raises(UserError, match="^a, .*: set device: cpu in Crops$"):
        extract(FeatureStore(tmp_path, Crops(room=0)), {"a": "a.mp4"})


def test_with_gradients_nothing_is_halved():
    features = Squares(room=1)
    with pytest.raises(torch.OutOfMemoryError):
        features.encode_with_grad([smooth_crops(2)])
    assert features.sizes == [2]


def test_another_precision_is_another_store_and_float32_is_that_of_old():
    keys = [json.dumps(Squares(precision=p).settings) for p in HALVES]
    assert len({*keys, json.dumps(Squares().settings)}) == 3
    assert Squares(precision="float32").settings == Squares().settings
    assert "precision" not in Squares().settings
    assert Squares(precision="float16").settings["precision"] == "float16"


def test_an_unknown_precision_is_refused_in_one_line():
    for wrong in ("half", "float64", 16):
        with pytest.raises(
            UserError,
            match="^precision must be float32, float16, bfloat16 or null, not "
            f"{wrong}$",
        ):
            Squares(precision=wrong)


def test_a_device_that_is_not_there_is_refused_in_one_line():
    with pytest.raises(UserError, match="^device gpu: ") as error:
        EncoderFeatures(dim=1, device="gpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "device, capability, expected",
    [
        ("cpu", None, "float32"),
        ("cuda", (6, 1), "float32"),
        ("cuda:1", (7, 5), "float16"),
        (None, (9, 0), "float16"),
    ],
)
def test_the_default_is_float16_on_a_gpu_that_is_fast_at_it(
    monkeypatch, device, capability, expected
):
    monkeypatch.setattr(encoder_base, "check_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: capability
    )
    features = EncoderFeatures(dim=1, device=device)
    assert features.precision == expected
    assert EncoderFeatures(1, device, "float32").precision == "float32"
    assert features.encoder_dtype == getattr(torch, expected)


@pytest.mark.parametrize("major, fast", [(7, False), (8, True)])
def test_bfloat16_needs_a_later_gpu(monkeypatch, major, fast):
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: (major, 0)
    )
    assert is_fast(torch.bfloat16, "cuda") == fast


@pytest.mark.parametrize("amx", [False, True])
def test_bfloat16_needs_amx_on_a_cpu(monkeypatch, amx):
    capabilities = {"amx_bf16": amx}
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )
    assert is_fast(torch.bfloat16, "cpu") == amx


def test_a_device_slow_at_a_precision_computes_in_float32():
    crops = smooth_crops(3)
    exact, half = Squares(), Squares(precision="float16")
    assert half.settings != exact.settings
    assert half.encoder.weight.dtype == torch.float32
    assert torch.equal(*half.encode([crops]), *exact.encode([crops]))


def test_clips_beyond_float16_are_encoded_in_float32(fast_halves, caplog):
    large = 2.0 * torch.full((1, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    small = smooth_crops(2) / 7
    features = Squares(precision="float16")
    found = features.encode([small, large, small])
    assert torch.equal(found[1], torch.full((1, 3), 510.0**2))
    rounded = small[:, 0, 0].half().square().float()
    assert torch.equal(found[0], rounded) and torch.equal(found[2], rounded)
    assert "Squares: values beyond the range of float16" in caplog.text
    features.encode([large])
    assert len(caplog.records) == 1
    assert features.precision == "float16"
    assert not {"encoder", "_in_float32"} & {*vars(copy(features))}


def test_features_of_a_trained_encoder_stay_on_its_device(tmp_path):
    """Without gradients too: the network is there."""
    folder = save_speech_model(tmp_path / "speech", layers=1)
    save_vision_model(tmp_path / "vit", "vit")
    speech = SpeechModelFeatures(folder, folder)
    images = ImageModelFeatures(tmp_path / "vit", folder)
    clips = [torch.zeros(4000)], [torch.zeros(2, *images.input_shape)]
    for features, data in zip((speech, images), clips):
        features.encoder.to("meta")
        features.device = "meta"
        with torch.no_grad():
            (values,) = features.encode_with_grad(data)
        assert values.is_meta


def test_an_encoder_that_is_trained_has_float32(tmp_path, fast_halves):
    folder = save_speech_model(tmp_path, layers=1)
    features = SpeechModelFeatures(folder, folder, precision="float16")
    encoder = FineTunedEncoder(features)
    assert {w.dtype for w in encoder.parameters()} == {torch.float32}
    assert features.precision == "float32"
