"""`web`: a page in the browser that shows emotion over time."""

from auxformer_lobes.cli.options import (
    add_model,
    add_window,
    load_model,
    number_from,
)


def web(parser):
    """Opens a page in the browser: emotion over time in a file or recording.

    The page is served on this computer only (127.0.0.1) and loads nothing from
    the network. Files are deleted once they are analysed. Ctrl-C ends it.
    """
    parser.epilog = (
        "example: auxformer web --source user/auxformer-crema-d --port 8000"
    )
    add_model(parser)
    add_window(parser)
    parser.add_argument(
        "--port",
        type=number_from(1),
        default=7860,
        metavar="N",
        help="port on 127.0.0.1 (default: %(default)s)",
    )
    parser.add_argument(
        "--max_size",
        type=number_from(0.001, float),
        default=200.0,
        metavar="MB",
        help="size of the largest file, MB (default: %(default)g)",
    )
    parser.add_argument(
        "--max_duration",
        type=number_from(1, float),
        default=600.0,
        metavar="S",
        help="duration of the longest file, s (default: %(default)g)",
    )
    return _web


def _web(options):
    from auxformer_lobes.web.analysis import Limits
    from auxformer_lobes.web.page import (
        check_port,
        import_gradio,
        serving,
        wait,
    )

    # Before the model is loaded, not after it.
    check_port(options.port)
    import_gradio()
    recognizer = load_model(options)
    with serving(
        recognizer,
        f"Model: {options.source}",
        Limits(options.max_size, options.max_duration),
        options.port,
        window=options.window,
        hop=options.hop,
        batch_size=options.batch_size,
    ) as (url, _):
        print(f"page: {url}  (Ctrl-C ends it)", flush=True)
        wait()
