import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dnn_cli
from dnn_cli.data.datasets import Split
from dnn_cli.evaluation import model_source
from dnn_cli.typing import Array
from tests.serving.conftest import Client

Clients = Callable[..., Client]
HEADER = "Inference-Header-Content-Length"


@pytest.fixture
def url(digits: Path) -> str:
    return f"/v2/models/{digits.name}"


@pytest.fixture
def expected(digits: Path, few: Split) -> Array:
    """Return the probabilities of three images."""
    return model_source.probabilities(model_source.find_model(digits).file, few.images[:3], engine="numpy")


def tensor(images: Array, **changes: Any) -> dict[str, Any]:
    """Return images as the input of a request."""
    kind = "UINT8" if images.dtype == np.uint8 else "FP32"
    return {"name": "image", "shape": list(images.shape), "datatype": kind, "data": images.ravel().tolist(), **changes}


def binary(tensors: dict[str, Any], content: bytes) -> dict[str, Any]:
    """Return the arguments of a request whose tensor follows as bytes."""
    head = json.dumps(tensors).encode()
    return {"content": head + content, "headers": {HEADER: str(len(head))}}


def test_what_the_server_and_its_models_are(client: Clients, url: str, digits: Path) -> None:
    asked, name = client(), digits.name
    metadata = {
        "name": name,
        "versions": ["1"],
        "platform": "dnn_numpy",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }
    for path, expected in (
        ("/v2", {"name": "dnn", "version": dnn_cli.__version__, "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (url, metadata),
        (f"{url}/versions/1", metadata),
        (f"{url}/ready", {"name": name, "ready": True}),
        (f"{url}/versions/1/ready", {"name": name, "ready": True}),
    ):
        answer = asked.get(path)
        assert (answer.status_code, answer.json()) == (200, expected)


def test_json_in_json_out(client: Clients, url: str, digits: Path, few: Split, expected: Array) -> None:
    asked, images = client(), few.images[:3]
    for each in (images, images.reshape(3, -1), (images / 255).astype(np.float32)):
        answer = asked.post(f"{url}/infer", json={"id": "a7", "inputs": [tensor(each)]}).json()
        (output,) = answer.pop("outputs")
        assert answer == {"model_name": digits.name, "model_version": "1", "id": "a7"}
        np.testing.assert_allclose(np.reshape(output.pop("data"), (3, 10)), expected, atol=1e-6)
        assert output == {"name": "probabilities", "datatype": "FP32", "shape": [3, 10]}
    nested = {"inputs": [tensor(images, data=images.tolist())]}
    answer = asked.post(f"{url}/versions/1/infer", json=nested).json()
    assert "id" not in answer
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 10)), expected, atol=1e-6)


