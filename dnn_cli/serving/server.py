"""Run the server: the socket, signals, connections whose headers are slow, and networks that change."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.h11_impl import H11Protocol

from dnn_cli.errors import UsageError, reason
from dnn_cli.serving.app import application
from dnn_cli.serving.limits import Bounds
from dnn_cli.serving.models import Models

LOOPBACK = ("127.0.0.1", "::1", "localhost")
WATCH_SECONDS = 0.5  # between looks at the files
GRACE_SECONDS = 30  # for the requests in flight when the server is stopped
KEEP_ALIVE_SECONDS = 20  # that a connection may wait for its next request
BACKLOG = 1024
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        collect: folder of labelled drawings; None to collect none.
        watch: whether networks that change are loaded again.
        log_requests: whether a line of JSON is printed for each request.
        bounds: what is accepted.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    collect: Path | None = None
    watch: bool = False
    log_requests: bool = False
    bounds: Bounds = field(default_factory=Bounds)


def serve(models: Models, settings: Settings, notify: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, and then answer the requests in flight.

    Args:
        models: the networks.
        settings: how.
        notify: is called with each remark, one line per call; the first is the address.

    Raises:
        UsageError: the address cannot be used.
    """
    with _listening(settings.host, settings.port) as listener:
        app = application(
            models, settings.bounds, collect=settings.collect, log=_print if settings.log_requests else None
        )
        config = uvicorn.Config(
            app,
            http=_protocol(settings.bounds.seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        names = ", ".join(model.name for model in models)
        address = f"serving {names} at http://{host}:{listener.getsockname()[1]}"
        # The event loop and the workers use the processors; a product of small matrices is slower with more threads.
        with threadpool_limits(1, user_api="blas"):
            asyncio.run(_run(_Server(config), listener, address, models if settings.watch else None, notify))
        models.close()


async def _run(
    server: "_Server",
    listener: socket.socket,
    address: str,
    watched: Models | None,
    notify: Callable[[str], None],
) -> None:
    """Run the server, print its address when it accepts connections, and watch the networks if there are any."""
    watching = asyncio.create_task(_watch(watched, notify)) if watched else None
    serving = asyncio.create_task(server.serve([listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    notify(address)
    try:
        await serving
    finally:
        if watching:
            watching.cancel()


async def _watch(models: Models, notify: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        await asyncio.to_thread(models.reload_changed, notify)


class _Server(uvicorn.Server):
    """Stops at SIGINT and SIGTERM, which are how a server is stopped, and does not raise them again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            if self.should_exit:
                self.force_exit = True
            self.should_exit = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _protocol(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with a limit of time for the headers of each request."""

    class BoundedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._cut)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            if self._timer is None and (before is None or before.response_complete):
                self._timer = self.loop.call_later(seconds, self._cut)
            super().data_received(data)
            if self._timer and self.cycle is not before:
                self._timer.cancel()
                self._timer = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer:
                self._timer.cancel()
            super().connection_lost(exc)

        def _cut(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(TOO_SLOW)
                self.transport.close()

    return BoundedProtocol


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, because asyncio turns off the delay of small packets only then: it would add 40 ms to each answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on {host} port {port}: {reason(error)}; choose another with --port") from None
    with listener:
        yield listener


def _print(line: str) -> None:
    with suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
