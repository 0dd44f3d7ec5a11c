"""Errors in one line, with a way to the traceback."""

import pytest

from auxformer_lobes.utils.errors import (
    DEBUG,
    MAX_CHARACTERS,
    MediaError,
    UserError,
    one_line_errors,
)


def line_of(error, *others, **options):
    """The line in which a program ends."""
    with pytest.raises(SystemExit) as end, one_line_errors(*others, **options):
        raise error
    assert "\n" not in end.value.code
    return end.value.code


def test_an_error_is_one_line_of_bounded_length_and_printable(capsys):
    assert line_of(UserError("a.csv:\n  empty")) == "error: a.csv: empty"
    assert line_of(MediaError("\x1b[31mred.wav")) == "error: \\x1b[31mred.wav"
    assert len(line_of(UserError("x" * 9999))) < MAX_CHARACTERS + 20
    assert not capsys.readouterr().err


@pytest.mark.parametrize("length", [3, 9999])
def test_other_exceptions_name_their_type_and_the_way_to_the_traceback(length):
    line = line_of(TypeError("x" * length), TypeError, ValueError)
    assert line.endswith(f"(TypeError; {DEBUG}=1 shows the traceback)")


def test_other_exceptions_are_left_alone_unless_named():
    with pytest.raises(TypeError), one_line_errors(ValueError):
        raise TypeError


@pytest.mark.parametrize(
    "value, debug, shown",
    [
        ("1", False, True),
        ("0", False, False),
        ("", False, False),
        ("", True, True),
    ],
)
def test_debugging_shows_the_traceback(
    monkeypatch, capsys, value, debug, shown
):
    monkeypatch.setenv(DEBUG, value)
    line_of(ValueError("no"), ValueError, debug=debug)
    printed = capsys.readouterr().err
    assert ("Traceback" in printed and "ValueError: no" in printed) == shown
