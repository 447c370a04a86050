"""Put the interfaces together behind the limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import dnn_cli
from dnn_cli.serving import collecting, open_inference, page, pictures, tensorflow_rest
from dnn_cli.serving.limits import Bounds, Limits
from dnn_cli.serving.metrics import Observer
from dnn_cli.serving.models import Models
from dnn_cli.serving.requests import RequestError, error_body
from dnn_cli.serving.routing import JSON, router

DESCRIPTION = "Networks that dnn has trained, by TensorFlow Serving's REST, the Open Inference Protocol and pictures."


def application(
    models: Models,
    bounds: Bounds,
    *,
    collect: Path | None = None,
    log: Callable[[str], None] | None = None,
) -> ASGIApp:
    """Return the server's application.

    Args:
        models: the networks that it serves.
        bounds: what it accepts.
        collect: the folder of labelled drawings; None to collect none.
        log: is called with a line of JSON for each request; None for no access log.
    """
    app = FastAPI(
        title="dnn serve",
        version=dnn_cli.__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={RequestError: _answer_error, HTTPException: _answer_error, Exception: _answer_failure},
    )
    parts = [tensorflow_rest.routes(models), open_inference.routes(models), pictures.routes(models)]
    if collect:
        parts.append(collecting.routes(models, collect))
    for part in (*parts, page.routes(models, collects=collect is not None)):
        app.include_router(part)
    observer = Observer(Limits(app, bounds), log)
    _add_own_pages(app, observer)
    return observer


def _add_own_pages(app: FastAPI, observer: Observer) -> None:
    own = router("Server")

    async def docs(request: Request) -> Response:
        return Response(page.interfaces(app), headers=page.POLICY, media_type="text/html")

    async def metrics(request: Request) -> Response:
        text, kind = observer.text()
        return Response(text, media_type=kind)

    hidden: dict[str, Any] = {"include_in_schema": False, "response_class": Response}
    own.get("/docs", **hidden)(docs)
    own.get("/metrics", **hidden)(metrics)
    app.include_router(own)


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return Response(error_body(error.detail), error.status_code, error.headers, JSON)
    assert isinstance(error, RequestError)
    return Response(error_body(str(error)), error.status, error.headers, JSON)


async def _answer_failure(request: Request, error: Exception) -> Response:
    """Answer after a bug, whose traceback the server prints."""
    return Response(error_body("the server failed; its operator finds the reason in its output"), 500, None, JSON)
