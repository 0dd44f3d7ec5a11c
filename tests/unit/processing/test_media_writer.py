"""Changed copies keep times and audio, and are complete or absent."""

import os
from contextlib import contextmanager

import av
import numpy as np
import pytest

from auxformer_lobes.processing import media_writer
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.media_writer import write_video, write_wav
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.utils.errors import MediaError
from tests.unit.media_files import astronaut, grey_images, tone, write_media


def packets(path):
    """Times (s) and bytes of the packets of an audio stream."""
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]


@pytest.fixture
def source(tmp_path):
    """A real face whose frames come at odd times, with a tone as MP3."""
    images, _ = astronaut(0.4, 96, 128)
    times = [0.027 + index / 29.97 for index in range(len(images))]
    return write_media(
        tmp_path / "face.flv",
        images,
        tone(0.5, 22050),
        audio_codec="mp3",
        times=times,
    )


def copy(path, source):
    write_video(path, source, read_frames(source))
    return path


def test_frames_keep_their_times_and_nearly_their_pixels(tmp_path, source):
    before = [*read_frames(source)]
    after = [*read_frames(copy(tmp_path / "copy.mp4", source))]
    assert before[0][0] > 0.02
    times = [[time for time, _ in frames] for frames in (before, after)]
    assert times[1] == pytest.approx(times[0], abs=1e-4)
    error = np.stack(
        [new.astype(float) - old for (_, old), (_, new) in zip(before, after)]
    )
    assert np.abs(error).mean() < 2.5
    assert np.abs(error.mean((0, 1, 2))).max() < 0.5


def test_audio_is_copied_packet_by_packet(tmp_path, source):
    before, after = packets(source), packets(copy(tmp_path / "a.mp4", source))
    assert [data for _, data in after] == [data for _, data in before]
    times = [[time for time, _ in stream] for stream in (before, after)]
    assert times[1] == pytest.approx(times[0], abs=1e-3)


def test_audio_that_mp4_does_not_take_is_left_out(tmp_path):
    path = write_media(
        tmp_path / "old.avi",
        grey_images([90] * 4),
        tone(0.2),
        video_codec="mpeg4",
        audio_codec="adpcm_ima_wav",
    )
    with av.open(str(copy(tmp_path / "copy.mp4", path))) as container:
        assert not container.streams.audio
        assert container.streams.video


def test_the_same_images_give_the_same_bytes(tmp_path, source):
    one, two = (copy(tmp_path / f"{n}.mp4", source) for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("codec", media_writer.CODECS)
@pytest.mark.parametrize("height, width", [(48, 64), (47, 63)])
def test_every_codec_takes_every_size(
    tmp_path, monkeypatch, codec, height, width
):
    monkeypatch.setattr(av, "codecs_available", {codec})
    levels = [20, 120, 220]
    path = write_media(tmp_path / "grey.avi", grey_images(levels, 48, 64))
    images = grey_images(levels, height, width)
    write_video(tmp_path / "copy.mp4", path, zip([0, 0.1, 0.2], images))
    copies = [image for _, image in read_frames(tmp_path / "copy.mp4")]
    assert [image.shape[:2] for image in copies] == 3 * [(height, width)]
    means = [image.mean() for image in copies]
    assert means == pytest.approx(levels, abs=0.6)


def test_frames_at_one_time_are_all_kept(tmp_path, source):
    images = grey_images([20, 120, 220])
    write_video(tmp_path / "copy.mp4", source, ((0.5, x) for x in images))
    assert len([*read_frames(tmp_path / "copy.mp4")]) == 3


def test_a_copy_is_complete_or_absent(tmp_path, source):
    def _frames():
        yield from [*read_frames(source)][:3]
        raise MediaError("damaged")

    with pytest.raises(MediaError, match="^damaged$"):
        write_video(tmp_path / "copy.mp4", source, _frames())
    assert [file.name for file in tmp_path.iterdir()] == ["face.flv"]


@pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="Linux has a device that is full"
)
def test_a_full_disk_is_no_damage_of_the_source(tmp_path, monkeypatch, source):
    @contextmanager
    def _full(path, mode):
        with open("/dev/full", mode) as file:
            yield file

    monkeypatch.setattr(media_writer, "atomic_write", _full)
    with pytest.raises(OSError, match="No space left on device"):
        copy(tmp_path / "copy.mp4", source)


def test_wav_files_hold_what_is_beyond_full_scale(tmp_path):
    waveform = np.random.default_rng(0).standard_normal(16000)
    for name in ("one.wav", "two.wav"):
        write_wav(tmp_path / name, 3 * waveform, 16000)
    read = read_audio(tmp_path / "one.wav").numpy()
    assert np.array_equal(read, (3 * waveform).astype(np.float32))
    assert np.abs(read).max() > 9
    one, two = (tmp_path / name for name in ("one.wav", "two.wav"))
    assert one.read_bytes() == two.read_bytes()
