"""What stops the page before it is there, and what it answers an upload."""

import re
import socket
import sys
from types import SimpleNamespace

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from auxformer_lobes.cli.main import main
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.web.analysis import Limits
from auxformer_lobes.web.page import (
    HOST,
    SameOrigin,
    answer,
    check_port,
    import_gradio,
)
from tests.unit.media_files import tone, write_media


def test_a_port_in_use_is_one_line_before_the_model_is_loaded():
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SystemExit) as error:
            main(["web", "--source", "no model", "--port", str(port)])
    assert error.value.code.startswith(f"error: --port {port}: Address already")
    assert "\n" not in error.value.code


def test_a_number_beyond_the_ports_is_refused():
    with pytest.raises(UserError, match="--port 70000: not a port"):
        check_port(70000)


def test_without_gradio_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match="pip install 'gradio>=6'"):
        import_gradio()


@pytest.mark.parametrize(
    "origin, status",
    [
        (None, 200),
        ("http://127.0.0.1:7860", 200),
        ("http://127.0.0.1:80", 403),  # of another program on this computer
        ("http://example.com", 403),
        ("http://example.com:7860", 403),
        ("null", 403),  # of a file
    ],
)
def test_requests_of_other_pages_are_refused(origin, status):
    app = SameOrigin(PlainTextResponse("the page"))
    headers = {"origin": origin} if origin else {}
    client = TestClient(app, base_url="http://127.0.0.1:7860")
    assert client.post("/upload", headers=headers).status_code == status


def answer_upload(path, folder, timeline):
    """What the page answers, without a browser."""
    return answer(
        *(SimpleNamespace(timeline=timeline), str(path), "<mine>.wav"),
        *(str(folder), Limits(), lambda share: None),
    )


def fail(error):
    """A timeline that fails."""

    def _timeline(path):
        raise error(f"{path}: no\nend")

    return _timeline


@pytest.mark.parametrize(
    "error, line",
    [
        (MediaError, "&lt;mine&gt;.wav: no end"),
        (ZeroDivisionError, "&lt;mine&gt;.wav: cannot be analysed: the term"),
    ],
)
def test_an_upload_that_fails_is_one_line_and_is_deleted(tmp_path, error, line):
    path = write_media(tmp_path / "f00.wav", waveform=tone())
    html = answer_upload(path, tmp_path, fail(error))
    (shown,) = re.findall(r'<p class="error" role="alert">(.*)</p>', html)
    assert shown.startswith(line)
    assert not path.exists()


@pytest.mark.parametrize("name", ["private.wav", "uploads/../private.wav"])
def test_no_other_file_is_read_or_deleted(tmp_path, name):
    (tmp_path / "uploads").mkdir()
    path = write_media(tmp_path / "private.wav", waveform=tone())
    html = answer_upload(tmp_path / name, tmp_path / "uploads", None)
    assert "was not uploaded" in html
    assert path.exists()


def test_there_is_no_option_for_another_host(capsys):
    with pytest.raises(SystemExit):
        main(["web", "--help"])
    printed = capsys.readouterr().out
    assert "--host" not in printed and "share" not in printed
