"""Downloading from hosts that are good, broken, slow or wrong: a server on this machine plays them all."""

import gzip
import hashlib
import io
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.request import Request, urlopen

import numpy as np
import pytest

from dnn_cli.data import datasets, download
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.conftest import PATIENCE

Answer = Callable[["Handler", bytes], None]
GZ = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


class Handler(BaseHTTPRequestHandler):
    """Answers with the next of the host's planned answers for the path, and then with the file."""

    def do_GET(self) -> None:
        host = self.server
        assert isinstance(host, Host)
        host.asked.append((self.path, self.headers.get("Range")))
        planned = host.plans.get(self.path)
        answer = planned.pop(0) if planned else good
        if self.path in host.files or planned is not None:
            answer(self, host.files.get(self.path, b""))
        else:
            status(404)(self, b"")

    def log_message(self, *_: object) -> None:
        pass


class Host(ThreadingHTTPServer):
    """A server on the loopback.

    Attributes:
        files: path → content.
        plans: path → answers to give, in this order, before the file is served.
        asked: the path and the range of each request.
        over: set at the end of the test; what the host does not say by then, it never says.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plans: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        pass


def send(handler: Handler, code: int, content: bytes, length: int | None = None, span: str = "") -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    if span:
        handler.send_header("Content-Range", span)
    handler.end_headers()
    handler.wfile.write(content)


def good(handler: Handler, content: bytes) -> None:
    """The file, or the range of it that was asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    start = int(asked[1]) if asked else 0
    if not asked:
        send(handler, 200, content)
    elif start >= len(content):
        send(handler, 416, b"")
    else:
        send(handler, 206, content[start:], span=f"bytes {start}-{len(content) - 1}/{len(content)}")


def status(code: int) -> Answer:
    return lambda handler, content: send(handler, code, b"no")


