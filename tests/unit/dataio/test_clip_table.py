"""Tables of clips, as editors and Excel write them."""

import csv
import io

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.dataio.clip_table import as_number, read_clip_table
from auxformer_lobes.utils.errors import UserError

ROWS = [["file", "speaker", "level"], ["anna 1.wav", "Zoë", "1.5"]]


def cells(path):
    return [row.cells for row in read_clip_table(path).rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_any_delimiter_and_encoding_is_read(
    tmp_path, encoding, delimiter, line_end
):
    text = line_end.join(map(delimiter.join, ROWS)) + line_end
    (tmp_path / "clips.csv").write_bytes(text.encode(encoding))
    expected = [{"file": "anna 1.wav", "speaker": "Zoë", "level": "1.5"}]
    assert cells(tmp_path / "clips.csv") == expected


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfile;speaker\na.wav;Anna\n",
        " File , SPEAKER \na.wav,Anna\n",
        "file,speaker\n\na.wav,Anna\n,\n\n",
        "file,speaker,,\na.wav,Anna,,\n",
        ",file,speaker\n0,a.wav,Anna\n",  # the index of pandas
        'file,speaker\n"a.wav","Anna"\n',
        "file,speaker\na.wav\xa0, Anna\n",
        "file,speaker\na.wav,Anna",
    ],
    ids=str,
)
def test_what_excel_adds_is_left_out(tmp_path, text):
    (tmp_path / "clips.csv").write_text(text, "utf-8")
    assert cells(tmp_path / "clips.csv") == [
        {"file": "a.wav", "speaker": "Anna"}
    ]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "clips.csv: is empty"),
        (b"\n", "is empty"),
        (b"file,speaker\n", "has no clips below its header"),
        (b"file,File\na.wav,b.wav\n", "has two columns 'file': rename one"),
        (b"file,x\na.wav,1,2\n", "line 2: has 3 values, for 2 columns: quote"),
        (b"file,x\n\na.wav,#N/A\n", "line 3, column x: #N/A of a formula"),
        (b"sep=,\nfile,x\na.wav,#REF!\n", "line 3, column x: #REF!"),
        (b'file,x\n"a\nb",1\nc,2\n', "line 3, column file: has a line break"),
        (b'file,x\na,1\n"b,2\nc,3\n', "line 4: not CSV .*: is a quote miss"),
        (b"PK\x03\x04...", "is a workbook: save it as CSV"),
        (b"\xd0\xcf\x11\xe0...", "is a workbook"),
    ],
    ids=str,
)
def test_damage_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_clip_table(tmp_path / "clips.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="clips.csv: No such file"):
        read_clip_table(tmp_path / "clips.csv")


def test_numbers_may_have_a_decimal_comma(tmp_path):
    (tmp_path / "clips.csv").write_text("level;x\n3,5;a\n;\n-1e-2;b\n")
    table = read_clip_table(tmp_path / "clips.csv")
    assert [table.number(row, "level") for row in table.rows] == [3.5, -0.01]
    with pytest.raises(UserError, match="line 2, column x: 'a' is not a num"):
        table.number(table.rows[0], "x")


@pytest.mark.parametrize("text", ["nan", "inf", "1,2,3", "1.000,5", "", "one"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError):
        as_number(text)


# What Excel can hold in a cell.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n\ufeff"), min_size=1
).filter(lambda text: text.strip() == text and not text.startswith("#"))


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_is_read(tmp_path_factory, rows, delimiter, encoding):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([("file", "speaker"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert [tuple(of.values()) for of in cells(path)] == rows


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_whatever_is_read_is_a_table_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        table = read_clip_table(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert all({*row.cells} == {*table.columns} for row in table.rows)
