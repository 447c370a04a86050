"""Networks to serve, and clients of the application that need no socket."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from starlette.types import ASGIApp

from dnn_cli.serving.app import application
from dnn_cli.serving.limits import Bounds
from dnn_cli.serving.models import Models
from tests.shared_runs import SharedRuns

# A network that reads the digits of the sample well enough for tests that draw.
DIGITS = """
seed: 3
engine: numpy
data: {dataset: mnist-sample}
model: {layers: [{units: 64, activation: relu}]}
optimizer: {name: adam}
training: {epochs: 5}
"""


class Client:
    """Sends requests to an application without a socket."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return the answer to a request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **content)

        return asyncio.run(send())

    def get(self, path: str, **content: Any) -> httpx.Response:
        """Return the answer to a GET request."""
        return self.request("GET", path, **content)

    def post(self, path: str, **content: Any) -> httpx.Response:
        """Return the answer to a POST request."""
        return self.request("POST", path, **content)


@pytest.fixture(scope="session")
def digits(shared_runs: SharedRuns) -> Path:
    """Return a run that reads digits."""
    return shared_runs.path(DIGITS)


@pytest.fixture
def client(digits: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that returns a client of an application which serves runs."""
    with ExitStack() as stack:

        def call(*runs: Path, bounds: Bounds | None = None, **settings: Any) -> Client:
            models = Models(runs or [digits])
            stack.callback(models.close)
            return Client(application(models, bounds or Bounds(), **settings))

        yield call


def seven(color: str = "black", paper: str = "white") -> bytes:
    """Return a PNG with a 7."""
    picture = Image.new("RGB", (280, 280), paper)
    ImageDraw.Draw(picture).line([(80, 70), (200, 70), (130, 220)], color, 22, "curve")
    return encoded(picture)


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    """Return the bytes of a picture's file."""
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()


def pixels(run: Path, content: bytes) -> np.ndarray[Any, Any]:
    """Return what the network sees of a picture, by the function that `dnn predict` calls."""
    from dnn_cli.evaluation import predict

    file = Path("picture.png")
    file.write_bytes(content)
    (found,) = predict.predict_images(run, file, notify=lambda line: None)
    return found.image
