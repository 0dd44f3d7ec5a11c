"""Emotion over time, in files of any length."""

import gc
import weakref

import av
import cv2
import numpy as np
import pytest
import soundfile
import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.inference import timeline as timeline_module
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.inference.timeline import LONGEST_SECTION
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.processing.media import read_frames
from auxformer_lobes.reporting import figures
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.media_files import astronaut, grey_images, tone, write_media

RATE = 8000


class Brightness(Extractor):
    """Mean brightness of each picture; black ones have no face."""

    modality = "visual"

    def __init__(self):
        super().__init__(dim=2)
        self.alive, self.most = weakref.WeakSet(), 0

    def read(self, clip, path):
        """Counts how many pictures there are of all that was read."""
        levels = [frame.mean() / 255 for _, frame in read_frames(path)]
        values = torch.tensor(levels, dtype=torch.float32)
        values = torch.stack([values, values**2], 1)
        gc.collect()
        self.alive.add(values)
        self.most = max(self.most, sum(map(len, self.alive)))
        return ClipInput(values, (values[:, 0] > 0.1).byte() * 2)


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    fbank, brightness = FbankFeatures(sample_rate=RATE, n_mels=4), Brightness()
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "auxformer": AuxFormer(
            fbank.dim, 2, model_dim=8, num_heads=2, num_layers=1, num_classes=3
        ),
    }
    hparams = {
        "task": CategoricalEmotion(["angry", "happy", "sad"]),
        "audio_features": fbank,
        "visual_features": brightness,
        "feature_dtype": {"audio": "float32", "visual": "float32"},
        "min_face_quality": 1,
        "missing": "mask",
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


@pytest.fixture(scope="module")
def face_recognizer():
    """A model of the sound, and of the faces that are found."""
    torch.manual_seed(0)
    fbank, hog = FbankFeatures(sample_rate=RATE, n_mels=4), HogFeatures()
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "auxformer": AuxFormer(
            fbank.dim, hog.dim, model_dim=8, num_heads=2, num_classes=3
        ),
    }
    hparams = {
        "task": CategoricalEmotion(["angry", "happy", "sad"]),
        "audio_features": fbank,
        "visual_features": hog,
        "feature_dtype": {"audio": "float32", "visual": "float16"},
        "min_face_quality": 1,
        "missing": "mask",
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


def two_faces(path, seconds, until=None):
    """Writes a film of a face, and of a smaller one that leaves."""
    pictures, _ = astronaut(seconds, 240, 320, 15)
    for index, large in enumerate(pictures):
        small = cv2.resize(large[:, :220], (176, 192))
        if until is not None and index / 15 >= until:
            small[:] = 120
        small = np.pad(small, [(24, 24), (0, 0), (0, 0)])
        pictures[index] = np.hstack([large, small])
    times = np.arange(len(pictures)) / 15
    return write_media(
        path,
        pictures,
        swell(seconds),
        times=times,
        rate=RATE,
        video_codec="mpeg4",
    )


def swell(seconds):
    """A sound that is different everywhere."""
    sound = tone(seconds, RATE)
    return sound * np.linspace(0.1, 1, len(sound), dtype=np.float32)


def film(path, levels, sound=None, every=0.2, **options):
    """Writes grey pictures, five a second."""
    times = np.arange(len(levels)) * every
    pictures = grey_images(levels)
    return write_media(path, pictures, sound, times=times, rate=RATE, **options)


def same(one, other):
    """Whether the same is said, up to the order of sums of floats."""
    assert one.quality == pytest.approx(other.quality, abs=1e-6)
    return one.outputs == pytest.approx(other.outputs, abs=1e-5)


def test_each_window_of_sound_is_as_if_it_was_cut_out(tmp_path, recognizer):
    sound = swell(4.0)
    soundfile.write(tmp_path / "all.wav", sound, RATE, subtype="FLOAT")
    found = list(recognizer.timeline(tmp_path / "all.wav"))
    assert [start for start, _, _ in found] == [0.0, 0.5, 1.0, 1.5, 2.0]
    for start, end, emotion in found:
        assert end == start + 2
        cut = sound[int(start * RATE) : int(end * RATE)]
        soundfile.write(tmp_path / "cut.wav", cut, RATE, subtype="FLOAT")
        assert same(emotion, recognizer.classify_file(tmp_path / "cut.wav"))
        assert emotion.missing == {"visual": "has no video stream"}


def test_each_window_of_pictures_is_as_if_it_was_cut_out(tmp_path, recognizer):
    levels = np.linspace(60, 250, 45).round().astype(int)
    path = film(tmp_path / "all.avi", levels, video_codec="ffv1")
    found = list(recognizer.timeline(path, window=3.0, hop=1.0))
    assert [start for start, _, _ in found] == [*range(7)]
    for start, _, emotion in found:
        cut = levels[int(start * 5) : int(start * 5) + 15]
        path = film(tmp_path / "cut.avi", cut, video_codec="ffv1")
        assert same(emotion, recognizer.classify_file(path))


@pytest.mark.parametrize(
    "name, codec",
    [("a.mp4", "libx264"), ("a.flv", "flv"), ("a.avi", "mpeg4")],
)
def test_no_picture_is_lost_where_files_are_cut(
    tmp_path, recognizer, name, codec
):
    levels = np.tile(np.arange(40, 240, 8), 12)  # 60 s
    path = film(tmp_path / name, levels, video_codec=codec)
    whole, _ = recognizer.features.read("visual", str(path))
    brightness = recognizer.hparams.visual_features
    sections, read = [], brightness.read

    def _read(clip, path):
        sections.append(read(clip, path))
        return sections[-1]

    brightness.read = _read
    try:
        found = list(recognizer.timeline(path, window=4.0, hop=4.0))
    finally:
        brightness.read = read
    assert len(sections) >= 2
    assert torch.equal(torch.cat([x.data for x in sections]), whole)
    assert len(found) == 15
    for start, _, emotion in found[1:3]:
        cut = whole[int(start * 5) : int(start * 5) + 20]
        assert same(emotion, *recognizer.classify_batch(visual=cut[None]))


def test_pictures_of_mpeg_2_are_cut_though_their_order_is_guessed(tmp_path):
    path = tmp_path / "all.mpg"
    levels = 40 + np.arange(250) * 180 // 250
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height = 64, 48
        stream.codec_context.max_b_frames = 2
        stream.bit_rate = 2_000_000
        for picture in grey_images(levels):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        order = [x.dts for x in container.demux(video=0) if x.size]
    assert order != sorted(order), "as it is in files of this kind"
    ((file, times),) = timeline_module._sections(path, tmp_path)
    assert len(times) == len(list(read_frames(file))) == len(levels)


def test_memory_does_not_grow_with_the_file(tmp_path, recognizer):
    brightness = recognizer.hparams.visual_features
    most = {}
    for minutes in (1, 2):
        levels = np.full(minutes * 300, 128)
        path = film(tmp_path / "long.flv", levels, video_codec="flv")
        brightness.most = 0
        for _ in recognizer.timeline(path, window=2.0, hop=2.0):
            pass
        most[minutes] = brightness.most
    # Two sections of 20 s, of 5 pictures each second, and the windows.
    assert most[2] <= most[1] <= 2 * 20 * 5 + 20


def test_a_part_without_face_or_sound_is_missing(tmp_path, recognizer):
    levels = [200] * 20 + [0] * 20  # 4 s, 4 s
    sound = swell(8.0)
    sound[: 2 * RATE] = 0
    sound[6 * RATE :] = 0
    path = film(tmp_path / "all.avi", levels, sound, video_codec="ffv1")
    found = [e for *_, e in recognizer.timeline(path, window=2.0, hop=2.0)]
    assert [[*emotion.quality] for emotion in found] == [
        ["visual"],
        ["audio", "visual"],
        ["audio"],
        [],
    ]
    assert found[0].missing == {"audio": "is silent"}
    assert found[2].missing == {"visual": "no face in any frame"}
    assert found[3].outputs == {} and found[3].label is None
    figure = figures.timeline(
        [(0, 2, e) for e in found], recognizer.hparams.task
    )
    assert len(figure.axes[1].collections) == 4


def test_what_ends_early_is_missing_from_then_on(tmp_path, recognizer):
    path = tmp_path / "all.avi"
    film(path, [200] * 15, swell(6.0), video_codec="ffv1")
    found = [e for *_, e in recognizer.timeline(path, window=2.0, hop=2.0)]
    assert [emotion.missing for emotion in found] == [
        {},
        {"visual": "has ended"},
        {"visual": "has ended"},
    ]


def sound_in_parts(path, parts, rate=RATE):
    """Writes a swell, of which there are but parts, from and to s."""
    sound = swell(8.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for start, end in parts:
            at = np.arange(round(start * rate), round(end * rate))
            part = sound.take(at, mode="wrap")
            samples = (part * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = rate, round(start * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def adts(path, *parts):
    """Writes a sound of some rates and channels, one after the other."""
    with open(path, "wb") as file:
        for rate, layout in parts:
            sound = tone(3.0, rate)
            samples = np.stack([sound] * (2 if layout == "stereo" else 1))
            frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
            frame.sample_rate, frame.pts = rate, 0
            with av.open(f"{path}.part", "w", format="adts") as container:
                stream = container.add_stream("aac", rate=rate, layout=layout)
                for one in (frame, None):
                    container.mux(stream.encode(one))
            with open(f"{path}.part", "rb") as part:
                file.write(part.read())
    return path


def test_what_comes_after_a_gap_in_the_sound_is_in_its_place(
    tmp_path, recognizer
):
    whole = sound_in_parts(tmp_path / "whole.mkv", [(0, 2), (2, 6), (6, 8)])
    gap = sound_in_parts(tmp_path / "gap.mkv", [(0, 2), (6, 8)])
    options = {"window": 2.0, "hop": 2.0}
    wanted = [e for *_, e in recognizer.timeline(whole, **options)]
    found = [e for *_, e in recognizer.timeline(gap, **options)]
    missing = [emotion.missing.get("audio") for emotion in found]
    assert missing == [None, "is silent", "is silent", None]
    assert same(found[0], wanted[0]) and same(found[3], wanted[3])


def test_a_gap_of_hours_is_not_held_in_memory(tmp_path):
    parts = [(0, 2), (7200, 7201)]
    path = sound_in_parts(tmp_path / "gap.mkv", parts, rate=1000)
    most = max(len(x) for x, _ in timeline_module._without_gaps(path))
    assert most <= 2 * 1000
    windows = timeline_module._samples(path, window=2.0, hop=2.0)
    sizes = [len(samples) for samples, _ in windows]
    assert sizes == [2000] * 3600


def test_channels_may_change_and_the_sample_rate_may_not(
    tmp_path, recognizer, caplog
):
    path = adts(tmp_path / "a.aac", (16000, "mono"), (16000, "stereo"))
    found = [e for *_, e in recognizer.timeline(path, window=3.0, hop=3.0)]
    assert [emotion.quality for emotion in found] == [{"audio": 1}] * 2
    assert not caplog.records
    path = adts(tmp_path / "b.aac", (16000, "mono"), (44100, "mono"))
    found = list(recognizer.timeline(path))
    assert found[-1][1] <= 3.0
    (record,) = caplog.records
    assert f"{path}: changes its sample rate" in record.message


def test_no_window_lies_beyond_the_end(tmp_path, recognizer):
    soundfile.write(tmp_path / "all.wav", swell(1.0), RATE)
    film(tmp_path / "all.avi", [200] * 25, every=0.04, video_codec="ffv1")
    for name in ("all.wav", "all.avi"):
        found = list(recognizer.timeline(tmp_path / name, window=0.1, hop=0.1))
        assert len(found) == 10


def test_a_file_shorter_than_a_window_is_one(tmp_path, recognizer):
    path = film(tmp_path / "all.avi", [200] * 5, swell(1.0), video_codec="ffv1")
    ((start, end, emotion),) = recognizer.timeline(path)
    assert (start, end) == (0, 2)
    assert same(emotion, recognizer.classify_file(path))


def test_the_number_of_windows_at_a_time_makes_no_difference(
    tmp_path, recognizer
):
    path = tmp_path / "all.avi"
    film(path, np.arange(60, 200, 4), swell(7.0), video_codec="ffv1")
    one = list(recognizer.timeline(path, batch_size=1))
    many = list(recognizer.timeline(path, batch_size=4))
    assert len(one) == len(many) == 11
    for (*times, emotion), (*others, other) in zip(one, many):
        assert times == others
        assert same(emotion, other)


def test_pictures_that_cannot_be_cut_are_missing(tmp_path, recognizer):
    path = tmp_path / "all.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1, width=64, height=48)
        stream.codec_context.gop_size = 600
        for _ in range(int(LONGEST_SECTION) + 20):
            (picture,) = grey_images([128])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no key frame for 60 s: write some"):
        list(recognizer.timeline(path))


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "all.wav: cannot be decoded: Invalid data"),
        ({"hop": 0}, "window 2.0 s, hop 0 s: windows last from 0.1"),
        ({"window": 900.0}, "windows last from 0.1 to 60 s"),
        ({"faces": "both"}, "faces: 'both' is neither largest nor all"),
    ],
)
def test_what_is_not_possible_is_told(tmp_path, recognizer, options, message):
    (tmp_path / "all.wav").write_text("nothing to hear")
    with pytest.raises(UserError, match=message):
        list(recognizer.timeline(tmp_path / "all.wav", **options))


def test_all_faces_have_windows_of_their_own(
    tmp_path, face_recognizer, monkeypatch
):
    # Files are cut three times: a face that goes on keeps its number.
    monkeypatch.setattr(timeline_module, "SECTION", 1.0)
    path = two_faces(tmp_path / "two.avi", 4.0, until=2.5)
    options = {"window": 1.0, "hop": 1.0}
    found = list(face_recognizer.timeline(path, faces="all", **options))
    assert [(start, e.face) for start, _, e in found] == [
        *((0.0, 1), (0.0, 2), (1.0, 1), (1.0, 2)),
        *((2.0, 1), (2.0, 2), (3.0, 1)),
    ]
    largest = list(face_recognizer.timeline(path, **options))
    assert [e.face for *_, e in largest] == [None] * 4
    first = [e for *_, e in found if e.face == 1]
    second = [e for *_, e in found if e.face == 2]
    for (*_, alone), one in zip(largest, first):
        assert same(alone, one)
    for one, other in zip(first, second):
        # They hear the same, and see another.
        assert one.heads["audio"] == pytest.approx(other.heads["audio"])
        assert one.heads["visual"] != pytest.approx(other.heads["visual"])
    figure = figures.timeline(found, face_recognizer.hparams.task)
    *panels, below = figure.axes
    assert [p.get_title(loc="left") for p in panels] == ["face 1", "face 2"]
    names = [label.get_text() for label in below.get_yticklabels()]
    assert names == ["sound", "face 1", "face 2"]


def test_where_no_face_is_seen_all_faces_are_none(tmp_path, face_recognizer):
    path = film(
        tmp_path / "grey.avi", [90] * 10, swell(2.0), video_codec="ffv1"
    )
    ((*_, emotion),) = face_recognizer.timeline(path, faces="all")
    assert emotion.face is None and [*emotion.quality] == ["audio"]
    assert emotion.missing == {"visual": "no face in any frame"}


def test_a_model_that_looks_at_no_faces_has_no_choice_of_them(
    tmp_path, recognizer
):
    path = film(tmp_path / "grey.avi", [90] * 10, video_codec="ffv1")
    with pytest.raises(UserError, match='Brightness .* take faces="largest"'):
        list(recognizer.timeline(path, faces="all"))


def test_attributes_are_curves():
    calm = Emotion(None, {"arousal": 1.5, "valence": 3.0}, {}, {"audio": 1}, {})
    windows = [(0.0, 2.0, calm), (0.5, 2.5, calm)]
    figure = figures.timeline(
        windows, DimensionalEmotion(["arousal", "valence"])
    )
    above = figure.axes[0]
    assert [line.get_label() for line in above.lines] == ["arousal", "valence"]
    assert above.get_xlim() == (0, 2.5) and above.get_ylim() == (1, 5)
