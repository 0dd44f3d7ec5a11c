"""Names of files as text that is safe to show."""

from hypothesis import (
    given,
    strategies as st,
)

from auxformer_lobes.utils.text import printable


@given(st.text(st.characters()))
def test_it_is_printable_and_itself_where_it_was(text):
    shown = printable(text)
    assert shown.isprintable() or not shown
    assert shown == text or not text.isprintable()
    shown.encode("utf-8")


@given(st.binary())
def test_any_name_of_a_file_is_text(name):
    printable(name.decode("utf-8", "surrogateescape")).encode("utf-8")
