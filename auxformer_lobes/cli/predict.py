"""`predict`: the emotion in files."""

import csv
import glob
import json
import os
import sys

from auxformer_lobes.cli.options import add_model, cells, columns, load_model
from auxformer_lobes.utils.errors import MediaError, UserError

# What is taken out of a folder.
SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff"),
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".ts", ".3gp", ".ogv"),
)


def predict(parser):
    """Recognises the emotion in sound and video files.

    A file may have sound, pictures or both. A modality that it does not
    have, or that cannot be used (silence, no face), is missing: the model
    does without, and the table says so.

    The exit code is 1 if some files failed; they are named, and the others
    are done.
    """
    parser.epilog = (
        "example: auxformer predict clips/ 'more/*.mp4' voice.wav "
        "--source user/auxformer-crema-d --csv > emotions.csv"
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a sound or video file, a folder of them, or a pattern",
    )
    add_model(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print JSON, with each head"
    )
    form.add_argument("--csv", action="store_true", help="print CSV")
    return _predict


def _predict(options):
    from tqdm import tqdm

    files = _find(options.files)
    recognizer = load_model(options)
    task = recognizer.hparams.task
    found, failed = {}, {}
    tried = recognizer.try_files(files, options.batch_size)
    for file, emotion in tqdm(tried, "files", len(files), unit="file"):
        is_failed = isinstance(emotion, MediaError)
        (failed if is_failed else found)[file] = emotion
    if options.json:
        told = [{"file": f, **e.as_dict()} for f, e in found.items()]
        told += [{"file": f, "error": str(e)} for f, e in failed.items()]
        print(json.dumps(told, indent=1))
    elif options.csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["file", *columns(task)])
        for file, emotion in found.items():
            table.writerow([file, *cells(task, emotion)])
    elif found:
        _print_table(found, task)
    for error in failed.values():
        print(f"failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def _find(arguments):
    """Names of files, for those of folders and patterns."""
    files = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = _inside(argument)
            if not found:
                raise UserError(f"{argument}: no sound or video file in it")
        elif os.path.exists(argument) or not glob.has_magic(argument):
            found = [argument]
        else:
            found = sorted(
                file
                for file in glob.glob(argument, recursive=True)
                if os.path.isfile(file)
            )
            if not found:
                raise UserError(f"{argument}: no such file")
        files += found
    return list(dict.fromkeys(files))


def _inside(folder):
    """Names of sound and video files in a folder, each file once."""
    found = {}
    # Links to folders are not followed: they may lead round and round.
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = os.path.join(here, name)
            is_media = name.lower().endswith(SUFFIXES)
            if is_media and name[0] != "." and os.path.isfile(file):
                found.setdefault(os.path.realpath(file), []).append(file)
    return sorted(min(names) for names in found.values())


def _print_table(found, task):
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from auxformer_lobes.reporting.tables import format_prediction

    file = Column("file", overflow="fold")
    table = Table(file, "emotion", "sound", "picture")
    for file, emotion in found.items():
        used = [
            f"{emotion.quality[m]:.0%} used"
            if m in emotion.quality
            else emotion.missing[m]
            for m in ("audio", "visual")
        ]
        said = format_prediction(task, [*emotion.outputs.values()])
        table.add_row(escape(file), said, *used)
    Console().print(table)
