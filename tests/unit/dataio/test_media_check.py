"""Damaged wav and video files are found by opening them."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.dataio import media_check
from auxformer_lobes.dataio.media_check import MediaFiles

WAV, FLV = "AudioWAV/clip.wav", "VideoFlash/clip.flv"
MAX_SECONDS = 12.0  # s
GARBAGE = np.random.default_rng(0).bytes(5000)


def write_wav(path, seconds=0.6, amplitude=0.1, offset=0.0):
    """Writes noise as a mono wav of 16 kHz."""
    noise = np.random.default_rng(0).uniform(-1, 1, int(16000 * seconds))
    soundfile.write(path, amplitude * noise + offset, 16000)


def write_flv(path, seconds=0.6, fps=10, images=True, audio=True, **options):
    """Writes moving images, and a hum, as FLV."""
    with av.open(path, "w", format="flv", options=options) as container:
        video = container.add_stream("flv1", rate=fps) if images else None
        hum = container.add_stream("mp3", rate=44100) if audio else None
        if images:
            video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
            rng = np.random.default_rng(0)
            for _ in range(round(seconds * fps)):
                image = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if audio:
            samples = np.sin(np.arange(int(44100 * seconds)) / 50)
            samples = samples[None].astype("float32")
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.sample_rate = 44100
            container.mux(hum.encode(frame))
            container.mux(hum.encode())


def cut(path, share):
    """Keeps the first part of a file."""
    os.truncate(path, int(share * path.stat().st_size))


def overwrite(path, text, start, content):
    """Overwrites what stands some bytes after a text in a file."""
    data = path.read_bytes()
    start += data.index(text)
    path.write_bytes(splice(data, start, content))


def splice(data, start, content):
    """Overwrites bytes from a place on."""
    return data[:start] + content + data[start + len(content) :]


def check_clip(corpus, **options):
    """Checks the only clip of the corpus."""
    return media_check.check_clip(
        corpus, MediaFiles(WAV, FLV), MAX_SECONDS, **options
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A corpus of one good clip."""
    root = tmp_path_factory.mktemp("good")
    (root / "AudioWAV").mkdir()
    (root / "VideoFlash").mkdir()
    write_wav(root / WAV)
    write_flv(root / FLV)
    return root


@pytest.fixture
def corpus(good, tmp_path):
    """A copy of the good corpus, to be damaged."""
    return Path(shutil.copytree(good, tmp_path / "corpus"))


def reasons(problems):
    """File -> what is wrong with it."""
    return {problem["file"]: problem["reason"] for problem in problems}


def test_a_good_clip_is_measured(corpus):
    media, problems, _ = check_clip(corpus)
    assert media.wav == pytest.approx(0.6)
    # From the first to the last of six frames.
    assert media.video == pytest.approx(0.5)
    assert problems == []


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda wav: wav.unlink(), "No such file"),
        (lambda wav: wav.write_bytes(b""), "empty file"),
        (
            lambda wav: wav.write_bytes(GARBAGE),
            "cannot be decoded: Invalid data",
        ),
        (lambda wav: cut(wav, 0.001), "cannot be decoded"),
        (lambda wav: cut(wav, 0.1), "lasts 0.1 s"),
        (lambda wav: write_wav(wav, seconds=0), "has no samples"),
        (lambda wav: write_wav(wav, seconds=60), "lasts 60.0 s"),
        (lambda wav: write_wav(wav, amplitude=0), "is silent"),
        (lambda wav: write_wav(wav, amplitude=1e-4), "is silent"),
        (lambda wav: write_wav(wav, amplitude=0, offset=0.1), "is silent"),
    ],
)
def test_a_damaged_wav_file_leaves_the_video(corpus, damage, reason):
    damage(corpus / WAV)
    media, problems, _ = check_clip(corpus)
    assert media.wav is None
    assert media.video == pytest.approx(0.5)
    assert list(reasons(problems)) == [WAV]
    assert reason in reasons(problems)[WAV]


def test_audio_that_could_not_be_used_later_is_refused_now(corpus):
    broken = np.full(16000, np.nan, dtype=np.float32)
    soundfile.write(corpus / WAV, broken, 16000, subtype="FLOAT")
    _, problems, _ = check_clip(corpus)
    assert "not finite" in reasons(problems)[WAV]


def test_a_video_that_is_not_needed_is_not_opened(corpus):
    (corpus / FLV).unlink()
    media, problems, _ = check_clip(corpus, open_video=False)
    assert media.video == media.wav == pytest.approx(0.6)
    assert problems == []


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda flv: flv.unlink(), "No such file"),
        (lambda flv: flv.write_bytes(b""), "empty file"),
        (
            lambda flv: flv.write_bytes(GARBAGE),
            "cannot be decoded: Invalid data",
        ),
        (lambda flv: cut(flv, 0.4), "too short"),
        (lambda flv: cut(flv, 0.01), "cannot be decoded: "),
        (lambda flv: write_flv(flv, seconds=0.2), "lasts 0.1 s: too short"),
        (lambda flv: write_flv(flv, images=False), "has no video stream"),
    ],
)
def test_a_damaged_video_file_leaves_the_wav_file(corpus, damage, reason):
    damage(corpus / FLV)
    media, problems, _ = check_clip(corpus)
    assert media.wav == pytest.approx(0.6)
    assert media.video is None
    assert list(reasons(problems)) == [FLV]
    assert reason in reasons(problems)[FLV]


