"""Files over HTTP: several hosts, time-outs, retries, resumption; nothing is kept that was not checked.

A download grows in a ``.part`` file beside its target, named after its address, and is renamed to the target only once
the caller's check has passed and the bytes are on the disk. What stood at the target before stays until then.
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
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dnn_cli import __version__
from dnn_cli.errors import DataError, reason
from dnn_cli.files import flush

MAX_BYTES = 100 * 2**20
PAUSES = (0.5, 1.0)
TRANSIENT = {408, 416, 425, 429, 500, 502, 503, 504}
LOCK_SECONDS = 600.0

Check = Callable[[Path, str], None]


class _FailedError(Exception):
    """This address will not give the file now."""


class _TransientError(_FailedError):
    """Asking once more may help."""


class Client:
    """Downloads files, and asks no host again that could not be reached.

    Raises `DataError` if DNN_TIMEOUT is no number of seconds.

    Args:
        failures: where a line is added for every address that did not give what it should.
        quiet: whether to keep silent on stderr.
    """

    def __init__(self, failures: list[str], *, quiet: bool) -> None:
        self._failures = failures
        self._quiet = quiet
        self._seconds = _timeout()
        self._unreachable: set[str] = set()

    def fetch(self, folder: Path, names: Sequence[str], bases: Sequence[str], check: Check) -> bool:
        """Bring all of `names` into `folder`, each from the first of `bases` that has it whole and right.

        A file that is there already and passes the check is left as it is.

        Args:
            folder: made, in a folder that is there, if it is not.
            names: file names, to which the addresses are ``<base>/<name>``.
            bases: base URLs; one that fails is not asked for later files.
            check: given a path and the name it is to get, raises `DataError` if the content is not right.

        Returns:
            Whether all files are now in `folder`.

        Raises:
            OSError: `folder` cannot be written.
        """
        left = [base.rstrip("/") for base in bases]
        for name in names:
            if _passes(check, folder / name, name):
                continue
            while left and not self._bring(f"{left[0]}/{name}", folder / name, check):
                del left[0]
            if not left:
                return False
        return True

    def _bring(self, url: str, target: Path, check: Check) -> bool:
        """Download one file, check it and put it in place; notes the reason where that fails."""
        mark = hashlib.sha256(url.encode()).hexdigest()[:8]
        part = target.with_name(f"{target.name}.{mark}.part")
        resumed = part.exists()
        try:
            self._receive_patiently(url, part)
            check(part, target.name)
        except DataError as error:
            part.unlink()
            if resumed:  # what an earlier attempt had left may have been of another version of the file
                return self._bring(url, target, check)
            self._failures.append(f"{url}: {str(error).removeprefix(f'{part}: ')}")
            return False
        except _FailedError as error:
            self._failures.append(f"{url}: {error}")
            return False
        _put(part, target)
        for stale in target.parent.glob(f"{target.name}.*.part"):
            stale.unlink()
        return True

    def _receive_patiently(self, url: str, part: Path) -> None:
        for pause in PAUSES:
            try:
                return self._receive(url, part)
            except _TransientError:
                time.sleep(pause)
        return self._receive(url, part)

    def _receive(self, url: str, part: Path) -> None:
        """Bring the whole of `url` into `part`, going on from what is there if the host can."""
        start = part.stat().st_size if part.exists() else 0
        with self._open(url, part, start) as response:
            resumed = response.status == 206
            if resumed and _first_byte(response) != start:
                part.unlink(missing_ok=True)
                raise _TransientError("answered with another range than was asked for")
            size = (start if resumed else 0) + (response.length or 0)
            part.parent.mkdir(exist_ok=True)
            with part.open("ab" if resumed else "wb") as file, _progress(url, size, self._quiet) as show:
                received = file.tell()
                while max(size, received) <= MAX_BYTES and (chunk := _read(response)):
                    received += file.write(chunk)
                    show(received)
        if max(size, received) > MAX_BYTES:
            part.unlink()
            raise _FailedError(f"larger than {MAX_BYTES:,} bytes")
        if received < size:
            raise _TransientError(f"ended after {received:,} of {size:,} bytes")

    def _open(self, url: str, part: Path, start: int) -> HTTPResponse:
        """Ask for `url` from byte `start` on."""
        host = urlsplit(url).netloc
        if not url.startswith(("http://", "https://")):
            raise _FailedError("not an address that begins with http:// or https://")
        if host in self._unreachable:
            raise _FailedError("the same host could not be reached just before")
        headers = {"User-Agent": f"dnn-cli/{__version__}", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            return _urlopen(Request(url, headers=headers), self._seconds)  # noqa: S310 (checked above)
        except HTTPError as error:
            error.close()
            if error.code == 416 and start:
                part.unlink()
            kind = _TransientError if error.code in TRANSIENT else _FailedError
            raise kind(f"HTTP {error.code} {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, URLError) else error
            if isinstance(cause, ConnectionResetError):
                raise _TransientError(f"broke off: {reason(cause)}") from None
            self._unreachable.add(host)
            raise _FailedError(f"cannot be reached: {reason(cause)}") from None


def _timeout() -> float:
    """Seconds for which a host may stay silent; raises `DataError` if DNN_TIMEOUT is no such number."""
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
    """Hold the lock file `path`, so that two processes never download the same thing; its folder is made.

    Raises:
        OSError: it cannot be written, or another process did not let go of it in time.
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


def _urlopen(request: Request, seconds: float) -> HTTPResponse:
    """Open `request` within `seconds` in all.

    The time-out of a socket counts anew for each of a host's addresses and not at all while a name is looked up.
    So the work is done in a thread that is left alone when the time is over.
    """
    outcome: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(urlopen(request, timeout=seconds))  # noqa: S310 (the caller has looked at the address)
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


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(2**16)
    except (OSError, HTTPException) as error:
        raise _TransientError(f"broke off: {reason(error)}") from None


def _first_byte(response: HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def _passes(check: Check, path: Path, name: str) -> bool:
    try:
        check(path, name)
    except DataError:
        return False
    return True


def _put(part: Path, target: Path) -> None:
    """Rename `part` to `target` once its bytes are on the disk, and then the name."""
    flush(part)
    part.replace(target)
    flush(target.parent)


@contextmanager
def _progress(url: str, size: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a download on stderr, as a bar on a terminal and as one line elsewhere; yields what takes bytes so far."""
    if quiet or not sys.stderr.isatty():
        if not quiet:
            amount = f" ({size / 1e6:.1f} MB)" if size else ""
            print(f"downloading {url}{amount}", file=sys.stderr, flush=True)
        yield lambda received: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"downloading {url}", total=size or None)
        yield lambda received: bar.update(task, completed=received)
