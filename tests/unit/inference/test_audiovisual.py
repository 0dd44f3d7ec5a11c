"""A trained model on any file."""

import json

import numpy as np
import pytest
import soundfile
import torch

from auxformer_lobes import AudioVisualEmotionRecognizer
from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.processing.media import read_frames
from auxformer_lobes.sharing.export import export
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import astronaut, grey_images, tone, write_media
from tests.unit.small_runs import make_run
from tests.unit.small_tasks import EMOTIONS, SCALES
from tests.unit.speech_models import save_model, tiny_model

RATE = 16000


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder of files of every kind."""
    folder = tmp_path_factory.mktemp("media")
    pictures, _ = astronaut(1.0, 180, 240)
    black = grey_images([0] * 15, 180, 240)
    sound = tone(1.0, RATE) * np.linspace(0.1, 1, RATE, dtype=np.float32)
    write_media(folder / "both.flv", pictures, sound)
    write_media(folder / "picture.flv", pictures[:20])
    write_media(folder / "black.flv", black, sound[:9000])
    write_media(folder / "nothing.flv", black)
    write_media(folder / "quiet.flv", pictures[:16], 0.0005 * sound)
    soundfile.write(folder / "sound.wav", sound[:12000], RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "moment.wav", sound[-10:], RATE)
    (folder / "text.mp4").write_text("not a film")
    return folder


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    """A model as it comes out of an export."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    make_run(folder / "run")
    return AudioVisualEmotionRecognizer.from_hparams(
        export(folder / "run", folder / "out"), run_opts={"device": "cpu"}
    )


class Given(Extractor):
    """Features of one number a frame, of the quality that is asked for."""

    modality = "visual"

    def __init__(self, quality):
        super().__init__(dim=1)
        self.quality = torch.tensor(quality, dtype=torch.uint8)

    def read(self, clip, path):
        """Fails where there are no pictures."""
        next(iter(read_frames(path)))
        values = torch.arange(1.0, len(self.quality) + 1)[:, None] / 3
        return ClipInput(values, self.quality)


