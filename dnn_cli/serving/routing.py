"""Routes that FastAPI documents, and whose functions are called directly.

FastAPI's way from a request to its function takes longer than a network of usual size, and its conversion of a body
with thousands of numbers takes longer still. It answers only what has no route.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dnn_cli.serving.requests import RequestError, error_body

JSON = "application/json"
REMEMBERED = 256  # paths whose routes need not be searched again
FAILURE = "the server failed; its operator finds the reason in its output"
ERROR = {
    "description": "The reason.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            }
        }
    },
}


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def router(tag: str) -> APIRouter:
    """Return a router whose routes are documented under the heading `tag`."""
    return APIRouter(tags=[tag])


class Dispatcher:
    """Application that calls the function of a route with the request, and sends the response that it returns.

    Args:
        routers: have the routes.
        fallback: answers what has no route.
    """

    def __init__(self, routers: Sequence[APIRouter], fallback: ASGIApp) -> None:
        self._routes = [route for each in routers for route in each.routes if isinstance(route, APIRoute)]
        self._fallback = fallback
        self._find = lru_cache(REMEMBERED)(self._match)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        found = self._find(scope["method"], scope["path"])
        if found is None:
            await self._fallback(scope, receive, send)
            return
        route, parameters = found
        scope["route"], scope["path_params"] = route, parameters
        handler: Handler = route.endpoint
        try:
            response = await handler(Request(scope, receive, send))
        except RequestError as error:
            response = Response(error_body(str(error)), error.status, error.headers, JSON)
        except Exception:
            await Response(error_body(FAILURE), 500, None, JSON)(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _match(self, method: str, path: str) -> tuple[APIRoute, dict[str, str]] | None:
        for route in self._routes:
            if method in (route.methods or ()) and (match := route.path_regex.match(path)):
                return route, match.groupdict()
        return None


def documented(
    answer: dict[str, Any],
    *errors: int,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    media_type: str = JSON,
) -> dict[str, Any]:
    """Return the arguments of a route that describe it in the OpenAPI document.

    Args:
        answer: the JSON Schema of the answer.
        errors: the statuses of the errors that are possible besides those of every request.
        body: the media types of the body → the JSON Schema of each; None for a request without one.
        parameters: the parameters of path, query and header.
        media_type: of the answer.
    """
    # 400 and 401 come from the limits that all requests pass; the others only from requests with a body.
    statuses = sorted({400, 401, *errors, *((408, 413, 415, 503) if body else ())})
    extra: dict[str, Any] = {"parameters": parameters or []}
    if body:
        extra["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in body.items()},
        }
    return {
        "response_class": Response,
        "responses": {
            200: {"description": "The answer.", "content": {media_type: {"schema": answer}}},
            **dict.fromkeys(statuses, ERROR),
        },
        "openapi_extra": extra,
    }


def parameter(name: str, description: str, place: str = "query", **schema: Any) -> dict[str, Any]:
    """Return the description of a parameter; one of the path is required."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema or {"type": "string"},
    }


def record(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an object whose properties are all there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


NAME = parameter("name", "The name of the model.", "path")
VERSION = parameter("version", "The version of the model.", "path")


def json_response(values: Any) -> Response:
    """Return a response of JSON."""
    return Response(json.dumps(values), media_type=JSON)
