"""An HTTP server on this machine that plays good, broken, slow and wrong hosts."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Give the next planned answer for the path; once there are none left, send the file."""

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
    """A server on this machine.

    Attributes:
        files: path → content.
        plans: path → answers to give, in this order, before the file is sent.
        asked: path and ``Range`` header of each request.
        released: an event that ends the answers which keep a client waiting.
        waited: paths of the answers that kept a client waiting and have ended.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plans: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        self.waited: list[str] = []
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
    """Send the file, or the requested range of it."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    start = int(asked[1]) if asked else 0
    if not asked:
        send(handler, 200, content)
    elif start >= len(content):
        send(handler, 416, b"")
    else:
        send(handler, 206, content[start:], span=f"bytes {start}-{len(content) - 1}/{len(content)}")


def status(code: int) -> Answer:
    """Return an answer with an HTTP status."""
    return lambda handler, content: send(handler, code, b"no")


def cut(handler: Handler, content: bytes) -> None:
    """Send half of the file after announcing all of it."""
    send(handler, 200, content[: len(content) // 2], len(content))


def stall(handler: Handler, content: bytes) -> None:
    """Send half of the file, and then nothing until the host is released."""
    cut(handler, content)
    hang(handler, content)


def hang(handler: Handler, content: bytes) -> None:
    """Send nothing until the host is released."""
    host = handler.server
    assert isinstance(host, Host)
    host.released.wait(30)
    host.waited.append(handler.path)


def trickle(handler: Handler, content: bytes) -> None:
    """Announce the file, and send a byte of it now and then until the host is released or the client has gone."""
    host = handler.server
    assert isinstance(host, Host)
    send(handler, 200, b"", len(content))
    while not host.released.wait(0.02):
        handler.wfile.write(b"x")
    host.waited.append(handler.path)


def redirect(address: str) -> Answer:
    """Return an answer that leads to another address."""

    def answer(handler: Handler, _: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def ignore_range(handler: Handler, content: bytes) -> None:
    """Send the complete file although a range was requested."""
    send(handler, 200, content)


def wrong_range(handler: Handler, content: bytes) -> None:
    """Send a different range than was requested."""
    send(handler, 206, content[3:], span=f"bytes 3-{len(content) - 1}/{len(content)}")


def endless(handler: Handler, content: bytes) -> None:
    """Send three times the file without announcing a length."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content * 3)
