"""Sharing of models: `export`, `push` and `info`."""

from auxformer_lobes.cli.options import add_download
from auxformer_lobes.utils.errors import UserError

LICENSE = "other"  # of the weights, if it is not stated


def export(parser):
    """Exports the best checkpoint of a run, for inference and sharing.

    Writes a folder with all that inference needs: weights (safetensors),
    hyperparams.yaml, config.json and a model card. --onnx adds network.onnx,
    the network from features to logits and probabilities; feature encoders and
    face tracking are not in it. With --onnx, RUN may be an exported model, too,
    and OUT the same folder.

    The run's hyperparams.yaml is executed: export only runs you trust.
    """
    parser.epilog = (
        "example: auxformer export results/auxformer/D6_1_1234 \\\n"
        "  auxformer-crema-d --license cc-by-nc-4.0"
    )
    parser.add_argument("run", metavar="RUN", help="output folder of a recipe")
    parser.add_argument("out", metavar="OUT", help="folder to write")
    parser.add_argument(
        "--include_encoders",
        action="store_true",
        help="include the pretrained encoders, instead of their names only",
    )
    parser.add_argument(
        "--license",
        default=LICENSE,
        metavar="NAME",
        help="licence of the weights, by its name on the Hub "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="write network.onnx, too (takes a minute)",
    )
    return _export


def _export(options):
    from auxformer_lobes.sharing.export import add_onnx, export
    from auxformer_lobes.sharing.layout import is_exported

    if options.onnx and is_exported(options.run):
        if options.include_encoders or options.license != LICENSE:
            raise UserError(
                f"{options.run}: exported already: --license and "
                "--include_encoders are for the output folder of a recipe"
            )
        folder = add_onnx(options.run, options.out)
    else:
        folder = export(
            options.run,
            options.out,
            options.include_encoders,
            options.license,
            options.onnx,
        )
    print(f"model: {folder}")
    if options.onnx:
        _print_onnx(folder)


def _print_onnx(folder):
    from auxformer_lobes.sharing.layout import ONNX, ModelFolder

    made = ModelFolder(folder).config()["onnx"]
    print(
        f"ONNX: {folder / ONNX}: {made['bytes'] / 1e6:,.1f} MB, opset "
        f"{made['opset']}, within {made['max_difference']:.0e} of torch"
    )
    print(
        "It has the network only: feature encoders and face tracking, with "
        "their licences, are not in it."
    )


def push(parser):
    """Uploads an exported model to the Hugging Face Hub, private by default.

    With --space, uploads a Space in its place: the page of `auxformer web`
    that runs the model, which lies in it.

    Needs a token that may write: HF_TOKEN, or `hf auth login`.
    """
    parser.epilog = (
        "example: auxformer push auxformer-crema-d "
        "user/auxformer-crema-d --dry-run"
    )
    parser.add_argument(
        "out", metavar="OUT", help="folder made by `auxformer export`"
    )
    parser.add_argument("name", metavar="USER/NAME", help="name on the Hub")
    parser.add_argument(
        "--space", action="store_true", help="upload a Space that runs the page"
    )
    parser.add_argument(
        "--public", action="store_true", help="make what is new public"
    )
    parser.add_argument(
        "--update", action="store_true", help="update what is already there"
    )
    parser.add_argument(
        *("--dry-run", "--dry_run"),
        action="store_true",
        help="list the files, and upload nothing",
    )
    return _push


def _push(options):
    from auxformer_lobes.sharing.hub import push
    from auxformer_lobes.sharing.space import push_space

    url, files = (push_space if options.space else push)(
        options.out,
        options.name,
        private=not options.public,
        update=options.update,
        dry_run=options.dry_run,
    )
    for file, size in files:
        print(f"{size:14,} bytes  {file}")
    kind = "space" if options.space else "model"
    print(f"{kind}: {url or 'not uploaded (dry run)'}")


def info(parser):
    """Shows the task, features, training and metrics of an exported model."""
    parser.epilog = "example: auxformer info user/auxformer-crema-d"
    parser.add_argument(
        "source",
        metavar="MODEL",
        help="folder made by `auxformer export`, or USER/NAME on the Hub",
    )
    add_download(parser)
    return _info


def _info(options):
    from auxformer_lobes.sharing.hub import info

    info(options.source, options.savedir, options.revision)
