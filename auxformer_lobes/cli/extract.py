"""Features: `extract` and `merge`."""

import argparse

from auxformer_lobes.cli.options import cpus, number_from


def extract(parser):
    """Extracts the features of clips into a feature store.

    Clips that are in the store are not extracted again, so that a run that
    was interrupted goes on. A clip whose file cannot be used is skipped,
    noted beside the store in a .failures.json file, and tried again the next
    time. Recipes find the features if their feature_folder and encoder are
    the same.

    Several processes may work into one folder: with --shard, or under
    torchrun, where each takes its share and its own GPU:
    `torchrun --nproc_per_node 4 --no-python auxformer extract ...`. Under
    Slurm: `--shard $((SLURM_PROCID + 1))/$SLURM_NTASKS`.

    The exit code is 0 even if some clips failed; it is 1 if all of them did.
    """
    parser.epilog = (
        "example: auxformer extract train.json valid.json test.json "
        "--encoder recipes/CREMA-D/hparams/encoders/hog.yaml "
        "--store results/features --data_root /path/to/CREMA-D"
    )
    add = parser.add_argument
    add("manifests", nargs="+", metavar="MANIFEST", help="JSON, of a recipe")
    add("--encoder", required=True, metavar="YAML", help="an encoder file")
    add("--store", required=True, metavar="FOLDER", help="where stores lie")
    add("--data_root", metavar="FOLDER", help="{data_root} in the manifests")
    add(
        "--dtype",
        help="of the stored numbers, float16 or float32 (what they need); "
        "recipes then need --audio_store '{dtype: float32}' or --visual_store",
    )
    add(
        "--num_workers",
        type=number_from(0),
        default=cpus(),
        metavar="N",
        help="processes that read files (%(default)s)",
    )
    add(
        "--batch_clips",
        type=number_from(1),
        default=16,
        metavar="N",
        help="clips that are encoded at a time (%(default)s)",
    )
    add(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N shares of the clips, I from 1",
    )
    add("--device", help="cpu, cuda:0, ... (a GPU if there is one)")
    add(
        "--override",
        action="append",
        default=[],
        metavar="YAML",
        help="argument of the encoder, such as 'source: /models/wavlm'",
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
    some_are_there = report.present or report.extracted
    return 1 if report.failed and not some_are_there else 0


def merge(parser):
    """Merges feature stores that were made on different machines.

    They must be of the same encoder, settings and dtype. A clip that is in
    several of them must be the same in each.
    """
    parser.epilog = (
        "example: auxformer merge one/HogFeatures-0123456789ab.h5 "
        "two/HogFeatures-0123456789ab.h5 --into results/features"
    )
    parser.add_argument("stores", nargs="+", metavar="STORE", help="a .h5 file")
    parser.add_argument(
        "--into", required=True, metavar="FOLDER", help="where stores lie"
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
        raise argparse.ArgumentTypeError(f"{text} is not like 1/4")
    if not 1 <= int(number) <= int(total):
        raise argparse.ArgumentTypeError(
            f"{text}: of {total} shares, the first is 1/{total} and the last "
            f"{total}/{total}"
        )
    return int(number), int(total)
