"""`timeline`: emotion in a file, window by window."""

import csv
import os
import sys

from auxformer_lobes.cli.media_arguments import stored_stdin
from auxformer_lobes.cli.options import add_model, add_window, load_model
from auxformer_lobes.inference.rows import timeline_header, timeline_row
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.text import printable


def timeline(parser):
    """Recognises emotion over time, in a file of any length.

    Prints one line per window: the prediction, and which modalities are
    missing and why. If several faces are visible, the largest is followed;
    with --faces all, each visible face has its own line.
    """
    parser.epilog = (
        "example: auxformer timeline talk.mp4 \\\n"
        "  --source user/auxformer-crema-d --window 3 --hop 1 --plot talk.png"
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="audio or video file, or - for standard input",
    )
    add_model(parser)
    add_window(parser)
    parser.add_argument(
        "--faces",
        choices=("largest", "all"),
        default="largest",
        help="faces to follow (default: %(default)s)",
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="write a figure: PNG, PDF or SVG"
    )
    parser.add_argument("--csv", action="store_true", help="print CSV")
    return _timeline


def _timeline(options):
    if options.plot:
        # Before the work, not after it.
        folder = os.path.dirname(options.plot)
        if not os.path.isdir(folder or "."):
            raise UserError(f"--plot {options.plot}: no such folder")
    recognizer = load_model(options)
    task = recognizer.hparams.task
    table = csv.writer(sys.stdout, lineterminator="\n")
    if options.csv:
        table.writerow(timeline_header(task))
    windows = []
    with stored_stdin([options.file]) as places:
        for start, end, emotion in recognizer.timeline(
            places[options.file],
            options.window,
            options.hop,
            options.faces,
            options.batch_size,
        ):
            if options.plot:
                windows.append((start, end, emotion))
            if options.csv:
                table.writerow(timeline_row(task, start, end, emotion))
            else:
                print(_format(start, end, emotion, task))
            sys.stdout.flush()  # what ends the command costs no window
    if options.plot:
        from auxformer_lobes.reporting import figures

        figure = figures.timeline(windows, task)
        figure.suptitle(printable(options.file), parse_math=False)
        try:
            figure.savefig(options.plot, dpi=120)
        except (OSError, ValueError) as error:
            raise UserError(f"--plot {options.plot}: {error}")
        print(f"figure: {options.plot}", file=sys.stderr)


def _format(start, end, emotion, task):
    """A window as a line of text."""
    from auxformer_lobes.reporting.tables import format_prediction

    parts = [f"{start:8.2f} - {end:.2f} s"]
    if emotion.face:
        parts.append(f"face {emotion.face}")
    outputs = [*emotion.outputs.values()]
    parts.append(format_prediction(task, outputs) if outputs else "?")
    reasons = [f"{m}: {why}" for m, why in emotion.missing.items()]
    if reasons:
        parts.append(f"({', '.join(reasons)})")
    return printable("  ".join(parts))
