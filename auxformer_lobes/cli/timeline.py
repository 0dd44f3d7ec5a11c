"""`timeline`: the emotion in a file, window by window."""

import csv
import os
import sys

from auxformer_lobes.cli.options import (
    add_model,
    cells,
    columns,
    load_model,
    number_from,
)
from auxformer_lobes.utils.errors import UserError


def timeline(parser):
    """Recognises emotion over time, in a file of any length.

    Prints a line for each window of the file. Where neither sound nor picture
    can be used, it says why. Of several faces, the largest is followed; with
    --faces all, there is a line for each face in a window.
    """
    parser.epilog = (
        "example: auxformer timeline talk.mp4 --source "
        "user/auxformer-crema-d --window 3 --hop 1 --plot talk.png"
    )
    parser.add_argument("file", metavar="FILE", help="a sound or video file")
    add_model(parser)
    parser.add_argument(
        "--window",
        type=number_from(0.1, float),
        default=2.0,
        metavar="S",
        help="seconds of a window (%(default)s)",
    )
    parser.add_argument(
        "--hop",
        type=number_from(0.01, float),
        default=0.5,
        metavar="S",
        help="seconds from one window to the next (%(default)s)",
    )
    parser.add_argument(
        "--faces",
        choices=("largest", "all"),
        default="largest",
        help="which are followed (%(default)s)",
    )
    parser.add_argument("--plot", metavar="PICTURE", help="a PNG or PDF file")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    return _timeline


def _timeline(options):
    from auxformer_lobes.reporting import figures
    from auxformer_lobes.reporting.tables import format_prediction

    if options.plot:
        # Told before the work is done.
        folder = os.path.dirname(options.plot)
        if not os.path.isdir(folder or "."):
            raise UserError(f"--plot {options.plot}: no such folder")
    recognizer = load_model(options)
    task = recognizer.hparams.task
    table = csv.writer(sys.stdout, lineterminator="\n")
    if options.csv:
        table.writerow(["start", "end", "face", *columns(task)])
    told = []
    for start, end, emotion in recognizer.timeline(
        options.file,
        options.window,
        options.hop,
        options.faces,
        options.batch_size,
    ):
        if options.plot:
            told.append((start, end, emotion))
        if options.csv:
            times = f"{start:.3f}", f"{end:.3f}"
            face = emotion.face or ""
            table.writerow([*times, face, *cells(task, emotion)])
            continue
        said = format_prediction(task, [*emotion.outputs.values()]) or "?"
        missing = ", ".join(
            f"no {word}: {emotion.missing[modality]}"
            for modality, word in (("audio", "sound"), ("visual", "picture"))
            if modality in emotion.missing
        )
        face = f"face {emotion.face}  " if emotion.face else ""
        print(f"{start:8.2f} - {end:.2f} s  {face}{said}  {missing}".rstrip())
    if options.plot:
        figure = figures.timeline(told, task)
        figure.suptitle(options.file, parse_math=False)
        try:
            figure.savefig(options.plot, dpi=120)
        except (OSError, ValueError) as error:
            raise UserError(f"--plot {options.plot}: {error}")
        print(f"picture: {options.plot}", file=sys.stderr)
