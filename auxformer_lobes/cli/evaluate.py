"""`evaluate`: a run on another manifest."""

from auxformer_lobes.cli.options import add_device, add_num_workers, run_opts


def evaluate(parser):
    """Evaluates the best checkpoint of a run on any manifest.

    The manifest may be of another corpus: predictions and metrics are then
    restricted to the classes that the model and the manifest share.

    The run's hyperparams.yaml is executed: evaluate only runs you trust.
    """
    parser.epilog = (
        "example: auxformer evaluate results/auxformer/D6_1_1234 \\\n"
        "  --manifest improv/test.json --data_root /path/to/MSP-IMPROV"
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="output folder of a recipe")
    add(
        "--manifest",
        required=True,
        metavar="JSON",
        help="manifest that a recipe prepared",
    )
    add(
        "--data_root",
        required=True,
        metavar="FOLDER",
        help="corpus folder, {data_root} in the manifest",
    )
    add(
        "--output_folder",
        metavar="FOLDER",
        help="where to write metrics, predictions and figures "
        "(default: a folder in RUN)",
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
