"""Features of face crops by image models and video models."""

import pickle
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from transformers import (
    AutoImageProcessor,
    BertConfig,
    BertModel,
    Siglip2VisionConfig,
    VJEPA2Config,
)

from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.features import vision
from auxformer_lobes.features.vision import (
    ImageModelFeatures,
    VideoModelFeatures,
)
from auxformer_lobes.processing.faces.tracker import FaceTracker
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import astronaut, grey_images, tone, write_media
from tests.unit.vision_models import (
    FRAMES,
    IMAGE_MODELS,
    SIZE,
    TINY,
    VIDEO_MODELS,
    save_model,
    smooth_crops,
)

PRESETS = Path(__file__).parents[3] / "recipes/CREMA-D/hparams/encoders"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder and model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {
        kind: (f"{folder}/{kind}", save_model(folder / kind, kind))
        for kind in (*IMAGE_MODELS, *VIDEO_MODELS)
    }


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "face.flv"
    return write_media(path, astronaut(1)[0])


def image_features(models, kind="vit_classifier", **options):
    """Features of a tiny image model."""
    return ImageModelFeatures(models[kind][0], "", device="cpu", **options)


def video_features(models, kind="videomae", **options):
    """Features of a tiny video model."""
    return VideoModelFeatures(models[kind][0], "", device="cpu", **options)


@pytest.fixture(scope="module")
def features_of(models):
    """Features that are made once: they are cut into batches in many ways."""
    return lru_cache(lambda make: make(models))


def as_processed(folder, crops):
    """Crops of the right size, processed by the model's own processor."""
    processor = AutoImageProcessor.from_pretrained(folder)
    return processor(
        [crop.numpy() for crop in crops],
        do_resize=False,
        do_center_crop=False,
        return_tensors="pt",
    ).pixel_values


@pytest.mark.parametrize(
    "preset, kind, vectors",
    [
        ("vit_face_expression", "vit_classifier", 15),
        ("clip", "clip", 15),
        ("dinov2", "dinov2", 15),
        # 8 frames in windows of 4: from 0, 2, 4.
        ("videomae", "videomae", 3),
    ],
)
def test_an_encoder_file_takes_another_model(
    models, face_clip, preset, kind, vectors
):
    source, _ = models[kind]
    features = load_extractor(PRESETS / f"{preset}.yaml", f"source: {source}")
    assert features("face", face_clip).shape == (vectors, 32)


# The output that stands for a whole image, of the whole model in memory.
WHOLE_IMAGE = {
    "vit_classifier": lambda m, x: m.vit(x).last_hidden_state[:, 0],
    "vit": lambda m, x: m(x).last_hidden_state[:, 0],
    "clip": lambda m, x: m.vision_model(x).pooler_output,
    "siglip": lambda m, x: m.vision_model(x).pooler_output,
    "dinov2": lambda m, x: m(x).pooler_output,
    "convnext": lambda m, x: m.convnext(x).pooler_output,
    "resnet": lambda m, x: m.resnet(x).pooler_output[:, :, 0, 0],
    "swin": lambda m, x: m.swin(x).last_hidden_state.mean(1),
}


@pytest.mark.parametrize("kind", WHOLE_IMAGE)
def test_one_vector_per_frame_equal_to_that_of_the_whole_model(models, kind):
    folder, model = models[kind]
    features = image_features(models, kind)
    crops = smooth_crops(5)
    (values,) = features.encode([crops])
    with torch.no_grad():
        expected = WHOLE_IMAGE[kind](model, as_processed(folder, crops))
    assert values.shape == (5, 32) == (5, features.dim)
    assert not values.requires_grad
    # The colours are put together in another order: some float32 steps.
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


def test_a_masked_autoencoder_sees_the_whole_image(models):
    features = image_features(models, "vit_mae")
    crops = smooth_crops(3)
    assert torch.allclose(
        *features.encode([crops]), *features.encode([crops]), atol=1e-5
    )


