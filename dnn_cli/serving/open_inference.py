"""The Open Inference Protocol, version 2, of KServe and Triton, with the extension for binary tensors.

https://github.com/kserve/open-inference-protocol. The only input is ``image``, of the type UINT8 (0 to 255) or FP32
(0 to 1); the only output is ``probabilities``, FP32.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

import dnn_cli
from dnn_cli.serving.models import Model, Models
from dnn_cli.serving.requests import RequestError, as_images, as_levels, as_pixels, has_booleans, numbers, parse_json
from dnn_cli.serving.routing import JSON, NAME, VERSION, documented, json_response, parameter, record, router
from dnn_cli.typing import Array

INPUT, OUTPUT = "image", "probabilities"
HEADER = "Inference-Header-Content-Length"  # length of the JSON before the binary tensors
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Datatype:
    """A type of tensor.

    Attributes:
        dtype: NumPy's name of its bytes.
        convert: checks an array of it, and returns what a network takes.
    """

    dtype: str
    convert: Callable[[Array, str], Array]


DATATYPES = {"UINT8": Datatype("u1", as_pixels), "FP32": Datatype("<f4", as_levels)}
SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
PARAMETERS = {"type": "object"}
INFER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"const": INPUT},
                    "shape": SHAPE,
                    "datatype": {"enum": list(DATATYPES)},
                    "parameters": PARAMETERS,
                    "data": {"type": "array", "items": {}},
                },
                "required": ["name", "shape", "datatype"],
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"const": OUTPUT}, "parameters": PARAMETERS},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
ANSWER = record(
    model_name={"type": "string"},
    model_version={"type": "string"},
    outputs={"type": "array", "items": {"type": "object"}},
)
METADATA = record(
    name={"type": "string"},
    versions={"type": "array", "items": {"type": "string"}},
    platform={"type": "string"},
    inputs={"type": "array"},
    outputs={"type": "array"},
)


def routes(models: Models) -> APIRouter:
    """Return the routes of the protocol."""
    found = router("Open Inference Protocol v2")

    async def server(request: Request) -> Response:
        """Return the server's name, its version and the extensions of the protocol."""
        return json_response({"name": "dnn", "version": dnn_cli.__version__, "extensions": ["binary_tensor_data"]})

    async def live(request: Request) -> Response:
        """Return that the server runs."""
        return json_response({"live": True})

    async def ready(request: Request) -> Response:
        """Return that all models are loaded."""
        return json_response({"ready": True})

    async def model_ready(request: Request) -> Response:
        """Return that the model is loaded."""
        return json_response({"name": _model(models, request).name, "ready": True})

    async def metadata(request: Request) -> Response:
        """Return the names, types and shapes of the model's inputs and outputs."""
        return json_response(_metadata(_model(models, request)))

    async def infer(request: Request) -> Response:
        """Return the probabilities of all classes for a batch of images."""
        model = _model(models, request)
        body, header = await request.body(), request.headers.get(HEADER)
        return await models.run(model, len(body), lambda: _infer(model, body, header))

    about = record(name={"type": "string"}, version={"type": "string"}, extensions={"type": "array"})
    found.get("/v2", **documented(about), summary="The server")(server)
    found.get("/v2/health/live", **documented(record(live={"type": "boolean"})), summary="Is it running?")(live)
    found.get("/v2/health/ready", **documented(record(ready={"type": "boolean"})), summary="Is it ready?")(ready)
    length = parameter(HEADER, "Length of the JSON before binary tensors.", "header", type="integer", minimum=0)
    for path, parameters in (("/v2/models/{name}", [NAME]), ("/v2/models/{name}/versions/{version}", [NAME, VERSION])):
        found.get(path, **documented(METADATA, 404, parameters=parameters), summary="Inputs and outputs of a model")(
            metadata
        )
        found.get(
            f"{path}/ready",
            **documented(record(name={"type": "string"}, ready={"type": "boolean"}), 404, parameters=parameters),
            summary="Is a model ready?",
        )(model_ready)
        found.post(
            f"{path}/infer",
            **documented(ANSWER, 404, body={JSON: INFER}, parameters=[*parameters, length]),
            summary="Predict",
        )(infer)
    return found


def _model(models: Models, request: Request) -> Model:
    return models.find(request.path_params["name"], request.path_params.get("version"))


