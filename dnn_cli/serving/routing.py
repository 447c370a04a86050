"""Routes whose functions take the request itself: FastAPI documents them and does nothing else with their requests.

FastAPI's own conversion of a body with thousands of numbers would take longer than the network.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

JSON = "application/json"
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


class DirectRoute(APIRoute):
    """A route that passes the request to its function, and returns the function's response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def router(tag: str) -> APIRouter:
    """Return a router of such routes, which are documented under the heading `tag`."""
    return APIRouter(route_class=DirectRoute, tags=[tag])


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
