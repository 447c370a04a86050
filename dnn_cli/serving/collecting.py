"""Collect drawings with the labels that users give them, as a folder of class folders that `dnn train` reads.

A drawing is kept as the network sees it, so that all have its size and can be trained on as they are.
"""

import hashlib
import io
from pathlib import Path

from fastapi import APIRouter, Request, Response

from dnn_cli import files
from dnn_cli.errors import reason
from dnn_cli.evaluation import image_inputs
from dnn_cli.serving import pictures
from dnn_cli.serving.models import Model, Models
from dnn_cli.serving.requests import RequestError
from dnn_cli.serving.routing import documented, json_response, parameter, record, router
from dnn_cli.typing import Array

KIND = "image/png"  # A website can send forms to any server, but this type only to a server that allows it.
MAX_DRAWINGS = 100_000
UNSAFE = set('/\\:*?"<>|\0')


def routes(models: Models, folder: Path) -> APIRouter:
    """Return the route that keeps drawings in `folder`."""
    found = router("Pictures")

    async def collect(request: Request) -> Response:
        """Keep a drawing with the class that it shows."""
        model = models.find(request.query_params.get("model"))
        label = _number(request.query_params.get("label"), model.classes, "label")
        if request.headers.get("content-type") != KIND:
            raise RequestError(f"the type of the body must be {KIND}", 415)
        content = await request.body()
        digit = request.query_params.get("digit", "0")
        return json_response(await models.in_worker(lambda: _keep(model, content, digit, label, folder)))

    found.post(
        "/collect",
        **documented(
            record(label={"type": "integer"}, name={"type": "string"}),
            404,
            507,
            body={KIND: pictures.PICTURE},
            parameters=[
                pictures.MODEL,
                parameter("label", "The class that it shows, from 0.", type="integer", minimum=0),
                parameter("digit", "Which digit of the picture, from 0.", type="integer", minimum=0),
            ],
        ),
        summary="Keep a labelled drawing",
    )(collect)
    return found


def _number(text: str | None, limit: int, title: str) -> int:
    if text is None or not (text.isascii() and text.isdigit() and int(text[:9]) < limit):
        raise RequestError(f"{title} must be a number from 0 to {limit - 1}")
    return int(text)


def _keep(model: Model, content: bytes, digit: str, label: int, folder: Path) -> dict[str, object]:
    found = pictures.read(model, content)
    if isinstance(found, str):
        raise RequestError(found)
    image = found[_number(digit, len(found), "digit")].image
    (pixels,) = image_inputs.stack([image_inputs.ImageInput(image)], model.shape)
    name = class_folder(model, label)
    encoded = _png(pixels.reshape(image.shape))
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in folder.glob("*/*.png")) >= MAX_DRAWINGS:
            raise RequestError(f"there are {MAX_DRAWINGS:,} drawings already", 507)
        files.write_atomically(folder / name / f"{hashlib.sha256(encoded).hexdigest()[:16]}.png", encoded)
    except OSError as error:
        raise RequestError(f"the drawing cannot be kept: {reason(error)}", 507) from None
    return {"label": label, "name": model.labels[label]}


def class_folder(model: Model, label: int) -> str:
    """Return the name of the folder of a class: its name, or its number if the name is no name of a folder."""
    name = model.labels[label]
    is_safe = not UNSAFE & set(name) and name.isprintable() and not name.startswith((".", "_")) and name.strip() == name
    return name if is_safe and name else str(label)


def _png(image: Array) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()
