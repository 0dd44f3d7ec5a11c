"""Reading audio and video."""

import os

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import MediaError
from tests.unit.media_files import grey_images, tone, write_media

VIDEO_KINDS = [("flv", "flv"), ("mp4", "libx264"), ("avi", "mpeg4")]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_tone_is_the_same_tone_whatever_the_sample_rate(tmp_path, rate):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate=rate), rate)
    waveform = read_audio(path)
    assert waveform.dtype == torch.float32
    assert waveform.shape == (16000,)
    middle = slice(200, -200)  # resampling has edges
    difference = waveform[middle] - torch.from_numpy(tone())[middle]
    assert difference.abs().max() < 0.01


def test_another_sample_rate_can_be_asked_for(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000)
    assert read_audio(path, sample_rate=8000).shape == (8000,)


@pytest.mark.parametrize(
    "kind", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"]
)
def test_any_width_of_sample_is_read_at_full_scale(tmp_path, kind):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000, subtype=kind)
    assert np.allclose(read_audio(path), tone(), atol=0.02)


def test_stereo_is_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(), 0 * tone()], axis=1), 16000)
    assert np.allclose(read_audio(path), tone() / 2, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 160])
def test_very_short_audio_is_read(tmp_path, samples):
    path = tmp_path / "short.wav"
    soundfile.write(path, tone()[:samples], 16000)
    assert read_audio(path).shape == (samples,)


def test_audio_in_flv_is_that_of_the_wav(tmp_path):
    waveform = tone(rate=22050)
    soundfile.write(tmp_path / "clip.wav", waveform, 22050)
    flv = write_media(tmp_path / "clip.flv", grey_images([0] * 30), waveform)
    assert np.allclose(
        read_audio(flv), read_audio(tmp_path / "clip.wav"), atol=1e-4
    )


@pytest.mark.parametrize(
    "name, video_codec, audio_codec, rate",
    [
        ("clip.flv", "flv", "libmp3lame", 22050),
        ("clip.mp4", "libx264", "aac", 44100),
        ("clip.avi", "mpeg4", "libmp3lame", 48000),
        ("clip.mp3", None, "libmp3lame", 16000),
    ],
)
def test_compressed_audio_is_that_of_the_wav_but_for_codec_and_delay(
    tmp_path, name, video_codec, audio_codec, rate
):
    rng = np.random.default_rng(0)
    # Noise that rises and falls: it lines up in one place only.
    noise = rng.standard_normal(rate).cumsum() * tone(1, rate, 3, 0.002)
    path = write_media(
        tmp_path / name,
        grey_images([0] * 30) if video_codec else None,
        noise.astype(np.float32),
        video_codec=video_codec,
        audio_codec=audio_codec,
        rate=rate,
    )
    soundfile.write(tmp_path / "clip.wav", noise, rate)
    found, wanted = read_audio(path), read_audio(tmp_path / "clip.wav")
    overlap = np.correlate(found, wanted, "full")
    likeness = overlap.max() / (found.norm() * wanted.norm())
    assert likeness > 0.95
    delay = (overlap.argmax() - len(wanted) + 1) / 16000
    assert abs(delay) < 0.1


@pytest.mark.parametrize("suffix, codec", VIDEO_KINDS)
def test_images_come_in_order_with_their_times(tmp_path, suffix, codec):
    levels = np.arange(20, 220, 20)
    path = write_media(
        tmp_path / f"clip.{suffix}", grey_images(levels), video_codec=codec
    )
    times, frames = zip(*read_frames(path))
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    assert np.allclose([frame.mean() for frame in frames], levels, atol=4)
    assert np.allclose(np.diff(times), 1 / 30, atol=0.002)


def test_colours_are_red_green_blue(tmp_path):
    red = np.zeros((48, 64, 3), dtype=np.uint8)
    red[..., 0] = 200
    path = write_media(tmp_path / "clip.flv", [red] * 3)
    _, frame = next(read_frames(path))
    assert np.allclose(frame.mean((0, 1)), [200, 0, 0], atol=10)


