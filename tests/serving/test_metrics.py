import json
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.conftest import Client

Clients = Callable[..., Client]


def samples(client: Client) -> dict[tuple[str, ...], float]:
    """Return the values of the metrics by name and labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_requests_are_counted_by_route(client: Clients, digits: object) -> None:
    asked = client()
    for path in ("/v2/models/x", "/v2/models/y", "/nothing/1", "/nothing/2", "/v2"):
        asked.get(path)
    found = samples(asked)
    assert found["dnn_requests_total", "GET", "/v2/models/{name}", "404"] == 2
    assert found["dnn_requests_total", "GET", "other", "404"] == 2
    assert found["dnn_requests_total", "GET", "/v2", "200"] == 1
    assert found["dnn_request_seconds_count", "/v2"] == 1
    assert found["dnn_request_seconds_bucket", "+Inf", "/v2"] == 1
    assert found["dnn_request_seconds_sum", "/v2"] > 0
    assert found["dnn_active_requests",] == 1  # this one


def test_the_number_of_series_does_not_grow_with_what_is_asked(client: Clients) -> None:
    asked = client()
    for number in range(20):
        asked.request(f"METHOD{number}", f"/{number}")
    names = {key for key in samples(asked) if key[0] == "dnn_requests_total"}
    assert names == {("dnn_requests_total", "other", "other", "404")}


def test_the_access_log_has_a_line_of_json_for_each_request(client: Clients) -> None:
    lines = list[str]()
    asked = client(log=lines.append)
    asked.get("/v2/health/live")
    asked.post("/v1/models/x%0A:predict", content=b"{}")
    first, second = map(json.loads, lines)
    assert first.pop("milliseconds") > 0
    assert first.pop("time").endswith("+00:00")
    expected = {"client": "127.0.0.1", "method": "GET", "path": "/v2/health/live", "status": 200, "bytes": 14}
    assert first == expected
    assert (second["path"], second["status"]) == ("/v1/models/x\n:predict", 404)


def test_a_bug_is_answered_without_its_details(client: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client()
    monkeypatch.setattr("dnn_cli.serving.tensorflow_rest._signature", lambda *_: 1 / 0)
    answer = asked.get("/v1/models/" + asked.get("/models").json()["models"][0]["name"] + "/metadata")
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its operator finds the reason in its output"}
    assert samples(asked)["dnn_requests_total", "GET", "/v1/models/{name}/metadata", "500"] == 1