def test_a_short_video_without_a_wav_file_is_too_short(corpus):
    (corpus / WAV).unlink()
    write_flv(corpus / FLV, seconds=0.2)
    media, problems, _ = check_clip(corpus)
    assert media == (None, None)
    assert "lasts 0.1 s" in reasons(problems)[FLV]


def test_a_minute_of_video_makes_its_wav_file_unusable_too(corpus):
    write_flv(corpus / FLV, seconds=61, fps=1, audio=False)
    media, problems, _ = check_clip(corpus)
    assert media == (None, None)
    assert "lasts 60.0 s" in reasons(problems)[FLV]
    assert FLV in reasons(problems)[WAV]


def test_a_video_file_without_audio_is_good(corpus):
    write_flv(corpus / FLV, audio=False)
    media, problems, _ = check_clip(corpus)
    assert media.video == pytest.approx(0.5)
    assert problems == []


def test_a_video_file_without_a_duration_is_good(corpus):
    assert b"duration" in (corpus / FLV).read_bytes()
    write_flv(corpus / FLV, flvflags="no_duration_filesize")
    assert b"duration" not in (corpus / FLV).read_bytes()
    media, problems, _ = check_clip(corpus)
    assert media.video == pytest.approx(0.5)
    assert problems == []


def test_a_duration_in_the_header_is_not_believed(corpus):
    a_minute = np.array(60.0, ">f8").tobytes()
    overwrite(corpus / FLV, b"duration", len(b"duration") + 1, a_minute)
    with av.open(corpus / FLV) as container:
        assert container.duration == 60e6
    media, problems, _ = check_clip(corpus)
    assert media.video == pytest.approx(0.5)
    assert problems == []


def test_the_header_need_not_be_utf_8(corpus):
    overwrite(corpus / FLV, b"encoder", 0, b"encod\xe9r")
    _, problems, _ = check_clip(corpus)
    assert problems == []


@settings(max_examples=60, deadline=None)
@given(
    file=st.sampled_from([WAV, FLV]),
    length=st.floats(0, 1),
    start=st.floats(0, 1),
    content=st.binary(max_size=50),
)
def test_any_damage_gives_a_verdict(good, file, length, start, content):
    whole = (good / file).read_bytes()
    data = whole[: int(length * len(whole))]
    try:
        damaged = splice(data, int(start * len(data)), content)
        (good / file).write_bytes(damaged)
        media, problems, _ = check_clip(good)
    finally:
        (good / file).write_bytes(whole)
    unusable = {f for f, s in zip([WAV, FLV], media) if s is None}
    assert set(reasons(problems)) == unusable
    assert all(reasons(problems).values())


def test_clips_are_checked_side_by_side(good):
    files = {
        "good": MediaFiles(WAV, FLV),
        "deaf": MediaFiles("nowhere.wav", FLV),
        "blind": MediaFiles(WAV, "nowhere.avi"),
    }
    media, problems, _ = media_check.check_media(good, files, MAX_SECONDS, 2)
    assert {clip: [s is not None for s in media[clip]] for clip in media} == {
        "good": [True, True],
        "deaf": [False, True],
        "blind": [True, False],
    }
    assert problems == [
        {"file": file, "reason": "No such file or directory"}
        for file in ("nowhere.wav", "nowhere.avi")
    ]


@pytest.mark.parametrize("max_seconds, usable", [(0.7, True), (0.55, False)])
def test_the_maximum_duration_is_the_callers(good, max_seconds, usable):
    media, _, _ = media_check.check_clip(
        good, MediaFiles(WAV, FLV), max_seconds
    )
    assert (media.wav is not None) == usable


@pytest.mark.parametrize("wav, video", [(WAV, None), (None, FLV), (None, None)])
def test_a_clip_may_lack_a_modality(good, wav, video):
    media, problems, _ = media_check.check_clip(
        good, MediaFiles(wav, video), MAX_SECONDS
    )
    assert not problems
    assert [bool(x) for x in media] == [bool(wav), bool(video)]


def test_both_modalities_may_be_in_one_file(corpus):
    files = MediaFiles(FLV, FLV)
    media, problems, _ = media_check.check_clip(corpus, files, MAX_SECONDS)
    assert all(media) and not problems
    write_flv(corpus / FLV, audio=False)
    media, problems, _ = media_check.check_clip(corpus, files, MAX_SECONDS)
    assert media.video and not media.wav
    assert problems == [{"file": FLV, "reason": "has no audio stream"}]
    write_flv(corpus / FLV, seconds=MAX_SECONDS + 1, images=False)
    _, problems, _ = media_check.check_clip(corpus, files, MAX_SECONDS)
    assert [problem["reason"] for problem in problems] == [
        "its audio stream: lasts 13.0 s, not 0.3 to 12 s",
        "has no video stream",
    ]
    os.remove(corpus / FLV)
    _, problems, _ = media_check.check_clip(corpus, files, MAX_SECONDS)
    assert problems == [{"file": FLV, "reason": "No such file or directory"}]


def test_a_segment_is_measured_and_named(good):
    segment = f"{FLV}#t=0.1,0.5"
    files = MediaFiles(f"{WAV}#t=0.1,0.5", segment)
    media, problems, _ = media_check.check_clip(good, files, MAX_SECONDS)
    assert media.wav == pytest.approx(0.4)
    assert media.video == pytest.approx(0.3, abs=0.01)  # first to last frame
    files = MediaFiles(WAV, f"{FLV}#t=0.4,3")
    _, problems, _ = media_check.check_clip(good, files, MAX_SECONDS)
    assert problems[0]["file"] == files.video
    assert "after the end of the file" in problems[0]["reason"]
