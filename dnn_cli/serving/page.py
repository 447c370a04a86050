"""The page to draw on, and the list of the interfaces; both ask nothing of any other server."""

import json
from html import escape
from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from dnn_cli.errors import RunError
from dnn_cli.evaluation import model_source, predict
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.exporting import export, javascript, plain_network
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
ALONE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:"
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
ENTRY = "<h2><code>{method} {path}</code></h2>\n<p>{summary}. {description}</p>\n"
INTERFACES = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dnn serve: interfaces</title>
<link rel="icon" href="data:,">
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


def alone(source: ModelSource) -> str:
    """Return the page in one file that needs no server: with a network in JavaScript inside.

    Raises:
        RunError: the file is damaged, or its network is not one that dnn builds or takes no drawings.
    """
    if model_source.picture_form(source):
        raise RunError(f"{source.file} was trained on pictures of your own, which this page does not prepare")
    predict.image_side(source.file)
    network = plain_network.load(source.file, source.temperature or 1.0)
    contract = export.contract_of(source, network, "uint8")
    selected = source.selected_classes or tuple(range(network.classes))
    scripts = [
        javascript.source(network, contract),
        static("local.js"),
        f"globalThis.dnnBackend = dnnLocal.backend(dnnModel, {json.dumps(selected)});",
        static("page.js"),
    ]
    policy = f'<meta http-equiv="content-security-policy" content="{ALONE}">'
    parts = {
        '<link rel="stylesheet" href="/static/page.css">': f"<style>\n{static('page.css')}</style>",
        '<script src="/static/page.js"></script>': "\n".join(f"<script>\n{each}</script>" for each in scripts),
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n{policy}',
    }
    text = static("index.html")
    for place, part in parts.items():
        text = text.replace(place, part, 1)
    return text


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
