"""The audit of a split, as text and tables on the terminal."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auxformer_lobes.dataio.split_audit import LEVELS, TITLES
from auxformer_lobes.reporting.tables import count_of
from auxformer_lobes.utils.text import printable

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def summarize_audit(findings):
    """Counts the findings of an audit.

    Arguments
    ---------
    findings : list of dict
        Of `audit.json`, each with `level`.

    Returns
    -------
    str

    Example
    -------
    >>> summarize_audit([{"level": "note"}])
    'no leak found, 1 note'
    >>> summarize_audit([{"level": "error"}, {"level": "error"}])
    '2 errors'
    """
    counts = Counter(found["level"] for found in findings)
    texts = [
        count_of(counts[level], level) for level in LEVELS if counts[level]
    ]
    return ", ".join(texts if counts["error"] else ["no leak found", *texts])


def print_audit(audit):
    """Prints the tables of a split, and what the audit found.

    Arguments
    ---------
    audit : SplitAudit
        The audit.
    """
    console = Console(width=None if Console().is_terminal else 110)
    console.print(_table(audit.splits))
    if audit.class_distance is not None:
        console.print(
            "distance between the classes of train and test: "
            f"{audit.class_distance:.2f} (total variation; 0 the same, 1 "
            "disjoint)",
            highlight=False,
        )
    for found in audit.findings:
        # Names of strangers' clips are no markup.
        line = Text.assemble(
            (f"{found.level:<8}", STYLES[found.level]), printable(found.text)
        )
        if found.examples:
            examples = ", ".join(map(printable, found.examples))
            line.append(f" (such as {examples})", "dim")
        console.print(line, soft_wrap=not console.is_terminal)
    findings = [{"level": found.level} for found in audit.findings]
    console.print(f"audit: {summarize_audit(findings)}", highlight=False)


def _table(splits):
    table = Table(title="Clips by split")
    table.add_column()
    for split in splits:
        table.add_column(TITLES[split], justify="right")
    parts = splits.values()
    table.add_row("clips", *(f"{part['clips']:,}" for part in parts))
    if any(part["minutes"] is not None for part in parts):
        minutes = (part["minutes"] or 0 for part in parts)
        table.add_row("minutes", *(f"{m:,.1f}" for m in minutes))
    table.add_row("speakers", *(f"{len(part['speakers']):,}" for part in parts))
    for key in ("gender", "classes"):
        names = sorted({name for part in parts for name in part[key]})
        if names:
            table.add_section()
        for name in names:
            cells = (_share(part[key], name) for part in parts)
            table.add_row(Text(printable(name)), *cells)
    return table


def _share(counts, name):
    """A count and its share in its split."""
    total = sum(counts.values())
    if not total:
        return "–"
    count = counts.get(name, 0)
    return f"{count:,} ({count / total:4.0%})"
