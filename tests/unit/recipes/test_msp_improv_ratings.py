"""The parser of the label file of MSP-IMPROV, which drops no line silently."""

import time

import pytest
from hypothesis import (
    HealthCheck,
    example,
    given,
    settings,
    strategies as st,
)
from msp_improv_labels import free_words
from msp_improv_ratings import Rating, log_notes, read_ratings

from auxformer_lobes.utils.errors import UserError

A1, H2 = (
    f"MSP-IMPROV-{name}" for name in ("S01A-F01-P-FM01", "S02H-M03-T-MF12")
)
HEADER_A1 = "UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.5; V:2.5; D:3.0 ; N:4.0;"
HEADER_H2 = "UTD-IMPROV-S02H-M03-T-MF12.avi; H; A:2.0; V:5.0; D:NaN ; N:3.0;"
RATER_1 = "W1; Neutral; Neutral,Concerned; A:3.0; V:2.0; D:3.0; N:4.0;"
RATER_2 = "W2; Neutral; Neutral,Sad; A:4.0; V:3.0; D:3.0; N:4.0;"
RATER_3 = "W3; Happy; Happy; A:2.0; V:5.0; D:NaN; N:3.0;"
NUMBERS = "A:3.0; V:2.0; D:3.0; N:4.0;"
FILE = "\n".join([HEADER_A1, RATER_1, RATER_2, "", HEADER_H2, RATER_3, ""])
# Reasons for which a line is dropped.
DROPPED = {
    "unreadable",
    "rating without a turn",
    "second, different answer of a rater",
}


@pytest.fixture
def read(tmp_path):
    """Function that parses a text, or bytes, as the label file."""

    def _read(content):
        path = tmp_path / "Evalution.txt"
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        turns, notes = read_ratings(path)
        return turns, [(note.line, note.reason) for note in notes]

    return _read


def ratings_of(*lines):
    """A block with these raters and a header that may not agree."""
    return "\n".join([HEADER_A1, *lines])


def about_lines(notes):
    """Notes other than those on the header's agreement with the ratings."""
    return [note for note in notes if "from the ratings" not in note[1]]


# What the file says


def test_a_block_has_a_consensus_and_ratings(read):
    turns, notes = read(FILE)
    assert list(turns) == [A1, H2]
    assert turns[A1].consensus == "neutral"
    assert turns[A1].ratings == {
        "W1": Rating("neutral", ("Neutral", "Concerned"), (3, 2, 3, 4)),
        "W2": Rating("neutral", ("Neutral", "Sad"), (4, 3, 3, 4)),
    }
    assert turns[H2].ratings["W3"].numbers == (2, 5, None, 3)
    assert notes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n\n", "\n  \t\n"),
        lambda text: text.replace("\n\n", "\n\n\n\n"),
        lambda text: "\n\n" + text,
        lambda text: text.rstrip(),
        lambda text: text.replace("\n", "  \n"),
        lambda text: text.replace("; ", ";"),
        lambda text: text.replace(";", " ;"),
        lambda text: text.replace(":", ": "),
        lambda text: text.replace("NaN", "nan"),
        lambda text: text.replace(".0", ".000000"),
        lambda text: text.replace(".0;", ";"),
        lambda text: text.replace(";\n", "\n"),
        lambda text: text.replace("UTD-", "MSP-"),
        lambda text: text.replace("UTD-IMPROV-", ""),
        lambda text: text.replace(".avi", ""),
        lambda text: text.replace(".avi", ".mp4"),
        lambda text: text.replace("S02H-M03-T-MF12", "s02h-m03-t-mf12"),
        lambda text: text.replace("W3; Happy", "W3; HAPPY"),
        lambda text: text.replace("W3; Happy", "W3; Happiness"),
        lambda text: text.replace("; H;", "; h;"),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: "\ufeff" + text,
    ],
)
def test_variants_of_the_format_are_read_alike(read, change):
    turns, notes = read(change(FILE))
    assert turns == read(FILE)[0]
    assert notes == []


@pytest.mark.parametrize(
    "fields, primary, secondary",
    [
        ("Other (bored); Other (bored)", "other", ["Other (bored)"]),
        (
            "Other (bored; tired, sick: A:1); Sad,Other (bored, tired),Fear",
            "other",
            ["Sad", "Other (bored, tired)", "Fear"],
        ),
        ("Other [a] (b; c); Sad", "other", ["Sad"]),
        ("Other [what?!]; confused|lost; no idea", "other", None),
        ("Other bored, tired; Sad", "other", ["Sad"]),
        (
            "Other (a (b; c), d); Fear,Other (x (y), Sad, z)",
            "other",
            ["Fear", "Other (x (y), Sad, z)"],
        ),
        ("Neutral; ", "neutral", []),
        ("Neutral; ,Sad,, ,", "neutral", ["Sad"]),
        ("Neutral; A: none", "neutral", ["A: none"]),
        ("Neutral; A:1; V:1; D:1; N:1", "neutral", None),
    ],
)
def test_free_text_may_be_anywhere(read, fields, primary, secondary):
    line = f"W1; {fields}; A:3.0; V:2.0; D:3.0; N:4.0;"
    turns, notes = read(ratings_of(line))
    rating = turns[A1].ratings["W1"]
    assert about_lines(notes) == []
    assert rating.primary == primary
    assert rating.numbers == (3, 2, 3, 4)
    if secondary is not None:
        assert list(rating.secondary) == secondary


