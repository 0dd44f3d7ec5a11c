"""`evaluate`: a run on another manifest, or where something is missing."""

from auxformer_lobes.cli.options import (
    add_device,
    add_num_workers,
    number_from,
    run_opts,
)
from auxformer_lobes.utils.errors import UserError


def evaluate(parser):
    """Evaluates the best checkpoint of a run on any manifest.

    The manifest may be of another corpus: predictions and metrics are then
    restricted to the classes that the model and the manifest share.

    With --missing, it measures robustness instead: the test clips lose more and
    more of their modalities, frames, bursts of frames and stretches of frames.
    It writes missing.csv and missing.json. RUN may be a study then, whose
    finished cells are measured, and whose systems are compared.

    The run's hyperparams.yaml is executed: evaluate only runs you trust.
    """
    parser.epilog = (
        "example: auxformer evaluate results/auxformer/D6_1_1234 \\\n"
        "  --manifest improv/test.json --data_root /path/to/MSP-IMPROV\n"
        "example: auxformer evaluate results/auxformer/D6_1_1234 --missing"
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="output folder of a recipe")
    add(
        "--manifest",
        metavar="JSON",
        help="manifest that a recipe prepared (with --missing, default: the "
        "test clips of RUN)",
    )
    add(
        "--data_root",
        metavar="FOLDER",
        help="corpus folder, {data_root} in the manifest (with --missing, "
        "default: that of RUN)",
    )
    add(
        "--missing",
        action="store_true",
        help="measure robustness where modalities or frames are missing",
    )
    add(
        "--missing_seeds",
        type=number_from(1),
        metavar="N",
        help="with --missing: how often each loss is drawn (default: 3)",
    )
    add(
        "--against",
        nargs="+",
        default=[],
        metavar="RUN",
        help="with --missing: other runs, measured on the same test clips: "
        "with both modalities, baselines; with one, twins",
    )
    add(
        "--output_folder",
        metavar="FOLDER",
        help="where to write metrics, predictions and figures "
        "(default: a folder in RUN; with --missing and without --manifest, "
        "RUN)",
    )
    add(
        "--feature_folder",
        metavar="FOLDER",
        help="folder of the feature stores (default: that of the run)",
    )
    add_device(parser)
    add_num_workers(parser)
    return _evaluate


def _evaluate(options):
    if options.missing:
        return _sweep(options)
    given = {
        "--manifest": options.manifest is not None,
        "--data_root": options.data_root is not None,
        "--missing": not (options.against or options.missing_seeds),
    }
    if needed := [name for name, is_given in given.items() if not is_given]:
        raise UserError(
            f"the following arguments are required: {', '.join(needed)}: see "
            "`auxformer evaluate --help`"
        )
    from auxformer_lobes.experiments.cross_corpus import evaluate_run

    evaluate_run(
        options.run,
        options.manifest,
        options.data_root,
        options.output_folder,
        options.num_workers,
        run_opts(options),
        options.feature_folder,
    )


def _sweep(options):
    from auxformer_lobes.experiments.missing_study import sweep_study
    from auxformer_lobes.experiments.missing_sweep import sweep_run
    from auxformer_lobes.experiments.study import Study

    shared = {
        "data_folder": options.data_root,
        "num_workers": options.num_workers,
        "run_opts": run_opts(options),
        "feature_folder": options.feature_folder,
        "seeds": options.missing_seeds or 3,
    }
    if not Study(options.run).file.exists():
        sweep_run(
            options.run,
            options.manifest,
            output_folder=options.output_folder,
            against=options.against,
            **shared,
        )
        return
    for name in ("manifest", "output_folder", "against"):
        if getattr(options, name):
            raise UserError(
                f"--{name}: not of a study, whose cells have their own test "
                "clips and are compared with each other: omit it"
            )
    sweep_study(options.run, **shared)
