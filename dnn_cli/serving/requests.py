"""Read requests from anybody: JSON that is strict and bounded, and arrays of pixels."""

import json
from math import prod
from typing import Any

import numpy as np
import orjson

from dnn_cli.evaluation import model_source
from dnn_cli.typing import Array

WHITE = 255


class RequestError(Exception):
    """A request cannot be answered.

    Attributes:
        status: the HTTP status.
        headers: further headers of the answer.
    """

    def __init__(self, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


def error_body(message: str) -> bytes:
    """Return the JSON of an error, whose form TensorFlow Serving and the Open Inference Protocol share."""
    return json.dumps({"error": message}).encode()


def parse_json(body: bytes | memoryview) -> dict[str, Any]:
    """Return the JSON object in a body; raises `RequestError` if it is malformed, too deep, or no object.

    The parser takes neither NaN nor Infinity. Python's own would take more time than all else in the request.
    """
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise RequestError("the body must be a JSON object")
    return values


def has_booleans(body: bytes) -> bool:
    """Return whether a body has true or false in it, as values or within strings."""
    return b"true" in body or b"false" in body


def numbers(values: Any, title: str, *, booleans: bool) -> Array:
    """Return nested lists of numbers as an int64 or float64 array.

    Args:
        values: a decoded JSON value.
        title: its name in messages.
        booleans: whether the request has true or false somewhere, so that they have to be searched here.

    Raises:
        RequestError: it holds something else than numbers, its lists differ in length, or a number is too large.
    """
    try:
        found = np.asarray(values)
    except (ValueError, OverflowError):  # lists of different lengths or too deep; a number and a list in one list
        raise RequestError(f"{title} must be lists of numbers, of equal lengths") from None
    if found.dtype.kind not in "iuf" or (booleans and _has_booleans(values)):
        raise RequestError(f"{title} must be lists of numbers, of equal lengths")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise RequestError(f"{title} has a number that is too large")
    return found


def _has_booleans(values: Any) -> bool:
    """Return whether nested lists of equal depth hold true or false, which NumPy takes for 1 and 0."""
    if not isinstance(values, list):
        return isinstance(values, bool)
    if values and isinstance(values[0], list):
        return any(_has_booleans(each) for each in values)
    return bool in set(map(type, values))


def as_pixels(found: Array, title: str) -> Array:
    """Return whole numbers from 0 to 255 as uint8; raises `RequestError` for others and for fractions."""
    if found.size and found.dtype.kind == "f":
        raise RequestError(f"{title} must be whole numbers from 0 to 255, got fractions")
    if found.size and not (found.min() >= 0 and found.max() <= WHITE):
        raise RequestError(f"{title} must be whole numbers from 0 to 255, got {found.min()} to {found.max()}")
    return found.astype(np.uint8)


def as_levels(found: Array, title: str) -> Array:
    """Return numbers from 0 to 1 as float32; raises `RequestError` for others, and for NaN."""
    if found.size and not (found.min() >= 0 and found.max() <= 1):
        raise RequestError(f"{title} must be numbers from 0 to 1, got {found.min():g} to {found.max():g}")
    return found.astype(np.float32)


def as_images(found: Array, shape: tuple[int, ...], title: str) -> Array:
    """Return an array as (n, *shape), n at least 1; raises `RequestError` if it is no batch of such images.

    An image may also have a channel of its own, or be a row of all its numbers.
    """
    image = found.shape[1:]
    if not (found.ndim and len(found) and (image == (prod(shape),) or model_source.fits(image, shape))):
        got, wanted = ("×".join(map(str, each)) or "a number" for each in (found.shape, ("n", *shape)))
        raise RequestError(f"{title} must be images of {wanted}, n at least 1, got {got}")
    return found.reshape(len(found), *shape)