def test_a_constant_rate_takes_the_nearest_image(tmp_path):
    path = write_media(
        tmp_path / "clip.mp4",
        grey_images([50, 100, 150, 200]),
        times=[0, 0.09, 0.12, 0.5],
        video_codec="libx264",
    )
    times, frames = zip(*read_frames(path, frames_per_second=10))
    assert np.allclose(times, [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    levels = [frame.mean() for frame in frames]
    assert np.allclose(levels, [50, 100, 150, 150, 200, 200], atol=4)


@pytest.mark.parametrize("rate, frames", [(15, 15), (30, 30), (60, 59)])
def test_a_constant_rate_keeps_the_duration(tmp_path, rate, frames):
    path = write_media(tmp_path / "clip.flv", grey_images([0] * 30))
    assert len(list(read_frames(path, rate))) == frames


def test_a_rotated_mp4_is_put_upright(tmp_path):
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:, :32] = 200  # left in the file, top on the phone
    path = write_media(
        tmp_path / "phone.mp4", [image] * 3, video_codec="libx264"
    )

    def matrix(*numbers):
        return np.array(numbers, dtype=">i4").tobytes()

    one, w = 1 << 16, 1 << 30
    data = path.read_bytes()
    track = data.index(b"tkhd")
    identity = matrix(one, 0, 0, 0, one, 0, 0, 0, w)
    clockwise = matrix(0, one, 0, -one, 0, 0, 0, 0, w)
    path.write_bytes(
        data[:track] + data[track:].replace(identity, clockwise, 1)
    )
    _, frame = next(read_frames(path))
    assert frame.shape == (64, 48, 3)
    assert frame[:30].mean() > 190
    assert frame[34:].mean() < 10


def broken_files(folder):
    """Writes files that cannot be used; name -> error message."""
    folder.joinpath("empty.flv").write_bytes(b"")
    folder.joinpath("pointer.wav").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    folder.joinpath("text.flv").write_text("this is not a video\n" * 100)
    folder.joinpath("folder.wav").mkdir()
    soundfile.write(folder / "no_samples.wav", np.zeros(0), 16000)
    soundfile.write(folder / "low_rate.wav", tone(), 100)
    os.mkfifo(folder / "pipe.wav")
    soundfile.write(
        folder / "nan.wav", np.full(9, np.nan), 16000, subtype="FLOAT"
    )
    write_media(folder / "silent.flv", grey_images([0] * 5))
    write_media(folder / "audio_only.flv", waveform=tone(rate=22050))
    write_media(
        folder / "jump.flv",
        grey_images([0] * 3),
        times=[0, 1, 1000],
    )
    write_media(
        folder / "raw.h264", grey_images([0] * 5), video_codec="libx264"
    )
    whole = write_media(
        folder / "whole.avi", grey_images([0] * 5), video_codec="mpeg4"
    ).read_bytes()
    header = whole[: whole.index(b"movi") + 4]
    folder.joinpath("header.avi").write_bytes(header)
    return folder


@pytest.mark.parametrize(
    "name, reason",
    [
        ("missing.wav", "No such file"),
        ("folder.wav", "Is a directory"),
        ("empty.flv", "empty file"),
        ("pointer.wav", "git lfs pull"),
        ("text.flv", "cannot be decoded"),
        ("silent.flv", "no audio stream"),
        ("no_samples.wav", "no samples"),
        ("nan.wav", "not finite"),
        ("low_rate.wav", "sample rate of 100 Hz"),
        ("pipe.wav", "a pipe, socket or device"),
    ],
)
def test_unusable_audio_is_named_with_the_reason(tmp_path, name, reason):
    path = broken_files(tmp_path) / name
    with pytest.raises(MediaError, match=reason) as error:
        read_audio(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("missing.flv", "No such file"),
        ("empty.flv", "empty file"),
        ("pointer.wav", "git lfs pull"),
        ("text.flv", "cannot be decoded"),
        ("audio_only.flv", "no video stream"),
        ("nan.wav", "no video stream"),
        ("header.avi", "no images"),
        ("raw.h264", "no times"),
        ("jump.flv", "times jump from 1.0 s to 1000.0 s"),
    ],
)
def test_unusable_images_are_named_with_the_reason(tmp_path, name, reason):
    path = broken_files(tmp_path) / name
    with pytest.raises(MediaError, match=reason) as error:
        list(read_frames(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def flv_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("flv") / "clip.flv"
    write_media(
        path,
        grey_images(range(0, 250, 25)),
        tone(0.3, 22050),
        audio_codec="libmp3lame",
    )
    return path.read_bytes()


def fixed_rate(path):
    """Reads images, 15 a second."""
    return read_frames(path, frames_per_second=15)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_named_but_never_a_crash(
    tmp_path, flv_bytes, data
):
    damaged = bytearray(flv_bytes)
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, max_size=20)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.flv"
    path.write_bytes(damaged[: data.draw(places)])
    for read in (read_audio, read_frames, fixed_rate):
        try:
            assert len(list(read(path))) > 0
        except MediaError as error:
            assert str(error).startswith(f"{path}: ")
