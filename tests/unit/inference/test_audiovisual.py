"""A trained model on any wav or video file."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from auxformer_lobes import AudioVisualEmotionRecognizer
from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.experiments.opened_run import EvaluationBrain
from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.features.speech_ssl import SpeechModelFeatures
from auxformer_lobes.features.vision import (
    ImageModelFeatures,
    VideoModelFeatures,
)
from auxformer_lobes.inference import audiovisual
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.models.base import AudioVisualNetwork
from auxformer_lobes.processing import audio as processing
from auxformer_lobes.processing.faces.tracker import Faces, FaceTracker
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.reporting.predictions_csv import write_predictions
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
from tests.unit.vision_models import (
    save_model as save_vision_model,
    smooth_crops,
)

RATE = 16000


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder of files with and without usable audio and video."""
    folder = tmp_path_factory.mktemp("media")
    video, _ = astronaut(1.0, 180, 240)
    black = grey_images([0] * 15, 180, 240)
    audio = tone(1.0, RATE) * np.linspace(0.1, 1, RATE, dtype=np.float32)
    write_media(folder / "both.flv", video, audio)
    write_media(folder / "mute.flv", video[:20])
    write_media(folder / "black.flv", black, audio[:9000])
    write_media(folder / "nothing.flv", black)
    write_media(folder / "quiet.flv", video[:16], 0.0005 * audio)
    soundfile.write(folder / "voice.wav", audio[:12000], RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "moment.wav", audio[-10:], RATE)
    (folder / "text.mp4").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: its folder and its hyperparameters."""
    folder = tmp_path_factory.mktemp("run") / "run"
    torch.manual_seed(0)
    return folder, make_run(folder)


@pytest.fixture(scope="module")
def recognizer(run):
    """The run's model, exported and loaded."""
    folder, _ = run
    return AudioVisualEmotionRecognizer.from_hparams(
        export(folder, folder.parent / "out"), run_opts={"device": "cpu"}
    )


class Given(Extractor):
    """Features of one channel, whose frames have the given quality."""

    modality = "visual"

    def __init__(self, quality):
        super().__init__(dim=1)
        self.quality = torch.tensor(quality, dtype=torch.uint8)

    def read(self, clip, path):
        """Fails on a file without video."""
        next(iter(read_frames(path)))
        values = torch.arange(1.0, len(self.quality) + 1)[:, None] / 3
        return ClipInput(values, self.quality)


