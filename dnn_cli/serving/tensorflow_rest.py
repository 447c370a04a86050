"""The REST interface of TensorFlow Serving: https://www.tensorflow.org/tfx/serving/api_rest.

The signature ``serving_default`` takes whole numbers from 0 to 255, as a picture has them, and ``unit_range`` numbers
from 0 to 1. The only input is ``image``, the only output ``probabilities``, so both names may be left out.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from dnn_cli.serving.models import Model, Models
from dnn_cli.serving.requests import RequestError, as_images, as_levels, as_pixels, has_booleans, numbers, parse_json
from dnn_cli.serving.routing import JSON, NAME, VERSION, documented, json_response, record, router

INPUT, OUTPUT = "image", "probabilities"
SIGNATURES = {"serving_default": ("DT_UINT8", as_pixels), "unit_range": ("DT_FLOAT", as_levels)}
TENSOR = {"type": "array", "items": {}}
PREDICT = {
    "type": "object",
    "properties": {
        "signature_name": {"enum": list(SIGNATURES)},
        "instances": {**TENSOR, "description": "A list of images; each may also be an object with the key image."},
        "inputs": {"description": "A list of images, or an object with the key image.", "type": ["array", "object"]},
    },
    "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
}
ANSWER = {
    "oneOf": [
        record(predictions={"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        record(outputs={"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
    ]
}
STATUS = record(model_version_status={"type": "array"})


def routes(models: Models) -> APIRouter:
    """Return the routes of the interface."""
    found = router("TensorFlow Serving REST")

    async def status(request: Request) -> Response:
        """Return the state of the model, which is available."""
        model = _model(models, request)
        version = {"version": model.version, "state": "AVAILABLE"}
        return json_response(
            {"model_version_status": [{**version, "status": {"error_code": "OK", "error_message": ""}}]}
        )

    async def metadata(request: Request) -> Response:
        """Return the signatures of the model: the names, types and shapes of inputs and outputs."""
        model = _model(models, request)
        definitions = {name: _signature(model, name) for name in SIGNATURES}
        return json_response(
            {
                "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
                "metadata": {"signature_def": {"signature_def": definitions}},
            }
        )

    async def predict(request: Request) -> Response:
        """Return the probabilities of all classes for a batch of images."""
        model = _model(models, request)
        body = await request.body()
        return json_response(await models.run(model, len(body), lambda: _predict(model, body)))

    for path, parameters in (("/v1/models/{name}", [NAME]), ("/v1/models/{name}/versions/{version}", [NAME, VERSION])):
        found.get(path, **documented(STATUS, 404, parameters=parameters), summary="State of a model")(status)
        found.get(
            f"{path}/metadata",
            **documented(
                record(model_spec={"type": "object"}, metadata={"type": "object"}), 404, parameters=parameters
            ),
            summary="Signatures of a model",
        )(metadata)
        found.post(
            f"{path}:predict", **documented(ANSWER, 404, body={JSON: PREDICT}, parameters=parameters), summary="Predict"
        )(predict)
    return found


def _model(models: Models, request: Request) -> Model:
    return models.find(request.path_params["name"], request.path_params.get("version"))


def _predict(model: Model, body: bytes) -> dict[str, Any]:
    values = parse_json(body)
    if ("instances" in values) == ("inputs" in values):
        raise RequestError('the body must have either "instances" or "inputs"')
    signature = values.get("signature_name", "serving_default")
    if not isinstance(signature, str) or signature not in SIGNATURES:
        raise RequestError(f"there is no signature {signature!r}; there is {' and '.join(SIGNATURES)}")
    title = "instances" if "instances" in values else "inputs"
    given = _rows(values[title]) if title == "instances" else _columns(values[title])
    found = numbers(given, title, booleans=has_booleans(body))
    images = SIGNATURES[signature][1](as_images(found, model.shape, title), title)
    return {"predictions" if title == "instances" else "outputs": model.probabilities(images).tolist()}


def _rows(instances: Any) -> Any:
    """Return the instances without the name of their only input."""
    if not isinstance(instances, list) or not instances:
        raise RequestError("instances must be a list of images, one at least")
    if isinstance(instances[0], dict):
        return [_only(each, "each of instances") for each in instances]
    return instances


def _columns(inputs: Any) -> Any:
    """Return the inputs without the name of the only one."""
    return _only(inputs, "inputs") if isinstance(inputs, dict) else inputs


def _only(named: Any, title: str) -> Any:
    if not isinstance(named, dict) or list(named) != [INPUT]:
        raise RequestError(f"{title} must have the only input, {INPUT}")
    return named[INPUT]


def _signature(model: Model, name: str) -> dict[str, Any]:
    return {
        "inputs": {INPUT: _tensor(f"{name}_{INPUT}:0", SIGNATURES[name][0], model.shape)},
        "outputs": {OUTPUT: _tensor("StatefulPartitionedCall:0", "DT_FLOAT", (model.classes,))},
        "method_name": "tensorflow/serving/predict",
    }


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}
