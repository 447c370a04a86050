"""Test downloads from hosts that are good, broken, slow or wrong, all played by a server on this machine."""

import gzip
import hashlib
import io
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from urllib.request import Request

import numpy as np
import pytest

from dnn_cli.data import datasets, download
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.conftest import PATIENCE
from tests.data.http_host import (
    Answer,
    Handler,
    Host,
    cut,
    endless,
    good,
    hang,
    ignore_range,
    redirect,
    stall,
    status,
    trickle,
    wrong_range,
)
from tests.files import IDX, idx, stored

GZ = {array_name: f"{file}.gz" for array_name, file in IDX.items()}


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def parts() -> dict[str, Array]:
    """Return the arrays of a small dataset in the form of MNIST."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (50, 28, 28), dtype="u1"),
        "y_train": np.arange(50, dtype="u1") % 10,
        "x_test": random.integers(0, 256, (20, 28, 28), dtype="u1"),
        "y_test": np.arange(20, dtype="u1") % 10,
    }


@pytest.fixture(autouse=True)
def cache(host: Host, parts: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Serve `parts` as MNIST from the test host, in both formats; returns Keras's cache folder, which is empty."""
    for name in ("DNN_DATA_DIR", "DNN_MIRROR", "DNN_OFFLINE", "DNN_TIMEOUT", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(download, "RETRY_PAUSES", (0.01, 0.02))
    digests = {part: hashlib.md5(idx(array)).hexdigest() for part, array in parts.items()}
    known = replace(
        KNOWN_DATASETS["mnist"], digests=digests, npz_hosts=(f"{host.url}/a",), idx_hosts=(f"{host.url}/b",)
    )
    monkeypatch.setitem(KNOWN_DATASETS, "mnist", known)
    host.files["/a/mnist.npz"] = stored(parts)
    for part, name in GZ.items():
        host.files[f"/b/{name}"] = gzip.compress(idx(parts[part]))
    return tmp_path / "keras" / "datasets"


def names(cache: Path) -> list[str]:
    """Return the names of the files in the cache, without the locks."""
    return sorted(
        str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"
    )


def refusal() -> str:
    """Return the message with which finding MNIST fails."""
    with pytest.raises(DataError) as caught:
        datasets.find("mnist", quiet=True)
    return str(caught.value)


def test_a_missing_dataset_is_downloaded_once(
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


def test_a_quiet_download_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    datasets.find("mnist", quiet=True)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_progress_bar(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_split_none_downloads_nothing(host: Host) -> None:
    with pytest.raises(DataError, match="MNIST was not found"):
        datasets.find("mnist", split=None)
    assert host.asked == []


def test_offline_no_host_is_contacted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_OFFLINE", "1")
    assert "  downloads are switched off by DNN_OFFLINE\n" in refusal()
    assert host.asked == []


@pytest.mark.parametrize("code", [403, 404])
def test_an_http_error_leads_to_the_next_host_at_once(
    code: int, host: Host, parts: dict[str, Array], cache: Path
) -> None:
    host.plans["/a/mnist.npz"] = [status(code)]
    dataset = datasets.find("mnist", split="both")
    assert dataset.path == cache / "mnist"
    np.testing.assert_array_equal(dataset.load("test").labels, parts["y_test"])
    assert names(cache) == sorted(f"mnist/{name}" for name in GZ.values())
    assert [path for path, _ in host.asked] == ["/a/mnist.npz", *(f"/b/{name}" for name in GZ.values())]


def test_the_mirror_is_tried_first(host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"{host.url}/mirror/")
    host.files["/mirror/mnist.npz"] = host.files["/a/mnist.npz"]
    datasets.find("mnist", quiet=True)
    assert host.asked == [("/mirror/mnist.npz", None)]


def test_a_mirror_serves_idx_files_from_a_folder_of_the_dataset(
    host: Host, parts: dict[str, Array], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"{host.url}/mirror")
    digests = KNOWN_DATASETS["mnist"].digests
    monkeypatch.setitem(
        KNOWN_DATASETS,
        "fashion_mnist",
        replace(KNOWN_DATASETS["fashion_mnist"], digests=digests, idx_hosts=("http://x.invalid",)),
    )
    for name in GZ.values():
        host.files[f"/mirror/fashion-mnist/{name}"] = host.files[f"/b/{name}"]
    dataset = datasets.find("fashion_mnist", split="both", quiet=True)
    assert dataset.path == cache / "fashion-mnist"
    np.testing.assert_array_equal(dataset.load("train").labels, parts["y_train"])


def test_a_busy_host_is_tried_again(host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [status(503), status(500)]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert len(host.asked) == 3


def test_a_host_that_stays_busy_is_abandoned_after_three_attempts(host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [status(503)] * 3
    host.plans[f"/b/{GZ['x_train']}"] = [status(502)] * 3
    assert refusal() == "\n".join(
        [
            "MNIST was not found",
            f"  {cache}/mnist.npz: does not exist",
            f"  {cache}/mnist: does not exist",
            f"  {host.url}/a/mnist.npz: HTTP 503 Service Unavailable",
            f"  {host.url}/b/train-images-idx3-ubyte.gz: HTTP 502 Bad Gateway",
            f"put mnist.npz or the folder mnist of IDX files into {cache} or $DNN_DATA_DIR",
            "or use the 5,000 digits that ship with dnn: set data.dataset or data.fallback to mnist-sample",
        ]
    )
    assert len(host.asked) == 6
    assert names(cache) == []


def test_a_broken_download_is_resumed(host: Host, cache: Path) -> None:
    half = len(host.files["/a/mnist.npz"]) // 2
    host.plans["/a/mnist.npz"] = [cut]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert host.asked == [("/a/mnist.npz", None), ("/a/mnist.npz", f"bytes={half}-")]
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]
    assert names(cache) == ["mnist.npz"]


def test_a_later_process_resumes_the_part_that_an_earlier_one_left(host: Host, cache: Path) -> None:
    content = host.files["/a/mnist.npz"]
    host.plans["/a/mnist.npz"] = [cut, cut, cut]
    host.plans[f"/b/{GZ['x_train']}"] = [status(404)]
    assert f"mnist.npz: the connection ended after {len(content) // 2:,} of {len(content):,} bytes\n" in refusal()
    (left,) = names(cache)
    assert re.fullmatch(r"mnist\.npz\.[0-9a-f]{8}\.part", left)
    host.asked.clear()
    datasets.find("mnist", quiet=True)
    assert host.asked == [("/a/mnist.npz", f"bytes={len(content) // 2}-")]
    assert names(cache) == ["mnist.npz"]


@pytest.mark.parametrize("answer", [ignore_range, status(416), wrong_range])
def test_a_host_that_cannot_resume_sends_the_complete_file_again(answer: Answer, host: Host, cache: Path) -> None:
    host.plans["/a/mnist.npz"] = [cut, answer]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]


def test_a_part_of_another_version_of_the_file_is_discarded(host: Host, cache: Path) -> None:
    mark = hashlib.sha256(f"{host.url}/a/mnist.npz".encode()).hexdigest()[:8]
    cache.mkdir(parents=True)
    (cache / f"mnist.npz.{mark}.part").write_bytes(b"something else")
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert host.asked == [("/a/mnist.npz", "bytes=14-"), ("/a/mnist.npz", None)]
    assert names(cache) == ["mnist.npz"]


def test_a_wrong_file_is_not_kept(host: Host, parts: dict[str, Array], cache: Path) -> None:
    host.files["/a/mnist.npz"] = stored({**parts, "y_test": parts["y_test"][::-1]})
    host.files[f"/b/{GZ['y_train']}"] = b"<html>please log in</html>"
    message = refusal()
    assert f"  {host.url}/a/mnist.npz: y_test: differs from MNIST (MD5 " in message
    assert (
        f"  {host.url}/b/train-labels-idx1-ubyte.gz: damaged or unreadable: "
        "not an IDX file: its first bytes are 3c68746d\n" in message
    )
    assert names(cache) == [f"mnist/{GZ['x_train']}"]
    host.asked.clear()
    host.files[f"/b/{GZ['y_train']}"] = gzip.compress(idx(parts["y_train"]))
    datasets.find("mnist", quiet=True)
    assert [path for path, _ in host.asked] == ["/a/mnist.npz", *(f"/b/{GZ[part]}" for part in list(GZ)[1:])]


def test_a_damaged_file_stays_until_a_valid_one_replaces_it(host: Host, cache: Path) -> None:
    cache.mkdir(parents=True)
    damaged = host.files["/a/mnist.npz"][:-100]
    (cache / "mnist.npz").write_bytes(damaged)
    host.plans["/a/mnist.npz"] = [status(403)]
    host.plans[f"/b/{GZ['x_train']}"] = [status(403)]
    assert f"  {cache}/mnist.npz: damaged, or not an .npz file: File is not a zip file\n" in refusal()
    assert (cache / "mnist.npz").read_bytes() == damaged
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert (cache / "mnist.npz").read_bytes() == host.files["/a/mnist.npz"]


def test_a_silent_host_is_abandoned_after_the_timeout(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "0.2")
    host.plans["/a/mnist.npz"] = [hang]
    message = refusal()
    assert f"  {host.url}/a/mnist.npz: cannot be reached: " in message
    assert (
        f"  {host.url}/b/train-images-idx3-ubyte.gz: skipped, because the same host could not be reached before\n"
        in message
    )
    assert len(host.asked) == 1
    assert host.waited == []


def test_a_download_that_stalls_is_resumed_after_the_timeout(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "0.2")
    host.plans["/a/mnist.npz"] = [stall]
    assert datasets.find("mnist", quiet=True).path == cache / "mnist.npz"
    assert host.waited == []
    assert [span for _, span in host.asked] == [None, f"bytes={len(host.files['/a/mnist.npz']) // 2}-"]


def test_a_body_that_trickles_is_abandoned(host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SLOW_SECONDS", 0.5)
    monkeypatch.setenv("DNN_TIMEOUT", "0.5")
    host.plans["/a/mnist.npz"] = [trickle]
    del host.files[f"/b/{GZ['x_train']}"]
    assert re.search(r"/a/mnist.npz: too slow: [1-9]\d* bytes in 0.50\d? s\n", refusal())
    assert [path for path, _ in host.asked].count("/a/mnist.npz") == 1
    assert names(cache)[0].endswith(".part")  # a later call resumes it


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/mnist.npz", "file:///etc/passwd"])
def test_redirects_that_leave_http_are_not_followed(address: str, host: Host) -> None:
    host.plans["/a/mnist.npz"] = [redirect(address)]
    host.files = {"/a/mnist.npz": b""}
    message = refusal()
    assert "/a/mnist.npz: HTTP 302 Found" in message
    if address.startswith("ftp"):  # urllib itself rejects the others
        assert f"HTTP 302 Found: it leads to {address}, which is not HTTP\n" in message


def test_redirects_within_http_are_followed(host: Host) -> None:
    host.plans["/a/mnist.npz"] = [redirect(f"{host.url}/c/mnist.npz")]
    host.files["/c/mnist.npz"] = host.files["/a/mnist.npz"]
    datasets.find("mnist", quiet=True)
    assert [path for path, _ in host.asked] == ["/a/mnist.npz", "/c/mnist.npz"]


def test_an_idx_file_that_claims_more_than_the_dataset_has_is_not_inflated(
    host: Host,
) -> None:
    del host.files["/a/mnist.npz"]
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5_000_000, 28, 28)
    host.files[f"/b/{GZ['x_train']}"] = gzip.compress(header + bytes(10**6))
    assert "claims the shape (5000000, 28, 28) of uint8; at most 376,320,000 bytes are supported" in refusal()


def test_the_timeout_covers_looking_up_a_host_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", "0.2")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: host.released.wait())
    assert "/a/mnist.npz: cannot be reached: no answer within 0.2 s\n" in refusal()


def test_without_a_network_each_host_is_tried_once_before_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    connect = download._urlopen

    def counted(request: Request, seconds: float) -> HTTPResponse:
        tried.append(request.full_url)
        return connect(request, seconds)

    monkeypatch.setattr(download, "_urlopen", counted)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # It does not listen: connections are refused.
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        known = replace(KNOWN_DATASETS["mnist"], npz_hosts=(url,), idx_hosts=(url, "http://nowhere.invalid"))
        monkeypatch.setitem(KNOWN_DATASETS, "mnist", known)
        dataset = datasets.find("mnist", "mnist-sample")
    assert tried == [f"{url}/mnist.npz", f"http://nowhere.invalid/{GZ['x_train']}"]
    assert dataset.name == "mnist-sample"
    assert dataset.note.startswith(
        f"MNIST was neither found nor downloaded ({url}/mnist.npz: cannot be reached: Connection refused, "
        "and 2 more): using mnist-sample instead, "
    )


@pytest.mark.parametrize("answer", [good, endless])
def test_a_file_larger_than_the_limit_is_rejected(
    answer: Answer, host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 10_000)
    host.plans["/a/mnist.npz"] = [answer]
    host.plans[f"/b/{GZ['x_train']}"] = [status(404)]
    assert "/a/mnist.npz: larger than the limit of 10,000 bytes\n" in refusal()
    assert names(cache) == []


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    assert (
        f"  {tmp_path}/file/datasets: cannot be written: Not a directory; set KERAS_HOME to a writable folder\n"
        in refusal()
    )


def test_a_full_disk_is_not_reported_as_a_network_failure(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_move", full)
    assert f"  {cache}: cannot be written: No space left on device; " in refusal()
    assert len(host.asked) == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "1e9"])
def test_an_invalid_timeout_is_rejected(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_TIMEOUT", seconds)
    assert refusal() == f"DNN_TIMEOUT must be a number of seconds above 0 and up to 3600, got {seconds!r}"


def test_a_mirror_must_have_an_http_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_MIRROR", f"file://{tmp_path}")
    monkeypatch.setitem(
        KNOWN_DATASETS, "mnist", replace(KNOWN_DATASETS["mnist"], npz_hosts=(), idx_hosts=("http://x.invalid",))
    )
    assert "/mnist/train-images-idx3-ubyte.gz: not a URL that begins with http:// or https://\n" in refusal()


def test_two_processes_download_once(host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waiting = threading.Event(), threading.Event()

    def when_the_other_waits(handler: Handler, content: bytes) -> None:
        asked.set()
        waiting.wait()
        good(handler, content)

    monkeypatch.setenv("DNN_TIMEOUT", str(PATIENCE))
    host.plans["/a/mnist.npz"] = [when_the_other_waits]
    known = KNOWN_DATASETS["mnist"]
    code = (
        "from dataclasses import replace; from dnn_cli.data import datasets, known_sets; "
        "known = known_sets.KNOWN_DATASETS; "
        f"known['mnist'] = replace(known['mnist'], digests={known.digests}, npz_hosts={known.npz_hosts}); "
        "print(datasets.find('mnist', split='both').path)"
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
