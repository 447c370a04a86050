"""Answer pictures: `dnn predict` by HTTP, with the reasons and with what the network sees, for the page."""

import io
import threading
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from dnn_cli.data import decoding, image_files
from dnn_cli.errors import DataError, RunError
from dnn_cli.evaluation import image_inputs, metrics, predict
from dnn_cli.evaluation.image_inputs import ImageInput
from dnn_cli.evaluation.predict import Prediction, UnreadableFile
from dnn_cli.evaluation.refusal import of_run
from dnn_cli.serving.models import Model, Models
from dnn_cli.serving.requests import RequestError
from dnn_cli.serving.routing import documented, json_response, parameter, record, router

MAX_PIXELS = 2**24  # of a picture: 4096 by 4096
MAX_NAME = 200  # characters of a file name that are answered
PICTURE = {"type": "string", "format": "binary"}
KINDS = ("image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff", "image/webp", "application/octet-stream")
FORM = "multipart/form-data"
BODY = {
    **dict.fromkeys(KINDS, PICTURE),
    FORM: {"type": "object", "properties": {"image": PICTURE}, "required": ["image"]},
}
MODEL = parameter("model", "The name of the model; by default the first.")
ANSWER = record(
    model={"type": "string"},
    version={"type": "string"},
    epoch={"type": ["integer", "null"]},
    note={"type": "string"},
    selected_classes={"type": ["array", "null"]},
    temperature={"type": ["number", "null"]},
    images={"type": "array", "items": {"type": "object"}},
)

_decoder = threading.Lock()  # reading pictures changes Python's filters of warnings, which all threads share


def routes(models: Models) -> APIRouter:
    """Return the routes for pictures."""
    found = router("Pictures")

    async def predict_picture(request: Request) -> Response:
        """Return the answer for each digit in a picture, as `dnn predict --json` prints it."""
        model, options = models.find(request.query_params.get("model")), request.query_params
        has_pixels, has_reasons = (_flag(options.get(name), name) for name in ("pixels", "why"))
        content, name = await uploaded(request)

        def answer() -> dict[str, Any]:
            return _answer(model, content, name, has_pixels=has_pixels, has_reasons=has_reasons)

        return json_response(await models.in_worker(answer))

    found.post(
        "/predict",
        **documented(
            ANSWER,
            404,
            body=BODY,
            parameters=[
                MODEL,
                parameter("pixels", "1 adds what the network sees of each digit.", enum=["0", "1"]),
                parameter("why", "1 adds the integrated gradients of each answer.", enum=["0", "1"]),
            ],
        ),
        summary="Predict a picture",
    )(predict_picture)
    return found


def _flag(text: str | None, name: str) -> bool:
    if text not in (None, "0", "1"):
        raise RequestError(f"{name} must be 0 or 1")
    return text == "1"


async def uploaded(request: Request) -> tuple[bytes, str]:
    """Return the picture in a request, and its name if it is a file of a form.

    Raises:
        RequestError: there is none, or the body is of another type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        if kind not in KINDS:
            raise RequestError(f"the type of the body must be {', '.join(KINDS)} or {FORM}", 415)
        return await request.body(), ""
    try:
        async with request.form(max_files=1, max_fields=10) as form:
            for value in form.values():
                if isinstance(value, UploadFile):
                    return await value.read(), (value.filename or "")[:MAX_NAME]
    except MultiPartException as error:
        raise RequestError(error.message) from None
    raise RequestError("the form must have a file")


def read(model: Model, content: bytes) -> list[ImageInput] | str:
    """Return what the network sees of a picture, as `dnn predict` does, or the reason why it sees no digit.

    Raises:
        RequestError: the picture cannot be decoded or is too large, or the network takes no pictures.
    """
    try:
        with _decoder, image_files.quiet_decoder():
            with image_files.opened(content) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise DataError(f"the picture is too large: at most {MAX_PIXELS:,} pixels are served")
                if model.form:
                    return [ImageInput(decoding.prepare(picture, model.form))]
            try:
                return _digits(model, content)
            except DataError as error:
                with image_files.opened(content) as picture:
                    picture.load()  # fails if the picture is damaged
                return _reason(error)
    except DataError as error:
        raise RequestError(_reason(error)) from None
    except RunError:
        raise RequestError(f"{model.name} takes no pictures: its images are not grey and square") from None


def _digits(model: Model, content: bytes) -> list[ImageInput]:
    found = image_files.read(io.BytesIO(content), predict.image_side(model.source.file))
    return [ImageInput(one.image, "", one.box, one.doubt) for one in found]


def _reason(error: DataError) -> str:
    return str(error).removeprefix("standard input: ")


def answers(model: Model, inputs: Sequence[ImageInput], name: str = "") -> list[Prediction]:
    """Return the answer for each of the images that `read` found."""
    source, images = model.source, image_inputs.stack(inputs, model.shape)
    rows, refused = model.outputs(images), model.refused(images)
    return [
        # The classes are chosen by the network's own probabilities, as `dnn predict` does.
        Prediction(
            name,
            one.image,
            calibrated,
            *metrics.two_most_probable(row, source.selected_classes),
            box=one.box,
            reason=one.doubt or of_run.REASON * (looks_wrong and bool(one.box)),
            class_names=source.class_names,
        )
        for one, row, calibrated, looks_wrong in zip(inputs, rows, source.calibrated(rows), refused, strict=True)
    ]


def _answer(model: Model, content: bytes, name: str, *, has_pixels: bool, has_reasons: bool) -> dict[str, Any]:
    inputs = read(model, content)
    if isinstance(inputs, str):
        return _result(model, [UnreadableFile(name, inputs).to_dict()])
    found = answers(model, inputs, name)
    images = [one.to_dict() for one in found]
    if has_pixels:
        for described, one in zip(images, found, strict=True):
            described["pixels"] = one.image.tolist()
    if has_reasons:
        maps = model.attributions(
            image_inputs.stack([ImageInput(one.image) for one in found], model.shape), [one.digit for one in found]
        )
        for described, gradients in zip(images, maps, strict=True):
            described["why"] = [[float(f"{value:.4g}") for value in row] for row in gradients.tolist()]
    return _result(model, images)


def _result(model: Model, images: list[dict[str, Any]]) -> dict[str, Any]:
    source = model.source
    return {
        "model": model.name,
        "version": model.version,
        "epoch": source.epoch,
        "note": source.run.environment().dataset.note if source.run else "",
        "selected_classes": source.selected_classes,
        "temperature": source.temperature,
        "images": images,
    }
