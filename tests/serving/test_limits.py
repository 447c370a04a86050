import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from dnn_cli.serving.limits import Bounds, Limits
from tests.serving.conftest import Client

Clients = Callable[..., Client]
SMALL = Bounds(body=1000, seconds=0.05, requests=2)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def parts(*contents: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    for content in contents:
        await asyncio.sleep(pause)
        yield content


def answer(
    bounds: Bounds, *, headers: dict[str, str] | None = None, path: str = "/x", **content: Any
) -> httpx.Response:
    return Client(Limits(echo, bounds)).post(path, headers=headers, **content)


def test_a_body_within_the_bounds_arrives_whole() -> None:
    assert answer(SMALL, content=b"7" * 1000).content == b"7" * 1000
    assert answer(SMALL, content=parts(b"1", b"", b"23")).content == b"123"
    assert answer(SMALL, content=b"").content == b""


@pytest.mark.parametrize("size", [1001, 4000, 4001, 100_000])
def test_a_longer_body_is_refused(size: int) -> None:
    for content in (b"7" * size, parts(*[b"7" * 100] * (size // 100 + 1))):
        found = answer(SMALL, content=content)
        assert found.status_code == 413
        assert found.json() == {"error": "the body is too large: at most 1,000 bytes are accepted"}
        assert found.headers["connection"] == "close"


def test_a_slow_body_is_refused() -> None:
    found = answer(SMALL, content=parts(*[b"7"] * 10, pause=0.02))
    assert found.status_code == 408
    assert found.json() == {"error": "the body did not arrive within 0.05 seconds"}


def test_too_many_requests_at_a_time_are_refused_and_later_ones_are_not() -> None:
    async def scenario() -> list[int]:
        gate = asyncio.Event()

        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "POST":
                await gate.wait()
            await echo(scope, receive, send)

        limits = Limits(wait, SMALL)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(limits), base_url="http://localhost"
        ) as client:  # fmt: skip
            waiting = [asyncio.create_task(client.post("/x", content=b"7")) for _ in range(2)]
            await asyncio.sleep(0.01)
            refused = await client.post("/x", content=b"7")
            assert refused.json() == {"error": "the server is busy: try again"}
            assert refused.headers["retry-after"] == "1"
            without_body = await client.get("/x")
            gate.set()
            answered = [(await one).status_code for one in waiting]
            later = await client.post("/x", content=b"7")
            return [refused.status_code, without_body.status_code, *answered, later.status_code]

    assert asyncio.run(scenario()) == [503, 200, 200, 200, 200]


def test_a_client_that_goes_away_is_not_answered_and_frees_its_place() -> None:
    async def scenario() -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        limits = Limits(echo, Bounds(requests=1))
        scope: Scope = {"type": "http", "path": "/x", "method": "POST", "headers": [(b"content-length", b"5")]}
        for _ in range(3):
            await limits(scope, receive, send)
        return sent

    assert asyncio.run(scenario()) == []


def test_compressed_bodies_are_refused() -> None:
    found = answer(SMALL, headers={"content-encoding": "gzip"}, content=b"7")
    assert (found.status_code, found.json()) == (415, {"error": "compressed bodies are not supported"})
    assert answer(SMALL, headers={"content-encoding": "identity"}, content=b"7").status_code == 200


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("example.org", False),
        ("127.0.0.1.example.org:8000", False),
    ],
)
def test_a_local_server_answers_to_local_names_alone(host: str, is_answered: bool) -> None:
    found = answer(SMALL, headers={"host": host}, content=b"7")
    assert (found.status_code == 200) == is_answered
    if not is_answered:
        message = "this server answers only to the names localhost, 127.0.0.1 and [::1]"
        assert (found.status_code, found.json()) == (400, {"error": message})
    assert answer(Bounds(is_local=False), headers={"host": host}, content=b"7").status_code == 200


def test_a_token_is_demanded_but_for_the_page_and_the_health() -> None:
    bounds = Bounds(token="s3cret-ü")
    for given, status in (
        (None, 401),
        ("Bearer s3cret", 401),
        ("Basic s3cret-ü", 401),
        ("s3cret-ü", 401),
        ("Bearer s3cret-ü", 200),
    ):
        headers = {"authorization": given.encode()} if given else {}
        found = Client(Limits(echo, bounds)).post("/v1/models/x:predict", headers=headers, content=b"7")
        assert found.status_code == status
        if status == 401:
            assert found.json() == {"error": "the token is missing or wrong"}
            assert found.headers["www-authenticate"] == "Bearer"
    for path, status in (("/", 200), ("/static/page.js", 200), ("/v2/health/live", 200), ("/metrics", 401)):
        assert Client(Limits(echo, bounds)).get(path).status_code == status