def cut(handler: Handler, content: bytes) -> None:
    """Half of the file, though the whole was announced."""
    send(handler, 200, content[: len(content) // 2], len(content))


def stall(handler: Handler, content: bytes) -> None:
    """Half of the file, and then silence."""
    cut(handler, content)
    handler.wfile.flush()
    hang(handler, content)


def hang(handler: Handler, content: bytes) -> None:
    """Silence, until the test is over."""
    host = handler.server
    assert isinstance(host, Host)
    host.over.wait()


def ignore_range(handler: Handler, content: bytes) -> None:
    send(handler, 200, content)


def wrong_range(handler: Handler, content: bytes) -> None:
    send(handler, 206, content[3:], span=f"bytes 3-{len(content) - 1}/{len(content)}")


def endless(handler: Handler, content: bytes) -> None:
    """More than there should be, and no word of how much."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content * 3)


def idx(array: Array) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def parts() -> dict[str, Array]:
    """A small set in the form of MNIST."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (50, 28, 28), dtype="u1"),
        "y_train": np.arange(50, dtype="u1") % 10,
        "x_test": random.integers(0, 256, (20, 28, 28), dtype="u1"),
        "y_test": np.arange(20, dtype="u1") % 10,
    }


@pytest.fixture(autouse=True)
def cache(host: Host, parts: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Serve `parts` as MNIST, in both forms, from the one host there is; yields the cache, which is empty."""
    for name in ("DNN_DATA_DIR", "DNN_MIRROR", "DNN_OFFLINE", "DNN_TIMEOUT", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.02))
    digests = {part: hashlib.md5(idx(array)).hexdigest() for part, array in parts.items()}
    known = replace(datasets.SETS["mnist"], digests=digests, npz_hosts=(f"{host.url}/a",), idx_hosts=(f"{host.url}/b",))
    monkeypatch.setitem(datasets.SETS, "mnist", known)
    buffer = io.BytesIO()
    np.savez(buffer, x_train=parts["x_train"], y_train=parts["y_train"], x_test=parts["x_test"], y_test=parts["y_test"])
    host.files["/a/mnist.npz"] = buffer.getvalue()
    for part, name in GZ.items():
        host.files[f"/b/{name}"] = gzip.compress(idx(parts[part]))
    return tmp_path / "keras" / "datasets"


def names(cache: Path) -> list[str]:
    """The files that are in the cache, without the locks."""
    return sorted(
        str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"
    )


def refusal() -> str:
    with pytest.raises(DataError) as caught:
        datasets.find("mnist", quiet=True)
    return str(caught.value)


def test_a_missing_set_is_downloaded_once(
    host: Host, parts: dict[str, Array], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = datasets.find("mnist")
    assert dataset.path == cache / "mnist.npz"
    assert dataset.note == ""
    np.testing.assert_array_equal(dataset.load("train").images, parts["x_train"])
    assert datasets.find("mnist", split="test").path == cache / "mnist.npz"
    assert host.asked == [("/a/mnist.npz", None)]
    assert names(cache) == ["mnist.npz"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"downloading {host.url}/a/mnist.npz (0.1 MB)\n"


def test_quiet_means_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    datasets.find("mnist", quiet=True)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    datasets.find("mnist")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    size = f"{len(host.files['/a/mnist.npz']) / 1000:.1f}"
    assert f"downloading {host.url}/a/mnist.npz " in shown
    assert f" {size}/{size} kB " in shown


def test_only_looking_downloads_nothing(host: Host) -> None:
    with pytest.raises(DataError, match="MNIST was not found"):
        datasets.find("mnist", split=None)
    assert host.asked == []


def test_offline_nobody_is_asked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_OFFLINE", "1")
    assert "  downloads are switched off by DNN_OFFLINE\n" in refusal()
    assert host.asked == []


@pytest.mark.parametrize("code", [403, 404])
def test_a_refusal_leads_to_the_next_host_at_once(code: int, host: Host, parts: dict[str, Array], cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [status(code)]
    dataset = datasets.find("mnist", split="both")
    assert dataset.path == cache / "mnist"
    np.testing.assert_array_equal(dataset.load("test").labels, parts["y_test"])
    assert names(cache) == sorted(f"mnist/{name}" for name in GZ.values())
    assert [path for path, _ in host.asked] == ["/a/mnist.npz", *(f"/b/{name}" for name in GZ.values())]


def test_the_mirror_is_asked_first(host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"{host.url}/mirror/")
    host.files["/mirror/mnist.npz"] = host.files["/a/mnist.npz"]
    datasets.find("mnist", quiet=True)
    assert host.asked == [("/mirror/mnist.npz", None)]


def test_a_mirror_of_idx_files_has_them_in_a_folder(
    host: Host, parts: dict[str, Array], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"{host.url}/mirror")
    digests = datasets.SETS["mnist"].digests
    monkeypatch.setitem(
        datasets.SETS,
        "fashion_mnist",
        replace(datasets.SETS["fashion_mnist"], digests=digests, idx_hosts=("http://x.invalid",)),
    )
    for name in GZ.values():
        host.files[f"/mirror/fashion-mnist/{name}"] = host.files[f"/b/{name}"]
    dataset = datasets.find("fashion_mnist", split="both", quiet=True)
    assert dataset.path == cache / "fashion-mnist"
    np.testing.assert_array_equal(dataset.load("train").labels, parts["y_train"])


def test_a_busy_host_is_asked_again(host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [status(503), status(500)]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert len(host.asked) == 3


def test_a_host_that_stays_busy_is_given_up(host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [status(503)] * 3
    host.plans[f"/b/{GZ['x_train']}"] = [status(502)] * 3
    assert refusal() == "\n".join(
        [
            "MNIST was not found",
            f"  {cache}/mnist.npz: not there",
            f"  {cache}/mnist: not there",
            f"  {host.url}/a/mnist.npz: HTTP 503 Service Unavailable",
            f"  {host.url}/b/train-images-idx3-ubyte.gz: HTTP 502 Bad Gateway",
            f"put mnist.npz or the folder mnist of IDX files into {cache} or $DNN_DATA_DIR",
            "or take the 5,000 digits that come with dnn: data.dataset: mnist-sample or data.fallback: mnist-sample",
        ]
    )
    assert len(host.asked) == 6
    assert names(cache) == []


def test_what_broke_off_is_gone_on_with(host: Host, cache: Path) -> None:
    half = len(host.files["/a/mnist.npz"]) // 2
    host.plans["/a/mnist.npz"] = [cut]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert host.asked == [("/a/mnist.npz", None), ("/a/mnist.npz", f"bytes={half}-")]
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]
    assert names(cache) == ["mnist.npz"]


def test_a_later_process_goes_on_where_one_was_killed(host: Host, cache: Path) -> None:
    content = host.files["/a/mnist.npz"]
    host.plans["/a/mnist.npz"] = [cut, cut, cut]
    host.plans[f"/b/{GZ['x_train']}"] = [status(404)]
    assert f"mnist.npz: ended after {len(content) // 2:,} of {len(content):,} bytes\n" in refusal()
    (left,) = names(cache)
    assert re.fullmatch(r"mnist\.npz\.[0-9a-f]{8}\.part", left)
    host.asked.clear()
    datasets.find("mnist", quiet=True)
    assert host.asked == [("/a/mnist.npz", f"bytes={len(content) // 2}-")]
    assert names(cache) == ["mnist.npz"]


@pytest.mark.parametrize("answer", [ignore_range, status(416), wrong_range])
def test_hosts_that_cannot_go_on_begin_anew(answer: Answer, host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [cut, answer]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]


def test_the_rest_of_another_version_is_thrown_away(host: Host, cache: Path) -> None:
    mark = hashlib.sha256(f"{host.url}/a/mnist.npz".encode()).hexdigest()[:8]
    cache.mkdir(parents=True)
    (cache / f"mnist.npz.{mark}.part").write_bytes(b"something else")
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert host.asked == [("/a/mnist.npz", "bytes=14-"), ("/a/mnist.npz", None)]
    assert names(cache) == ["mnist.npz"]


def test_a_wrong_file_is_never_kept(host: Host, parts: dict[str, Array], cache: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{**parts, "y_test": parts["y_test"][::-1]})  # type: ignore[arg-type]
    host.files["/a/mnist.npz"] = buffer.getvalue()
    host.files[f"/b/{GZ['y_train']}"] = b"<html>please log in</html>"
    message = refusal()
    assert f"  {host.url}/a/mnist.npz: y_test: not what MNIST has there (MD5 " in message
    assert (
        f"  {host.url}/b/train-labels-idx1-ubyte.gz: damaged or unreadable: it begins with 3c68746d, "
        "which no IDX file does\n" in message
    )
    assert names(cache) == [f"mnist/{GZ['x_train']}"]
    host.asked.clear()
    host.files[f"/b/{GZ['y_train']}"] = gzip.compress(idx(parts["y_train"]))
    datasets.find("mnist", quiet=True)
    assert [path for path, _ in host.asked] == ["/a/mnist.npz", *(f"/b/{GZ[part]}" for part in list(GZ)[1:])]


def test_a_damaged_file_stays_until_there_is_a_good_one(host: Host, cache: Path) -> None:
    cache.mkdir(parents=True)
    damaged = host.files["/a/mnist.npz"][:-100]
    (cache / "mnist.npz").write_bytes(damaged)
    host.plans["/a/mnist.npz"] = [status(403)]
    host.plans[f"/b/{GZ['x_train']}"] = [status(403)]
    assert f"  {cache}/mnist.npz: damaged, or not an .npz file: File is not a zip file\n" in refusal()
    assert (cache / "mnist.npz").read_bytes() == damaged
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]


def test_a_silent_host_is_left_at_the_time_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "0.2")
    host.plans["/a/mnist.npz"] = [hang]
    message = refusal()  # though the host is still to answer
    assert f"  {host.url}/a/mnist.npz: cannot be reached: " in message
    assert f"  {host.url}/b/train-images-idx3-ubyte.gz: the same host could not be reached just before\n" in message
    assert len(host.asked) == 1


def test_a_host_that_falls_silent_is_asked_for_the_rest(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "2")  # in which the host has to get as far as that, and to answer again
    host.plans["/a/mnist.npz"] = [stall]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert [span for _, span in host.asked] == [None, f"bytes={len(host.files['/a/mnist.npz']) // 2}-"]


def test_the_time_out_covers_looking_up_a_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "0.2")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: host.over.wait())
    assert "/a/mnist.npz: cannot be reached: no answer within 0.2 s\n" in refusal()


def test_without_a_network_each_host_is_tried_once_before_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def counted(request: Request, timeout: float) -> HTTPResponse:
        tried.append(request.full_url)
        return cast("HTTPResponse", urlopen(request, timeout=timeout))

    monkeypatch.setattr("dnn_cli.download.urlopen", counted)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        known = replace(datasets.SETS["mnist"], npz_hosts=(url,), idx_hosts=(url, "http://nowhere.invalid"))
        monkeypatch.setitem(datasets.SETS, "mnist", known)
        dataset = datasets.find("mnist", "mnist-sample")
    assert tried == [f"{url}/mnist.npz", f"http://nowhere.invalid/{GZ['x_train']}"]
    assert dataset.name == "mnist-sample"
    assert dataset.note.startswith(
        f"MNIST was neither found nor downloaded ({url}/mnist.npz: cannot be reached: Connection refused, "
        "and 2 more such): using mnist-sample in its place, "
    )


@pytest.mark.parametrize("answer", [good, endless])
def test_more_than_is_reasonable_is_refused(
    answer: Answer, host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 10_000)
    host.plans["/a/mnist.npz"] = [answer]
    host.plans[f"/b/{GZ['x_train']}"] = [status(404)]
    assert "/a/mnist.npz: larger than 10,000 bytes\n" in refusal()
    assert names(cache) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    assert (
        f"  {tmp_path}/file/datasets: cannot be written: Not a directory; set KERAS_HOME to a folder that can\n"
        in refusal()
    )


def test_a_full_disk_is_not_taken_for_a_broken_network(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_put", full)
    assert f"  {cache}: cannot be written: No space left on device; " in refusal()
    assert len(host.asked) == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "1e9"])
def test_the_time_out_must_be_a_time(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", seconds)
    assert refusal() == f"DNN_TIMEOUT must be a number of seconds above 0 and up to 3600, got {seconds!r}"


def test_a_mirror_must_be_on_the_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"file://{tmp_path}")
    monkeypatch.setitem(
        datasets.SETS, "mnist", replace(datasets.SETS["mnist"], npz_hosts=(), idx_hosts=("http://x.invalid",))
    )
    assert "/mnist/train-images-idx3-ubyte.gz: not an address that begins with http:// or https://\n" in refusal()


def test_two_processes_download_once(host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waiting = threading.Event(), threading.Event()

    def when_the_other_waits(handler: Handler, content: bytes) -> None:
        asked.set()
        waiting.wait()
        good(handler, content)

    monkeypatch.setenv("DNN_TIMEOUT", str(PATIENCE))
    host.plans["/a/mnist.npz"] = [when_the_other_waits]
    known = datasets.SETS["mnist"]
    code = (
        "from dataclasses import replace; from dnn_cli import data; "
        f"data.SETS['mnist'] = replace(data.SETS['mnist'], digests={known.digests}, npz_hosts={known.npz_hosts}); "
        "print(data.find('mnist', split='both').path)"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as first:
        assert asked.wait(PATIENCE)
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as second:
            assert second.stderr
            line = second.stderr.readline()
            waiting.set()
            answers = [process.communicate(timeout=PATIENCE) for process in (first, second)]
    assert line == "waiting for another process that is downloading the same dataset\n"
    assert answers == [
        (f"{cache}/mnist.npz\n", f"downloading {host.url}/a/mnist.npz (0.1 MB)\n"),
        (f"{cache}/mnist.npz\n", ""),
    ]
    assert host.asked == [("/a/mnist.npz", None)]


def test_two_threads_download_once(host: Host, cache: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(datasets.find("mnist", quiet=True).path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "mnist.npz"] * 4
    assert len(host.asked) == 1
