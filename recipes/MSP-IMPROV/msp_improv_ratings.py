"""Parser of the label file of MSP-IMPROV: each rater's answers per turn.

The file has one block per turn; empty lines separate the blocks. A block has a
header and one line per rater (synthetic examples):

    UTD-IMPROV-S01A-F01-P-FM01.avi; X; A:3.5; V:2.5; D:3.0 ; N:3.5;
    WORKER1; Neutral; Neutral,Concerned; A:3.0; V:3.0; D:3.0; N:4.0;
    WORKER2; Other (bored; tired); Sad,Other (tired); A:4.0; V:2.0; D:NaN; N:3.0;

The header gives the turn, the letter of the consensus and the means of the
ratings. A rater's line gives the rater, the primary emotion, all emotions that
the rater perceived, and the ratings: activation, valence, dominance and
naturalness, 1 to 5. The scale of activation is inverted: 1 is very active.

Each line that cannot be used is noted with its number.
"""

import re
from collections import Counter
from typing import NamedTuple, Optional

from msp_improv_turns import find_clip
from speechbrain.utils.logger import get_logger

from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

# Letters of the consensus; X: no agreement.
LETTERS = {
    "A": "angry",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "O": "other",
    "X": None,
}
PRIMARY = {
    **{name: name for name in LETTERS.values() if name},
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
}
ROUNDING = 1e-5  # of means, written with six decimals

# Bracketed free text may contain commas, semicolons and further brackets, up
# to this depth: a regular expression cannot match arbitrary nesting.
_BRACKETS = r"[(\[][^()\[\]]*[)\]]"
for _ in range(4):
    _BRACKETS = rf"[(\[](?:[^()\[\]]|{_BRACKETS})*[)\]]"
# Limited, or a long line without semicolons would be read from each `A:` on.
_VALUE = r"\s*:([^;]{0,100})"
_NUMBERS = re.compile(
    rf"\bA{_VALUE};\s*V{_VALUE};\s*D{_VALUE};\s*N{_VALUE};?\s*$"
)
_HEADER = re.compile(r"([^;]*);([^;]*);")
# A header whose turn cannot be read: without this, its raters would count for
# the previous turn.
_BROKEN_HEADER = re.compile(
    r"[^;]*(-IMPROV-|\.(avi|wav)\s*(;|$)|;\s*[A-Z]\s*(;|$))", re.IGNORECASE
)
# Brackets are read once (`*+`), or not as brackets: trying each number of them
# would take hours for a long line.
_RATER = re.compile(
    r"([^;\s]+)\s*;\s*([A-Za-z]+)"
    rf"(?:(?:\s*{_BRACKETS})*+(?:[\s(\[][^;]*)?;|[\s(\[][^;]*;)(.*)"
)
_WORDS = re.compile(rf"(?:{_BRACKETS}|[^,;])+")
_NUMBER = re.compile(r"[1-4](\.\d*)?|5(\.0*)?")


class Rating(NamedTuple):
    """One rater's answers on a turn.

    Arguments
    ---------
    primary : str
        angry, happy, neutral, sad or other.
    secondary : tuple of str
        All emotions perceived, in the rater's words.
    numbers : tuple of float or None
        Activation (1 is very active), valence, dominance and naturalness,
        1 to 5; None for a missing answer.
    """

    primary: str
    secondary: tuple
    numbers: tuple


class Turn(NamedTuple):
    """Consensus and ratings of a turn.

    Arguments
    ---------
    consensus : str or None
        Consensus emotion given in the file; None for no agreement.
    ratings : dict
        Rater -> `Rating`.
    """

    consensus: Optional[str]
    ratings: dict


class Note(NamedTuple):
    """A line that is not used, or not used as it is.

    Arguments
    ---------
    line : int
        Number of the line, from 1.
    reason : str
        Why.
    text : str
        The line.
    """

    line: int
    reason: str
    text: str


class _Block(NamedTuple):
    """A turn and its header: line number, text and means."""

    line: int
    text: str
    means: tuple
    turn: Turn


