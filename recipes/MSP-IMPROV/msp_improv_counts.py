"""Turn counts of a copy of MSP-IMPROV against the documented ones."""

from collections import Counter

from msp_improv_turns import RECORDINGS, describe
from rich.console import Console
from rich.table import Table

# By the consensus given in the corpus: Tables 3 and 4 of Busso et al.,
# "MSP-IMPROV: An Acted Corpus of Dyadic Interactions to Study Emotion
# Perception", IEEE Transactions on Affective Computing, 2017.
EMOTIONS = ("angry", "happy", "neutral", "sad", "other", "no agreement")
DOCUMENTED = {
    recording: dict(zip(EMOTIONS, counts))
    for recording, counts in {
        "P": (38, 1372, 1164, 66, 11, 134),
        "R": (169, 88, 241, 80, 3, 39),
        "S": (470, 1048, 1789, 633, 70, 371),
        "T": (115, 136, 283, 106, 1, 11),
    }.items()
}
TOLERANCE = 0.01  # of the documented turns


def count_turns(turns):
    """Number of turns by kind of recording and consensus emotion.

    Arguments
    ---------
    turns : dict
        Clip -> `Turn`.

    Returns
    -------
    dict
        Kind of recording -> emotion of `EMOTIONS` -> number.
    """
    found = Counter(
        (describe(clip)["recording"], turn.consensus or "no agreement")
        for clip, turn in turns.items()
    )
    return {
        recording: {emotion: found[recording, emotion] for emotion in EMOTIONS}
        for recording in RECORDINGS
    }


def differences(counts):
    """Totals that differ from the documented ones by more than the tolerance.

    Arguments
    ---------
    counts : dict
        As returned by `count_turns`.

    Returns
    -------
    list of str
        Kind of recording or emotion, with both numbers.

    Example
    -------
    >>> differences({**DOCUMENTED, "R": {**DOCUMENTED["R"], "sad": 60}})
    ['R 600 of 620', 'sad 865 of 885']
    """
    found, documented = _with_sums(counts), _with_sums(DOCUMENTED)
    sums = {
        c: (row["turns"], documented[c]["turns"]) for c, row in found.items()
    }
    for emotion in EMOTIONS:
        sums[emotion] = found["all"][emotion], documented["all"][emotion]
    return [
        f"{name} {number:,} of {expected:,}"
        for name, (number, expected) in sums.items()
        if abs(number - expected) > TOLERANCE * expected
    ]


def _with_sums(counts):
    """Adds the row `all`, over kinds of recordings, and the column `turns`."""
    rows = {
        **counts,
        "all": {e: sum(row[e] for row in counts.values()) for e in EMOTIONS},
    }
    return {c: {**row, "turns": sum(row.values())} for c, row in rows.items()}


def print_counts(counts, title, with_documented):
    """Prints a table of turns by kind of recording and emotion.

    Arguments
    ---------
    counts : dict
        As returned by `count_turns`.
    title : str
        Title of the table.
    with_documented : bool
        Whether to print the documented numbers too, as found/documented.
    """
    found, documented = _with_sums(counts), _with_sums(DOCUMENTED)
    table = Table("consensus", title=title)
    for recording in found:
        header = f"{recording} {RECORDINGS.get(recording, '')}"
        table.add_column(header, justify="right", min_width=9)
    for emotion in (*EMOTIONS, "turns"):
        if emotion == "turns":
            table.add_section()
        cells = [str(row[emotion]) for row in found.values()]
        if with_documented:
            expected = (row[emotion] for row in documented.values())
            cells = [f"{x}/{y}" for x, y in zip(cells, expected)]
        table.add_row(emotion, *cells)
    Console(width=None if Console().is_terminal else 80).print(table)
