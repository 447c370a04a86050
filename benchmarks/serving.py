"""Measure how many predictions a second `dnn serve` and a tutorial's server answer, beside their load generator.

Both serve the same network. They take turns, because the speed of a shared machine changes; a figure is the median of
all rounds, and a ratio is the median of the ratios within each round. The load generator keeps one request waiting on
each of its connections.

    python serving.py [--rounds N] [--seconds S]
"""

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 8, 64)
COMPARED = 8  # connections at which the servers are compared
PATIENCE = 120  # seconds for a server to start
CONFIG = "engine: numpy\ndata: {dataset: mnist-sample}\nmodel: {layers: [128]}\ntraining: {epochs: 1}\n"


@dataclass(frozen=True)
class Load:
    """What a load measured.

    Attributes:
        rate: answers a second.
        median: milliseconds in which half of the answers came.
        p99: milliseconds in which 99 of 100 answers came.
    """

    rate: float
    median: float
    p99: float


@dataclass
class Connection:
    """A connection with a request that waits for its answer.

    Attributes:
        socket: the connection.
        begin: when the request was sent.
        received: the part of the answer that has arrived.
    """

    socket: socket.socket
    begin: float = 0.0
    received: bytes = b""

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.received, self.begin = b"", time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what has arrived, and return whether the answer is complete."""
        self.received += self.socket.recv(2**16)
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {self.received[:300]!r}")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return len(body) == int(lengths[0].partition(b":")[2])


def measure(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Send a request again and again on each connection, and measure the answers, at least one for each connection."""
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        opened = [Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        for one in opened:
            one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.send(request)
            while not one.is_answered():  # the first answer of a server takes longer
                pass
            selector.register(one.socket, selectors.EVENT_READ, one)
        for one in opened:
            one.send(request)
        begin = time.perf_counter()
        while (passed := time.perf_counter() - begin) < seconds or len(times) < connections:
            for key, _ in selector.select(1):
                if key.data.is_answered():
                    times.append(time.perf_counter() - key.data.begin)
                    key.data.send(request)
        for one in opened:
            one.socket.close()
    times.sort()
    return Load(len(times) / passed, 1000 * median(times), 1000 * times[int(0.99 * len(times))])


def post(path: str, body: bytes, **headers: str) -> bytes:
    """Return a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def requests(name: str, image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> dict[str, bytes]:
    """Return the requests to `dnn serve` for one image, by the name of the interface."""
    values, content = image.tolist(), image.tobytes()
    tensor = {"name": "image", "shape": [1, *image.shape], "datatype": "UINT8"}
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    described = {**tensor, "parameters": {"binary_data_size": len(content)}}
    head = json.dumps({"inputs": [described], "outputs": [output]}).encode()
    infer = f"/v2/models/{name}/infer"
    return {
        "TensorFlow Serving REST, JSON": post(
            f"/v1/models/{name}:predict", json.dumps({"instances": [values]}).encode()
        ),
        "Open Inference Protocol, JSON": post(
            infer, json.dumps({"inputs": [{**tensor, "data": image.ravel().tolist()}]}).encode()
        ),
        "Open Inference Protocol, binary tensors": post(
            infer, head + content, Inference_Header_Content_Length=str(len(head))
        ),
        "Open Inference Protocol, bytes alone": post(infer, content, Inference_Header_Content_Length="0"),
    }


@contextmanager
def running(*words: object) -> Iterator[int]:
    """Run a server at a free port, which replaces PORT in its command line, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, *(str(port) if word == "PORT" else str(word) for word in words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(port, server)
            yield port
        finally:
            server.terminate()


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(PATIENCE * 10):
        if server.poll() is not None:
            raise RuntimeError(f"{server.args!r} ended")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{server.args!r} does not listen")


def table(rows: dict[tuple[str, int], list[Load]], ratios: dict[str, float]) -> str:
    """Return the table of the results."""
    lines = [
        f"{'':<42} {'connections':>11} {'answers/s':>10} {'median ms':>10} {'p99 ms':>8} {'× tutorial':>11}",
    ]
    for (name, connections), loads in rows.items():
        rate, middle, late = (median(getattr(one, key) for one in loads) for key in ("rate", "median", "p99"))
        ratio = f"{ratios[name]:.1f}" if connections == COMPARED and name in ratios else ""
        lines.append(f"{name:<42} {connections:>11} {rate:>10,.0f} {middle:>10.2f} {late:>8.2f} {ratio:>11}")
    return "\n".join(lines)


def main() -> None:
    """Train a network, serve it twice, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the server.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    rows: dict[tuple[str, int], list[Load]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config, run = Path(folder, "served.yaml"), Path(folder, "served")
        config.write_text(CONFIG, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        train = [sys.executable, "-m", "dnn_cli", "train", "-c", str(config), "--run-dir", str(run), "-q"]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL, env=environment)
        os.environ.update(environment)
        file = next(run.glob("checkpoints/best.keras"))
        tutorial = post("/predict", json.dumps({"pixels": image.tolist()}).encode())
        with (
            running("-m", "dnn_cli", "serve", run, "--port", "PORT") as ours,
            running(HERE / "tutorial_server.py", file, "PORT") as theirs,
        ):
            measured = [(name, ours, request) for name, request in requests(run.name, image).items()]
            measured.append(("FastAPI and Keras, as a tutorial does it", theirs, tutorial))
            for _ in range(options.rounds):
                for connections in CONNECTIONS:
                    for name, port, request in measured:
                        found = measure(port, request, connections, options.seconds)
                        rows.setdefault((name, connections), []).append(found)
    base = rows[measured[-1][0], COMPARED]
    ratios = {
        name: median(one.rate / other.rate for one, other in zip(rows[name, COMPARED], base, strict=True))
        for name, _, _ in measured
    }
    print(table(rows, ratios))


if __name__ == "__main__":
    main()