def test_bytes_in_and_bytes_out(client: Clients, url: str, few: Split, expected: Array) -> None:
    asked, images = client(), few.images[:3]
    for each in (images, (images / 255).astype("<f4")):
        content = each.tobytes()
        described = tensor(each, parameters={"binary_data_size": len(content)})
        del described["data"]
        for request in (
            {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
            {"parameters": {"binary_data_output": True}},
        ):
            answer = asked.post(f"{url}/infer", **binary({"inputs": [described], **request}, content))
            length = int(answer.headers[HEADER])
            (output,) = json.loads(answer.content[:length])["outputs"]
            assert output["parameters"] == {"binary_data_size": 3 * 10 * 4}
            found = struct.unpack("<30f", answer.content[length:])
            np.testing.assert_allclose(np.reshape(found, (3, 10)), expected, atol=1e-6)
        # Bytes in and JSON out, which is the default.
        (output,) = asked.post(f"{url}/infer", **binary({"inputs": [described]}, content)).json()["outputs"]
        np.testing.assert_allclose(np.reshape(output["data"], (3, 10)), expected, atol=1e-6)
    answer = asked.post(f"{url}/infer", content=images.tobytes(), headers={HEADER: "0"})
    found = struct.unpack("<30f", answer.content[int(answer.headers[HEADER]) :])
    np.testing.assert_allclose(np.reshape(found, (3, 10)), expected, atol=1e-6)


DARK = np.zeros((1, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "inputs must be a list with one tensor, image"),
        ({"inputs": []}, "inputs must be a list with one tensor, image"),
        ({"inputs": [tensor(DARK)] * 2}, "inputs must be a list with one tensor, image"),
        ({"inputs": [7]}, "inputs must be a list with one tensor, image"),
        ({"inputs": [tensor(DARK, name="x")]}, "inputs must be a list with one tensor, image, got x"),
        ({"inputs": [tensor(DARK, datatype="INT8")]}, "the datatype of image must be UINT8 or FP32"),
        ({"inputs": [tensor(DARK, datatype=[])]}, "the datatype of image must be UINT8 or FP32"),
        ({"inputs": [tensor(DARK, shape=[1, True])]}, "the shape of image must be a list of numbers"),
        ({"inputs": [tensor(DARK, shape=[1, -784])]}, "the shape of image must be a list of numbers"),
        ({"inputs": [tensor(DARK, shape=[2, 28, 28])]}, "image has 784 numbers, but its shape has 1568"),
        ({"inputs": [tensor(DARK, shape=[10**18])]}, f"image has 784 numbers, but its shape has {10**18}"),
        ({"inputs": [tensor(DARK, shape=[28, 28])]}, "image must be images of n×28×28, n at least 1, got 28×28"),
        ({"inputs": [tensor(DARK, shape=[0], data=[])]}, "image must be images of n×28×28, n at least 1, got 0"),
        ({"inputs": [tensor(DARK, shape=[], data=[7])]}, "image must be images of n×28×28, n at least 1, got a number"),
        ({"inputs": [tensor(DARK, data=[256] * 784)]}, "image must be whole numbers from 0 to 255, got 256 to 256"),
        ({"inputs": [tensor(DARK, datatype="FP32", data=[2] * 784)]}, "image must be numbers from 0 to 1, got 2 to 2"),
        ({"inputs": [tensor(DARK, parameters=[])]}, "the parameters of image must be an object"),
        (
            {"inputs": [tensor(DARK, parameters={"binary_data_size": 784})]},
            "image must have either data or the parameter binary_data_size",
        ),
        ({"id": 7, "inputs": [tensor(DARK)]}, "id must be a string"),
        (
            {"inputs": [tensor(DARK)], "outputs": [{"name": "digit"}]},
            "outputs must be a list with one tensor, probabilities, got digit",
        ),
    ],
)
def test_a_wrong_request_is_refused(client: Clients, url: str, body: dict[str, Any], message: str) -> None:
    answer = client().post(f"{url}/infer", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_wrong_binary_requests_are_refused(client: Clients, url: str) -> None:
    asked = client()
    sizes = "image has {} bytes of binary data; its shape and its binary_data_size must say the same"

    def described(size: object, **changes: Any) -> dict[str, Any]:
        found = tensor(DARK, parameters={"binary_data_size": size}, **changes)
        del found["data"]
        return {"inputs": [found]}

    infinite = np.full((1, 28, 28), np.nan, np.float32).tobytes()
    for request, message in (
        ({"content": b"{}", "headers": {HEADER: "3"}}, f"{HEADER} must be a number from 0 to the length of the body"),
        ({"content": b"{}", "headers": {HEADER: "-1"}}, f"{HEADER} must be a number from 0 to the length of the body"),
        ({"content": b"", "headers": {HEADER: "0"}}, "the body must have 784 bytes for each image, got 0"),
        ({"content": b"7" * 785, "headers": {HEADER: "0"}}, "the body must have 784 bytes for each image, got 785"),
        (binary(described(784), bytes(783)), sizes.format(783)),
        (binary(described(783), bytes(783)), sizes.format(783)),
        (binary(described("784"), bytes(784)), sizes.format(784)),
        (binary(described(784, datatype="FP32"), bytes(784)), sizes.format(784)),
        (binary(described(3136, datatype="FP32"), infinite), "image must be numbers from 0 to 1, got nan to nan"),
    ):
        answer = asked.post(f"{url}/infer", **request)
        assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_unknown_models_and_versions(client: Clients, url: str, digits: Path) -> None:
    asked = client()
    for path, message in (
        ("/v2/models/x/ready", f"there is no model x; there is {digits.name}"),
        (f"{url}/versions/7", f"there is no version 7 of model {digits.name}; there is 1"),
    ):
        answer = asked.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": message})
