"""The result of an extraction, and its table."""

import datetime
import re
from collections import defaultdict
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class ExtractionReport(NamedTuple):
    """Result of one extraction.

    Arguments
    ---------
    present : int
        Clips that the store had already.
    extracted : list of str
        New clips.
    failed : dict of Failure
        Clips without features, and why.
    invalid : list of str
        New clips without a valid frame: videos without a face.
    seconds : float
        Wall time, s.
    damaged : list of str
        Clips that were stored, but damaged, and were tried again.
    """

    present: int
    extracted: list
    failed: dict
    invalid: list
    seconds: float
    damaged: list = []


def print_report(report, title, seconds=None):
    """Prints the numbers of clips, the speed, and failures by reason.

    Arguments
    ---------
    report : ExtractionReport
        What `extract` returns.
    title : str
        Title of the table.
    seconds : float
        Duration of the extracted clips, s; None if unknown.
    """
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    new, failed = len(report.extracted), len(report.failed)
    table.add_row("clips", f"{report.present + new + failed:,}")
    table.add_row("  new", f"{new:,}")
    table.add_row("  present before", f"{report.present:,}")
    table.add_row("  failed", f"{failed:,}")
    if report.damaged:
        table.add_row("damaged before", f"{len(report.damaged):,}")
    if report.invalid:
        table.add_row("new without a face", f"{len(report.invalid):,}")
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
    groups = defaultdict(list)
    for clip, (file, reason) in failed.items():
        reason = reason.replace(file, "FILE")
        # Reasons that differ only in names and numbers share a row.
        kind = re.sub(rf"\b{re.escape(clip)}\b|\S*/\S+", "…", reason)
        kind = re.sub(r"\d+(\.\d+)?", "…", kind)
        groups[kind].append((reason, file))
    table = Table("failed", "reason", "example", title="Failures")
    for kind, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        reasons = {reason for reason, _ in members}
        reason = kind if len(reasons) > 1 else reasons.pop()
        # Escaped: file names may look like markup of rich.
        table.add_row(
            f"{len(members):,}", escape(reason), escape(members[0][1])
        )
    return table