@pytest.mark.parametrize(
    "fields, primary, secondary",
    [
        ("Other (bored; Sad,Other (bored", "other", ["Sad", "Other (bored"]),
        ("Happy :); Happy,cheerful :)", "happy", ["Happy", "cheerful :)"]),
        ("Sad; Fear,Other (x (y), Sad", "sad", ["Fear", "Other (x (y)", "Sad"]),
        ("Sad; Sad,Other )x(", "sad", ["Sad", "Other )x("]),
        ("Sad; " + "(" * 9 + ")" * 9, "sad", ["(" * 9 + ")" * 9]),
    ],
)
def test_unbalanced_brackets_are_noted(read, fields, primary, secondary):
    line = f"W1; {fields}; A:3.0; V:2.0; D:3.0; N:4.0;"
    turns, notes = read(ratings_of(line))
    assert about_lines(notes) == [(2, "unbalanced brackets")]
    rating = turns[A1].ratings["W1"]
    assert (rating.primary, list(rating.secondary)) == (primary, secondary)


def test_bytes_that_are_not_utf_8_are_free_text(read):
    line = "W1; Other (fianc\xe9; bl\xe4); Sad,na\xefve; A:3; V:2; D:3; N:4;"
    turns, notes = read(ratings_of(line).encode("latin-1"))
    rating = turns[A1].ratings["W1"]
    assert (rating.primary, rating.secondary[0]) == ("other", "Sad")
    assert about_lines(notes) == []


# The same rater twice


def test_a_copy_of_a_rating_counts_once(read):
    turns, notes = read(FILE.replace(RATER_1, f"{RATER_1}\n{RATER_1}"))
    assert turns == read(FILE)[0]
    assert notes == []


@pytest.mark.parametrize(
    "old, new", [("V:2.0", "V:1.0"), ("; Neutral;", "; Sad;"), ("erned", "")]
)
def test_of_two_different_answers_the_first_counts(read, old, new):
    second = RATER_1.replace(old, new)
    turns, notes = read(FILE.replace(RATER_1, f"{RATER_1}\n{second}"))
    assert turns == read(FILE)[0]
    assert notes == [(3, "second, different answer of a rater")]


def test_two_blocks_of_a_turn_are_one(read):
    first = "\n".join([HEADER_A1, RATER_1, ""])
    second = "\n".join([HEADER_A1, RATER_1, RATER_2, ""])
    turns, notes = read(f"{first}\n{second}")
    assert list(turns[A1].ratings) == ["W1", "W2"]
    assert notes == [(4, "second block of a turn")]


# What cannot be used


@pytest.mark.parametrize(
    "line",
    [
        "what is this",
        "W1; Neutral; Neutral;",
        "W1; Neutral; Neutral; A:3.0; V:2.0; D:3.0;",
        "W1; Neutral; Neutral; V:2.0; A:3.0; D:3.0; N:4.0;",
        "W1; Bored; Neutral; A:3.0; V:2.0; D:3.0; N:4.0;",
        "W1; ; Neutral; A:3.0; V:2.0; D:3.0; N:4.0;",
        "; Neutral; Neutral; A:3.0; V:2.0; D:3.0; N:4.0;",
        "W1; Neutral; A:3.0; V:2.0; D:3.0; N:4.0; and more",
        "A:3.0; V:2.0; D:3.0; N:4.0;",
        "W1 Neutral; Neutral; A:3.0; V:2.0; D:3.0; N:4.0;",
        "W1; Neutral,Sad; A:3.0; V:2.0; D:3.0; N:4.0;",
    ],
)
def test_an_unreadable_line_is_noted_with_its_number(read, line):
    turns, notes = read(FILE.replace(RATER_1, f"{RATER_1}\n{line}"))
    assert turns == read(FILE)[0]
    assert notes == [(3, "unreadable")]


@pytest.mark.parametrize("number", ["0.5", "6", "-1", "5.1", "x", "", "3,0"])
def test_a_rating_off_the_scale_is_noted_and_not_used(read, number):
    line = f"W1; Sad; Sad; A:3.0; V:{number}; D:1.0; N:4.0;"
    turns, notes = read(ratings_of(line))
    assert turns[A1].ratings["W1"].numbers == (3, None, 1, 4)
    assert about_lines(notes) == [(2, "rating not in 1 to 5")]