def read_ratings(path):
    """Reads the label file.

    Arguments
    ---------
    path : pathlib.Path
        Evalution.txt of the corpus.

    Returns
    -------
    turns : dict
        Clip -> `Turn`.
    notes : list of Note
        Lines that are not used as they are. Exact duplicates of a rater's
        line, which the corpus has, are dropped without a note.

    Raises
    ------
    UserError
        If the file has no turn.
    """
    # The encoding of free text is not known, and its content is not used.
    text = path.read_text("utf-8-sig", errors="replace")
    blocks = {}
    notes = []
    block = None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        reasons = []
        clip = find_clip(line.split(";")[0].strip())
        if clip:
            if clip in blocks:
                reasons.append("second block of a turn")
            block = _read_header(line, number, reasons)
            block = blocks.setdefault(clip, block)
        elif not line:
            block = None
        elif _BROKEN_HEADER.match(line):
            block = None
            reasons.append("unreadable")
        else:
            _read_rater(line, block, reasons)
        notes += [Note(number, reason, line) for reason in reasons]
    if not blocks:
        raise UserError(
            f"{path} has no turn such as UTD-IMPROV-S01A-F01-P-FM01.avi: get "
            "the label file of MSP-IMPROV again"
        )
    for block in blocks.values():
        notes += _check(block)
    return {clip: block.turn for clip, block in blocks.items()}, notes


def log_notes(path, notes):
    """Logs one warning per reason: number of lines and an example.

    Arguments
    ---------
    path : pathlib.Path
        The label file.
    notes : list of Note
        As returned by `read_ratings`.
    """
    first = {}
    for note in notes:
        first.setdefault(note.reason, note)
    for reason, count in Counter(note.reason for note in notes).items():
        line, _, text = first[reason]
        more = f" and {count - 1:,} more" if count > 1 else ""
        logger.warning(
            f"{path.name}, line {line}{more}: {reason}: {text[:100]}"
        )


def _read_header(line, number, reasons):
    means = (None,) * 4
    numbers = _NUMBERS.search(line)
    if numbers:
        means = _read_numbers(numbers, reasons)
    else:
        reasons.append("unreadable means")
    found = _HEADER.match(line)
    letter = found[2].strip().upper() if found else ""
    if letter not in LETTERS:
        reasons.append("unknown consensus")
    return _Block(number, line, means, Turn(LETTERS.get(letter), {}))


def _read_rater(line, block, reasons):
    numbers = _NUMBERS.search(line)
    fields = numbers and _RATER.match(line, 0, numbers.start())
    primary = fields and PRIMARY.get(fields[2].lower())
    if not primary:
        reasons.append("unreadable")
    elif block is None:
        reasons.append("rating without a turn")
    else:
        words = (word.strip() for word in _WORDS.findall(fields[3]))
        rating = Rating(
            primary,
            tuple(word for word in words if word),
            _read_numbers(numbers, reasons),
        )
        first = block.turn.ratings.setdefault(fields[1], rating)
        if first != rating:
            reasons.append("second, different answer of a rater")
        if re.search(r"[()\[\]]", re.sub(_BRACKETS, "", fields[0])):
            reasons.append("unbalanced brackets")


def _read_numbers(match, reasons):
    numbers = []
    for text in map(str.strip, match.groups()):
        known = _NUMBER.fullmatch(text)
        numbers.append(float(text) if known else None)
        if not known and text.lower() != "nan":
            reasons.append("rating not in 1 to 5")
    return tuple(numbers)


def mean(numbers):
    """Mean without missing values.

    Arguments
    ---------
    numbers : iterable of float or None
        None for a missing value.

    Returns
    -------
    float or None
        None if all values are missing.

    Example
    -------
    >>> mean([1.0, None, 4.0])
    2.5
    """
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


def _check(block):
    """Yields notes on a header that does not agree with its ratings."""
    line, text, means, (consensus, ratings) = block
    columns = zip(*(rating.numbers for rating in ratings.values()))
    pairs = zip(means, map(mean, columns))
    if any(
        None not in pair and abs(pair[0] - pair[1]) > ROUNDING for pair in pairs
    ):
        yield Note(line, "means differ from the ratings", text)
    votes = Counter(rating.primary for rating in ratings.values())
    top = [e for e, count in votes.items() if count == max(votes.values())]
    if consensus != (top[0] if len(top) == 1 else None):
        yield Note(line, "consensus differs from the ratings", text)