@pytest.mark.parametrize(
    "kind, first_tokens", [("vit", 1), ("dinov2", 5), ("siglip", 0)]
)
def test_the_mean_is_that_of_the_patches(models, kind, first_tokens):
    folder, model = models[kind]
    crops = smooth_crops(2)
    (values,) = image_features(models, kind, pooling="mean").encode([crops])
    model = getattr(model, "vision_model", model)
    with torch.no_grad():
        hidden = model(as_processed(folder, crops)).last_hidden_state
    assert hidden.shape[1] == first_tokens + (SIZE // 8) ** 2
    torch.testing.assert_close(
        values, hidden[:, first_tokens:].mean(1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_the_class_token_can_be_had(models, kind):
    folder, model = models[kind]
    crops = smooth_crops(2)
    (values,) = image_features(models, kind, pooling="cls").encode([crops])
    model = getattr(model, "vision_model", model)
    with torch.no_grad():
        hidden = model(as_processed(folder, crops)).last_hidden_state
    torch.testing.assert_close(values, hidden[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", VIDEO_MODELS)
def test_one_vector_per_window_equal_to_that_of_the_whole_model(models, kind):
    folder, model = models[kind]
    features = video_features(models, kind, hop=1)
    crops = smooth_crops(FRAMES + 1)
    (values,) = features.encode([crops])
    tokens = 0 if kind == "videomae" else 1
    with torch.no_grad():
        expected = [
            model.base_model(as_processed(folder, window))
            .last_hidden_state[:, tokens:]
            .mean(1)
            for window in (crops[:-1], crops[1:])
        ]
    assert values.shape == (2, 32) == (2, features.dim)
    torch.testing.assert_close(
        values, torch.cat(expected), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    batch_size=st.integers(1, 12),
)
@pytest.mark.parametrize("make", [image_features, video_features])
def test_a_clip_s_features_do_not_depend_on_those_beside_it(
    features_of, make, lengths, batch_size
):
    features = features_of(make)
    features.batch_size = batch_size
    clips = [smooth_crops(n, seed) for seed, n in enumerate(lengths)]
    together = features.encode(clips)
    for crops, values in zip(clips, together):
        (alone,) = features.encode([crops])
        assert values.shape == alone.shape
        assert torch.allclose(values, alone, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(time=st.integers(1, 40), hop=st.integers(1, FRAMES))
def test_windows_see_all_frames_and_repeat_the_last(features_of, time, hop):
    features = features_of(video_features)
    features.hop = hop
    frames = torch.arange(time)[:, None]  # [time, 1]
    windows = torch.stack(features.model_inputs(frames)).squeeze(-1)
    starts = windows[:, 0]
    assert starts.tolist() == list(range(0, starts[-1] + 1, hop))
    expected = starts[:, None] + torch.arange(FRAMES)
    assert torch.equal(windows, expected.clamp(max=time - 1))
    assert windows[-1, -1] == time - 1
    # and there is no window but those that are needed
    assert len(windows) == 1 or windows[-2, -1] < time - 1


@pytest.mark.parametrize("hop, seconds", [(1, 7.5), (2, 3.75)])
def test_windows_come_at_the_rate_of_frames_over_hop(models, hop, seconds):
    features = video_features(models, hop=hop)
    minute = torch.zeros(450, 1)  # 7.5 frames a second
    windows = len(features.model_inputs(minute))
    assert abs(windows / seconds - 60) < FRAMES / 7.5


def test_a_window_is_as_good_as_most_of_its_frames(
    models, face_clip, monkeypatch
):
    features = video_features(models, hop=2)
    faces = features.faces(face_clip, 7.5)
    quality = np.array([2, 1, 1, 0, 0, 0, 0, 1], dtype=np.uint8)
    monkeypatch.setattr(
        features,
        "faces",
        lambda *_: faces._replace(
            crops=smooth_crops(8).numpy(), quality=quality
        ),
    )
    clip_input = features.read("clip", face_clip)
    assert clip_input.frame_validity.tolist() == [1, 0, 0]
    assert clip_input.frame_validity.dtype == torch.uint8
    assert len(features.encode([clip_input.data])[0]) == 3


def test_the_rate_of_the_features_is_as_documented(models, face_clip):
    for rate, frames in [(None, 30), (15, 15)]:
        features = image_features(models, frames_per_second=rate)
        assert features("face", face_clip).shape == (frames, 32)
    # 15 frames: windows start at 0, 3, 6, 9, 12
    features = video_features(models, frames_per_second=15, hop=3)
    assert features("face", face_clip).shape == (5, 32)


def test_each_frame_says_whether_it_shows_a_face(models, face_clip, tmp_path):
    blank = write_media(tmp_path / "blank.flv", grey_images([99] * 9))
    for features in (image_features(models), video_features(models)):
        for path, seen in [(face_clip, True), (blank, False)]:
            clip_input = features.read("clip", path)
            (values,) = features.encode([clip_input.data])
            assert clip_input.frame_validity.shape == (len(values),)
            assert clip_input.frame_validity.bool().all() == seen
            assert clip_input.frame_validity.bool().any() == seen


def turned(path):
    """Says in an MP4 file that its images are to be turned by 90°."""
    one, w = 1 << 16, 1 << 30
    identity, clockwise = (
        np.array(matrix, dtype=">i4").tobytes()
        for matrix in (
            [one, 0, 0, 0, one, 0, 0, 0, w],
            [0, one, 0, -one, 0, 0, 0, 0, w],
        )
    )
    data = path.read_bytes()
    track = data.index(b"tkhd")
    path.write_bytes(
        data[:track] + data[track:].replace(identity, clockwise, 1)
    )
    return path


def media(folder):
    """Writes videos of many kinds; name to how many frames there are."""
    grey = grey_images([60, 80, 100])
    h264 = {"video_codec": "libx264"}
    write_media(folder / "a.flv", grey)
    write_media(folder / "a.avi", grey, tone(0.1), video_codec="mpeg4")
    write_media(folder / "a.mp4", grey, **h264)
    write_media(folder / "jumps.mp4", grey, times=[0, 0.02, 0.5], **h264)
    write_media(folder / "one.mp4", grey[:1], **h264)
    turned(write_media(folder / "turned.mp4", grey, **h264))
    return {
        "a.flv": 3,
        "a.avi": 3,
        "a.mp4": 3,
        "jumps.mp4": 3,
        "one.mp4": 1,
        "turned.mp4": 3,
    }


def test_videos_of_any_kind_give_features(models, tmp_path):
    for features, windows in [
        (image_features(models), None),
        (video_features(models, frames_per_second=None), 1),
    ]:
        for name, frames in media(tmp_path).items():
            values = features("clip", tmp_path / name)
            assert values.shape == (windows or frames, 32)
            assert values.isfinite().all()


def test_files_without_images_are_named(models, tmp_path):
    write_media(tmp_path / "audio.avi", waveform=tone(0.1))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video")
    for name, reason in [
        ("audio.avi", "no video stream"),
        ("empty.mp4", "empty file"),
        ("text.mp4", "cannot be decoded"),
        ("typo.mp4", "No such file"),
    ]:
        with pytest.raises(MediaError, match=f"{name}: .*{reason}"):
            image_features(models).read("clip", tmp_path / name)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_only_the_vision_tower_is_loaded(models, kind):
    _, whole = models[kind]
    tower = image_features(models, kind).encoder.model
    assert {*tower.state_dict()} == {*whole.vision_model.state_dict()}


def test_a_model_is_loaded_when_it_is_first_needed(
    models, face_clip, monkeypatch
):
    loaded = []

    def _load(*args, **options):
        loaded.append(args)
        return load(*args, **options)

    load = vision.load_model
    monkeypatch.setattr(vision, "load_model", _load)
    features = image_features(models, frames_per_second=2)
    clip_input = features.read("face", face_clip)
    assert features.settings and features.dim and not loaded
    features.encode([clip_input.data])
    features.encode([clip_input.data])
    assert len(loaded) == 1


@pytest.mark.parametrize("make", [image_features, video_features])
def test_the_encoder_can_be_trained(models, make):
    features = make(models)
    crops = smooth_crops(5).float()  # as a batch of padded clips has them
    assert crops.shape[1:] == features.input_shape
    first, second = features.encode_with_grad([crops, crops[:1]])
    first.sum().backward()
    trained = features.encoder.model.parameters()
    assert all(weights.grad is not None for weights in trained)
    assert torch.allclose(first, *features.encode([smooth_crops(5)]), atol=1e-5)


def test_workers_read_without_getting_the_model(models, face_clip):
    for features in (image_features(models), video_features(models)):
        expected = features("face", face_clip)
        pickled = pickle.dumps(features)
        assert len(pickled) < 5000
        clip_input = pickle.loads(pickled).read("face", face_clip)
        torch.testing.assert_close(
            features.encode([clip_input.data])[0], expected
        )


def test_settings_are_what_changes_the_features(models, tmp_path):
    settings = image_features(models).settings
    assert image_features(models, batch_frames=1).settings == settings
    for options in (
        {"pooling": "mean"},
        {"frames_per_second": 15},
        {"faces": FaceTracker(size=SIZE, detect_every=2)},
    ):
        assert image_features(models, **options).settings != settings
    save_model(tmp_path / "vit_classifier", seed=1)
    other = ImageModelFeatures(tmp_path / "vit_classifier", "")
    assert other.settings["source"] == settings["source"]
    assert other.settings != settings
    assert (
        video_features(models, hop=1).settings
        != video_features(models, hop=2).settings
    )


def test_faces_have_the_size_of_the_model(models):
    assert image_features(models).faces.size == SIZE
    with pytest.raises(UserError, match="size is 64, but the model takes 32"):
        image_features(models, faces=FaceTracker(size=64))


def test_wrong_options_are_reported(models):
    with pytest.raises(UserError, match="pooling must be pooled, cls or mean"):
        image_features(models, pooling="max")
    for hop in (0, FRAMES + 1):
        with pytest.raises(
            UserError, match=f"hop must be from 1 to 4, .*not {hop}"
        ):
            video_features(models, hop=hop)


def test_a_model_of_another_kind_is_reported(models, tmp_path):
    with pytest.raises(UserError, match="vit: .*use ImageModelFeatures"):
        video_features(models, "vit")
    with pytest.raises(UserError, match="vivit: .*use VideoModelFeatures"):
        image_features(models, "vivit")
    save_model(tmp_path / "no_processor")
    (tmp_path / "no_processor" / "preprocessor_config.json").unlink()
    BertModel(BertConfig(hidden_size=12, num_hidden_layers=1)).save_pretrained(
        tmp_path / "text"
    )
    for name, config in {
        "patches": Siglip2VisionConfig(**TINY),
        "later": VJEPA2Config(**TINY),
    }.items():
        shutil.copytree(models["vit"][0], tmp_path / name)
        config.save_pretrained(tmp_path / name)
    save_model(tmp_path / "oblong", size={"height": 32, "width": 16})
    for name, reason in [
        ("no_processor", "preprocessor_config.json"),
        ("text", "BertModel needs other inputs than square images"),
        ("patches", "Siglip2VisionModel needs other inputs than"),
        ("later", "VJEPA2Model needs other inputs than square images"),
        ("oblong", "square images"),
    ]:
        with pytest.raises(UserError, match=f"{name}: .*{reason}") as error:
            ImageModelFeatures(tmp_path / name, "")
        assert "\n" not in str(error.value)