def test_ratings_without_a_turn_are_noted(read):
    broken = HEADER_A1.replace("S01A", "S1A")
    turns, notes = read(FILE.replace(HEADER_A1, broken))
    assert list(turns) == [H2]
    assert notes == [
        (1, "unreadable"),
        (2, "rating without a turn"),
        (3, "rating without a turn"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        "UTD-IMPRV-S02A-F02-S-MF01.avi; A; A:1.0; V:1.0; D:1.0 ; N:1.0;",
        "UTD-IMPRV-S02A-F02-S-MF01.AVI",
        "S2A-F02-S-MF01.wav ; A; A:1.0; V:1.0; D:1.0 ; N:1.0;",
        "S2A-F02-S-MF01; a; A:1.0; V:1.0; D:1.0 ; N:1.0;",
        "S2A-F02-S-MF01; X",
    ],
)
def test_a_broken_header_ends_the_turn_before(read, broken):
    turns, notes = read("\n".join([HEADER_A1, RATER_1, broken, RATER_2]))
    assert list(turns[A1].ratings) == ["W1"]
    assert about_lines(notes) == [
        (3, "unreadable"),
        (4, "rating without a turn"),
    ]


def test_a_rating_after_an_empty_line_belongs_to_no_turn(read):
    text = FILE.replace(RATER_2, f"\n{RATER_2}")
    turns, notes = read(text)
    assert list(turns[A1].ratings) == ["W1"]
    assert (4, "rating without a turn") in notes


@pytest.mark.parametrize("letter", ["Q", "", "NN"])
def test_an_unknown_consensus_is_noted(read, letter):
    turns, notes = read(FILE.replace("; N;", f"; {letter};"))
    assert turns[A1].consensus is None
    assert len(turns[A1].ratings) == 2
    assert (1, "unknown consensus") in notes


def test_a_header_without_means_still_names_the_turn(read):
    turns, notes = read(FILE.replace("A:3.5; V:2.5", "V:2.5"))
    assert turns == read(FILE)[0]
    assert notes == [(1, "unreadable means")]


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("A:3.5", "A:3.6", "means differ from the ratings"),
        ("; N;", "; X;", "consensus differs from the ratings"),
        ("; N;", "; A;", "consensus differs from the ratings"),
    ],
)
def test_a_header_that_differs_from_its_ratings_is_noted(
    read, old, new, reason
):
    _, notes = read(FILE.replace(old, new, 1))
    assert notes == [(1, reason)]


def test_means_are_compared_to_six_decimals(read):
    raters = [
        f"W{i}; Sad; Sad; A:{a}; V:1; D:1; N:1;"
        for i, a in enumerate([1, 1, 2])
    ]
    header = HEADER_A1.split(";")[0] + "; S; A:1.333333; V:1; D:1 ; N:1;"
    _, notes = read("\n".join([header, *raters]))
    assert notes == []


def test_a_missing_mean_is_not_a_difference(read):
    # A mean over an answer that was not given.
    _, notes = read(FILE.replace("D:3.0 ;", "D:NaN ;", 1))
    assert notes == []


@pytest.mark.parametrize(
    "content", ["", "\n\n", "a;b\n", b"\xff\xfe\0", RATER_1]
)
def test_a_file_without_a_turn_is_refused(read, content):
    with pytest.raises(UserError, match="has no turn such as"):
        read(content)


def test_each_reason_is_logged_once_with_its_first_line(tmp_path, caplog):
    path = tmp_path / "Evalution.txt"
    path.write_text(FILE.replace("W2;", "W2").replace("W3;", "W3"), "utf-8")
    log_notes(path, read_ratings(path)[1])
    (line,) = [t for t in caplog.messages if "unreadable" in t]
    assert line.startswith("Evalution.txt, line 3 and 1 more: unreadable: ")


# Properties: generated files

