"""The severity that is measured in a file is the one that was asked for."""

import numpy as np
import pytest
import soundfile
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.augment.corruptions import (
    KINDS,
    SQUARE_SIDE,
    Babble,
    Blur,
    Dark,
    Noise,
    Occlusion,
    burst_mask,
)
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.speech import active_part
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.testing.voices import VoiceStyle, invent_voice, speak
from auxformer_lobes.utils.errors import MediaError, UserError
from tests.unit.head_images import head_centres, head_images
from tests.unit.media_files import astronaut, grey_images, write_media

RATE = 16000
CALM = VoiceStyle(0, 0, 0, 0, 0, 0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """File -> speaker: two clips of each of three, with pauses around."""
    folder = tmp_path_factory.mktemp("voices")
    speakers = {}
    for index in range(6):
        speaker = f"speaker {index // 2}"
        voice = invent_voice(rng(index // 2), "female")
        speech = speak("its eleven oklok", voice, CALM, rng(index))
        pause = np.zeros(RATE // 2)
        path = str(folder / f"{index}.wav")
        soundfile.write(path, np.concatenate([pause, speech, pause]), RATE)
        speakers[path] = speaker
    return speakers


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    """A video of a real face that sways, 1 s."""
    images, _ = astronaut(1.0, 120, 160)
    path = tmp_path_factory.mktemp("face") / "face.avi"
    return str(write_media(path, images, video_codec="mpeg4"))


def corrupted_images(corruption, source, path, seed=0):
    """Images before and after, `[time, height, width, 3]`, and the note."""
    measured = corruption.corrupt(source, path, rng(seed))
    before, after = (
        np.stack([image for _, image in read_frames(file)]).astype(float)
        for file in (source, path)
    )
    return before, after, measured


def luminance(images):
    return images @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("kind", ["noise", "babble"])
@pytest.mark.parametrize("snr", [20, 0, -5, -40.5])
def test_the_ratio_of_a_written_file_is_what_was_asked(
    voices, tmp_path, kind, snr
):
    source = [*voices][0]
    noise = Noise(snr) if kind == "noise" else Babble(snr, voices)
    measured = noise.corrupt(source, tmp_path / "noisy.wav", rng())
    speech = read_audio(source).numpy().astype(float)
    mix = read_audio(tmp_path / "noisy.wav").numpy()
    # P.56 once more, and nothing else of the implementation.
    active = active_part(speech, RATE)
    added = (mix - speech)[active]
    ratio = 10 * np.log10(speech[active].var() / added.var())
    assert ratio == pytest.approx(snr, abs=0.01)
    assert measured == {"snr": pytest.approx(ratio, abs=1e-3)}


def test_speech_keeps_its_level_and_nothing_is_clipped(voices, tmp_path):
    source = [*voices][0]
    Noise(-30).corrupt(source, tmp_path / "noisy.wav", rng())
    speech = read_audio(source).numpy()
    mix = read_audio(tmp_path / "noisy.wav").numpy()
    assert np.abs(mix).max() > 1
    share = (mix * speech).sum() / (speech * speech).sum()
    assert share == pytest.approx(1, abs=0.3)
    # Gaussian up to the highest sample: kurtosis 3, below 2 if clipped.
    added = mix - speech
    assert (added**4).mean() / (added**2).mean() ** 2 > 2.8


def test_severities_differ_in_the_gain_of_the_noise_only(voices, tmp_path):
    source = [*voices][0]
    speech = read_audio(source).numpy()
    added = []
    for snr in (20, 0):
        Noise(snr).corrupt(source, tmp_path / "noisy.wav", rng())
        added.append(read_audio(tmp_path / "noisy.wav").numpy() - speech)
    assert added[1] == pytest.approx(10 * added[0], abs=1e-5)


def test_babble_is_the_speech_of_others_equally_loud(tmp_path):
    # Each speaker is a tone, so that the spectrum tells who babbles.
    speakers = {}
    times = np.arange(2 * RATE) / RATE
    for index in range(9):
        path = str(tmp_path / f"{index}.wav")
        level = 0.01 * (index + 1)
        tone = level * np.sin(2 * np.pi * 200 * (index + 1) * times)
        soundfile.write(path, tone, RATE, subtype="FLOAT")
        speakers[path] = f"speaker {index}"
    for index, source in enumerate(speakers):
        babble = Babble(0, speakers).noise(source, 2 * RATE, rng(index))
        spectrum = np.abs(np.fft.rfft(babble))[400:3601:400]
        present = spectrum > spectrum.max() / 2
        assert present.sum() == 6
        assert not present[index]
        loud = spectrum[present]
        assert loud.max() / loud.min() < 1.2


def test_another_clip_of_the_same_speaker_is_no_babble(voices):
    first = {f: s for f, s in voices.items() if s != "speaker 2"}
    source, twin, *others = first
    for seed in range(5):
        babble = Babble(0, first).noise(source, 40000, rng(seed))
        # The other speaker's clips are what is left.
        without = {f: s for f, s in first.items() if f != twin}
        same = Babble(0, without).noise(source, 40000, rng(seed))
        assert np.array_equal(babble, same)


def test_damaged_and_silent_files_of_others_are_passed_over(voices, tmp_path):
    source, *others = voices
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    unusable = {
        str(tmp_path / "silent.wav"): "silent",
        str(tmp_path / "nowhere.wav"): "nowhere",
    }
    one = {source: "own", others[4]: "other", **unusable}
    babble = Babble(0, one).noise(source, RATE, rng())
    assert babble.std() > 0
    with pytest.raises(MediaError, match="no file of another speaker"):
        Babble(0, {source: "own", **unusable}).noise(source, RATE, rng())


def test_a_single_speaker_cannot_babble():
    with pytest.raises(UserError, match="a single speaker"):
        Babble(0, {"one.wav": "ann", "two.wav": "ann"})


def test_a_silent_clip_has_no_ratio(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(MediaError, match="silent.wav: is silent"):
        Noise(0).corrupt(str(tmp_path / "silent.wav"), tmp_path / "x", rng())
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("gain", [0.5, 0.25, 0.1])
def test_darkness_is_the_gain_of_the_mean_luminance(tmp_path, face, gain):
    before, after, _ = corrupted_images(Dark(gain), face, tmp_path / "d.mp4")
    share = luminance(after).mean() / luminance(before).mean()
    assert share == pytest.approx(gain, rel=0.02)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_blur_loses_the_resolution_above_its_factor(tmp_path, factor):
    images = rng().integers(0, 256, (5, 96, 128, 1)).repeat(3, 3)
    source = write_media(
        tmp_path / "noise.avi", images.astype(np.uint8), video_codec="mpeg4"
    )
    before, after, _ = corrupted_images(
        Blur(factor), source, tmp_path / "b.mp4"
    )

    def _power(images, low, high):
        """Power of horizontal frequencies, in cycles per image."""
        spectrum = np.fft.rfft(luminance(images), axis=2)
        return (np.abs(spectrum[..., round(low) : round(high)]) ** 2).mean()

    limit = 64 / factor  # highest frequency of the reduced image
    high, low = (
        _power(after, *band) / _power(before, *band)
        for band in ((1.2 * limit, 65), (1, 0.3 * limit))
    )
    assert high < 0.05 * low


@pytest.mark.parametrize("percent", [10, 30, 50])
def test_the_share_of_occluded_frames_is_what_was_asked(
    tmp_path, face, percent
):
    occlusion = Occlusion(percent)
    before, after, measured = corrupted_images(
        occlusion, face, tmp_path / "o.mp4"
    )
    black = (luminance(after) < 12) & (luminance(before) > 40)
    occluded = black.sum((1, 2)) > 130
    assert occluded.sum() == round(percent / 100 * 30)
    assert measured == {
        "frames": 30,
        "occluded": occluded.sum(),
        "without_face": 0,
    }
    # Other frames are as they were.
    errors = np.abs(after - before).mean((1, 2, 3))
    assert (errors[~occluded] < 3).all()


@pytest.mark.parametrize("roll", [0, -20])
def test_the_square_is_on_the_lower_face(tmp_path, roll):
    images = head_images(x=30.0, y=10.0, roll=np.full(4, roll))
    source = str(write_media(tmp_path / "head.avi", images))
    before, after, _ = corrupted_images(
        Occlusion(100), source, tmp_path / "o.mp4"
    )
    down, across = np.nonzero((luminance(before - after) > 25)[2])
    (centre,) = head_centres(np.array([30.0]), np.array([10.0]))
    moved = np.array([across.mean(), down.mean()]) - centre
    angle = np.radians(roll)
    below = moved @ [-np.sin(angle), np.cos(angle)]
    beside = moved @ [np.cos(angle), np.sin(angle)]
    # The centre of the head is at the nose; a face is about 90 pixels wide.
    assert 10 < below < 35
    assert abs(beside) < 8
    # As large as the square, where the head is not black already.
    assert len(down) > 0.4 * (SQUARE_SIDE * 90) ** 2


def test_frames_without_a_face_stay_and_are_counted(tmp_path):
    source = str(write_media(tmp_path / "grey.avi", grey_images([90] * 6)))
    before, after, measured = corrupted_images(
        Occlusion(50), source, tmp_path / "o.mp4"
    )
    assert measured == {"frames": 6, "occluded": 0, "without_face": 3}
    assert after == pytest.approx(before, abs=3)


@settings(max_examples=50)
@given(
    count=st.integers(1, 200),
    share=st.floats(0, 1),
    seconds=st.floats(0, 20),
    seed=st.integers(0, 99),
)
def test_bursts_cover_their_share_exactly(count, share, seconds, seed):
    mask = burst_mask(count, share, seconds, rng(seed))
    assert mask.shape == (count,)
    assert mask.sum() == round(share * count)
    starts = np.diff(np.pad(mask.astype(int), 1)) == 1
    expected = max(1, round(share * seconds / 0.5))
    limit = min(expected, count - mask.sum() + 1, mask.sum())
    assert starts.sum() == limit


def test_bursts_start_anywhere():
    masks = [burst_mask(30, 0.3, 1.0, rng(seed)) for seed in range(100)]
    share = np.mean(masks, axis=0)
    assert share.min() > 0.02 and share[10:20].mean() < 0.6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("severity", [-1e9, 1e9, np.inf, -np.inf, np.nan])
def test_a_severity_out_of_range_is_refused_with_the_range(kind, severity):
    others = [{"a.wav": 1, "b.wav": 2}] if kind == "babble" else []
    with pytest.raises(UserError, match=f"^severity .*: {kind} takes .* to "):
        KINDS[kind](severity, *others)
