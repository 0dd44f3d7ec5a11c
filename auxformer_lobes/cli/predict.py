"""`predict`: emotion in wav and video files."""

import os
import sys
from contextlib import contextmanager

from auxformer_lobes.cli.media_arguments import find_media, stored_stdin
from auxformer_lobes.cli.options import add_model, load_model
from auxformer_lobes.cli.prediction_writers import (
    WRITERS,
    TableWriter,
    as_cell,
    resume,
)
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.text import printable


def predict(parser):
    """Recognises emotion in audio and video files.

    A modality that a file lacks or that cannot be used (silence, no face in
    any frame) is missing: the model predicts without it, and the output says
    why.

    Files that fail are listed on standard error; the exit code is then 1. With
    --csv, --json or --output, results are written as they come.
    """
    parser.epilog = (
        "example: auxformer predict clips/ 'more/*.mp4' voice.wav \\\n"
        "  --source user/auxformer-crema-d --output emotions.csv"
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="audio or video file, folder of such files, pattern, or - for "
        "standard input",
    )
    add_model(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json",
        action="store_true",
        help="print JSON, with the outputs of each head",
    )
    output.add_argument("--csv", action="store_true", help="print CSV")
    output.add_argument(
        "--output", metavar="FILE", help="write CSV or JSON: a .csv or .json"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with --output: leave out the files that have a row there",
    )
    return _predict


def _predict(options):
    from tqdm import tqdm

    kind, is_there = _check_output(options)
    files = find_media(options.files)
    recognizer = load_model(options)
    task, errors = recognizer.hparams.task, []
    with (
        _opened(options.output, is_there) as file,
        stored_stdin(files) as places,
    ):
        writer = WRITERS.get(kind, TableWriter)(file, task)
        done = {}
        if is_there:
            done = resume(writer, options.output)
        else:
            writer.start()
        names = {places[f]: f for f in files if as_cell(f) not in done}
        results = recognizer.try_files(names, options.batch_size)
        try:
            for path, result in tqdm(results, "files", len(names), unit="file"):
                if isinstance(result, MediaError):
                    errors.append(str(result).replace(path, names[path]))
                    writer.fail(names[path], errors[-1])
                else:
                    writer.add(names[path], result)
        finally:
            writer.end()
            for error in errors:
                print(f"failed: {printable(error)}", file=sys.stderr)
    return 1 if errors else 0


def _check_output(options):
    """The kind of output, and whether a file is gone on with."""
    if options.output is None:
        if options.resume:
            raise UserError("--resume: needs --output FILE")
        return "json" if options.json else "csv" if options.csv else None, False
    kind = os.path.splitext(options.output)[1].removeprefix(".").lower()
    if kind not in WRITERS:
        raise UserError(f"--output {options.output}: name a .csv or .json")
    is_there = os.path.exists(options.output)
    if is_there and not options.resume:
        raise UserError(
            f"--output {options.output}: is there already: add --resume to go "
            "on with it, or name another file"
        )
    return kind, is_there


@contextmanager
def _opened(path, is_there):
    """The file to write, or standard output."""
    if path is None:
        yield sys.stdout
        return
    try:
        file = open(
            path,
            "r+" if is_there else "x",
            encoding="utf-8",
            errors="surrogateescape",
            newline="",
        )
    except OSError as error:
        raise UserError(f"--output {path}: {error.strerror}")
    with file:
        yield file
