"""Reads the label file of MSP-IMPROV: what each rater thought of each turn.

The file has a block a turn, and an empty line between blocks. The first line
of a block sums it up, the others are the raters' (invented examples):

    UTD-IMPROV-S01A-F01-P-FM01.avi; X; A:3.5; V:2.5; D:3.0 ; N:3.5;
    WORKER1; Neutral; Neutral,Concerned; A:3.0; V:3.0; D:3.0; N:4.0;
    WORKER2; Other (bored; tired); Sad,Other (tired); A:4.0; V:2.0; D:NaN; N:3.0;

First comes the turn, with the letter of its consensus, or the rater, with the
primary emotion and all emotions that were perceived; then activation, valence,
dominance and naturalness from 1 to 5. Activation runs the other way round: 1
is very active.

Whatever of the file cannot be used is noted, with the number of its line.
"""

import re
from collections import Counter
from typing import NamedTuple, Optional

from msp_improv_turns import find_clip
from speechbrain.utils.logger import get_logger

from auxformer_lobes.utils.errors import UserError

logger = get_logger(__name__)

# Letters of the consensus; X is no agreement.
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
# Means are written with six decimals.
ROUNDING = 1e-5

# Free text in them may have commas and semicolons, and brackets: no deeper
# than this.
_BRACKETS = r"[(\[][^()\[\]]*[)\]]"
for _ in range(4):
    _BRACKETS = rf"[(\[](?:[^()\[\]]|{_BRACKETS})*[)\]]"
_NUMBERS = re.compile(
    r"\bA\s*:([^;]*);\s*V\s*:([^;]*);\s*D\s*:([^;]*);\s*N\s*:([^;]*);?\s*$"
)
_HEADER = re.compile(r"([^;]*);([^;]*);")
# A first line whose turn has no name that can be read: raters of it would
# count for the turn before.
_BROKEN_HEADER = re.compile(
    r"[^;]*(-IMPROV-|\.(avi|wav)\s*(;|$)|;\s*[A-Z]\s*(;|$))", re.IGNORECASE
)
_RATER = re.compile(
    r"([^;\s]+)\s*;\s*([A-Za-z]+)"
    rf"(?:\s*{_BRACKETS})*(?:[\s(\[][^;]*)?;(.*)"
)
_WORDS = re.compile(rf"(?:{_BRACKETS}|[^,;])+")
_NUMBER = re.compile(r"[1-4](\.\d*)?|5(\.0*)?")


class Rating(NamedTuple):
    """What one rater thought of a turn.

    Arguments
    ---------
    primary : str
        angry, happy, neutral, sad or other.
    secondary : tuple of str
        All emotions that were perceived, in the rater's words.
    numbers : tuple of float or None
        Activation (1 is very active), valence, dominance and naturalness,
        1 to 5; None where there is no answer.
    """

    primary: str
    secondary: tuple
    numbers: tuple


class Turn(NamedTuple):
    """A block of the file.

    Arguments
    ---------
    consensus : str or None
        What the file says that raters agree on, None for nothing.
    ratings : dict
        Rater -> `Rating`.
    """

    consensus: Optional[str]
    ratings: dict


class Note(NamedTuple):
    """Something in the file that is not used as it stands.

    Arguments
    ---------
    line : int
        Number of the line.
    reason : str
        What is the matter with it.
    text : str
        The line.
    """

    line: int
    reason: str
    text: str


class _Block(NamedTuple):
    """A turn, with what its first line says of it."""

    line: int
    text: str
    means: tuple
    turn: Turn


def read_ratings(path):
    """Reads the label file.

    Arguments
    ---------
    path : pathlib.Path
        Evalution.txt, or what it is called.

    Returns
    -------
    turns : dict
        Clip -> `Turn`.
    notes : list of Note
        What is not used as it stands. A rater who stands twice with the same
        answers, as happens in the corpus, is not noted.

    Raises
    ------
    UserError
        If there is no turn in it.
    """
    # Free text may be in any encoding, and nothing is made of it.
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
                reasons.append("a second block of a turn")
            block = _read_header(line, number, reasons)
            block = blocks.setdefault(clip, block)
        elif not line:
            block = None
        elif _BROKEN_HEADER.match(line):
            block = None
            reasons.append("cannot be read")
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
    """Says what of the file is not used: how often, and one example.

    Arguments
    ---------
    path : pathlib.Path
        The label file.
    notes : list of Note
        What `read_ratings` returns.
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
        reasons.append("means that cannot be read")
    found = _HEADER.match(line)
    letter = found[2].strip().upper() if found else ""
    if letter not in LETTERS:
        reasons.append("a consensus that is not known")
    return _Block(number, line, means, Turn(LETTERS.get(letter), {}))


def _read_rater(line, block, reasons):
    numbers = _NUMBERS.search(line)
    fields = numbers and _RATER.match(line, 0, numbers.start())
    primary = fields and PRIMARY.get(fields[2].lower())
    if not primary:
        reasons.append("cannot be read")
    elif block is None:
        reasons.append("a rating without a turn")
    else:
        words = (word.strip() for word in _WORDS.findall(fields[3]))
        rating = Rating(
            primary,
            tuple(word for word in words if word),
            _read_numbers(numbers, reasons),
        )
        first = block.turn.ratings.setdefault(fields[1], rating)
        if first != rating:
            reasons.append("a rater's second, different answer")
        if re.search(r"[()\[\]]", re.sub(_BRACKETS, "", fields[0])):
            reasons.append("brackets that do not match")


def _read_numbers(match, reasons):
    numbers = []
    for text in map(str.strip, match.groups()):
        known = _NUMBER.fullmatch(text)
        numbers.append(float(text) if known else None)
        if not known and text.lower() != "nan":
            reasons.append("a number that is not 1 to 5")
    return tuple(numbers)


def mean(numbers):
    """Mean of the numbers that there are.

    Arguments
    ---------
    numbers : iterable of float or None
        The numbers.

    Returns
    -------
    float or None
        None if there is none.

    Example
    -------
    >>> mean([1.0, None, 4.0])
    2.5
    """
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


def _check(block):
    """Notes if the first line of a block does not sum up the others."""
    line, text, means, (consensus, ratings) = block
    columns = zip(*(rating.numbers for rating in ratings.values()))
    pairs = zip(means, map(mean, columns))
    if any(
        None not in pair and abs(pair[0] - pair[1]) > ROUNDING for pair in pairs
    ):
        yield Note(line, "means that are not those of the raters", text)
    votes = Counter(rating.primary for rating in ratings.values())
    top = [e for e, count in votes.items() if count == max(votes.values())]
    if consensus != (top[0] if len(top) == 1 else None):
        yield Note(line, "a consensus that is not that of the raters", text)
