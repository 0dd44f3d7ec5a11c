"""Pages: what is on them is text, whoever wrote it."""

from pathlib import Path

from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.reporting.html import (
    Code,
    Findings,
    Link,
    Page,
    Section,
    Table,
    Text,
    render,
    shareable,
)
from tests.unit.small_reports import read

NAMES = st.text(min_size=1) | st.sampled_from(
    [
        *("<script>alert(1)</script>", "</script>", "<!--", "]]>", "&lt;"),
        *("{{ page }}", "{% raw %}", '" onclick="x', "\ud800", "\u2028"),
    ]
)


def page_of(name):
    return Page(
        title=name,
        summary=[name],
        headlines=[dict(label=name, value=name, brackets=name, details=[name])],
        verdicts=[{"level": "error", "text": name, "section": name}],
        sections=[
            Section(
                name,
                [
                    Text(name),
                    Table([name, name], [[name, Link(name, "./a")]], name),
                    Findings(
                        [{"level": "note", "text": name, "examples": [name]}]
                    ),
                    Code(name, name),
                ],
            )
        ],
        data={name: [name, 0.5, None]},
    )


@settings(max_examples=30)
@given(name=NAMES)
def test_any_name_is_text(name):
    html = render(page_of(name))
    html.encode("utf-8")
    page, data = read(html)
    assert not page.errors
    assert {*page.addresses} == {"#section-1", "./a"}
    assert page.tags.count("script") == 1
    assert data == {name: [name, 0.5, None]}


def test_what_cannot_be_seen_is_escaped():
    page, _ = read(render(page_of("a\x00\u202eb")))
    assert page.text["h1"] == ["a\\x00\\u202eb"]


def test_sections_without_content_are_left_out():
    sections = [Section("one", [Text("x")]), Section("two", [])]
    page, _ = read(render(Page("title", [], [], [], sections)))
    assert page.text["h2"] == ["one"]
    assert page.addresses == ["#section-1"]


def test_long_tables_are_folded():
    table = Table(["a"], [["x"]], "title", folded=True)
    page, _ = read(render(Page("p", [], [], [], [Section("s", [table])])))
    assert "details" in page.tags


def test_cells_are_shaded_by_their_shares():
    table = Table(["a", "b"], [["x", 3]], "title", shares=[[0, 0.25]])
    html = render(Page("p", [], [], [], [Section("s", [table])]))
    assert "rgb(var(--heat) / 0.250)" in html


def test_the_home_folder_is_a_tilde_wherever_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/jane")
    assert shareable({"/home/jane": ["/home/jane/x: /home/jane-doe", 1]}) == {
        "~": ["~/x: /home/jane-doe", 1]
    }
    monkeypatch.setenv("HOME", "/")
    assert shareable(str(Path("/tmp"))) == "/tmp"