free_text = (
    st.text("abzAVN:é?!./|'-3 ", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)
inside = st.text("abAVN:é,;?!3 ", max_size=12)
in_brackets = st.builds(
    "{} {}{}{}".format,
    st.just("Other"),
    st.sampled_from("(["),
    st.one_of(inside, st.builds("{}({}){}".format, inside, inside, inside)),
    st.sampled_from(")]"),
)
emotions = st.sampled_from(["Angry", "Happy", "Neutral", "Sad", "Fear"])
primaries = st.sampled_from(["Angry", "Happy", "Neutral", "Sad", "Other"])
scale = st.one_of(
    st.integers(1, 5).map(float),
    st.integers(100, 500).map(lambda x: x / 100),
    st.none(),
)
raters = st.fixed_dictionaries(
    {
        "primary": st.one_of(primaries, in_brackets),
        "secondary": st.lists(
            st.one_of(emotions, free_text, in_brackets), max_size=4
        ),
        "numbers": st.tuples(scale, scale, scale, scale),
        "separators": st.tuples(
            *[st.sampled_from([";", "; ", " ; ", ";  ", "\t;"])] * 6
        ),
        "nan": st.sampled_from(["NaN", "nan", "NAN"]),
        "end": st.sampled_from([";", " ;", "", ";  "]),
    }
)
names = st.text("abcXYZ019_-", min_size=1, max_size=8).map("W{}".format)
blocks = st.dictionaries(names, raters, max_size=5)


@pytest.fixture(scope="module")
def label_file(tmp_path_factory):
    """Overwritten by each example."""
    return tmp_path_factory.mktemp("labels") / "Evaluation.txt"


def write_rater(name, rater):
    """A line in the given style."""
    numbers = (
        f"{letter}:{rater['nan'] if x is None else f'{x:.6f}'}"
        for letter, x in zip("AVDN", rater["numbers"])
    )
    fields = [name, rater["primary"], ",".join(rater["secondary"]), *numbers]
    pairs = zip(fields, [*rater["separators"], rater["end"]])
    return "".join(field + separator for field, separator in pairs)


@settings(max_examples=40, deadline=None)
@given(
    turns=st.lists(blocks, min_size=1, max_size=4),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    between=st.sampled_from(["", " ", "\t ", "\n"]),
    start=st.sampled_from(["", "\ufeff"]),
)
def test_any_rater_block_round_trips(
    label_file, turns, line_end, between, start
):
    lines = []
    for number, block in enumerate(turns):
        lines += [f"UTD-IMPROV-S01A-F01-P-FM{number:02}.avi; X; A:NaN; V:NaN; "]
        lines[-1] += "D:NaN ; N:NaN;"
        lines += [write_rater(name, rater) for name, rater in block.items()]
        lines += [between.replace("\n", line_end)]
    label_file.write_bytes((start + line_end.join(lines)).encode())
    found, notes = read_ratings(label_file)
    assert [
        {
            name: (rating.primary, list(rating.secondary), rating.numbers)
            for name, rating in turn.ratings.items()
        }
        for turn in found.values()
    ] == [
        {
            name: (
                rater["primary"].split()[0].lower(),
                rater["secondary"],
                rater["numbers"],
            )
            for name, rater in block.items()
        }
        for block in turns
    ]
    assert {note.reason for note in notes} <= {
        "consensus differs from the ratings"
    }


@settings(max_examples=100, deadline=None)
@given(
    line=st.integers(0, 5),
    start=st.integers(0, 60),
    length=st.integers(0, 60),
    content=st.text(
        st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20
    ),
)
def test_no_damage_drops_a_line_silently(
    label_file, line, start, length, content
):
    lines = FILE.split("\n")
    old = lines[line]
    lines[line] = old[:start] + content + old[start + length :]
    label_file.write_bytes("\n".join(lines).encode())
    turns, notes = read_ratings(label_file)
    used = len(turns) + sum(len(turn.ratings) for turn in turns.values())
    dropped = {note.line for note in notes if note.reason in DROPPED}
    second = {n.line for n in notes if n.reason == "second block of a turn"}
    assert used + len(dropped | second) == sum(map(bool, map(str.strip, lines)))


# Work


def seconds_for(read, line):
    """The least of three runs: others of the machine only add to it."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        turns, _ = read(ratings_of(RATER_1, line))
        free_words(turns)
        seconds.append(time.process_time() - start)
    return min(seconds)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    start=st.sampled_from(
        ["", "W1; Neutral", "W1; Neutral (", "W1; Neutral; Sad "]
    ),
    part=st.text("()[],;: aA.W1", min_size=1, max_size=5),
    end=st.sampled_from(["", "; ", " "]).map(lambda x: f"{x}{NUMBERS}"),
)
@example(start="W1; Neutral", part="()", end=f" {NUMBERS}")
@example(start="W1; Neutral (", part="](", end=f" {NUMBERS}")
@example(start="W1; Neutral; ", part="A:", end="")
@example(start="W1; Neutral; Sad", part=" ", end=f";{NUMBERS}")
def test_a_line_costs_as_its_length(read, start, part, end):
    short, long = (
        seconds_for(read, start + part * (length // len(part)) + end)
        for length in (4000, 16000)
    )
    # Four times as much, with leeway; by a quadratic parser it is 16 times.
    assert long <= 8 * short + 0.05


def test_brackets_count_as_before(read):
    for emotion in (
        "Sad (a;b) c",
        "Sad (a)(b;c)",
        "Sad (a;b)c",
        "Sad ((a) [b]",
    ):
        turns, _ = read(ratings_of(f"W9; {emotion}; Sad;{NUMBERS}"))
        assert turns[A1].ratings["W9"].primary == "sad"
