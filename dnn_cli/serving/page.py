"""The page to draw on, and the list of the interfaces; both ask nothing of any other server."""

from html import escape
from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from dnn_cli.serving.models import Model, Models
from dnn_cli.serving.routing import json_response, router

POLICY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
ENTRY = "<h2><code>{method} {path}</code></h2>\n<p>{summary}. {description}</p>\n"
INTERFACES = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dnn serve: interfaces</title>
<link rel="stylesheet" href="/static/page.css">
</head>
<body>
<main>
<h1>Interfaces</h1>
<p>The complete description is the OpenAPI document <a href="/openapi.json">openapi.json</a>.
<a href="/">Draw a digit</a></p>
{entries}</main>
</body>
</html>
"""


def static(name: str) -> str:
    """Return the text of one of the page's files."""
    return resources.files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def routes(models: Models, *, collects: bool) -> APIRouter:
    """Return the routes of the page.

    Args:
        models: the networks that it can ask.
        collects: whether labelled drawings are collected.
    """
    found = router("Page")
    index = static("index.html")
    texts = {name: static(name) for name in KINDS}

    async def page(request: Request) -> Response:
        """Return the page to draw on."""
        return Response(index, headers=POLICY, media_type="text/html")

    async def file(request: Request) -> Response:
        """Return a file of the page."""
        name = request.url.path.rpartition("/")[2]
        return Response(texts[name], headers=POLICY, media_type=KINDS[name])

    async def served(request: Request) -> Response:
        """Return the models, their classes, and whether drawings are collected."""
        described = [_described(model) for model in models]
        return json_response({"models": described, "collects": collects})

    hidden: dict[str, Any] = {"include_in_schema": False, "response_class": Response}
    found.get("/", **hidden)(page)
    for name in KINDS:
        found.get(f"/static/{name}", **hidden)(file)
    found.get("/models", **hidden)(served)
    return found


def _described(model: Model) -> dict[str, Any]:
    selected = model.source.selected_classes
    return {
        "name": model.name,
        "classes": model.labels,
        "selected": list(range(model.classes) if selected is None else selected),
        "picture": None if model.form is None else list(model.form.size),
    }


def interfaces(app: FastAPI) -> str:
    """Return a page that lists what the OpenAPI document describes."""
    entries = [
        ENTRY.format(
            method=method.upper(),
            path=escape(path),
            summary=escape(operation["summary"]),
            description=escape(operation.get("description", "")),
        )
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    return INTERFACES.format(entries="".join(entries))
