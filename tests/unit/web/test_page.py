"""What stops the page before it is there, in one line."""

import socket
import sys

import pytest

from auxformer_lobes.cli.main import main
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.web.page import HOST, check_port, import_gradio


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


def test_without_gradio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"install 'auxformer-lobes\[web\]'"):
        import_gradio()


def test_there_is_no_option_for_another_host(capsys):
    with pytest.raises(SystemExit):
        main(["web", "--help"])
    printed = capsys.readouterr().out
    assert "--host" not in printed and "share" not in printed
