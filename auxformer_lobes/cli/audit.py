"""`audit`: what leaks between the splits of a corpus."""

from auxformer_lobes.utils.errors import UserError


def audit(parser):
    """Audits a split: speakers, clips and media that it shares.

    Errors are speakers, clips or media files in more than one split, test
    clips in the development set, and classes without a training clip. Give
    the three manifests that a recipe prepared, or any published split as a
    CSV table with the columns clip and split.

    The exit code is 1 if there are errors.
    """
    parser.epilog = (
        "example: auxformer audit --split split.csv --speaker '^(\\d{4})_'"
    )
    add = parser.add_argument
    add(
        "manifests",
        nargs="*",
        metavar="MANIFEST",
        help="train.json valid.json test.json, in this order",
    )
    add(
        "--data_root",
        metavar="FOLDER",
        help="corpus folder, {data_root} in the manifests: compares the media "
        "files, too",
    )
    add(
        "--split",
        metavar="CSV",
        help="a table instead of manifests: columns clip, split (train, valid "
        "or dev, test), and perhaps speaker",
    )
    add(
        "--speaker",
        metavar="REGEX",
        help="regular expression whose first group is the speaker in a clip's "
        "name, such as '^(\\d{4})_' or '-([FM]\\d\\d)-' (default: column "
        "speaker)",
    )
    return _audit


def _audit(options):
    from auxformer_lobes.dataio.split_audit import audit_split
    from auxformer_lobes.reporting.audit import print_audit

    done = audit_split(_read_splits(options), options.data_root)
    print_audit(done)
    if options.split is None and options.data_root is None:
        print("media files were not compared: that needs --data_root")
    return 1 if done.of_level("error") else 0


def _read_splits(options):
    """Split -> clip -> entry, of manifests or of a table."""
    import os

    from auxformer_lobes.dataio.manifests import read_manifest
    from auxformer_lobes.dataio.run import SPLITS
    from auxformer_lobes.dataio.split_files import add_speakers, read_split_file

    if options.split is not None:
        if options.manifests or options.data_root:
            raise UserError(
                "--split: takes neither manifests nor --data_root: omit them"
            )
        splits = read_split_file(options.split)
        return add_speakers(splits, options.split, options.speaker)
    if options.speaker is not None:
        raise UserError("--speaker: is for a table: name it with --split")
    if len(options.manifests) != len(SPLITS):
        raise UserError(
            "name three manifests, train.json valid.json test.json "
            f"({len(options.manifests)} given), or a table with --split"
        )
    if options.data_root and not os.path.isdir(options.data_root):
        raise UserError(f"--data_root {options.data_root}: no such folder")
    return {
        split: read_manifest(path)
        for split, path in zip(SPLITS, options.manifests)
    }
