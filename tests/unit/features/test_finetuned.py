"""Pretrained encoders that are fine-tuned with the network."""

import numpy as np
import pytest
import torch

from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.features.face_base import FaceFeatures, FaceModelFeatures
from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.features.raw import RawInputs
from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
from auxformer_lobes.features.vision import (
    ImageModelFeatures,
    VideoModelFeatures,
)
from auxformer_lobes.processing.faces.tracker import Faces, FaceTracker
from auxformer_lobes.utils.errors import UserError
from tests.unit.speech_models import save_model, tiny_model
from tests.unit.vision_models import (
    SIZE,
    save_model as save_vision_model,
)


@pytest.fixture
def speech(tmp_path):
    """A small wav2vec 2.0, in a folder."""
    folder = save_model(tmp_path / "speech", tiny_model(layers=2))
    return SpeechModelFeatures(folder, tmp_path, device="cpu")


@pytest.fixture
def images(tmp_path):
    """A small ViT, in a folder."""
    save_vision_model(tmp_path / "vit", "vit")
    return ImageModelFeatures(tmp_path / "vit", tmp_path, device="cpu")


def waveforms(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, generator=generator) for length in lengths]


def pad(clips):
    longest = max(map(len, clips))
    padded = [
        torch.nn.functional.pad(c, (0, 0, 0, longest - len(c))) for c in clips
    ]
    lens = torch.tensor([len(clip) / longest for clip in clips])
    mask = torch.stack([torch.arange(longest) < len(clip) for clip in clips])
    return torch.stack(padded), lens, mask


def test_it_gives_what_an_extraction_gives(speech):
    clips = waveforms(8000, 12345, 4001)
    expected = speech.encode(clips)
    encoder = FineTunedEncoder(speech).eval()
    features, lens, mask = encoder(*pad([x[:, None] for x in clips]))
    for found, length, there, wanted in zip(features, lens, mask, expected):
        frames = round(float(length) * len(found))
        torch.testing.assert_close(found[:frames], wanted, atol=1e-5, rtol=0)
        assert there.tolist() == [i < frames for i in range(len(found))]


def test_a_mask_is_carried_to_the_frames_of_speech(speech):
    (clip,) = waveforms(8000)
    x, lens, mask = pad([clip[:, None]])
    mask[:, 3000:5000] = False
    features, _, mask = FineTunedEncoder(speech)(x, lens, mask)
    middles = (torch.arange(features.shape[1]) + 0.5) / features.shape[1] * 8000
    expected = (middles < 3000) | (middles >= 5000)
    assert 0 < expected.sum() < len(expected)
    assert mask[0].tolist() == expected.tolist()


