"""Models that travel: `export`, `push` and `info`."""

from auxformer_lobes.cli.options import add_fetching


def export(parser):
    """Exports the best checkpoint of a run, for use and to be shared.

    The folder holds all that inference needs, and nothing else: weights as
    safetensors, hyperparameters, config.json, and a model card.
    """
    parser.epilog = (
        "example: auxformer export results/auxformer/D6_1_1234 "
        "auxformer-crema-d --license cc-by-nc-4.0; the run's "
        "hyperparams.yaml is executed: export runs that you trust"
    )
    parser.add_argument("run", metavar="RUN", help="a recipe's output folder")
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument(
        "--include_encoders",
        action="store_true",
        help="copy the pretrained encoders, too",
    )
    parser.add_argument(
        "--license",
        default="other",
        metavar="NAME",
        help="of the weights, as the Hub names it (%(default)s)",
    )
    return _export


def _export(options):
    from auxformer_lobes.sharing.export import export

    folder = export(
        options.run, options.out, options.include_encoders, options.license
    )
    print(f"model: {folder}")


def push(parser):
    """Puts an exported model on the Hugging Face Hub, for you only.

    The token is that of HF_TOKEN, or of `hf auth login`.
    """
    parser.epilog = (
        "example: auxformer push auxformer-crema-d "
        "user/auxformer-crema-d --dry-run"
    )
    parser.add_argument("out", metavar="OUT", help="what `export` has made")
    parser.add_argument("name", metavar="USER/NAME", help="its name there")
    parser.add_argument(
        "--public", action="store_true", help="for everybody to see"
    )
    parser.add_argument(
        "--update", action="store_true", help="it is there already"
    )
    parser.add_argument(
        *("--dry-run", "--dry_run"),
        action="store_true",
        help="only list what would go",
    )
    return _push


def _push(options):
    from auxformer_lobes.sharing.hub import push

    url, files = push(
        options.out,
        options.name,
        private=not options.public,
        update=options.update,
        dry_run=options.dry_run,
    )
    for file, size in files:
        print(f"{size:14,} bytes  {file}")
    print(f"model: {url or 'nothing was sent'}")


def info(parser):
    """Tells what a model is: its task, features, training and metrics."""
    parser.epilog = "example: auxformer info user/auxformer-crema-d"
    parser.add_argument(
        "source", metavar="MODEL", help="a folder of `export`, or user/name"
    )
    add_fetching(parser)
    return _info


def _info(options):
    from auxformer_lobes.sharing.hub import info

    info(options.source, options.savedir, options.revision)