def _metadata(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "dnn_numpy",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *model.shape]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, model.classes]}],
    }


def _infer(model: Model, body: bytes, header: str | None) -> Response:
    if header is not None and not (header.isascii() and header.isdigit() and int(header[:20]) <= len(body)):
        raise RequestError(f"{HEADER} must be a number from 0 to the length of the body")
    if header is not None and int(header) == 0:  # nothing but the bytes of images
        return _answer(model, _pixels(model, memoryview(body)), {}, is_binary=True)
    length = len(body) if header is None else int(header)
    request = parse_json(memoryview(body)[:length])
    if "id" in request and not isinstance(request["id"], str):
        raise RequestError("id must be a string")
    tensor = _only(request.get("inputs"), "inputs", INPUT)
    images = _input(model, tensor, memoryview(body)[length:], booleans=has_booleans(body))
    is_binary = _parameters(request, "the request").get("binary_data_output") is True
    if request.get("outputs"):
        output = _only(request["outputs"], "outputs", OUTPUT)
        is_binary = _parameters(output, "the output").get("binary_data", is_binary) is True
    return _answer(model, images, {"id": request["id"]} if "id" in request else {}, is_binary=is_binary)


def _only(tensors: Any, title: str, name: str) -> dict[str, Any]:
    """Return the only tensor in a list, which must have that name."""
    if not (isinstance(tensors, list) and len(tensors) == 1 and isinstance(tensors[0], dict)):
        raise RequestError(f"{title} must be a list with one tensor, {name}")
    if tensors[0].get("name") != name:
        raise RequestError(f"{title} must be a list with one tensor, {name}, got {str(tensors[0].get('name'))[:50]}")
    return tensors[0]


def _parameters(owner: dict[str, Any], title: str) -> dict[str, Any]:
    found = owner.get("parameters", {})
    if not isinstance(found, dict):
        raise RequestError(f"the parameters of {title} must be an object")
    return found


def _input(model: Model, tensor: dict[str, Any], binary: memoryview, *, booleans: bool) -> Array:
    """Return the images (n, *shape) of the input tensor: its data, or the bytes after the JSON."""
    kind = tensor.get("datatype")
    if not isinstance(kind, str) or kind not in DATATYPES:
        raise RequestError(f"the datatype of {INPUT} must be {' or '.join(DATATYPES)}")
    datatype, shape = DATATYPES[kind], tensor.get("shape")
    if not (isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)):
        raise RequestError(f"the shape of {INPUT} must be a list of numbers")
    size = _parameters(tensor, INPUT).get("binary_data_size")
    if (size is None) == ("data" not in tensor):
        raise RequestError(f"{INPUT} must have either data or the parameter binary_data_size")
    if size is None:
        found = numbers(tensor["data"], f"the data of {INPUT}", booleans=booleans)
    else:
        dtype = np.dtype(datatype.dtype)
        if type(size) is not int or size != len(binary) or size != prod(shape) * dtype.itemsize:
            raise RequestError(
                f"{INPUT} has {len(binary)} bytes of binary data; its shape and its binary_data_size must say the same"
            )
        found = np.frombuffer(binary, dtype)
    if prod(shape) != found.size:
        raise RequestError(f"{INPUT} has {found.size} numbers, but its shape has {prod(shape)}")
    if size is None or kind != "UINT8":  # every byte is a pixel
        found = datatype.convert(found, INPUT)
    return as_images(found.reshape(shape), model.shape, INPUT)


def _pixels(model: Model, body: memoryview) -> Array:
    pixels = prod(model.shape)
    if not body or len(body) % pixels:
        raise RequestError(f"the body must have {pixels} bytes for each image, got {len(body)}")
    return np.frombuffer(body, np.uint8).reshape(-1, *model.shape)


def _answer(model: Model, images: Array, about: dict[str, Any], *, is_binary: bool) -> Response:
    found = model.probabilities(images)
    tensor: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(found.shape)}
    values = {"model_name": model.name, "model_version": model.version, **about, "outputs": [tensor]}
    if not is_binary:
        tensor["data"] = found.ravel().tolist()
        return json_response(values)
    content = found.astype(DATATYPES["FP32"].dtype).tobytes()
    tensor["parameters"] = {"binary_data_size": len(content)}
    header = json.dumps(values).encode()
    return Response(header + content, headers={HEADER: str(len(header))}, media_type=BINARY)