def test_a_mask_is_carried_to_the_windows_as_an_extraction_does(tmp_path):
    save_vision_model(tmp_path, "videomae")
    features = VideoModelFeatures(tmp_path, tmp_path, hop=1, device="cpu")
    num_frames = features.config.num_frames
    quality = np.zeros(2 * num_frames + 3, dtype=np.uint8)
    quality[: num_frames // 2 + 2] = 1
    quality[-2:] = 2
    crops = np.zeros((len(quality), SIZE, SIZE, 3), dtype=np.uint8)
    faces = Faces(crops, np.zeros((len(quality), 4)), quality)
    stored = features.clip_input(faces)
    encoder = FineTunedEncoder(features)
    for least in (1, 2):
        x = torch.from_numpy(crops).flatten(1)[None]
        mask = torch.from_numpy(quality >= least)[None]
        _, _, mask = encoder(x, torch.ones(1), mask)
        expected = stored.frame_validity >= least
        assert mask[0].tolist() == expected.tolist()
        assert expected.any() == (least == 1)


def test_no_layer_is_missing_where_all_are_mixed(tmp_path):
    """LayerDrop would leave some out, at random."""
    folder = save_model(tmp_path / "speech", tiny_model(layers=12))
    features = SpeechModelFeatures(folder, tmp_path, layer="all", device="cpu")
    encoder = FineTunedEncoder(features).train()
    for _ in range(10):  # each would pass with a probability of 0.28
        found, *_ = encoder(*pad([x[:, None] for x in waveforms(4000)]))
        assert found.shape[2] == features.dim == 13 * 32


def test_face_crops_go_in_as_they_are_stored(images):
    generator = torch.Generator().manual_seed(0)
    crops = [
        torch.randint(0, 256, (n, *images.input_shape), generator=generator)
        for n in (3, 5)
    ]
    crops = [clip.to(torch.uint8) for clip in crops]
    encoder = FineTunedEncoder(images).eval()
    x, lens, mask = pad([clip.flatten(1) for clip in crops])
    mask[:, 1] = False
    features, lens, carried = encoder(x, lens, mask)
    assert torch.equal(carried, mask)
    assert lens.tolist() == pytest.approx([0.6, 1.0])
    for found, wanted in zip(features, images.encode(crops)):
        torch.testing.assert_close(
            found[: len(wanted)], wanted, atol=1e-5, rtol=0
        )


def gradients(encoder):
    """Names of the parts of the model that have any."""
    clips = [x[:, None] for x in waveforms(8000, 6000)]
    encoder.train()(*pad(clips))[0].sum().backward()
    return {
        name.split(".")[0]
        for name, weight in encoder.encoder.model.named_parameters()
        if weight.grad is not None and weight.grad.abs().max() > 0
    }


def test_all_of_it_is_trained_but_what_is_frozen(speech):
    assert gradients(FineTunedEncoder(speech)) == {
        "feature_extractor",
        "feature_projection",
        "encoder",
    }
    speech.encoder.zero_grad()
    assert gradients(
        FineTunedEncoder(speech, frozen_modules=["feature_extractor"])
    ) == {
        "feature_projection",
        "encoder",
    }


def test_whatever_is_trained_has_gradients(tmp_path):
    """As training on several devices demands."""
    model = tiny_model(layers=2, layerdrop=0.0)
    assert hasattr(model, "masked_spec_embed")
    speech = SpeechModelFeatures(
        save_model(tmp_path, model), tmp_path, device="cpu"
    )
    encoder = FineTunedEncoder(speech).train()
    clips = [x[:, None] for x in waveforms(8000, 6000)]
    encoder(*pad(clips))[0].square().sum().backward()
    trained = [w for w in encoder.parameters() if w.requires_grad]
    assert trained and all(weights.grad is not None for weights in trained)


@pytest.mark.parametrize("kind", [FbankFeatures, HogFeatures])
def test_features_without_a_model_cannot_be_trained(kind):
    with pytest.raises(UserError, match=f"{kind.__name__} has no encoder"):
        FineTunedEncoder(kind())


class TinyFaces(FaceModelFeatures):
    """A model as VGG-Face is one: a sequence of layers, with no wrapper."""

    def __init__(self):
        super().__init__(5, 2, None, None, batch_size=4, device="cpu")

    def load(self):
        """Makes the model."""
        return TinyNetwork(torch.nn.Flatten(), torch.nn.Linear(12, 5))


class TinyNetwork(torch.nn.Sequential):
    """Takes bytes."""

    def forward(self, crops):
        """Encodes faces."""
        return super().forward(crops.float())


def test_a_model_that_is_no_hugging_face_one_is_trained():
    encoder = FineTunedEncoder(TinyFaces(), frozen_modules=["0"]).train()
    crops = torch.ones(2, 3, 12, dtype=torch.uint8)
    mask = torch.ones(2, 3, dtype=torch.bool)
    features, *_ = encoder(crops, torch.tensor([1.0, 2 / 3]), mask)
    assert features.shape == (2, 3, 5)
    features.sum().backward()
    assert all(weights.grad is not None for weights in encoder.parameters())
    with pytest.raises(UserError, match="set gradient_checkpointing: False"):
        FineTunedEncoder(TinyFaces(), gradient_checkpointing=True)


def test_a_frozen_encoder_stays_as_it_is(speech):
    encoder = FineTunedEncoder(speech, freeze=True).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_checkpointing_changes_memory_and_nothing_else(tmp_path):
    # Dropouts would draw anew.
    model = tiny_model(
        layers=2,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
    )
    speech = SpeechModelFeatures(
        save_model(tmp_path, model), tmp_path, device="cpu"
    )
    batch = pad([x[:, None] for x in waveforms(8000, 6000)])

    def _step(**options):
        encoder = FineTunedEncoder(speech, **options).train()
        encoder.zero_grad()
        encoder(*batch)[0].square().sum().backward()
        return {
            name: weight.grad.clone()
            for name, weight in encoder.named_parameters()
            if weight.grad is not None
        }

    plain = _step()
    assert not speech.encoder.model.is_gradient_checkpointing
    again = _step(gradient_checkpointing=True)
    assert speech.encoder.model.is_gradient_checkpointing
    torch.testing.assert_close(again, plain)


def test_a_part_that_is_not_there_is_named(speech):
    with pytest.raises(
        UserError, match="frozen_modules: Wav2Vec2Model has no front"
    ):
        FineTunedEncoder(speech, frozen_modules=["front"])


def test_its_weights_are_in_the_checkpoint(speech):
    names = FineTunedEncoder(speech).state_dict()
    assert any("encoder.layers.1" in name for name in names)


def test_a_missing_modality_is_a_sample_that_can_be_encoded(speech):
    features, lens, mask = FineTunedEncoder(speech)(
        torch.zeros(2, 1, 1),
        torch.ones(2),
        torch.tensor([[False], [False]]),
    )
    assert mask.tolist() == [[False], [False]]
    assert features.isfinite().all() and features.shape[:2] == (2, 1)
    assert lens.tolist() == [1.0, 1.0]


def test_what_is_stored_is_what_the_encoder_is_given(speech, monkeypatch):
    (waveform,) = waveforms(5000)
    monkeypatch.setattr(speech, "read", lambda clip, path: ClipInput(waveform))
    stored = RawInputs(speech)
    assert stored.modality == "audio" and stored.dim == 1
    assert torch.equal(stored("clip", "clip.wav")[:, 0], waveform)


def test_encoders_that_are_given_the_same_share_what_is_stored(tmp_path):
    def _stored(kind, **options):
        features = kind(tmp_path / "model", tmp_path, device="cpu", **options)
        return RawInputs(features).settings

    save_model(tmp_path / "model", tiny_model(layers=2))
    audio = _stored(SpeechModelFeatures)
    assert _stored(SpeechModelFeatures, layer=1) == audio
    save_model(tmp_path / "model", tiny_model(layers=2), do_normalize=False)
    assert _stored(SpeechModelFeatures) != audio
    save_vision_model(tmp_path / "model", "vit", seed=0)
    faces = _stored(ImageModelFeatures)
    save_vision_model(tmp_path / "model", "dinov2", seed=1)
    assert _stored(ImageModelFeatures, pooling="mean") == faces
    assert _stored(ImageModelFeatures, frames_per_second=5) != faces
    assert faces != audio


def test_crops_of_every_face_are_stored_flat():
    crops = RawInputs(OneFace())
    ((place, clip_input),) = crops.read_each("two.mp4")
    assert place == "left"
    assert clip_input.data.shape == (5, crops.dim) == (5, 12)
    assert clip_input.frame_validity.tolist() == [2] * 5


def test_crops_for_a_video_model_have_a_validity_each(tmp_path, monkeypatch):
    save_vision_model(tmp_path, "videomae")
    features = VideoModelFeatures(tmp_path, tmp_path, device="cpu")
    faces = Faces(
        crops=np.zeros((9, SIZE, SIZE, 3), dtype=np.uint8),
        boxes=np.zeros((9, 4)),
        quality=np.array([2, 0, 0, 1, 1, 2, 0, 0, 1], dtype=np.uint8),
    )
    monkeypatch.setattr(
        FaceTracker,
        "all_faces",
        lambda tracker, path, rate, max_faces=8: [faces],
    )
    crops = RawInputs(features)
    ((_, each),) = crops.read_each("clip.mp4")
    for clip_input in (crops.read("clip", "clip.mp4"), each):
        assert clip_input.data.shape == (9, crops.dim)
        assert clip_input.frame_validity.tolist() == faces.quality.tolist()


class OneFace(FaceFeatures):
    """Crops of two pixels' side, of one face, which is on the left."""

    input_shape = (2, 2, 3)

    def __init__(self):
        super().__init__(dim=1)

    def read_each(self, path):
        """Finds the face."""
        crops = torch.zeros(5, *self.input_shape, dtype=torch.uint8)
        return [("left", ClipInput(crops, torch.full((5,), 2)))]
