"""`evaluate`: a run on other data."""

from auxformer_lobes.cli.options import add_device, cpus, number_from, run_opts


def evaluate(parser):
    """Evaluates the best checkpoint of a run on any manifest.

    The manifest may be of another corpus: the model then chooses among the
    emotions that both have. The run's hyperparams.yaml is executed: name a
    run that you trust.
    """
    parser.epilog = (
        "example: auxformer evaluate results/auxformer/D6_1_1234 "
        "--manifest improv/test.json --data_root /path/to/MSP-IMPROV"
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="a recipe's output folder")
    add("--manifest", required=True, metavar="JSON", help="of a recipe")
    add(
        "--data_root",
        required=True,
        metavar="FOLDER",
        help="{data_root} in the manifest",
    )
    add(
        "--output_folder",
        metavar="FOLDER",
        help="for metrics, predictions and pictures (one in the run)",
    )
    add(
        "--feature_folder",
        metavar="FOLDER",
        help="where features are stored (as in the run's YAML)",
    )
    add_device(parser)
    add(
        "--num_workers",
        type=number_from(0),
        default=cpus(),
        metavar="N",
        help="processes that read files (%(default)s)",
    )
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
