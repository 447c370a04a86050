"""Put the interfaces together behind the limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import dnn_cli
from dnn_cli.serving import collecting, open_inference, page, pictures, tensorflow_rest
from dnn_cli.serving.limits import Bounds, Limits
from dnn_cli.serving.metrics import Observer
from dnn_cli.serving.models import Models
from dnn_cli.serving.requests import error_body
from dnn_cli.serving.routing import JSON, Dispatcher, json_response, router

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
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _answer_error},
    )
    parts = [open_inference.routes(models), tensorflow_rest.routes(models), pictures.routes(models)]
    if collect:
        parts.append(collecting.routes(models, collect))
    registry = CollectorRegistry()
    parts += [page.routes(models, collects=collect is not None), _own_pages(app, registry)]
    for part in parts:
        app.include_router(part)
    return Observer(Limits(Dispatcher(parts, app), bounds), registry, log)


def _own_pages(app: FastAPI, registry: CollectorRegistry) -> APIRouter:
    own = router("Server")

    async def docs(request: Request) -> Response:
        return Response(page.interfaces(app), headers=page.POLICY, media_type="text/html")

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(request: Request) -> Response:
        return json_response(app.openapi())

    hidden: dict[str, Any] = {"include_in_schema": False, "response_class": Response}
    own.get("/docs", **hidden)(docs)
    own.get("/metrics", **hidden)(metrics)
    own.get("/openapi.json", **hidden)(openapi)
    return own


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer what has no route."""
    assert isinstance(error, HTTPException)
    return Response(error_body(error.detail), error.status_code, error.headers, JSON)
