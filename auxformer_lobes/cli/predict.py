"""`predict`: emotion in wav and video files."""

import csv
import glob
import json
import os
import sys

from auxformer_lobes.cli.options import add_model, load_model
from auxformer_lobes.cli.output import csv_header, csv_row, print_emotions
from auxformer_lobes.utils.errors import MediaError, UserError

# Files of a folder.
SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff"),
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".ts", ".3gp", ".ogv"),
)


def predict(parser):
    """Recognises emotion in audio and video files.

    A modality that a file lacks or that cannot be used (silence, no face in
    any frame) is missing: the model predicts without it, and the output says
    why.

    Files that fail are listed on standard error; the exit code is then 1.
    """
    parser.epilog = (
        "example: auxformer predict clips/ 'more/*.mp4' voice.wav \\\n"
        "  --source user/auxformer-crema-d --csv > emotions.csv"
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="audio or video file, folder of such files, or pattern",
    )
    add_model(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json",
        action="store_true",
        help="print JSON, with the outputs of each head",
    )
    output.add_argument("--csv", action="store_true", help="print CSV")
    return _predict


def _predict(options):
    from tqdm import tqdm

    files = _find(options.files)
    recognizer = load_model(options)
    task = recognizer.hparams.task
    emotions, errors = {}, {}
    results = recognizer.try_files(files, options.batch_size)
    for file, result in tqdm(results, "files", len(files), unit="file"):
        is_error = isinstance(result, MediaError)
        (errors if is_error else emotions)[file] = result
    if options.json:
        entries = [{"file": f, **e.as_dict()} for f, e in emotions.items()]
        entries += [{"file": f, "error": str(e)} for f, e in errors.items()]
        print(json.dumps(entries, indent=1))
    elif options.csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["file", *csv_header(task)])
        for file, emotion in emotions.items():
            table.writerow([file, *csv_row(task, emotion)])
    elif emotions:
        print_emotions(emotions, task)
    for error in errors.values():
        print(f"failed: {error}", file=sys.stderr)
    return 1 if errors else 0


def _find(arguments):
    """Replaces folders and patterns by their files."""
    files = []
    for argument in arguments:
        if os.path.isdir(argument):
            found = _inside(argument)
            if not found:
                raise UserError(f"{argument}: contains no audio or video file")
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
    """Wav and video files in a folder and its subfolders, each once."""
    found = {}
    # Links to folders are not followed: they may form circles.
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = os.path.join(here, name)
            is_media = name.lower().endswith(SUFFIXES)
            if is_media and name[0] != "." and os.path.isfile(file):
                found.setdefault(os.path.realpath(file), []).append(file)
    return sorted(min(names) for names in found.values())
