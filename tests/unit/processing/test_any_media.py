"""Media as people have them: damaged, of several tracks, of any geometry."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import torch

from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.media import (
    MAX_LOST,
    Decoder,
    check_file,
    reading,
    too_short,
)
from auxformer_lobes.processing.speech import normalize_loudness
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.files import fingerprint
from tests.unit.media_files import grey_images, tone, write_media


def lose(monkeypatch, every, error):
    """Has the decoder raise an error on one of so many packets."""
    packets = []

    def _decode(self, packet):
        packets.append(packet)
        if packet.size and len(packets) % every == 0:
            self.packets += 1
            self.failed += 1
            self.error = error
            return []
        return decode(self, packet)

    decode = Decoder.decode
    monkeypatch.setattr(Decoder, "decode", _decode)


@pytest.fixture
def video(tmp_path):
    return write_media(
        tmp_path / "video.mp4",
        grey_images([100] * 40),
        tone(1.3, 16000),
        video_codec="mpeg4",
        audio_codec="aac",
        rate=16000,
    )


def test_what_can_be_decoded_is_read_and_the_share_lost_is_noted(
    video, monkeypatch
):
    whole = len(read_audio(video))
    lose(monkeypatch, 10, IndexError("late stream"))
    with reading() as found:
        left = len(read_audio(video)) / whole
        frames = list(read_frames(video))
    assert 0.8 < left < 1
    assert 30 < len(frames) < 40
    assert set(found.notes) == {"audio", "visual"}
    assert "% of it could not be decoded" in found.notes["visual"]


@pytest.mark.parametrize("read", [read_audio, lambda f: list(read_frames(f))])
def test_a_modality_of_which_much_is_lost_fails(video, monkeypatch, read):
    assert MAX_LOST < 0.5
    lose(monkeypatch, 2, MemoryError())
    with pytest.raises(MediaError, match="[0-9]+ % of it cannot be decoded"):
        read(video)


def test_junk_in_a_file_costs_only_itself(tmp_path):
    path = tmp_path / "whole.mp3"
    soundfile.write(path, tone(3.0), 16000)
    data = bytearray(path.read_bytes())
    whole = len(read_audio(path))
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    assert len(read_audio(path)) > 0.8 * whole


def test_channels_that_cancel_are_not_averaged(tmp_path):
    path = tmp_path / "antiphase.wav"
    soundfile.write(path, np.stack([0.95 * tone(), -tone()], 1), 16000)
    with reading() as found:
        waveform = read_audio(path)
    assert np.allclose(waveform, -tone(), atol=1e-4)
    assert found.notes["audio"] == "its channels cancel: only channel 2 is used"


def write_tracks(path, *waveforms, layout="mono", default=None):
    """Writes a Matroska file of several audio tracks, of 16 kHz."""
    with av.open(str(path), "w") as container:
        streams = []
        for index, waveform in enumerate(waveforms):
            stream = container.add_stream("flac", rate=16000, layout=layout)
            stream.disposition = int(index == default)
            samples = np.atleast_2d(waveform)
            samples = (samples * 32767).astype(np.int16).T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, "s16", layout)
            frame.sample_rate, frame.pts = 16000, 0
            streams.append((stream, frame))
        for stream, frame in streams:
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_surround_is_mixed_by_its_layout(tmp_path):
    channels = np.zeros((6, 16000), np.float32)
    channels[2] = tone()  # the voice, in front centre
    channels[3] = 0.3  # low frequency effects, which FFmpeg leaves out
    path = write_tracks(tmp_path / "video.mkv", channels, layout="5.1")
    gain = 1 / (1 + 2 * 0.5**0.5 + 2 * 0.5)  # of `ffmpeg -ac 1`
    assert np.allclose(read_audio(path), gain * tone(), atol=1e-3)


@pytest.mark.parametrize(
    "default, levels, asked, track",
    [
        (0, (1, 0.5), None, 1),
        (1, (1, 0.5), None, 2),
        (0, (0, 0.5), None, 2),
        (0, (1, 0.5), 2, 2),
    ],
)
def test_the_default_track_or_the_first_not_silent_is_read(
    tmp_path, default, levels, asked, track
):
    waveforms = [level * tone() for level in levels]
    path = write_tracks(tmp_path / "tracks.mkv", *waveforms, default=default)
    with reading(audio_track=asked) as found:
        waveform = read_audio(path)
    assert np.allclose(waveform, waveforms[track - 1], atol=1e-3)
    assert found.notes == {"audio": f"audio track {track} of 2"}
    with reading(audio_track=3), pytest.raises(MediaError, match="has 2"):
        read_audio(path)


@pytest.mark.parametrize("rate", [44056, 768000])
def test_any_sample_rate_is_resampled(tmp_path, rate):
    path = tmp_path / "odd.wav"
    soundfile.write(path, tone(rate=rate), rate)
    waveform = read_audio(path)
    assert abs(len(waveform) - 16000) <= 1
    middle = slice(500, -500)
    end = len(waveform[middle])
    difference = waveform[middle] - torch.from_numpy(tone())[middle][:end]
    assert difference.abs().max() < 0.02


def test_the_sample_rate_may_change(tmp_path):
    for rate in (44100, 48000):
        soundfile.write(tmp_path / f"{rate}.mp3", tone(rate=rate), rate)
    path = tmp_path / "both.mp3"
    path.write_bytes(
        (tmp_path / "44100.mp3").read_bytes()
        + (tmp_path / "48000.mp3").read_bytes()
    )
    seconds = len(read_audio(path)) / 16000
    assert 1.9 < seconds < 2.2


def test_pixels_are_made_square(tmp_path):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for image in grey_images([100] * 5, 48, 48):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _, image = next(read_frames(path))
    assert image.shape == (48, 64, 3)


def test_a_file_that_is_too_long_ends_soon_and_names_timeline(video):
    for read in (read_audio, lambda path: list(read_frames(path))):
        with reading(max_seconds=0.5):
            with pytest.raises(MediaError, match="0.5 s: use `auxformer time"):
                read(video)


def test_one_limit_for_what_is_too_short():
    assert too_short(0.02) and too_short(0.04, 1.3) and too_short(0.6, 1.3)
    assert too_short(0.3, 0.5) is too_short(0.3) is too_short(1.2, 1.3) is None


def test_a_pipe_or_device_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", "/dev/null"):
        with pytest.raises(MediaError, match="a pipe, socket or device"):
            check_file(path)
        assert fingerprint(path) == -1


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_a_level_is_normalised_whatever_it_was(seconds):
    found = [
        normalize_loudness(torch.from_numpy(tone(seconds, level=x)), 16000, -23)
        for x in (0.005, 0.5)
    ]
    assert torch.allclose(*found, atol=1e-4)
    silence = torch.zeros(8000)
    assert normalize_loudness(silence, 16000, -23) is silence
