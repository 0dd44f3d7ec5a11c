"""A segment is what the whole file has between its times."""

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.processing import media, segments
from auxformer_lobes.processing.audio import audio_blocks, read_audio
from auxformer_lobes.processing.media import reading
from auxformer_lobes.processing.media_writer import write_video
from auxformer_lobes.processing.segments import (
    Segment,
    join_segment,
    size_of,
    split_segment,
)
from auxformer_lobes.processing.video import read_frames, video_seconds
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.files import fingerprint
from tests.unit.media_files import grey_images, tone, write_media

SECONDS, RATE = 6, 16000
FAST = {"preset": "veryfast", "deadline": "realtime", "threads": "1"}
# Suffix, codecs of the audio and of the video.
FILES = [
    ("wav", "pcm_s16le", None),
    ("flac", "flac", None),
    ("mp3", "mp3", None),
    ("aac", "aac", None),
    ("m4a", "aac", None),
    ("opus", "libopus", None),
    ("mp4", "aac", "libx264"),
    ("mov", "pcm_s16le", "mpeg4"),
    ("mkv", "flac", "libx264"),
    ("webm", "libopus", "libvpx"),
    ("flv", "mp3", "flv"),
    ("avi", "mp3", "mpeg4"),
    ("ts", "aac", "libx264"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("segments")


@lru_cache
def long_file(folder, suffix, audio_codec, video_codec, begin=0):
    """Writes a chirp and blinking images, with a key frame every 2 s."""
    path = folder / f"from_{begin}.{suffix}"
    rate = {"libopus": 48000, "mp3": 22050}.get(audio_codec, RATE)
    packets = []
    with av.open(str(path), "w") as container:
        if video_codec:
            video = container.add_stream(
                video_codec, rate=25, options={"g": "50", **FAST}
            )
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(audio_codec, rate=rate, layout="mono")
        if video_codec:
            for i in range(25 * SECONDS):
                image = np.full((48, 64, 3), i * 37 % 256, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base = i + 25 * begin, Fraction(1, 25)
                packets += video.encode(frame)
            packets += video.encode(None)
        times = np.arange(SECONDS * rate) / rate
        chirp = np.sin(2 * np.pi * (200 + 90 * times) * times) / 2
        samples = (chirp * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.pts, frame.sample_rate = begin * rate, rate
        frame.time_base = Fraction(1, rate)
        packets += [*audio.encode(frame), *audio.encode(None)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return str(path), rate, *whole(str(path), rate)


def whole(path, rate):
    """All samples of a file, when they and the file begin, and its images."""
    with av.open(path) as container:
        begin = max(0, container.start_time or 0) / 1e6
        is_video = bool(container.streams.video)
    first = next(audio_blocks(path)).time
    images = [*read_frames(path)] if is_video else []
    return read_audio(path, rate).numpy(), first, begin, images


def mismatch(samples, part, at):
    """Least difference of the samples from what is about there."""
    return min(
        np.abs(samples[i : i + len(part) : 7] - part[::7]).max()
        for i in range(max(0, at - 60), at + 60)  # 1 ms is 48 at most
        if i + len(part) <= len(samples)
    )


@pytest.mark.parametrize("begin", [0, 3])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file[0])
@settings(max_examples=2)
@given(start=st.floats(0, 5.5), length=st.floats(0.1, 3))
def test_a_segment_is_what_the_whole_file_has_there(
    folder, file, begin, start, length
):
    path, rate, samples, first, origin, images = long_file(
        folder, *file, begin=begin
    )
    start, end = round(start, 3), round(min(SECONDS - 0.1, start + length), 3)
    segment = join_segment(path, start, end)
    part = read_audio(segment, rate).numpy()
    # Matroska and FLV round times to ms.
    assert len(part) == pytest.approx((end - start) * rate, abs=60)
    at = round((start + origin - first) * rate)
    assert mismatch(samples, part, at) < 0.01
    if images:
        expected = [
            (time, image)
            for time, image in images
            if start - 1e-6 <= time - origin < end - 1e-6
        ]
        if not expected:  # AVI begins at 0, but its images later
            return
        found = [*read_frames(segment)]
        assert [time for time, _ in found] == [time for time, _ in expected]
        assert all(
            np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected)
        )
        seconds = found[-1][0] - found[0][0]
        assert video_seconds(segment) == pytest.approx(seconds, abs=0.001)


@given(cuts=st.sets(st.integers(1, 5999), max_size=5))
@settings(max_examples=3)
def test_segments_that_meet_give_every_sample_and_image_once(folder, cuts):
    path, rate, samples, *_, images = long_file(
        folder, "mov", "pcm_s16le", "mpeg4"
    )
    times = [0, *(cut / 1000 for cut in sorted(cuts)), None]
    parts = [join_segment(path, *pair) for pair in pairwise(times)]
    audio = [read_audio(part, rate).numpy() for part in parts]
    assert np.array_equal(np.concatenate(audio), samples)
    frames = [[*read_frames(p)] for p in parts if video_seconds_or_none(p)]
    assert sum(map(len, frames)) == len(images)


def video_seconds_or_none(path):
    """Length of a video; None if no image is in it."""
    try:
        return video_seconds(path) + 1
    except MediaError:
        return None


@given(
    st.text("ab/#t=.,:0", max_size=12),
    st.none() | st.integers(0, 10**10),
    st.none() | st.integers(0, 10**10),
)
def test_a_name_is_split_as_it_was_joined(file, start, end):
    start, end = (x if x is None else x / 10**6 for x in (start, end))
    found = split_segment(join_segment(file, start, end))
    if start is None and end is not None:
        start = 0
    if (start, end) != (None, None):
        assert found == Segment(file, start, end)


@pytest.mark.parametrize(
    "name",
    ["a#t=", "a#t=,", "a#t=1,", "a#t=1.mp4", "a#t=-1", "a#t=1,2\n", "at=1"],
)
def test_a_name_that_only_looks_similar_is_that_of_a_file(name):
    assert split_segment(name) == Segment(name)


def test_a_file_of_that_name_is_that_file(tmp_path):
    path = tmp_path / "talk.wav#t=1,2"
    write_media(tmp_path / "talk.wav", None, tone(3.0), rate=RATE)
    assert len(read_audio(path)) == RATE
    (tmp_path / "talk.wav").rename(path)
    assert len(read_audio(path)) == 3 * RATE


def test_another_segment_is_another_version(folder):
    path = long_file(folder, "wav", "pcm_s16le", None)[0]
    names = [path, f"{path}#t=1", f"{path}#t=1,2", f"{path}#t=0,2"]
    assert len({fingerprint(name) for name in names}) == 4
    assert fingerprint(f"{path}#t=1,2") == fingerprint(f"{path}#t=1.0,2.00")
    assert fingerprint("nowhere.wav#t=1,2") == -1


def test_the_size_of_a_segment_is_its_share(folder):
    path = long_file(folder, "wav", "pcm_s16le", None)[0]
    assert size_of(f"{path}#t=1,4") == pytest.approx(size_of(path) / 2)
    assert size_of(f"{path}#t=4") == pytest.approx(size_of(path) / 3)
    assert size_of("nowhere.wav#t=1,2") == size_of(None) == 0


@pytest.mark.parametrize(
    "times, reason",
    [
        ("7,9", "after the end of the file, which lasts 6.0"),
        ("5,6.6", "after the end of the file, which lasts 6.0"),
        ("60", "after the end of the file, which lasts 6.0"),
        ("3,2", "ends at 2 s, but begins at 3 s"),
        ("2,2", "ends at 2 s, but begins at 2 s"),
    ],
)
@pytest.mark.parametrize("file", [FILES[0], FILES[6], FILES[2]])
def test_a_segment_that_is_not_there_is_named(folder, file, times, reason):
    path = long_file(folder, *file)[0]
    for read in (read_audio, video_seconds)[: 1 + bool(file[2])]:
        with pytest.raises(MediaError) as error:
            read(f"{path}#t={times}")
        assert str(error.value).startswith(f"{path}#t={times}: {reason}")
    assert len(read_audio(f"{path}#t=5,6.4")) >= RATE - 10


def test_a_stream_may_end_before_the_others(tmp_path):
    path = write_media(
        tmp_path / "late.mkv",
        grey_images(range(100, 190)),
        tone(2.0, RATE),
        video_codec="mpeg4",
        rate=RATE,
    )
    assert len(read_audio(f"{path}#t=1,3")) == RATE
    with pytest.raises(MediaError, match="no samples"):
        read_audio(f"{path}#t=2.3,3")


def test_the_maximum_length_is_that_of_the_segment(folder):
    path = long_file(folder, "mp4", "aac", "libx264")[0]
    for read in (read_audio, lambda name: [*read_frames(name)]):
        with reading(max_seconds=3):
            read(f"{path}#t=1,3.5")
        with reading(max_seconds=2), pytest.raises(MediaError, match="longer"):
            read(f"{path}#t=1,3.5")


def test_a_segment_does_not_decode_what_is_far_before(folder, monkeypatch):
    decoded = []
    decode = media.Decoder.decode
    monkeypatch.setattr(
        media.Decoder,
        "decode",
        lambda self, packet: decoded.append(packet) or decode(self, packet),
    )
    for file in FILES:
        path, rate, *_ = long_file(folder, *file)
        read_audio(path, rate)
        of_all = len(decoded)
        decoded.clear()
        read_audio(f"{path}#t=5,5.2", rate)
        assert len(decoded) < 0.4 * of_all  # 1.2 s of 6 s
        if file[2] and file[0] != "ts":
            decoded.clear()
            list(read_frames(f"{path}#t=5,5.2"))
            assert len(decoded) < 60  # of 150; from the key frame at 4 s on
        decoded.clear()


def test_a_seek_that_lands_too_late_is_made_good(folder, monkeypatch):
    path = long_file(folder, *FILES[6])[0]
    monkeypatch.setattr(segments, "PREROLL", -4.0)
    assert len([*read_frames(f"{path}#t=1,2")]) == 25


def test_damage_outside_of_a_segment_is_not_its_own(folder, tmp_path):
    data = bytearray(open(long_file(folder, *FILES[2])[0], "rb").read())
    path = tmp_path / "damaged.mp3"
    at = len(data) * 3 // 4
    data[at : at + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    with reading() as found:
        assert len(read_audio(f"{path}#t=1,3")) == pytest.approx(2 * RATE)
    assert found.notes == {}
    assert len(read_audio(f"{path}#t=3,5.5")) > 2 * RATE


def test_a_changed_copy_of_a_segment_begins_at_zero(folder, tmp_path):
    path = long_file(folder, "mp4", "aac", "libx264", begin=3)[0]
    segment = f"{path}#t=1,2"
    write_video(tmp_path / "copy.mp4", segment, read_frames(segment))
    copy = str(tmp_path / "copy.mp4")
    times = [time for time, _ in read_frames(copy)]
    assert times == pytest.approx(np.arange(25) / 25, abs=0.05)
    part, own = read_audio(copy).numpy(), read_audio(segment).numpy()
    assert len(part) == pytest.approx(RATE, abs=1024)
    # Packets are not cut: those that begin in the segment are copied.
    shifts = np.correlate(part, own[4000:8000])
    assert abs(shifts.argmax() - 4000) <= 1024
    assert mismatch(part, own[4000:8000], shifts.argmax()) < 0.05
