"""Test `dnn serve`: what it refuses before it serves. `tests/serving` has the rest."""

import shutil
import socket
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

from dnn_cli import errors
from dnn_cli.cli import serve
from dnn_cli.serving import server
from tests.conftest import Answer

Dnn = Callable[..., Answer]


def test_a_port_in_use_is_reported(dnn: Dnn, trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = dnn("serve", trained, "--port", port)
    message = f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port\n"
    assert answer == Answer(2, "", message)


def test_a_host_that_is_not_ours_is_reported(dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_SERVE_TOKEN", "s3cret")
    answer = dnn("serve", trained, "--host", "192.0.2.1")
    assert answer.code == 2
    assert answer.stderr.startswith("error: cannot listen on 192.0.2.1 port 8000: ")


def test_a_network_that_numpy_does_not_know_is_refused(dnn: Dnn) -> None:
    import keras

    layers = [keras.Input((28, 28, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save("convolution.keras")
    answer = dnn("serve", "convolution.keras")
    message = "error: convolution.keras holds a network that NumPy cannot run: it does not begin with Flatten\n"
    assert answer == Answer(1, "", message)


def test_missing_runs_are_reported(dnn: Dnn, trained: Path) -> None:
    assert dnn("serve", "other") == Answer(2, "", "error: there is no run or .keras file other\n")
    assert dnn("serve").code == 2
    twin = shutil.copytree(trained, "more/trained")
    answer = dnn("serve", trained, twin)
    message = f"error: {twin}: another network is called trained already; rename one of the two\n"
    assert answer == Answer(2, "", message)


def test_a_missing_extra_is_one_clear_error(dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"fastapi", "prometheus_client"}
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name in missing else util.find_spec(name))
    message = "dnn serve needs fastapi and prometheus_client, which are not installed: pip install 'dnn-cli[serve]'"
    assert dnn("serve", trained) == Answer(2, "", f"error: {message}\n")


def test_a_server_that_everybody_reaches_is_warned_of(dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []
    monkeypatch.setattr(server, "serve", lambda models, chosen, notify: settings.append(chosen))
    warning = "warning: everybody who reaches 0.0.0.0 can use this server; set DNN_SERVE_TOKEN to demand a token\n"
    assert dnn("serve", trained, "--host", "0.0.0.0") == Answer(0, "", warning)
    assert dnn("serve", trained, "--host", "localhost") == Answer(0, "", "")
    assert [one.bounds.is_local for one in settings] == [False, True]
    assert serve.serve.name == "serve"


def test_the_options_reach_the_server(dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(server, "serve", lambda models, settings, notify: found.append(settings))
    limits = ["--max-requests", 3, "--max-body", 2, "--timeout", 1.5]
    assert dnn("serve", trained, "--collect", "drawings", "--watch", "--access-log", "--port", 9, *limits).code == 0
    (settings,) = found
    assert (settings.collect, settings.watch, settings.log_requests, settings.port) == (Path("drawings"), True, True, 9)
    assert (settings.bounds.requests, settings.bounds.body, settings.bounds.seconds) == (3, 2 * 2**20, 1.5)
