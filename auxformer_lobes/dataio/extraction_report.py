"""What became of the clips of an extraction, and the table that says so."""

import datetime
import re
from collections import defaultdict
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class ExtractionReport(NamedTuple):
    """What became of the clips of one extraction.

    Arguments
    ---------
    present : int
        Clips that were in the store already.
    extracted : list of str
        Clips that are new in it.
    failed : dict of Failure
        Clips that are not in it, and why.
    untrusted : list of str
        New clips of which no frame can be trusted (quality 0 throughout):
        with pictures, those in which no face was found.
    seconds : float
        How long it took.
    """

    present: int
    extracted: list
    failed: dict
    untrusted: list
    seconds: float


def print_report(report, title, seconds=None):
    """Prints what became of the clips, and failures by reason.

    Arguments
    ---------
    report : ExtractionReport
        What `extract` returns.
    title : str
        Stands above the table.
    seconds : float
        Of sound or picture in the clips that were extracted, s; None if it
        is not known.
    """
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    new, failed = len(report.extracted), len(report.failed)
    table.add_row("clips", f"{report.present + new + failed:,}")
    table.add_row("  new", f"{new:,}")
    table.add_row("  present before", f"{report.present:,}")
    table.add_row("  failed", f"{failed:,}")
    if report.untrusted:
        table.add_row("new without a face", f"{len(report.untrusted):,}")
    if seconds:
        table.add_row("media, hours", f"{seconds / 3600:.2f}")
    wall = datetime.timedelta(seconds=round(report.seconds))
    table.add_row("wall time", str(wall))
    if seconds:
        table.add_row("real-time factor", f"{report.seconds / seconds:.3g}")
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    if failed:
        console.print(_table_of_failures(report.failed))


def _table_of_failures(failed):
    """Failures by reason, the most frequent first."""
    alike = defaultdict(list)
    for clip, (file, reason) in failed.items():
        reason = reason.replace(file, "FILE")
        # Names and numbers aside, one reason is one row.
        kind = re.sub(rf"\b{re.escape(clip)}\b|\S*/\S+", "…", reason)
        kind = re.sub(r"\d+(\.\d+)?", "…", kind)
        alike[kind].append((reason, file))
    table = Table("failed", "reason", "for instance", title="Failures")
    for kind, told in sorted(alike.items(), key=lambda item: -len(item[1])):
        reasons = {reason for reason, _ in told}
        reason = kind if len(reasons) > 1 else reasons.pop()
        # Names of files are no markup.
        table.add_row(f"{len(told):,}", escape(reason), escape(told[0][1]))
    return table
