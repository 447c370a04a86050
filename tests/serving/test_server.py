"""Test a real server process: connections, signals, networks that change, and a real client of its protocol."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.evaluation import model_source
from tests.conftest import PATIENCE, Answer, command
from tests.serving.conftest import seven


@dataclass
class Server:
    """A server process."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop the server; return its exit code and what it has printed on stderr."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, errors


Start = Callable[..., Server]


@pytest.fixture
def serve(start: Callable[..., "subprocess.Popen[str]"]) -> Start:
    """Return a function that starts a server on a free port."""

    def call(*words: object) -> Server:
        process = start("serve", *words, "--port", 0)
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"serving [\w, -]+ at http://127\.0\.0\.1:(\d+)\n", line)
        assert found, (line, process.communicate())
        return Server(process, int(found[1]))

    return call


@pytest.fixture(scope="module")
def shared(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that several tests use."""
    words = command("serve", digits, "--port", 0, "--timeout", 0.5)
    pipe = subprocess.PIPE
    folder = tmp_path_factory.mktemp("server")
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=folder) as process:
        assert process.stdout
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        yield Server(process, port)
        process.terminate()


def test_a_client_of_triton_reads_digits(shared: Server, digits: Path, few: Split) -> None:
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    images = few.images[:5]
    expected = model_source.probabilities(model_source.find_model(digits).file, images, engine="numpy")
    client = http.InferenceServerClient(f"127.0.0.1:{shared.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(digits.name)
    assert client.is_model_ready(digits.name, "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    (described,) = client.get_model_metadata(digits.name)["inputs"]
    for kind, values in (("UINT8", images), ("FP32", (images / 255).astype(np.float32))):
        for is_binary in (False, True):
            tensor = http.InferInput(described["name"], list(values.shape), kind)
            tensor.set_data_from_numpy(values, binary_data=is_binary)
            for output_is_binary in (False, True):
                output = http.InferRequestedOutput("probabilities", binary_data=output_is_binary)
                found = client.infer(digits.name, [tensor], outputs=[output], request_id="7")
                np.testing.assert_allclose(found.as_numpy("probabilities"), expected, atol=1e-6)
                assert found.get_response()["id"] == "7"
    with pytest.raises(InferenceServerException, match="there is no model other; there is"):
        client.infer("other", [tensor])
    client.close()


def test_slow_headers_and_bodies_are_cut(shared: Server) -> None:
    for sent, status in (
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"408"),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1", b"408"),
        (b"", b"408"),
        (b"nonsense\r\n\r\n", b"400"),
    ):
        with shared.connect() as connection:
            connection.sendall(sent)
            answer = b""
            while part := connection.recv(4096):
                answer += part
            assert answer.startswith(b"HTTP/1.1 " + status), answer


def test_the_second_request_of_a_connection_is_cut_too(shared: Server) -> None:
    with shared.connect() as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"live": true}'):
            answer += connection.recv(4096)
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\n")
        answer = b""
        while part := connection.recv(4096):
            answer += part
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_body_that_is_too_long_gets_its_answer(shared: Server) -> None:
    answer = httpx.post(f"{shared.url}/predict", content=b"7" * (9 * 2**20), timeout=PATIENCE)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is too large: at most 8,388,608 bytes are accepted"}
    assert "server" not in answer.headers


def test_requests_in_flight_are_answered_before_the_server_stops(serve: Start, digits: Path) -> None:
    server = serve(digits, "--access-log")
    content = json.dumps({"instances": [[[7] * 28] * 28] * 300}).encode()
    head = (
        f"POST /v1/models/{digits.name}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with server.connect() as connection:
        connection.sendall(head.encode() + content[:-1])
        httpx.get(f"{server.url}/v2/health/live")
        assert json.loads(server.line())["path"] == "/v2/health/live"
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(content[-1:])
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == 300
    assert server.process.wait(PATIENCE) == 0
    assert json.loads(server.line())["status"] == 200
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_ctrl_c_stops_the_server(serve: Start, digits: Path) -> None:
    assert serve(digits).stop(signal.SIGINT) == (0, "")


def test_a_retrained_run_is_picked_up_without_a_lost_request(
    serve: Start, digits: Path, dnn: Callable[..., Answer]
) -> None:
    run = Path(shutil.copytree(digits, "runs/own"))
    server, versions, is_over = serve(run, "--watch"), list[str](), threading.Event()
    body = {"inputs": [{"name": "image", "shape": [1, 784], "datatype": "UINT8", "data": [7] * 784}]}

    def ask() -> None:
        with httpx.Client(timeout=PATIENCE) as client:
            while not is_over.is_set():
                answer = client.post(f"{server.url}/v2/models/own/infer", json=body)
                answer.raise_for_status()
                versions.append(answer.json()["model_version"])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert dnn("train", "--resume", run, "--epochs", 6, "-q").code == 0
        assert server.line() == "own has changed: version 2 is served\n"
        seen = len(versions)
        while asking.is_alive() and len(versions) < seen + 20:
            time.sleep(0.01)
    finally:
        is_over.set()
        asking.join()
    assert versions == sorted(versions)
    assert (versions[0], versions[-1]) == ("1", "2")
    assert server.stop() == (0, "")


def test_tensorflow_is_never_imported(digits: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import httpx, asyncio
from dnn_cli.serving.app import application
from dnn_cli.serving.limits import Bounds
from dnn_cli.serving.models import Models

async def ask():
    app = application(Models([Path({str(digits)!r})]), Bounds(), collect=Path("drawings"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post("/predict?why=1", content={seven()!r}, headers={{"content-type": "image/png"}})
        assert answer.json()["images"][0]["digit"] == 7

asyncio.run(ask())
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "fastapi" in loaded
    assert not loaded & {"tensorflow", "keras", "matplotlib"}


def test_the_token_is_read_from_the_environment(
    start: Callable[..., "subprocess.Popen[str]"], digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_SERVE_TOKEN", "s3cret")
    process = start("serve", digits, "--port", 0, "--host", "0.0.0.0")
    assert process.stdout
    port = int(process.stdout.readline().strip().rpartition(":")[2])
    assert httpx.get(f"http://127.0.0.1:{port}/models").status_code == 401
    headers = {"authorization": "Bearer s3cret", "host": "example.org"}
    assert httpx.get(f"http://127.0.0.1:{port}/models", headers=headers).status_code == 200
    process.terminate()
    assert process.communicate(timeout=PATIENCE)[1] == ""
