"""`init`: a first table of clips from a folder of media."""

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.text import printable

SHOWN = 3  # files that are named


def init(parser):
    """Writes a first clips.csv from a folder of audio and video files.

    It has a row for each clip, with what the names of folders and files say:

    - RAVDESS, EMO-DB, CREMA-D, SAVEE, TESS: file names as published
    - EMOTION/*, SPEAKER/EMOTION/*, EMOTION/SPEAKER/*, SPLIT/EMOTION/*:
      English or German emotions; splits train, dev or valid, test
    - an audio and a video file of the same name: one clip

    What it could not recognise is left empty, and named. Mend the table in a
    spreadsheet or text editor, and train with recipes/OwnCorpus. Media are not
    opened, and an existing table is not overwritten.
    """
    parser.epilog = "example: auxformer init /path/to/recordings"
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="folder of the media files")
    add(
        "--table",
        metavar="PATH",
        help="file to write (default: FOLDER/clips.csv)",
    )
    add("--overwrite", action="store_true", help="replace an existing table")
    return _init


def _init(options):
    from pathlib import Path

    from auxformer_lobes.dataio.first_table import check_target, tabulate_folder

    folder = Path(options.folder)
    _check_folder(folder)
    path = Path(options.table) if options.table else folder / "clips.csv"
    check_target(path, options.overwrite)
    table = tabulate_folder(folder, path)
    table.write(path, options.overwrite)
    for reason in table.reasons:
        print(printable(reason))
    _print_some("media files left out", table.left_out)
    _print_some("folders that cannot be read", table.unreadable)
    if table.others:
        more = ", …" * (len(table.others) > SHOWN)
        names = ", ".join(table.others[:SHOWN])
        print(printable(f"other files: {len(table.others):,}: {names}{more}"))
    _print_counts(table.rows)
    _print_next(table, folder.resolve(), path.resolve())


def _check_folder(folder):
    import difflib

    if folder.is_dir():
        return
    if folder.exists():
        raise UserError(f"{folder}: is a file: name the folder of the media")
    names = []
    if folder.parent.is_dir():
        names = [x.name for x in folder.parent.iterdir() if x.is_dir()]
    near = difflib.get_close_matches(folder.name, names, n=1)
    hint = f": did you mean {folder.with_name(near[0])}?" if near else ""
    raise UserError(f"{folder}: no such folder{hint}")


def _print_some(title, reasons):
    if reasons:
        print(f"{title}: {len(reasons):,}")
    for path, reason in list(reasons.items())[:SHOWN]:
        print(printable(f"  {path}: {reason}"))
    if len(reasons) > SHOWN:
        print("  …")


def _print_counts(rows):
    from auxformer_lobes.dataio.first_table import count_labels

    print()
    print(
        f"{'emotion':16}{'clips':>8}{'speakers':>10}"
        f"{'audio files':>13}{'video files':>13}"
    )
    for emotion, counts in count_labels(rows).items():
        print(
            f"{printable(emotion) or '(empty)':16}{counts['clips']:8,}"
            f"{counts['speakers']:10,}{counts['audio']:13,}{counts['video']:13,}"
        )
    speakers = {row["speaker"] for row in rows if row.get("speaker")}
    print(f"{'all':16}{len(rows):8,}{len(speakers):10,}")


def _print_next(table, folder, path):
    import shlex

    empty = [
        f"{column} of {count:,} clips"
        for column in ("speaker", "emotion")
        if (count := sum(not row.get(column) for row in table.rows))
    ]
    print()
    print(printable(f"table: {path}"))
    if empty:
        print(f"first fill in: {', '.join(empty)}")
    given = shlex.join(["--data_folder", str(folder), "--table", str(path)])
    print(
        printable(
            "next, in recipes/OwnCorpus: python train.py "
            f"hparams/auxformer_offline.yaml {given}"
        )
    )