def build(
    task,
    audio=None,
    visual=None,
    encoder=None,
    visual_encoder=None,
    missing="mask",
    **more,
):
    """A model with these extractors."""
    torch.manual_seed(0)
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "network": AuxFormer(
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
    if visual_encoder:
        modules["visual_encoder"] = visual_encoder
    hparams = {
        "task": task,
        "audio_features": audio,
        "visual_features": visual,
        "feature_dtype": {"audio": "float32", "visual": "float16"},
        "min_face_quality": 1,
        **more,
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


def assert_close(emotion, other):
    """Asserts that two predictions agree up to rounding."""
    assert emotion.label == other.label
    assert emotion.missing == other.missing
    assert emotion.valid_share == pytest.approx(other.valid_share, abs=1e-6)
    assert emotion.outputs == pytest.approx(other.outputs, abs=1e-5)
    assert {*emotion.heads} == {*other.heads}
    for head, outputs in other.heads.items():
        assert emotion.heads[head] == pytest.approx(outputs, abs=1e-5)


NO_FACE = "no face in any frame"


@pytest.mark.parametrize(
    "name, missing",
    [
        ("both.flv", {}),
        ("mute.flv", {"audio": "has no audio stream"}),
        ("voice.wav", {"visual": "has no video stream"}),
        ("black.flv", {"visual": NO_FACE}),
        ("quiet.flv", {"audio": "is silent"}),
    ],
)
def test_missing_modalities_are_detected(media, recognizer, name, missing):
    emotion = recognizer.classify_file(media / name)
    assert emotion.missing == missing
    used = [m for m in ("audio", "visual") if m not in missing]
    assert sorted(emotion.valid_share) == used
    assert all(0 < share <= 1 for share in emotion.valid_share.values())
    assert sorted(emotion.heads) == sorted([*used, "main"])
    assert sum(emotion.outputs.values()) == pytest.approx(1)
    assert emotion.label == max(EMOTIONS, key=emotion.outputs.get)
    assert json.loads(json.dumps(emotion.as_dict())) == emotion.as_dict()


@pytest.mark.parametrize(
    "name, message",
    [
        ("nothing.flv", f"audio: has no audio stream, visual: {NO_FACE}"),
        ("silent.wav", "audio: is silent, visual: has no video stream"),
        ("text.mp4", "text.mp4: cannot be decoded: Invalid data found"),
        ("nowhere.mp4", "nowhere.mp4: No such file or directory"),
    ],
)
def test_a_file_with_neither_modality_is_an_error(
    media, recognizer, name, message
):
    with pytest.raises(MediaError, match=message):
        recognizer.classify_file(media / name)


def test_a_batch_predicts_what_single_files_do(media, recognizer):
    names = ["both", "voice", "black", "mute", "both"]
    paths = [next(media.glob(f"{name}.*")) for name in names]
    batch = recognizer.classify_files(paths, batch_size=4)
    for path, emotion in zip(paths, batch):
        assert_close(emotion, recognizer.classify_file(path))


def test_a_file_that_fails_does_not_stop_the_others(media, recognizer):
    names = ["text.mp4", "voice.wav", "nothing.flv", "mute.flv"]
    results = dict(recognizer.try_files([media / name for name in names]))
    failed = [p.name for p, e in results.items() if isinstance(e, MediaError)]
    assert failed == ["text.mp4", "nothing.flv"]
    assert [path.name for path in results] == names
    with pytest.raises(MediaError, match="text.mp4"):
        recognizer.classify_files(list(results))


def test_a_picture_without_a_face_costs_no_voice(recognizer, tmp_path):
    """A logo, as long as one likes."""
    black = grey_images([0] * 4, 180, 240)
    voice = tone(1.0, RATE)
    path = tmp_path / "logo.mkv"
    options = {"video_codec": "mpeg4", "rate": RATE}
    write_media(path, black, voice, times=[0, 2, 4, 6], **options)
    assert recognizer.classify_file(path).missing == {"visual": NO_FACE}


def test_a_file_that_is_too_long_is_not_half_predicted(
    media, recognizer, monkeypatch
):
    monkeypatch.setattr(recognizer.reader, "max_seconds", 0.6)
    # Of its face, there is less.
    images, _ = astronaut(0.5, 180, 240)
    path = media / "long.flv"
    write_media(path, images, tone(1.0, RATE))
    with pytest.raises(MediaError, match="use `auxformer timeline`"):
        recognizer.classify_file(path)


def test_a_batch_of_long_files_is_smaller(media, recognizer, monkeypatch):
    monkeypatch.setattr(audiovisual, "MAX_BATCH", 2.1)
    paths = [media / name for name in ("both.flv", "mute.flv", "voice.wav")]
    sizes = [len(batch) for batch in recognizer._batches(paths, 8)]
    assert sizes == [2, 1]


def test_a_moment_is_too_short_for_an_emotion(media, recognizer):
    clip = recognizer.reader.open(media / "moment.wav")
    assert "too short" in clip.missing["audio"]


def test_each_stream_is_decoded_once(media, recognizer, monkeypatch):
    decoded = []

    def _channels(frame):
        decoded.append(frame.pts)
        return channels(frame)

    channels = processing._channels
    monkeypatch.setattr(processing, "_channels", _channels)
    processing.read_audio(str(media / "both.flv"))
    once = [*decoded]
    decoded.clear()
    recognizer.classify_file(media / "both.flv")
    assert decoded == once


def test_predictions_are_those_of_the_run(run, recognizer, tmp_path):
    """The same calibrated probabilities as in its predictions.csv."""
    folder, hparams = run
    task, dims = hparams["task"], recognizer.mods.network.dims
    generator = torch.Generator().manual_seed(0)
    clips = {
        f"clip{i}": {
            "audio": torch.randn(5 + i, dims["audio"], generator=generator),
            "visual": torch.randn(9 - i, dims["visual"], generator=generator),
            "audio_mask": torch.arange(5 + i) != i + 1,
            "visual_mask": torch.arange(9 - i) > i - 1,
            "truth": torch.tensor([0]),
            "spk_id": "a",
        }
        for i in range(4)
    }
    # `make_run` saves the model only, without the state of a Brain.
    hparams["checkpointer"].allow_partial_load = True
    brain = EvaluationBrain(
        hparams["modules"],
        hparams=hparams,
        run_opts={"device": "cpu", "noprogressbar": True},
        checkpointer=hparams["checkpointer"],
    )
    keys = ["id", *clips["clip0"]]
    predictions = brain.predict_conditions(
        None,
        DynamicItemDataset(clips, output_keys=keys),
        CONDITIONS,
        {"batch_size": 3},
    )
    predictions = {c: of.calibrated(task) for c, of in predictions.items()}
    write_predictions(tmp_path / "predictions.csv", predictions, task)
    with open(tmp_path / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    # With both modalities three heads and combined, with one of them two.
    assert len(rows) == len(clips) * (4 + 3 + 3)
    for row in rows:
        features = {
            name: clips[row["clip"]][name][None]
            for modality in ("audio", "visual")
            if row["condition"] in ("audio_visual", f"{modality}_only")
            for name in (modality, f"{modality}_mask")
        }
        (emotion,) = recognizer.classify_batch(**features)
        by_head = {"combined": emotion.outputs, **emotion.heads}
        probabilities = {name: float(row[f"p_{name}"]) for name in EMOTIONS}
        assert by_head[row["head"]] == pytest.approx(probabilities, abs=1e-5)
        if row["head"] == "combined":
            assert row["predicted"] == emotion.label


def test_only_the_combined_outputs_are_calibrated(
    media, recognizer, monkeypatch
):
    task = recognizer.hparams.task
    emotion = recognizer.classify_file(media / "both.flv")
    temperature = task.temperature
    monkeypatch.setattr(task, "temperature", 1.0)
    plain = recognizer.classify_file(media / "both.flv")
    scaled = {k: p ** (1 / temperature) for k, p in plain.outputs.items()}
    expected = {k: p / sum(scaled.values()) for k, p in scaled.items()}
    assert emotion.outputs == pytest.approx(expected, abs=1e-6)
    assert emotion.outputs != pytest.approx(plain.outputs, abs=1e-3)
    assert emotion.heads == plain.heads


def test_features_can_be_given(recognizer):
    dims = recognizer.mods.network.dims.values()
    audio, visual = (torch.randn(3, 9, dim) for dim in dims)
    lens = torch.tensor([1.0, 0.5, 0.0])
    both = recognizer.classify_batch(audio, visual, lens)
    used = [[*emotion.valid_share] for emotion in both]
    assert used == [["audio", "visual"]] * 2 + [["visual"]]
    assert both[2].missing == {"audio": "not given"}
    (alone,) = recognizer.classify_batch(visual=visual[2:])
    assert_close(both[2], alone)
    for emotion, other in zip(both, recognizer(audio, visual, lens)):
        assert_close(emotion, other)
    with pytest.raises(ValueError, match="both None"):
        recognizer.classify_batch()


def test_lost_frames_of_given_features_are_masked(recognizer):
    dims = recognizer.mods.network.dims.values()
    audio, visual = (torch.randn(2, 9, dim) for dim in dims)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, 3:6], mask[1] = False, False
    lens = torch.tensor([1.0, 1.0])
    given = {"audio": audio, "visual_lens": lens, "visual_mask": mask}
    one, other = recognizer.classify_batch(visual=visual, **given)
    assert one.valid_share == {"audio": 1, "visual": pytest.approx(2 / 3)}
    assert other.missing == {"visual": "not given"}
    lost = visual.masked_fill(~mask.unsqueeze(-1), float("nan"))
    for emotion, expected in zip(
        recognizer.classify_batch(visual=lost, **given), (one, other)
    ):
        assert_close(emotion, expected)
    torch.testing.assert_close(
        recognizer.encode_batch(visual=lost, **given),
        recognizer.encode_batch(visual=visual, **given),
    )
    # A mask says nothing of padding.
    shorter = recognizer.classify_batch(
        audio, visual, visual_lens=lens / 3, visual_mask=mask
    )
    assert shorter[0].valid_share["visual"] == 1


def test_the_main_head_is_linear_in_the_embedding(recognizer):
    audio = torch.randn(3, 9, recognizer.mods.network.dims["audio"])
    embedding = recognizer.encode_batch(audio)
    assert embedding.shape == (3, 8)
    logits = recognizer.mods.network.main_head.output(embedding)
    main = recognizer.hparams.task.outputs(logits).tolist()
    for outputs, emotion in zip(main, recognizer.classify_batch(audio)):
        assert [*emotion.heads["main"].values()] == pytest.approx(outputs)


def test_a_model_reads_only_the_modality_of_its_network(tmp_path, media):
    changes = [("auxformer.AuxFormer", "baselines.AudioOnly")]
    make_run(tmp_path / "run", changes=changes)
    recognizer = AudioVisualEmotionRecognizer.from_hparams(
        export(tmp_path / "run", tmp_path / "out"), run_opts={"device": "cpu"}
    )
    recognizer.reader.extractors["visual"] = None  # would fail
    unread = {"visual": "not read by the network"}
    emotion = recognizer.classify_file(media / "both.flv")
    assert emotion.missing == unread
    assert [*emotion.valid_share] == [*emotion.heads] == ["audio"]
    with pytest.raises(MediaError, match="no audio stream, visual: not read"):
        recognizer.classify_file(media / "mute.flv")
    _, _, window = next(recognizer.timeline(media / "both.flv", window=0.5))
    assert window.missing == unread
    dims = recognizer.mods.network.dims.values()
    given = recognizer.classify_batch(*(torch.randn(1, 9, dim) for dim in dims))
    assert given[0].missing == unread
    assert [*given[0].valid_share] == ["audio"]


class EarlyFusion(AudioVisualNetwork):
    """One head on the concatenated means of both modalities."""

    heads = {"main": ("audio", "visual")}
    dims = {"audio": 4, "visual": 4}

    def __init__(self):
        super().__init__()
        self.embedding_layer = torch.nn.Linear(8, len(EMOTIONS))

    def forward(self, audio, visual, audio_lens, visual_lens, present, *masks):
        x = torch.cat([audio.mean(1), visual.mean(1)], dim=1)
        return {"main": self.embedding_layer(x)}


def test_any_network_with_heads_can_be_used():
    hparams = vars(build(CategoricalEmotion(EMOTIONS)).hparams)
    norms = {f"{m}_norm": torch.nn.Identity() for m in ("audio", "visual")}
    recognizer = AudioVisualEmotionRecognizer(
        {**norms, "network": EarlyFusion()}, hparams, {"device": "cpu"}
    )
    audio = torch.randn(2, 5, 4)
    for emotion in recognizer.classify_batch(audio=audio):
        assert [*emotion.heads] == ["main"]
        assert emotion.outputs == pytest.approx(emotion.heads["main"])
    assert recognizer.encode_batch(audio=audio).shape == (2, 8)


def test_the_label_has_the_form_of_the_task(media):
    path = media / "mute.flv"
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


def as_stored(frames):
    """The features of `Given`, `[1, frames, 1]`."""
    values = torch.arange(1.0, frames + 1)[None, :, None] / 3
    return values.half().float()


@pytest.mark.parametrize("quality", [[1, 0, 0, 2], [0, 1, 2, 0], [0, 2]])
def test_invalid_frames_are_lost_in_their_place(media, quality):
    some = build(CategoricalEmotion(EMOTIONS), visual=Given(quality))
    emotion = some.classify_file(media / "mute.flv")
    assert emotion.valid_share == {"visual": 0.5}
    visual, mask = as_stored(len(quality)), torch.tensor([quality]) > 0
    (expected,) = some.classify_batch(visual=visual, visual_mask=mask)
    assert_close(emotion, expected._replace(missing=emotion.missing))


def test_without_a_least_quality_all_frames_are_used(media):
    """As in training: also of a clip without any face."""
    for quality, share in (([1, 0, 0, 2], 0.5), ([0, 0], 0.0)):
        every = build(
            CategoricalEmotion(EMOTIONS),
            visual=Given(quality),
            min_face_quality=0,
        )
        emotion = every.classify_file(media / "mute.flv")
        assert emotion.valid_share == {"visual": share}
        (expected,) = every.classify_batch(visual=as_stored(len(quality)))
        assert emotion.outputs == pytest.approx(expected.outputs, abs=1e-6)


def test_without_a_frame_of_the_least_quality_the_modality_is_missing(media):
    some = build(
        CategoricalEmotion(EMOTIONS), visual=Given([1, 1]), min_face_quality=2
    )
    with pytest.raises(MediaError, match="no frame reaches min_face_quality"):
        some.classify_file(media / "mute.flv")


def test_lost_frames_are_zeros_in_place_with_zero_fill(media):
    model = build(
        CategoricalEmotion(EMOTIONS),
        visual=Given([1, 0, 2]),
        missing="zero_fill",
    )
    emotion = model.classify_file(media / "mute.flv")
    visual = as_stored(3)
    visual[0, 1] = 0
    (expected,) = model.classify_batch(visual=visual)
    assert emotion.outputs == pytest.approx(expected.outputs, abs=1e-6)


def test_with_zero_fill_all_heads_contribute(media):
    model = build(
        CategoricalEmotion(EMOTIONS), visual=Given([2]), missing="zero_fill"
    )
    emotion = model.classify_file(media / "mute.flv")
    assert [*emotion.heads] == ["main", "audio", "visual"]
    assert [*emotion.valid_share] == ["visual"]


def test_a_fine_tuned_encoder_is_used(media, tmp_path):
    folder = save_model(tmp_path / "speech", tiny_model(layers=2))

    def _model(is_trained):
        speech = SpeechModelFeatures(folder, tmp_path, device="cpu")
        encoder = FineTunedEncoder(speech) if is_trained else None
        return build(
            CategoricalEmotion(EMOTIONS), audio=speech, encoder=encoder
        )

    paths = [media / "voice.wav", media / "mute.flv", media / "both.flv"]
    for (path, one), (_, other) in zip(
        _model(True).try_files(paths), _model(False).try_files(paths)
    ):
        if path.name == "mute.flv":
            reason = "visual: the model's features of it are precomputed"
            assert isinstance(one, MediaError) and reason in str(one)
        else:
            assert_close(one, other)


@pytest.mark.parametrize(
    "kind, features",
    [("vit", ImageModelFeatures), ("videomae", VideoModelFeatures)],
)
def test_a_fine_tuned_encoder_gives_what_an_extraction_gives(
    media, tmp_path, monkeypatch, kind, features
):
    """With the same windows lost, where it makes one vector of several."""
    save_vision_model(tmp_path / kind, kind)
    visual = features(tmp_path / kind, tmp_path, device="cpu")
    length = getattr(visual.config, "num_frames", 2)
    quality = np.repeat([2, 0, 1], length).astype(np.uint8)
    crops = smooth_crops(len(quality)).numpy()
    faces = Faces(crops, np.zeros((len(quality), 4)), quality)
    monkeypatch.setattr(FaceTracker, "__call__", lambda *_: faces)
    (one, other) = (
        build(
            CategoricalEmotion(EMOTIONS),
            visual=visual,
            feature_dtype={"visual": dtype},
            **encoder,
        ).classify_file(media / "mute.flv")
        for dtype, encoder in (
            ("uint8", {"visual_encoder": FineTunedEncoder(visual)}),
            ("float32", {}),
        )
    )
    assert one.outputs == pytest.approx(other.outputs, abs=1e-5)
    assert 0 < one.valid_share["visual"] < 1


def test_precomputed_features_cannot_be_extracted(media):
    model = build(CategoricalEmotion(EMOTIONS))
    with pytest.raises(UserError, match="pass features to classify_batch"):
        model.classify_file(media / "both.flv")
    (emotion,) = model.classify_batch(visual=torch.randn(1, 3, 4))
    assert sum(emotion.outputs.values()) == pytest.approx(1)
