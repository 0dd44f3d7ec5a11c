"""`auxformer audit`."""

import json

import pytest

from auxformer_lobes.cli.main import main
from tests.unit.small_splits import make_split

TABLE = "clip,split\n1_F01-x,train\n2_F02-x,dev\n3_F03-x,test\n"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """The folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    for split, clips in make_split().items():
        (tmp_path / f"{split}.json").write_text(json.dumps(clips))
    (tmp_path / "split.csv").write_text(TABLE)
    return tmp_path


def audit(*arguments):
    return main(["audit", *arguments])


def test_manifests_that_do_not_leak_end_with_exit_code_0(capsys):
    assert audit("train.json", "valid.json", "test.json") == 0
    printed = capsys.readouterr().out
    assert "no leak found" in printed and "angry" in printed
    assert "media files were not compared" in printed


def test_a_leak_ends_with_exit_code_1_and_names_it(capsys):
    assert audit("train.json", "valid.json", "train.json") == 1
    printed = capsys.readouterr().out
    assert "error   4 of 4 speakers of test are in train too" in printed
    assert printed.splitlines()[-2] == "audit: 2 errors"


def test_media_are_compared_with_data_root(work, capsys):
    for clip in ("a_sad", "g_sad"):
        (work / f"{clip}.wav").write_bytes(b"the same")
    command = ["train.json", "valid.json", "test.json", "--data_root", "."]
    assert audit(*command) == 1
    assert "a_sad = g_sad" in capsys.readouterr().out


# A regular expression may start with "-", as an option does.
@pytest.mark.parametrize(
    "speaker",
    [
        ["--speaker", r"_([FM]\d\d)-"],
        ["--speaker", r"-(\w)$"],
        [r"--speaker=-(\w)$"],
    ],
)
def test_a_table_has_its_speakers_in_the_names_of_clips(speaker, capsys):
    is_shared = "$" in speaker[-1]  # all of them are x
    assert audit("--split", "split.csv", *speaker) == is_shared
    printed = capsys.readouterr().out
    assert "not compared" not in printed
    assert ("1 of 1 speakers" in printed) == is_shared


def test_a_table_may_have_a_column_of_speakers(work, capsys):
    text = "speaker,split,clip\r\nanna,dev,1\r\nanna,test,2\r\nben,train,3\r\n"
    (work / "split.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert audit("--split", "split.csv") == 1
    assert "such as anna" in capsys.readouterr().out


def test_names_of_strangers_are_no_markup_and_no_control_codes(work, capsys):
    (work / "split.csv").write_text(
        "clip,split,speaker\n1,train,[red]\x1b[2J\n2,test,[red]\x1b[2J\n"
    )
    assert audit("--split", "split.csv") == 1
    assert "such as [red]\\x1b[2J" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "name three manifests"),
        (["train.json", "test.json"], "(2 given)"),
        (["train.json", "valid.json", "no.json"], "no.json: No such file"),
        (["split.csv"] * 3, "split.csv: not JSON"),
        (["train.json"] * 3 + ["--data_root", "no"], "--data_root no: no such"),
        (["train.json"] * 3 + ["--speaker", "(x)"], "is for a table"),
        (["train.json", "--split", "split.csv"], "omit them"),
        (["--split", "no.csv"], "no.csv: No such file"),
        (["--split", "split.csv"], "no column 'speaker'"),
        (["--split", "split.csv", "--speaker", "x"], "has no group"),
        (
            ["--split", "split.csv", "--speaker", "(1)"],
            "no speaker for 2 of",
        ),
        (
            ["--split", "split.csv", "--speaker", "-("],
            "not a regular expression",
        ),
        (["--split", "split.csv", "--speaker"], "expected one argument"),
        (["--split", "train.json", "--speaker", "(1)"], "no column 'clip'"),
    ],
    ids=str,
)
def test_a_mistake_ends_in_one_line(arguments, message):
    with pytest.raises(SystemExit) as error:
        audit(*arguments)
    assert str(error.value).startswith("error: ")
    assert message in str(error.value) and "\n" not in str(error.value)
