"""Count the requests for Prometheus, and write them to the access log."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"  # what no route has, and any other method: the number of metrics must not grow with what is asked


class Observer:
    """Middleware that measures every request.

    Args:
        app: handles the requests.
        registry: gets the metrics.
        log: is called with a line of JSON for each request; None for no access log.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, log: Callable[[str], None] | None) -> None:
        self._app, self._log = app, log
        self._requests = Counter(
            "dnn_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "dnn_request_seconds",
            "Time from the end of the headers to the end of the answer.",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._active = Gauge("dnn_active_requests", "Requests that are being handled.", registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, sent = time.perf_counter(), 500, 0

        async def count(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._active.inc()
        try:
            await self._app(scope, receive, count)
        finally:
            self._active.dec()
            seconds = time.perf_counter() - begin
            route = getattr(scope.get("route"), "path", OTHER)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            self._requests.labels(route, method, status).inc()
            self._seconds.labels(route).observe(seconds)
            if self._log:
                self._log(json.dumps(_entry(scope, status, sent, seconds)))


def _entry(scope: Scope, status: int, sent: int, seconds: float) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": scope["client"][0] if scope.get("client") else None,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "bytes": sent,
        "milliseconds": round(seconds * 1000, 3),
    }
