"""Features: `extract` and `merge`."""

import argparse

from auxformer_lobes.cli.options import add_device, add_num_workers, number_from


def extract(parser):
    """Extracts features of clips into a feature store.

    Clips already in the store are skipped, so an interrupted extraction can
    be continued. A clip whose file cannot be used is recorded in the
    .failures.json file beside the store, and tried again next time. A recipe
    uses the store if its feature_folder and encoder are the same.

    Several processes can fill one store: each extracts a share of the clips,
    given by --shard or, on its own GPU, by torchrun:
    `torchrun --nproc_per_node 4 --no-python auxformer extract ...`. Under
    Slurm: `--shard $((SLURM_PROCID + 1))/$SLURM_NTASKS`.

    The exit code is 1 only if all clips failed.
    """
    parser.epilog = (
        "example: auxformer extract train.json valid.json test.json \\\n"
        "  --encoder recipes/CREMA-D/hparams/encoders/hog.yaml \\\n"
        "  --store results/features --data_root /path/to/CREMA-D"
    )
    add = parser.add_argument
    add(
        "manifests",
        nargs="+",
        metavar="MANIFEST",
        help="JSON manifest that a recipe prepared",
    )
    add(
        "--encoder",
        required=True,
        metavar="YAML",
        help="encoder file, as in a recipe's hparams/encoders/",
    )
    add(
        "--store",
        required=True,
        metavar="FOLDER",
        help="folder of the feature stores",
    )
    add(
        "--data_root",
        metavar="FOLDER",
        help="corpus folder, {data_root} in the manifests",
    )
    add(
        "--dtype",
        metavar="NAME",
        help="dtype of the stored features, float16 or float32 (default: the "
        "encoder's); to use another one, a recipe needs --audio_store or "
        "--visual_store '{dtype: float32}'",
    )
    add_num_workers(parser)
    add(
        "--batch_clips",
        type=number_from(1),
        default=16,
        metavar="N",
        help="clips encoded per batch (default: %(default)s)",
    )
    add(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="extract only the I-th of N shares of the clips, from 1/N to N/N",
    )
    add_device(parser)
    add(
        "--override",
        action="append",
        default=[],
        metavar="YAML",
        help="option of the encoder, such as 'source: /models/wavlm'; may be "
        "repeated",
    )
    return _extract


def _extract(options):
    from speechbrain.utils.distributed import if_main_process

    from auxformer_lobes.dataio import (
        extraction,
        extraction_inputs as inputs,
    )
    from auxformer_lobes.dataio.dataset import MEDIA
    from auxformer_lobes.dataio.extraction_report import print_report
    from auxformer_lobes.dataio.feature_store import FeatureStore

    overrides = "\n".join(options.override)
    with extraction.processes(options.device) as device:
        encoder = inputs.load_extractor(options.encoder, overrides)
        if device is not None:
            encoder.device = device
        files, seconds = inputs.read_manifests(
            options.manifests, MEDIA[encoder.modality], options.data_root
        )
        store = FeatureStore(options.store, encoder, options.dtype)
        report = extraction.extract(
            store,
            extraction.shard_of(files, *options.shard),
            options.num_workers,
            options.batch_clips,
            f"{encoder.modality} features",
        )
        if if_main_process():
            media = sum(seconds.get(clip, 0) for clip in report.extracted)
            print_report(report, encoder.settings["class"], media)
            print(f"features: {store.path}")
            if report.failed:
                print(f"failures: {store.failures_path}")
    succeeded = report.present or report.extracted
    return 1 if report.failed and not succeeded else 0


def merge(parser):
    """Merges feature stores, as extracted on several machines.

    All must have the same encoder, settings and dtype. A clip may be in
    several of them if its features are the same in each.
    """
    parser.epilog = (
        "example: auxformer merge one/HogFeatures-0123456789ab.h5 \\\n"
        "  two/HogFeatures-0123456789ab.h5 --into results/features"
    )
    parser.add_argument(
        "stores", nargs="+", metavar="STORE", help="feature store, a .h5 file"
    )
    parser.add_argument(
        "--into",
        required=True,
        metavar="FOLDER",
        help="folder to write the merged store to",
    )
    return _merge


def _merge(options):
    from auxformer_lobes.dataio.merging import merge_stores

    store = merge_stores(options.stores, options.into)
    print(f"{len(list(store)):,} clips, {len(store.failures()):,} failed")
    print(f"features: {store.path}")


def _shard(text):
    number, slash, total = text.partition("/")
    if not (slash and number.isdecimal() and total.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} does not have the form I/N")
    if not 1 <= int(number) <= int(total):
        raise argparse.ArgumentTypeError(
            f"{text}: of {total} shares, the first is 1/{total} and the last "
            f"{total}/{total}"
        )
    return int(number), int(total)
