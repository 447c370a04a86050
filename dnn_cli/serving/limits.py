"""Limits that every request passes before its route sees it: who asks, how much, how slowly, and how many at a time."""

import asyncio
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dnn_cli.serving.requests import RequestError, error_body

LOCAL_HOSTS = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
OPEN_PATHS = ("/static/", "/v2/health/")  # and the page itself: a browser has to get it before it can ask for the token
DRAIN_FACTOR = 4  # A body up to this many times too long is read, so that its client gets to see the answer.
CLOSE = {"connection": "close"}


@dataclass(frozen=True)
class Bounds:
    """What is accepted.

    Attributes:
        body: largest body in bytes.
        seconds: within which headers, and then the body, must have arrived.
        requests: number of requests with a body that are handled at a time.
        token: that every client must send; empty for none.
        is_local: whether the server listens on loopback alone. Then it refuses the names of other hosts: a website
            that lets its name point to this computer must not reach it.
    """

    body: int = 8 * 2**20
    seconds: float = 30.0
    requests: int = 64
    token: str = ""
    is_local: bool = True


class Limits:
    """Middleware that refuses what exceeds the bounds, and hands on requests whose bodies have arrived completely."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app, self._bounds = app, bounds
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            length = self._checked_length(scope)
            if length == 0:
                await self._app(scope, receive, send)
            elif self._active >= self._bounds.requests:
                raise RequestError("the server is busy: try again", 503, {"retry-after": "1", **CLOSE})
            else:
                await self._with_body(length, scope, receive, send)
        except RequestError as error:
            await _refuse(send, error)

    async def _with_body(self, length: int | None, scope: Scope, receive: Receive, send: Send) -> None:
        self._active += 1
        try:
            body = await self._read(length, receive, expects=any(name == b"expect" for name, _ in scope["headers"]))
            if body is not None:
                await self._app(scope, _Replay(body, receive), send)
        finally:
            self._active -= 1

    def _checked_length(self, scope: Scope) -> int | None:
        """Return the length of the body, 0 for a request without one, and None if it is not known in advance."""
        length: int | None = 0
        host = token = None
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                length = None
            elif name == b"host":
                host = value
            elif name == b"authorization":
                token = value
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise RequestError("compressed bodies are not supported", 415, CLOSE)
        if self._bounds.is_local and host and _host_name(host) not in LOCAL_HOSTS:
            raise RequestError("this server answers only to the names localhost, 127.0.0.1 and [::1]", 400, CLOSE)
        if not self._is_allowed(scope["path"], token or b""):
            raise RequestError("the token is missing or wrong", 401, {"www-authenticate": "Bearer", **CLOSE})
        return length

    def _is_allowed(self, path: str, token: bytes) -> bool:
        if not self._bounds.token or path == "/" or path.startswith(OPEN_PATHS):
            return True
        return hmac.compare_digest(token, b"Bearer " + self._bounds.token.encode())

    async def _read(self, length: int | None, receive: Receive, *, expects: bool) -> bytes | None:
        """Return the whole body; None if the client went away."""
        limit = self._bounds.body
        refusal = RequestError(f"the body is too large: at most {limit:,} bytes are accepted", 413, CLOSE)
        if length is not None and length > limit * (1 if expects else DRAIN_FACTOR):
            raise refusal
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._bounds.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= limit:
                        parts.append(part)
                    else:
                        parts.clear()
                    if size > limit * DRAIN_FACTOR:
                        raise refusal
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise RequestError(f"the body did not arrive within {self._bounds.seconds:g} seconds", 408, CLOSE) from None
        if size > limit:
            raise refusal
        return b"".join(parts)


class _Replay:
    """Receives a body that has arrived already, and then what follows."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _host_name(host: bytes) -> bytes:
    """Return the host in a Host header, without its port."""
    name, _, port = host.rpartition(b":")
    return (name if name and port.isdigit() else host).lower()


async def _refuse(send: Send, error: RequestError) -> None:
    body = error_body(str(error))
    headers = {"content-type": "application/json", "content-length": str(len(body)), **(error.headers or {})}
    encoded: Iterable[tuple[bytes, bytes]] = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
