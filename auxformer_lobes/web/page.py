"""The page: uploads, the queue and the server are those of Gradio."""

import logging
import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from speechbrain.utils.logger import get_logger

from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.temporary import temporary_folder
from auxformer_lobes.utils.text import printable
from auxformer_lobes.web import view
from auxformer_lobes.web.analysis import analyse

logger = get_logger(__name__)

HOST = "127.0.0.1"
OLDEST = 3600  # s that an upload stays whose visitor has left the queue
WAITING = 20  # visitors in the queue
HERE = "It stays on this computer, and is deleted once it is analysed."
THERE = "It is deleted once it is analysed."
# While the page is served: nothing is sent, fetched or shared.
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def import_gradio():
    """Imports Gradio, which takes seconds.

    Returns
    -------
    module

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        import gradio
    except ImportError:
        raise UserError("the page needs Gradio: pip install 'gradio>=6'")
    return gradio


def check_port(port):
    """Finds out whether a port is free.

    Arguments
    ---------
    port : int
        The port.

    Raises
    ------
    UserError
        If it is not, or cannot be opened.
    """
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "not a port"
        raise UserError(
            f"--port {port}: {reason}: choose another, 1024 to 65535"
        )


@contextmanager
def serving(recognizer, about, limits, port=None, **options):
    """Serves the page while it is open, with a folder of its own for uploads.

    Arguments
    ---------
    recognizer : AudioVisualEmotionRecognizer
        The model.
    about : str
        What the model is.
    limits : Limits
        How large a file may be.
    port : int, optional
        On this computer; by default the first from 7860 that is free, in a
        Hugging Face Space that of the Space.
    **options
        Of `AudioVisualEmotionRecognizer.timeline`.

    Yields
    ------
    url : str
        Where it is.
    folder : Path
        Where uploads lie until they are analysed.
    """
    with temporary_folder() as folder:
        settings = {**SETTINGS, "GRADIO_TEMP_DIR": folder}
        # Gradio calls its own server, which a proxy could not reach.
        without = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
        settings["no_proxy"] = f"{without},{HOST}"
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        closing = threading.Event()
        page = None
        try:
            page = _make_page(
                *(recognizer, about, limits, folder, closing), **options
            )
            try:
                url = _launch(page, limits, port)
            except OSError:  # somebody was faster, or the computer is slow
                raise UserError(
                    "the server did not start: try again, or choose another "
                    "--port"
                )
            yield url, Path(folder)
        finally:
            closing.set()
            if page is not None and page.is_running:
                # Pages that are still open need not be waited for.
                page.server.config.timeout_graceful_shutdown = 1
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
                page.close(verbose=False)
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def answer(recognizer, path, name, folder, limits, advance, **options):
    """Analyses an upload, and deletes it.

    Arguments
    ---------
    recognizer : AudioVisualEmotionRecognizer
        The model.
    path : str
        The upload.
    name : str
        What its visitor calls it.
    folder : str
        Where uploads lie: no other file is read or deleted.
    limits : Limits
        How large a file may be.
    advance : callable
        Given the share that is done, from 0 to 1.
    **options
        Of `AudioVisualEmotionRecognizer.timeline`.

    Returns
    -------
    str
        HTML of the result, or of one line that says why there is none.
    """
    path, name = Path(path.replace("\0", "")), printable(name)
    # A visitor can send any path.
    if Path(folder).resolve() not in path.resolve().parents:
        return view.error_html(f"{name}: was not uploaded: choose it again")
    try:
        found = analyse(recognizer, path, name, limits, advance, **options)
        return view.result_html(found)
    except UserError as error:
        return view.error_html(" ".join(str(error).split()))
    # The page goes on for other visitors, whatever a file brings about.
    except Exception:
        logger.exception(printable(f"{name}: failed"))
        return view.error_html(
            f"{name}: cannot be analysed: the terminal of the page has the "
            "reason"
        )
    finally:
        with suppress(OSError):
            path.unlink()


def _make_page(recognizer, about, limits, folder, closing, **options):
    gradio = import_gradio()
    shown = gradio.Progress()

    def _answer(event: gradio.EventData, progress=shown):
        name = str(event.name)

        def _advance(share):
            if closing.is_set():
                raise UserError("the page is closed")
            progress(share, desc=printable(name))

        return answer(
            *(recognizer, str(event.path), name, folder, limits, _advance),
            **options,
        )

    with gradio.Blocks(
        analytics_enabled=False,
        title="Emotion over time",
        delete_cache=(60, OLDEST),
        fill_width=True,
    ) as page:
        chosen = gradio.HTML(
            view.input_html(about, limits, THERE if _in_space() else HERE),
            js_on_load=_read("input.js"),
            apply_default_css=False,
        )
        result = gradio.HTML(
            js_on_load=_read("result.js"),
            apply_default_css=False,
            elem_id="result",
        )
        chosen.submit(
            _answer,
            outputs=result,
            api_visibility="private",
            trigger_mode="multiple",  # no upload may be left over
            concurrency_limit=1,
        )
    page.queue(default_concurrency_limit=1, max_size=WAITING)
    return page


def _in_space():
    """Whether this is a Hugging Face Space, which sets the variable."""
    return "SPACE_ID" in os.environ


def _launch(page, limits, port):
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    gradio = import_gradio()
    system = ("system-ui", "sans-serif")
    is_open = port is None and _in_space()
    hosts = ["*"] if is_open else [HOST, "localhost"]
    _, url, _ = page.launch(
        # Other web pages that the visitor has open can reach this computer
        # too, some by a name of theirs that leads here.
        app_kwargs={
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
                *([] if is_open else [Middleware(SameOrigin)]),
            ]
        },
        share=False,
        quiet=True,
        inbrowser=False,
        prevent_thread_lock=True,
        # A Space is reached from outside of its container.
        server_name="0.0.0.0" if is_open else HOST,
        server_port=port,
        max_file_size=int(limits.megabytes * 1e6),
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
        theme=gradio.themes.Base(font=system, font_mono=("monospace",)),
        # Not as `css`, of which Gradio drops what it does not know.
        head=f"<style>{_read('page.css')}</style>",
    )
    return url


class SameOrigin:
    """Refuses requests that other web pages make.

    Arguments
    ---------
    app : callable
        The ASGI application.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Passes a request on, or answers 403."""
        from starlette.responses import PlainTextResponse

        headers = dict(scope.get("headers", ()))
        origin = headers.get(b"origin")
        app = self.app
        if origin and urlsplit(origin).netloc != headers.get(b"host"):
            app = PlainTextResponse("a request of another page", 403)
        await app(scope, receive, send)


def _read(name):
    return (view.FOLDER / name).read_text("utf-8")


def wait():
    """Waits for Ctrl-C, or for SIGTERM where it raises KeyboardInterrupt."""
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def run(source, limits):
    """Serves the page until it is interrupted, in a Hugging Face Space.

    Elsewhere it is on this computer only.

    Arguments
    ---------
    source : str or Path
        A folder that `auxformer export` wrote, or a name on the Hub.
    limits : Limits
        How large a file may be.
    """
    recognizer = AudioVisualEmotionRecognizer.from_hparams(source)
    about = f"Model: {Path(source).name}"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(recognizer, os.environ.get("SPACE_ID", about), limits) as made:
        print(f"page: {made[0]}", flush=True)
        wait()
