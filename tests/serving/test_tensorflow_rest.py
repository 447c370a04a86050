from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.evaluation import model_source
from tests.serving.conftest import Client

Clients = Callable[..., Client]
DARK = [[0] * 28] * 28


@pytest.fixture
def url(digits: Path) -> str:
    return f"/v1/models/{digits.name}"


def test_the_state_of_a_model(client: Clients, url: str) -> None:
    state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for address in (url, f"{url}/versions/1"):
        answer = client().get(address)
        assert answer.status_code == 200
        assert answer.json() == {"model_version_status": [state]}


def test_the_metadata_describe_two_signatures(client: Clients, url: str, digits: Path) -> None:
    found = client().get(f"{url}/metadata").json()
    assert found["model_spec"] == {"name": digits.name, "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert [signatures[name]["inputs"]["image"]["dtype"] for name in signatures] == ["DT_UINT8", "DT_FLOAT"]
    for signature in signatures.values():
        tensors = (signature["inputs"]["image"], signature["outputs"]["probabilities"])
        sizes = [[axis["size"] for axis in tensor["tensor_shape"]["dim"]] for tensor in tensors]
        assert sizes == [["-1", "28", "28"], ["-1", "10"]]
        assert signature["method_name"] == "tensorflow/serving/predict"


def test_every_form_of_a_request_gets_the_networks_probabilities(
    client: Clients, url: str, digits: Path, few: Split
) -> None:
    images = few.images[:3]
    expected = model_source.probabilities(model_source.find_model(digits).file, images, engine="numpy")
    values, unit = images.tolist(), (images / 255).tolist()
    flat = images.reshape(3, -1).tolist()
    channels = images[..., None].tolist()
    asked = client()
    for body, key in (
        ({"instances": values}, "predictions"),
        ({"instances": flat}, "predictions"),
        ({"instances": channels}, "predictions"),
        ({"instances": [{"image": each} for each in values]}, "predictions"),
        ({"instances": values, "signature_name": "serving_default"}, "predictions"),
        ({"instances": unit, "signature_name": "unit_range"}, "predictions"),
        ({"inputs": values}, "outputs"),
        ({"inputs": {"image": values}}, "outputs"),
    ):
        for address in (f"{url}:predict", f"{url}/versions/1:predict"):
            answer = asked.post(address, json=body)
            assert answer.status_code == 200, answer.text
            np.testing.assert_allclose(answer.json()[key], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'the body must have either "instances" or "inputs"'),
        ({"instances": [DARK], "inputs": [DARK]}, 'the body must have either "instances" or "inputs"'),
        ({"instances": []}, "instances must be a list of images, one at least"),
        ({"instances": 5}, "instances must be a list of images, one at least"),
        ({"instances": [[0, 1], [2]]}, "instances must be lists of numbers, of equal lengths"),
        ({"instances": [["7"]]}, "instances must be lists of numbers, of equal lengths"),
        ({"instances": [[True, 7]]}, "instances must be lists of numbers, of equal lengths"),
        ({"instances": [[None, 7]]}, "instances must be lists of numbers, of equal lengths"),
        (
            {"instances": [[2**63] * 784]},
            "instances must be whole numbers from 0 to 255, got 9223372036854775808 to 9223372036854775808",
        ),
        ({"instances": [DARK[1:]]}, "instances must be images of n×28×28, n at least 1, got 1×27×28"),
        ({"inputs": []}, "inputs must be images of n×28×28, n at least 1, got 0"),
        ({"inputs": 5}, "inputs must be images of n×28×28, n at least 1, got a number"),
        ({"inputs": {"picture": [DARK]}}, "inputs must have the only input, image"),
        ({"instances": [{"image": DARK}, 5]}, "each of instances must have the only input, image"),
        ({"instances": [[256] * 784]}, "instances must be whole numbers from 0 to 255, got 256 to 256"),
        ({"instances": [[-1] * 784]}, "instances must be whole numbers from 0 to 255, got -1 to -1"),
        ({"instances": [[0.5] * 784]}, "instances must be whole numbers from 0 to 255, got fractions"),
        (
            {"instances": [[2.0] * 784], "signature_name": "unit_range"},
            "instances must be numbers from 0 to 1, got 2 to 2",
        ),
        (
            {"instances": [DARK], "signature_name": "other"},
            "there is no signature 'other'; there is serving_default and unit_range",
        ),
        (
            {"instances": [DARK], "signature_name": 7},
            "there is no signature 7; there is serving_default and unit_range",
        ),
    ],
)
def test_a_wrong_request_is_refused(client: Clients, url: str, body: dict[str, object], message: str) -> None:
    answer = client().post(f"{url}:predict", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON: "),
        (b"{", "the body is not JSON: "),
        (b"[1]", "the body must be a JSON object"),
        (b"\xff", "not valid UTF-8"),
        (b'{"instances": [[NaN]]}', "the body is not JSON: unexpected character"),
        (b'{"instances": [[-Infinity]]}', "the body is not JSON: "),
        (b'{"inputs": [[1e999]]}', "the body is not JSON: number is infinity"),
        (b'{"instances": ' + b"[" * 100_000, "the body is not JSON: depth limit exceeded"),
        (b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}", "inputs must be lists of numbers, of equal lengths"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the body is not JSON: number is infinity"),
    ],
)
def test_malformed_json_is_refused(client: Clients, url: str, body: bytes, message: str) -> None:
    answer = client().post(f"{url}:predict", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_an_unknown_model_version_path_or_method_is_refused_as_json(client: Clients, url: str, digits: Path) -> None:
    asked = client()
    for method, address, status, message in (
        ("GET", "/v1/models/other", 404, f"there is no model other; there is {digits.name}"),
        ("POST", "/v1/models/other:predict", 404, f"there is no model other; there is {digits.name}"),
        ("GET", f"{url}/versions/2", 404, f"there is no version 2 of model {digits.name}; there is 1"),
        ("GET", "/v1/nothing", 404, "Not Found"),
        ("DELETE", url, 405, "Method Not Allowed"),
    ):
        answer = asked.request(method, address)
        assert (answer.status_code, answer.json()) == (status, {"error": message})
