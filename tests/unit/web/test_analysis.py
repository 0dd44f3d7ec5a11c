"""What the page computes of a file."""

import csv
import io
import json
from types import SimpleNamespace

import pytest

from auxformer_lobes.inference.rows import timeline_header
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.web.analysis import Limits, analyse
from tests.unit.media_files import grey_images, tone, write_media
from tests.unit.web.small_analyses import CLASSES, small_analysis, window


class Recognizer:
    """Gives windows that were made up, and keeps what it was asked."""

    hparams = SimpleNamespace(task=CLASSES)

    def __init__(self, windows, error=None):
        self.windows, self.error = windows, error

    def timeline(self, path, **options):
        """Yields the windows, and raises the error after them."""
        self.options = options
        yield from self.windows
        if self.error:
            raise MediaError(f"{path}: {self.error}")


HAPPY = [window(i, "happy", {"angry": 0.25, "happy": 0.75}) for i in range(3)]


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """A tone of 3 s."""
    path = tmp_path_factory.mktemp("voice") / "f00.wav"
    return write_media(path, waveform=tone(3.0, rate=22050))


def test_windows_are_those_of_the_timeline(voice):
    recognizer, shares = Recognizer(HAPPY), []
    found = analyse(
        *(recognizer, voice, "me.wav", Limits(), shares.append),
        **dict(window=2.0, hop=1.0),
    )
    assert found.windows == HAPPY
    assert recognizer.options == {"window": 2.0, "hop": 1.0}
    assert shares == pytest.approx([2 / 3, 1, 1], abs=1e-2)
    assert (found.name, found.has_video) == ("me.wav", False)


def test_a_timeline_ends_with_its_file_where_that_is_shorter(voice):
    assert analyse(
        Recognizer(HAPPY), voice, "me.wav", Limits()
    ).seconds == pytest.approx(3.0, abs=1e-2)


def test_a_video_has_video(tmp_path):
    path = write_media(tmp_path / "grey.flv", grey_images([0, 99]))
    assert analyse(Recognizer(HAPPY), path, "grey.flv", Limits()).has_video


def test_a_long_file_is_refused_before_any_work(voice):
    recognizer = Recognizer([], "was read")
    with pytest.raises(MediaError, match=r"me.wav: longer than 0:02 \(min"):
        analyse(recognizer, voice, "me.wav", Limits(seconds=2))


def test_a_long_file_that_does_not_say_so_is_refused_on_the_way(
    voice, monkeypatch
):
    monkeypatch.setattr(
        "auxformer_lobes.web.analysis._streams", lambda path: (0.0, False)
    )
    endless = (window(i, "happy", {}) for i in range(10**6))
    with pytest.raises(MediaError, match="longer than 1:00"):
        analyse(Recognizer(endless), voice, "me.webm", Limits(seconds=60))


def test_an_error_has_the_name_that_the_visitor_knows(voice, tmp_path):
    with pytest.raises(MediaError, match=r"^me.wav: has no end$"):
        analyse(Recognizer(HAPPY, "has no end"), voice, "me.wav", Limits())
    path = tmp_path / "f01.mp4"
    path.write_text("no video")
    with pytest.raises(MediaError, match="^my text.mp4: cannot be decoded"):
        analyse(Recognizer([]), path, "my text.mp4", Limits())


def test_downloads_have_the_columns_and_fields_of_the_commands():
    analysis = small_analysis()
    header, *rows = csv.reader(io.StringIO(analysis.csv()))
    assert header == timeline_header(CLASSES)
    assert [row[:2] for row in rows[:2]] == [
        ["0.000", "2.000"],
        ["1.000", "3.000"],
    ]
    assert [row[3] for row in rows] == ["angry", "happy", "", "happy"]
    objects = json.loads(analysis.json())
    for (start, end, emotion), made in zip(analysis.windows, objects):
        assert made == {"start": start, "end": end, **emotion.as_dict()}


def test_the_mean_leaves_out_windows_without_a_prediction():
    assert small_analysis().mean() == pytest.approx([1 / 3, 2 / 3])
    nothing = small_analysis(windows=[window(0, None, {})])
    assert nothing.mean() is None
