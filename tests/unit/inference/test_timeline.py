"""Emotion over time, in files of any length."""

import re
import shlex
import weakref

import av
import cv2
import numpy as np
import pytest
import soundfile
import torch
from av.video.frame import PictureType

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.inference import (
    sections,
    timeline as timeline_module,
)
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.reporting import figures
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import astronaut, grey_images, tone, write_media

RATE = 8000


class Brightness(Extractor):
    """Mean brightness of each frame; black ones have no face."""

    modality = "visual"

    def __init__(self):
        super().__init__(dim=2)
        self.alive, self.most = weakref.WeakSet(), 0

    def read(self, clip, path):
        """Notes the most frames that were held at a time."""
        levels = [frame.mean() / 255 for _, frame in read_frames(path)]
        values = torch.tensor(levels, dtype=torch.float32)
        values = torch.stack([values, values**2], 1)
        self.alive.add(values)
        self.most = max(self.most, sum(map(len, self.alive)))
        return ClipInput(values, (values[:, 0] > 0.1).byte() * 2)


def build(visual):
    """A model of filterbanks and these visual features."""
    torch.manual_seed(0)
    fbank = FbankFeatures(sample_rate=RATE, n_mels=4)
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "network": AuxFormer(
            fbank.dim,
            visual.dim,
            model_dim=8,
            num_heads=2,
            num_layers=1,
            num_classes=3,
        ),
    }
    hparams = {
        "task": CategoricalEmotion(["angry", "happy", "sad"]),
        "audio_features": fbank,
        "visual_features": visual,
        "feature_dtype": {"audio": "float32", "visual": "float32"},
        "min_face_quality": 1,
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


@pytest.fixture(scope="module")
def recognizer():
    """A model of the brightness of frames."""
    return build(Brightness())


@pytest.fixture(scope="module")
def face_recognizer():
    """A model of the faces that are found."""
    return build(HogFeatures())


def two_faces(path, seconds, until):
    """Writes a video of a face, and of a smaller one that leaves."""
    video, _ = astronaut(seconds, 240, 320, 8)
    for index, large in enumerate(video):
        small = cv2.resize(large[:, :220], (176, 192))
        if index / 8 >= until:
            small[:] = 120
        small = np.pad(small, [(24, 24), (0, 0), (0, 0)])
        video[index] = np.hstack([large, small])
    times = np.arange(len(video)) / 8
    audio = swell(seconds)
    return write_media(
        path, video, audio, times=times, rate=RATE, video_codec="mpeg4"
    )


def swell(seconds):
    """Audio that is different everywhere."""
    audio = tone(seconds, RATE)
    return audio * np.linspace(0.1, 1, len(audio), dtype=np.float32)


def write_grey(path, levels, audio=None, every=0.2, **options):
    """Writes a video of grey images, five per second."""
    times = np.arange(len(levels)) * every
    options = {"video_codec": "ffv1", **options}
    images = grey_images(levels)
    return write_media(path, images, audio, times=times, rate=RATE, **options)


def same(one, other):
    """Whether predictions agree, up to the order of sums of floats."""
    assert one.valid_share == pytest.approx(other.valid_share, abs=1e-6)
    return one.outputs == pytest.approx(other.outputs, abs=1e-5)


def test_a_window_of_audio_is_like_a_file_cut_out(tmp_path, recognizer):
    audio = swell(4.0)
    soundfile.write(tmp_path / "all.wav", audio, RATE, subtype="FLOAT")
    found = list(recognizer.timeline(tmp_path / "all.wav"))
    assert [start for start, _, _ in found] == [0.0, 0.5, 1.0, 1.5, 2.0]
    for start, end, emotion in found:
        assert end == start + 2
        cut = audio[int(start * RATE) : int(end * RATE)]
        soundfile.write(tmp_path / "cut.wav", cut, RATE, subtype="FLOAT")
        assert same(emotion, recognizer.classify_file(tmp_path / "cut.wav"))
        assert emotion.missing == {"visual": "has no video stream"}


def test_a_window_of_video_is_like_a_file_cut_out(tmp_path, recognizer):
    levels = np.linspace(60, 250, 45).round().astype(int)
    path = write_grey(tmp_path / "all.avi", levels)
    found = list(recognizer.timeline(path, window=3.0, hop=1.0))
    assert [start for start, _, _ in found] == [*range(7)]
    for start, _, emotion in found:
        cut = levels[int(start * 5) : int(start * 5) + 15]
        path = write_grey(tmp_path / "cut.avi", cut)
        assert same(emotion, recognizer.classify_file(path))


@pytest.mark.parametrize(
    "name, codec",
    [("a.mp4", "libx264"), ("a.flv", "flv"), ("a.avi", "mpeg4")],
)
def test_no_frame_is_lost_between_sections(
    tmp_path, recognizer, monkeypatch, name, codec
):
    monkeypatch.setattr(sections, "SECTION", 5.0)
    levels = np.tile(np.arange(40, 240, 8), 12)  # 60 s
    path = write_grey(tmp_path / name, levels, video_codec=codec)
    whole, _ = recognizer.reader.read("visual", str(path))
    brightness = recognizer.hparams.visual_features
    parts, read = [], brightness.read

    def _read(clip, path):
        parts.append(read(clip, path))
        return parts[-1]

    monkeypatch.setattr(brightness, "read", _read)
    found = list(recognizer.timeline(path, window=4.0, hop=4.0))
    assert len(parts) >= 2
    assert torch.equal(torch.cat([x.data for x in parts]), whole)
    assert len(found) == 15
    for start, _, emotion in found[1:3]:
        cut = whole[int(start * 5) : int(start * 5) + 20]
        assert same(emotion, *recognizer.classify_batch(visual=cut[None]))


def test_mpeg_2_is_cut_though_its_frame_order_is_guessed(tmp_path):
    path = tmp_path / "all.mpg"
    levels = 40 + np.arange(250) * 180 // 250
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height = 64, 48
        stream.codec_context.max_b_frames = 2
        stream.bit_rate = 2_000_000
        for image in grey_images(levels):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        order = [x.dts for x in container.demux(video=0) if x.size]
    assert order != sorted(order), "as in files of this kind"
    ((file, times),) = sections.sections_of(path, tmp_path)
    assert len(times) == len(list(read_frames(file))) == len(levels)


def test_memory_does_not_grow_with_the_file(tmp_path, recognizer, monkeypatch):
    monkeypatch.setattr(sections, "SECTION", 4.0)
    brightness = recognizer.hparams.visual_features
    most = {}
    for seconds in (20, 40):
        levels = np.full(seconds * 5, 128)
        path = write_grey(tmp_path / "long.flv", levels, video_codec="flv")
        brightness.most = 0
        for _ in recognizer.timeline(path, window=2.0, hop=2.0):
            pass
        most[seconds] = brightness.most
    # Two sections, cut at a key frame up to 12 frames later, and a window.
    assert most[40] <= most[20] <= 2 * (4 * 5 + 12) + 10


def test_windows_without_face_or_audio_lack_the_modality(tmp_path, recognizer):
    levels = [200] * 20 + [0] * 20  # 4 s, 4 s
    audio = swell(8.0)
    audio[: 2 * RATE] = 0
    audio[6 * RATE :] = 0
    path = write_grey(tmp_path / "all.avi", levels, audio)
    found = [e for *_, e in recognizer.timeline(path, window=2.0, hop=2.0)]
    assert [[*emotion.valid_share] for emotion in found] == [
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


def test_frames_without_a_face_keep_their_place(tmp_path, recognizer):
    levels = [200] * 8 + [0] * 9 + [90] * 13  # 6 s
    path = write_grey(tmp_path / "all.avi", levels)
    found = [e for *_, e in recognizer.timeline(path, window=3.0, hop=1.0)]
    shares = [emotion.valid_share["visual"] for emotion in found]
    assert shares == pytest.approx([8 / 15, 6 / 15, 8 / 15, 13 / 15])
    visual, validity = recognizer.reader.read("visual", str(path))
    for start, emotion in enumerate(found):
        cut = slice(5 * start, 5 * start + 15)
        (expected,) = recognizer.classify_batch(
            visual=visual[None, cut], visual_mask=validity[None, cut] > 0
        )
        assert same(emotion, expected)


def test_a_face_keeps_its_place_in_sections_that_lack_it():
    """It leaves, or comes, in the middle of a window; or a section fails."""
    times = np.arange(20) / 5  # 4 s each, at 5 frames/s
    data = torch.arange(20.0)[:, None]
    seen = ClipInput(data, torch.full((20,), 2, dtype=torch.uint8))
    nobody = ClipInput(-data, torch.zeros(20, dtype=torch.uint8))
    never_judged = ClipInput(data)
    for one, other in (
        ({1: seen, 2: seen}, {2: seen}),
        ({1: seen}, {None: nobody}),
        ({1: seen}, "is damaged"),
        ({1: never_judged}, "is damaged"),
    ):
        both = [(times, one), (times + 4, other)]
        leaves = timeline_module._cut(both, 2.0, 6.0)[1]
        assert (leaves.frame_validity > 0).tolist() == [True] * 10 + [
            False
        ] * 10
        assert leaves.data[:10, 0].tolist() == [*range(10, 20)]
        both = [(times, other), (times + 4, one)]
        comes = timeline_module._cut(both, 2.0, 6.0)[1]
        assert (comes.frame_validity > 0).tolist() == [False] * 10 + [True] * 10
        assert comes.data[10:, 0].tolist() == [*range(10)]


def test_a_stream_that_ends_early_is_missing_from_then_on(tmp_path, recognizer):
    path = tmp_path / "all.avi"
    write_grey(path, [200] * 15, swell(6.0))
    found = [e for *_, e in recognizer.timeline(path, window=2.0, hop=2.0)]
    assert [emotion.missing for emotion in found] == [
        {},
        {"visual": "has ended"},
        {"visual": "has ended"},
    ]


def write_parts(path, parts, rate=RATE):
    """Writes parts of a swell, each from and to s, with gaps between."""
    audio = swell(8.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for start, end in parts:
            at = np.arange(round(start * rate), round(end * rate))
            part = audio.take(at, mode="wrap")
            samples = (part * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = rate, round(start * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def adts(path, *parts):
    """Writes parts of several rates and layouts, one after the other."""
    with open(path, "wb") as file:
        for rate, layout in parts:
            audio = tone(3.0, rate)
            samples = np.stack([audio] * (2 if layout == "stereo" else 1))
            frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
            frame.sample_rate, frame.pts = rate, 0
            with av.open(f"{path}.part", "w", format="adts") as container:
                stream = container.add_stream("aac", rate=rate, layout=layout)
                for one in (frame, None):
                    container.mux(stream.encode(one))
            with open(f"{path}.part", "rb") as part:
                file.write(part.read())
    return path


def test_audio_after_a_gap_keeps_its_time(tmp_path, recognizer):
    whole = write_parts(tmp_path / "whole.mkv", [(0, 2), (2, 6), (6, 8)])
    gap = write_parts(tmp_path / "gap.mkv", [(0, 2), (6, 8)])
    options = {"window": 2.0, "hop": 2.0}
    wanted = [e for *_, e in recognizer.timeline(whole, **options)]
    found = [e for *_, e in recognizer.timeline(gap, **options)]
    missing = [emotion.missing.get("audio") for emotion in found]
    assert missing == [None, "is silent", "is silent", None]
    assert same(found[0], wanted[0]) and same(found[3], wanted[3])


def test_a_gap_of_hours_is_not_held_in_memory(tmp_path):
    parts = [(0, 2), (7200, 7201)]
    path = write_parts(tmp_path / "gap.mkv", parts, rate=4000)
    most = max(len(x) for x, _ in timeline_module._without_gaps(path))
    assert most <= 2 * 4000
    windows = timeline_module._samples(path, window=2.0, hop=2.0)
    sizes = [len(samples) for samples, _ in windows]
    assert sizes == [8000] * 3600


def test_channels_and_the_sample_rate_may_change(tmp_path, recognizer, caplog):
    path = adts(tmp_path / "a.aac", (16000, "mono"), (16000, "stereo"))
    found = [e for *_, e in recognizer.timeline(path, window=3.0, hop=3.0)]
    assert [emotion.valid_share for emotion in found] == [{"audio": 1}] * 2
    path = adts(tmp_path / "b.aac", (16000, "mono"), (44100, "mono"))
    found = [e for *_, e in recognizer.timeline(path, window=3.0, hop=3.0)]
    assert [emotion.valid_share for emotion in found] == [{"audio": 1}] * len(
        found
    )
    assert len(found) > 2
    assert not caplog.records


def test_no_window_begins_after_the_end(tmp_path, recognizer):
    soundfile.write(tmp_path / "all.wav", swell(1.0), RATE)
    write_grey(tmp_path / "all.avi", [200] * 25, every=0.04)
    for name in ("all.wav", "all.avi"):
        found = list(recognizer.timeline(tmp_path / name, window=0.1, hop=0.1))
        assert len(found) == 10


def test_a_short_file_is_one_window(tmp_path, recognizer):
    path = write_grey(tmp_path / "all.avi", [200] * 5, swell(1.0))
    ((start, end, emotion),) = recognizer.timeline(path)
    assert (start, end) == (0, 2)
    assert same(emotion, recognizer.classify_file(path))


def test_the_batch_size_does_not_change_predictions(tmp_path, recognizer):
    path = tmp_path / "all.avi"
    write_grey(path, np.arange(60, 200, 4), swell(7.0))
    one = list(recognizer.timeline(path, batch_size=1))
    many = list(recognizer.timeline(path, batch_size=4))
    assert len(one) == len(many) == 11
    for (*times, emotion), (*others, other) in zip(one, many):
        assert times == others
        assert same(emotion, other)


def write_slow(path, seconds, key_frames):
    """Writes a frame a second, with key frames at some of them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1, width=64, height=48)
        stream.codec_context.gop_size = 600
        for second in seconds:
            (image,) = grey_images([100 + second % 100])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = second
            kind = PictureType.I if second in key_frames else PictureType.P
            frame.pict_type = kind
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def missing_at(found):
    """Start of each window without a face → the reason."""
    return {
        start: emotion.missing["visual"]
        for start, _, emotion in found
        if "visual" in emotion.missing
    }


def test_what_is_far_from_a_key_frame_is_left_out(tmp_path, recognizer, caplog):
    path = tmp_path / "it's.avi"
    write_slow(path, range(100), key_frames=(0, 80))
    found = list(recognizer.timeline(path, window=4.0, hop=4.0))
    assert len(found) == 25
    missing = missing_at(found)
    assert [*missing] == [64, 68, 72, 76]
    assert {*missing.values()} == {"no key frame for 60 s before it"}
    (warning,) = caplog.messages
    assert "not cut from 61.0 s to the next one" in warning
    command = shlex.split(re.search("`(.*)`", warning)[1])
    assert command[-1].endswith("/it's_key_frames.mkv")
    assert command[:4] == ["ffmpeg", "-n", "-i", str(path)]


def test_a_proposed_command_takes_no_name_for_an_option(caplog):
    sections._warn("-y\x1b.avi", 61.0)
    assert caplog.messages[0].isprintable()
    assert "'./-y\\x1b_key_frames.mkv'" in caplog.messages[0]


def test_windows_in_a_gap_have_no_frames(tmp_path, recognizer, caplog):
    path = tmp_path / "gap.mkv"
    write_slow(path, [*range(10), *range(200, 210)], key_frames=(0, 200))
    found = list(recognizer.timeline(path, window=5.0, hop=5.0))
    assert len(found) == 42
    missing = missing_at(found)
    assert [*missing] == [*range(10, 200, 5)]
    assert {*missing.values()} == {"has no frames"}
    assert not caplog.messages


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "all.wav: cannot be decoded: Invalid data"),
        ({"hop": 0}, "window 2.0 s, hop 0 s: a window lasts 0.1"),
        ({"window": 900.0}, "a window lasts 0.1 to 60 s"),
        ({"faces": "both"}, "faces: 'both' is neither largest nor all"),
    ],
)
def test_invalid_files_and_options_are_refused(
    tmp_path, recognizer, options, message
):
    (tmp_path / "all.wav").write_text("no audio")
    with pytest.raises(UserError, match=message):
        list(recognizer.timeline(tmp_path / "all.wav", **options))


def test_each_face_has_its_own_windows(tmp_path, face_recognizer, monkeypatch):
    # Three sections: a face that continues keeps its number.
    monkeypatch.setattr(sections, "SECTION", 0.7)
    path = two_faces(tmp_path / "two.avi", 3.0, until=1.5)
    options = {"window": 1.0, "hop": 1.0}
    found = list(face_recognizer.timeline(path, faces="all", **options))
    assert [(start, e.face) for start, _, e in found] == [
        *((0.0, 1), (0.0, 2), (1.0, 1), (1.0, 2), (2.0, 1)),
    ]
    largest = list(face_recognizer.timeline(path, **options))
    assert [e.face for *_, e in largest] == [None] * 3
    first = [e for *_, e in found if e.face == 1]
    second = [e for *_, e in found if e.face == 2]
    for (*_, alone), one in zip(largest, first):
        assert same(alone, one)
    for one, other in zip(first, second):
        # The audio is the same, the face another.
        assert one.heads["audio"] == pytest.approx(other.heads["audio"])
        assert one.heads["visual"] != pytest.approx(other.heads["visual"])
    figure = figures.timeline(found, face_recognizer.hparams.task)
    *panels, below = figure.axes
    assert [p.get_title(loc="left") for p in panels] == ["face 1", "face 2"]
    names = [label.get_text() for label in below.get_yticklabels()]
    assert names == ["audio", "face 1", "face 2"]


def test_without_a_face_its_number_is_none(tmp_path, face_recognizer):
    path = write_grey(tmp_path / "grey.avi", [90] * 10, swell(2.0))
    ((*_, emotion),) = face_recognizer.timeline(path, faces="all")
    assert emotion.face is None and [*emotion.valid_share] == ["audio"]
    assert emotion.missing == {"visual": "no face in any frame"}


def test_features_without_faces_cannot_follow_all(tmp_path, recognizer):
    path = write_grey(tmp_path / "grey.avi", [90] * 10)
    with pytest.raises(UserError, match='Brightness .* choose faces="largest"'):
        list(recognizer.timeline(path, faces="all"))


def test_attributes_are_drawn_as_curves():
    calm = Emotion(
        None, {"arousal": 1.5, "valence": 3.0}, {}, {"audio": 1}, {}, {}
    )
    windows = [(0.0, 2.0, calm), (0.5, 2.5, calm)]
    figure = figures.timeline(
        windows, DimensionalEmotion(["arousal", "valence"])
    )
    above = figure.axes[0]
    assert [line.get_label() for line in above.lines] == ["arousal", "valence"]
    assert above.get_xlim() == (0, 2.5) and above.get_ylim() == (1, 5)
