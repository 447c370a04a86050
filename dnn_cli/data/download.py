"""Download files over HTTP, with several hosts, timeouts, retries and resumption.

A download is written to a ``.part`` file beside its target, whose name contains a digest of the URL. It is renamed to
the target only after the caller's check has passed and the bytes are on the disk; an older file at the target stays
until then.
"""

import hashlib
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dnn_cli import __version__
from dnn_cli.errors import DataError, reason
from dnn_cli.files import flush
from dnn_cli.terminal import console, printable

MAX_BYTES = 100 * 2**20  # Largest file that is downloaded.
RETRY_PAUSES = (0.5, 1.0)  # Seconds before the second and the third attempt.
RETRIED_STATUSES = {408, 416, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which another attempt may succeed.
SLOW_SECONDS = 60.0  # A body may take this long (or DNN_TIMEOUT, if that is longer),
SLOW_SPEED = 10_000  # and a second more for each of so many bytes.
LOCK_SECONDS = 600.0  # Longest time to wait for another process that downloads the same dataset.

Check = Callable[[Path, str], None]


class _FailedError(Exception):
    """The file cannot be downloaded from this URL now."""


class _TransientError(_FailedError):
    """The download failed, but another attempt may succeed."""


class Client:
    """Download files, skipping hosts that could not be reached before.

    Args:
        failures: list to which a line is appended for every URL that failed.
        quiet: whether to print nothing on stderr.
        max_bytes: largest file that is downloaded; None for `MAX_BYTES`.

    Raises:
        DataError: DNN_TIMEOUT is not a number of seconds in the allowed range.
    """

    def __init__(self, failures: list[str], *, quiet: bool, max_bytes: int | None = None) -> None:
        self._failures = failures
        self._max_bytes = max_bytes
        self._quiet = quiet
        self._seconds = _timeout()
        self._unreachable: set[str] = set()

    def fetch(self, folder: Path, names: Sequence[str], bases: Sequence[str], check: Check) -> bool:
        """Download all of `names` into `folder`, each from the first of `bases` whose file passes the check.

        A file that exists already and passes the check is not downloaded.

        Args:
            folder: the target folder; it is created if it is missing, its parent must exist.
            names: the file names; their URLs are ``<base>/<name>``.
            bases: base URLs; one that fails is not tried for later files.
            check: function of a path and the file's name that raises `DataError` if the content is wrong.

        Returns:
            Whether all files are in `folder` now.

        Raises:
            OSError: `folder` cannot be written.
        """
        remaining = [base.rstrip("/") for base in bases]
        for name in names:
            if _passes(check, folder / name, name):
                continue
            while remaining and not self._download(f"{remaining[0]}/{name}", folder / name, check):
                del remaining[0]
            if not remaining:
                return False
        return True

    def _download(self, url: str, target: Path, check: Check) -> bool:
        """Download one file, check it and move it to `target`; on failure, append the reason and return False."""
        mark = hashlib.sha256(url.encode()).hexdigest()[:8]
        part = target.with_name(f"{target.name}.{mark}.part")
        resumed = part.exists()
        try:
            self._receive_with_retries(url, part)
            check(part, target.name)
        except DataError as error:
            part.unlink()
            if resumed:  # The part left by an earlier process may belong to another version of the file.
                return self._download(url, target, check)
            self._failures.append(f"{url}: {str(error).removeprefix(f'{part}: ')}")
            return False
        except _FailedError as error:
            self._failures.append(f"{url}: {error}")
            return False
        _move(part, target)
        for stale in target.parent.glob(f"{target.name}.*.part"):
            stale.unlink()
        return True

    def _receive_with_retries(self, url: str, part: Path) -> None:
        for pause in RETRY_PAUSES:
            try:
                return self._receive(url, part)
            except _TransientError:
                time.sleep(pause)
        return self._receive(url, part)

    def _receive(self, url: str, part: Path) -> None:
        """Download all of `url` into `part`, resuming from the bytes already there if the host supports it."""
        start = part.stat().st_size if part.exists() else 0
        limit = self._max_bytes or MAX_BYTES
        with self._open(url, part, start) as response:
            resumed = response.status == 206
            if resumed and _first_byte(response) != start:
                part.unlink(missing_ok=True)
                raise _TransientError("the host sent a different range of bytes than requested")
            size = (start if resumed else 0) + (response.length or 0)
            part.parent.mkdir(exist_ok=True)
            with part.open("ab" if resumed else "wb") as file, _progress(url, size, self._quiet) as show:
                received = file.tell()
                for chunk in _body(response, max(SLOW_SECONDS, self._seconds)) if max(size, received) <= limit else ():
                    received += file.write(chunk)
                    show(received)
                    if received > limit:
                        break
        if max(size, received) > limit:
            part.unlink()
            raise _FailedError(f"larger than the limit of {limit:,} bytes")
        if received < size:
            raise _TransientError(f"the connection ended after {received:,} of {size:,} bytes")

    def _open(self, url: str, part: Path, start: int) -> HTTPResponse:
        """Request `url` from byte `start` on."""
        host = urlsplit(url).netloc
        if not url.startswith(("http://", "https://")):
            raise _FailedError("not a URL that begins with http:// or https://")
        if host in self._unreachable:
            raise _FailedError("skipped, because the same host could not be reached before")
        headers = {"User-Agent": f"dnn-cli/{__version__}", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            return _urlopen(Request(url, headers=headers), self._seconds)  # noqa: S310 (checked above)
        except HTTPError as error:
            error.close()
            if error.code == 416 and start:
                part.unlink()
            kind = _TransientError if error.code in RETRIED_STATUSES else _FailedError
            raise kind(f"HTTP {error.code} {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, URLError) else error
            if isinstance(cause, ConnectionResetError):
                raise _TransientError(f"the connection broke: {reason(cause)}") from None
            self._unreachable.add(host)
            raise _FailedError(f"cannot be reached: {reason(cause)}") from None


def _timeout() -> float:
    """Return the seconds to wait for a host that sends nothing; raises `DataError` if DNN_TIMEOUT is invalid."""
    text = os.environ.get("DNN_TIMEOUT") or "10"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise DataError(f"DNN_TIMEOUT must be a number of seconds above 0 and up to 3600, got {text!r}")
    return seconds


@contextmanager
def lock(path: Path, *, quiet: bool) -> Iterator[None]:
    """Hold the lock file `path`, so that two processes never download the same dataset; its folder is created.

    Raises:
        OSError: the lock file cannot be written, or another process held it for more than `LOCK_SECONDS`.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    guard = FileLock(path)
    try:
        guard.acquire(timeout=0)
    except Timeout:
        if not quiet:
            print("waiting for another process that is downloading the same dataset", file=sys.stderr, flush=True)
        guard.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        guard.release()


class _HttpRedirects(HTTPRedirectHandler):
    """Follows redirects to other addresses of HTTP and HTTPS alone."""

    def redirect_request(  # noqa: PLR0917 (the signature is urllib's)
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request for `newurl`."""
        if not newurl.startswith(("http://", "https://")):
            raise HTTPError(req.full_url, code, f"{msg}: it leads to {newurl}, which is not HTTP", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _urlopen(request: Request, seconds: float) -> HTTPResponse:
    """Open `request` within `seconds` in total.

    A socket's timeout starts again for each of the host's addresses, and does not cover the lookup of its name.
    Therefore a thread opens the request; it is abandoned when the time is over.
    """
    outcome: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(build_opener(_HttpRedirects).open(request, timeout=seconds))
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _body(response: HTTPResponse, patience: float) -> Iterator[bytes]:
    """Yield the body of a response in pieces, within `patience` seconds and more for each byte received.

    A thread reads, and is abandoned when the time is over: a host that sends a byte now and then would keep a socket's
    timeout from ever being reached.
    """
    pieces: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            while piece := response.read1(2**16):
                pieces.put(piece)
            pieces.put(b"")
        except Exception as error:
            pieces.put(error)

    threading.Thread(target=work, daemon=True).start()
    received, started = 0, time.monotonic()
    while True:
        allowed = patience + received / SLOW_SPEED
        try:
            piece = pieces.get(timeout=max(0.0, started + allowed - time.monotonic()))
        except queue.Empty:
            raise _FailedError(f"too slow: {received:,} bytes in {allowed:.3g} s") from None
        if isinstance(piece, Exception):
            raise _TransientError(f"the connection broke: {reason(piece)}") from None
        if not piece:
            return
        received += len(piece)
        yield piece


def _first_byte(response: HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def _passes(check: Check, path: Path, name: str) -> bool:
    try:
        check(path, name)
    except DataError:
        return False
    return True


def _move(part: Path, target: Path) -> None:
    """Rename `part` to `target`, with its bytes on the disk before the rename, and its new name after."""
    flush(part)
    part.replace(target)
    flush(target.parent)


@contextmanager
def _progress(url: str, size: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a download on stderr, as a bar on a terminal and as one line elsewhere.

    Yields:
        A function to call with the number of bytes received so far.
    """
    if quiet or not sys.stderr.isatty():
        if not quiet:
            amount = f" ({size / 1e6:.1f} MB)" if size else ""
            print(f"downloading {url}{amount}", file=sys.stderr, flush=True)
        yield lambda received: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console(sys.stderr)) as bar:
        task = bar.add_task(printable(f"downloading {url}"), total=size or None)
        yield lambda received: bar.update(task, completed=received)
