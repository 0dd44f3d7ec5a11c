"""Predictions that are written as they come, and gone on with."""

import csv
import io
import json

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.cli.prediction_writers import (
    CsvWriter,
    JsonWriter,
    as_cell,
    resume,
)
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import MediaError, UserError

TASK = CategoricalEmotion(["angry", "sad"])
SAD = Emotion(
    "sad",
    {"angry": 0.25, "sad": 0.75},
    {},
    {"audio": 1.0},
    {"visual": "gone"},
    {},
)
NAMES = [
    "a.wav",
    "=1+1.wav",
    "\x1b[2J\n.wav",
    "caf\udce9.wav",
    "'+b.wav",
    "ä.wav",
]
WRITERS = {"csv": CsvWriter, "json": JsonWriter}


def write(file, names, kind, last="broken.wav"):
    """Writes the names as a command would; the last file fails."""
    writer = WRITERS[kind](file, TASK)
    done = resume(writer, file.name)
    for name in names:
        if as_cell(name) not in done:
            writer.add(name, SAD)
    if last not in done:
        writer.fail(last, MediaError(f"{last}: empty"))
    writer.end()


def opened(path):
    options = {"encoding": "utf-8", "errors": "surrogateescape"}
    return open(path, "r+", newline="", **options)


@pytest.mark.parametrize("kind", WRITERS)
@given(cut=st.integers(0, 2000))
def test_a_file_that_is_cut_anywhere_is_gone_on_with(
    tmp_path_factory, kind, cut
):
    whole = tmp_path_factory.getbasetemp() / f"whole.{kind}"
    part = whole.with_name(f"part.{kind}")
    whole.write_bytes(b"")
    with opened(whole) as file:
        write(file, NAMES, kind)
    part.write_bytes(whole.read_bytes()[:cut])
    with opened(part) as file:
        write(file, NAMES, kind)
    assert part.read_bytes() == whole.read_bytes()


def test_each_row_of_csv_is_there_at_once_and_is_no_formula():
    file = io.StringIO()
    writer = CsvWriter(file, TASK)
    writer.start()
    for count, name in enumerate(NAMES, start=1):
        writer.add(name, SAD)
        rows = list(csv.DictReader(file.getvalue().splitlines()))
        assert len(rows) == count
        assert rows[-1]["file"][0] not in "=+-@\t\r"
        assert rows[-1]["file"].isprintable()
    assert len({row["file"] for row in rows}) == len(NAMES)
    assert rows[-1]["missing_visual"] == "gone"
    writer.fail("x.wav", MediaError("x.wav: empty file"))
    *_, row = csv.DictReader(file.getvalue().splitlines())
    assert row["error"] == "x.wav: empty file" and row["label"] == ""


def test_json_has_names_as_they_are():
    file = io.StringIO()
    writer = JsonWriter(file, TASK)
    for name in NAMES:
        writer.add(name, SAD)
    writer.end()
    assert [entry["file"] for entry in json.loads(file.getvalue())] == NAMES


def test_json_of_no_file_is_an_empty_list():
    file = io.StringIO()
    JsonWriter(file, TASK).end()
    assert json.loads(file.getvalue()) == []


@pytest.mark.parametrize(
    "kind, content",
    [
        ("csv", "file,label,happy\n"),
        ("csv", "\x00\n"),
        ("csv", "my only copy, without a line end"),
        ("json", "{}\n"),
        ("json", '[\n{"file": "a", "outputs": {"happy": 1}},\n'),
        ("json", '[\n["a"]\n]\n'),
        ("json", '[\n{"file": "a"},{"file": "b"}\n'),
    ],
)
def test_what_another_command_wrote_stays_as_it_is(tmp_path, kind, content):
    path = tmp_path / f"emotions.{kind}"
    path.write_text(content)
    with opened(path) as file, pytest.raises(UserError, match="name another"):
        write(file, ["a.wav"], kind)
    assert path.read_text() == content
