import warnings
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import negative_data_rejection, positive_data_acceptance

from dnn_cli.serving.limits import Bounds
from tests.serving.conftest import Client, seven

# The OpenAPI document cannot say which shape the images of a model have, nor which bytes are a picture.
EXCLUDED = [positive_data_acceptance, negative_data_rejection]
Clients = Callable[..., Client]


def test_the_pages_have_a_strict_policy_and_ask_no_other_server(client: Clients) -> None:
    asked = client()
    for path, kind in (
        ("/", "text/html"),
        ("/static/page.css", "text/css"),
        ("/static/page.js", "text/javascript"),
        ("/docs", "text/html"),
    ):
        answer = asked.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "://" not in answer.text.replace("http://www.w3.org/", "")
    assert asked.get("/static/../models.py").status_code == 404
    assert asked.get("/redoc").status_code == 404


def test_other_websites_are_not_allowed_to_read_answers(client: Clients) -> None:
    asked = client()
    answer = asked.get("/models", headers={"origin": "https://example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert asked.request("OPTIONS", "/predict", headers=preflight).status_code == 405


def test_no_answer_has_a_path_of_the_file_system(client: Clients, digits: Path) -> None:
    asked, name = client(collect=Path("drawings")), digits.name
    png = {"content-type": "image/png"}
    answers = [
        asked.get(f"/v1/models/{name}/metadata"),
        asked.get(f"/v2/models/{name}"),
        asked.get("/models"),
        asked.get("/metrics"),
        asked.get("/openapi.json"),
        asked.post("/predict?why=1", content=seven(), headers=png),
        asked.post("/predict", content=b"7", headers=png),
        asked.post("/collect?label=7", content=seven(), headers=png),
    ]
    for answer in answers:
        assert str(digits.parent) not in answer.text
        assert ".keras" not in answer.text
        assert str(Path.cwd()) not in answer.text


@pytest.mark.slow
def test_generated_requests_find_no_fault(client: Clients) -> None:
    """Requests that fit the OpenAPI document, and requests that do not, get answers that the document describes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of schemathesis itself
        app = client(collect=Path("drawings"), bounds=Bounds(is_local=False)).app
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)

        settings = hypothesis.settings(
            max_examples=3, phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck)
        )
        modes, checked = schemathesis.GenerationMode, 0
        for found in schema.get_all_operations():
            operation = found.ok()
            if "/versions/" in operation.path:  # is served by the same function
                continue
            for mode in (modes.POSITIVE, modes.NEGATIVE) if operation.body else (modes.POSITIVE,):

                @settings
                @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
                def check(case: schemathesis.Case) -> None:
                    case.call_and_validate(excluded_checks=EXCLUDED)

                check()
                checked += 1
    assert checked >= 14