def build(task, audio=None, visual=None, encoder=None, missing="mask", **more):
    """A model of one's own, of these extractors."""
    torch.manual_seed(0)
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "auxformer": AuxFormer(
            audio.dim if audio else 4,
            visual.dim if visual else 4,
            model_dim=8,
            num_heads=2,
            num_layers=1,
            num_classes=task.num_outputs,
            missing=missing,
        ),
    }
    if encoder:
        modules["audio_encoder"] = encoder
    hparams = {
        "task": task,
        "audio_features": audio,
        "visual_features": visual,
        "feature_dtype": {"audio": "float32", "visual": "float16"},
        "min_face_quality": 1,
        "missing": missing,
        **more,
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


NO_FACE = "no face in any frame"


@pytest.mark.parametrize(
    "name, missing",
    [
        ("both.flv", {}),
        ("picture.flv", {"audio": "has no audio stream"}),
        ("sound.wav", {"visual": "has no video stream"}),
        ("black.flv", {"visual": NO_FACE}),
        ("quiet.flv", {"audio": "is silent"}),
    ],
)
def test_what_a_file_lacks_is_found_out(media, recognizer, name, missing):
    emotion = recognizer.classify_file(media / name)
    assert emotion.missing == missing
    used = [m for m in ("audio", "visual") if m not in missing]
    assert sorted(emotion.quality) == used
    assert all(0 < share <= 1 for share in emotion.quality.values())
    assert sorted(emotion.heads) == sorted([*used, "main"])
    assert sum(emotion.outputs.values()) == pytest.approx(1)
    assert emotion.label == max(EMOTIONS, key=emotion.outputs.get)
    assert json.loads(json.dumps(emotion.as_dict())) == emotion.as_dict()


@pytest.mark.parametrize(
    "name, message",
    [
        ("nothing.flv", f"sound: has no audio stream, picture: {NO_FACE}"),
        ("silent.wav", "sound: is silent, picture: has no video stream"),
        ("text.mp4", "text.mp4: cannot be decoded: Invalid data found"),
        ("nowhere.mp4", "nowhere.mp4: No such file or directory"),
    ],
)
def test_a_file_that_has_neither_is_an_error(media, recognizer, name, message):
    with pytest.raises(MediaError, match=message):
        recognizer.classify_file(media / name)


def test_files_together_are_as_one_by_one(media, recognizer):
    names = ["both", "sound", "black", "picture", "both", "moment"]
    paths = [next(media.glob(f"{name}.*")) for name in names]
    together = recognizer.classify_files(paths, batch_size=4)
    for path, emotion in zip(paths, together):
        alone = recognizer.classify_file(path)
        assert emotion.outputs == pytest.approx(alone.outputs, abs=1e-5)
        for head, outputs in alone.heads.items():
            assert emotion.heads[head] == pytest.approx(outputs, abs=1e-5)
        assert emotion.quality == alone.quality


def test_a_file_that_fails_does_not_keep_others_from_being_done(
    media, recognizer
):
    names = ["text.mp4", "sound.wav", "nothing.flv", "picture.flv"]
    told = dict(recognizer.try_files([media / name for name in names]))
    failed = [p.name for p, e in told.items() if isinstance(e, MediaError)]
    assert failed == ["text.mp4", "nothing.flv"]
    assert [path.name for path in told] == names
    with pytest.raises(MediaError, match="text.mp4"):
        recognizer.classify_files(list(told))


def test_probabilities_are_at_the_temperature_of_the_model(media, recognizer):
    task = recognizer.hparams.task
    emotion = recognizer.classify_file(media / "both.flv")
    before, task.temperature = task.temperature, 1.0
    try:
        plain = recognizer.classify_file(media / "both.flv")
    finally:
        task.temperature = before
    cold = {k: p ** (1 / before) for k, p in plain.outputs.items()}
    expected = {k: p / sum(cold.values()) for k, p in cold.items()}
    assert emotion.outputs == pytest.approx(expected, abs=1e-6)
    assert emotion.outputs != pytest.approx(plain.outputs, abs=1e-3)
    assert emotion.heads == plain.heads, "only the whole is calibrated"


def test_features_may_be_given(recognizer):
    dims = recognizer.mods.auxformer.dims.values()
    audio, visual = (torch.randn(3, 9, dim) for dim in dims)
    lens = torch.tensor([1.0, 0.5, 0.0])
    both = recognizer.classify_batch(audio, visual, lens)
    assert [[*e.quality] for e in both] == [["audio", "visual"]] * 2 + [
        ["visual"]
    ]
    assert both[2].missing == {"audio": "not given"}
    (alone,) = recognizer.classify_batch(visual=visual[2:])
    assert both[2].outputs == pytest.approx(alone.outputs, abs=1e-5)
    assert recognizer(audio, visual, lens) == both
    with pytest.raises(ValueError, match="both None"):
        recognizer.classify_batch()


def test_the_embedding_is_what_the_main_head_goes_by(recognizer):
    audio = torch.randn(3, 9, recognizer.mods.auxformer.dims["audio"])
    embedding = recognizer.encode_batch(audio)
    assert embedding.shape == (3, 8)
    logits = recognizer.mods.auxformer.main_head.output(embedding)
    main = recognizer.hparams.task.outputs(logits).tolist()
    for outputs, emotion in zip(main, recognizer.classify_batch(audio)):
        assert [*emotion.heads["main"].values()] == pytest.approx(outputs)


def test_labels_are_what_the_task_has(media):
    path = media / "picture.flv"
    visual = Given([2, 2])
    attributes = build(DimensionalEmotion(SCALES), visual=visual).classify_file(
        path
    )
    assert attributes.label is None and [*attributes.outputs] == [*SCALES]
    several = MultiLabelEmotion(EMOTIONS, binary=True)
    several.threshold = 0.01
    assert build(several, visual=visual).classify_file(path).label == [
        *EMOTIONS
    ]
    several.threshold = 0.99
    assert build(several, visual=visual).classify_file(path).label == []


def test_frames_that_cannot_be_trusted_are_left_out(media):
    path = media / "picture.flv"
    some = build(CategoricalEmotion(EMOTIONS), visual=Given([0, 1, 2, 0]))
    emotion = some.classify_file(path)
    assert emotion.quality == {"visual": 0.5}
    kept = (torch.tensor([[[2.0], [3.0]]]) / 3).half().float()  # as stored
    (expected,) = some.classify_batch(visual=kept)
    assert emotion.outputs == pytest.approx(expected.outputs, abs=1e-6)
    some = build(
        CategoricalEmotion(EMOTIONS), visual=Given([1, 1]), min_face_quality=2
    )
    with pytest.raises(MediaError, match="no frame of enough quality"):
        some.classify_file(path)


def test_a_model_that_is_given_zeros_asks_all_heads(media):
    model = build(
        CategoricalEmotion(EMOTIONS), visual=Given([2]), missing="zero_fill"
    )
    emotion = model.classify_file(media / "picture.flv")
    assert [*emotion.heads] == ["main", "audio", "visual"]
    assert [*emotion.quality] == ["visual"]


def test_an_encoder_that_was_trained_is_used(media, tmp_path):
    folder = save_model(tmp_path / "speech", tiny_model(layers=2))

    def _model(is_trained):
        speech = SpeechModelFeatures(folder, tmp_path, device="cpu")
        encoder = FineTunedEncoder(speech) if is_trained else None
        return build(
            CategoricalEmotion(EMOTIONS), audio=speech, encoder=encoder
        )

    paths = [media / "sound.wav", media / "picture.flv", media / "both.flv"]
    for (path, one), (_, other) in zip(
        _model(True).try_files(paths), _model(False).try_files(paths)
    ):
        if path.name == "picture.flv":
            reason = "picture: the model's features of it came with its corpus"
            assert isinstance(one, MediaError) and reason in str(one)
        else:
            assert one.outputs == pytest.approx(other.outputs, abs=1e-5)


def test_features_that_came_with_a_corpus_cannot_be_made(media):
    model = build(CategoricalEmotion(EMOTIONS))
    with pytest.raises(UserError, match="give them to classify_batch"):
        model.classify_file(media / "both.flv")
    (emotion,) = model.classify_batch(visual=torch.randn(1, 3, 4))
    assert sum(emotion.outputs.values()) == pytest.approx(1)
