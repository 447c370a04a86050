import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.numpy import keras_format
from dnn_cli.evaluation import model_source, predict
from dnn_cli.evaluation.refusal import of_run
from dnn_cli.explanation import attribution
from dnn_cli.serving.pictures import MAX_PIXELS
from tests.conftest import Answer
from tests.serving.conftest import Client, encoded, seven

Clients = Callable[..., Client]
PNG = {"content-type": "image/png"}


def test_a_picture_is_answered_as_dnn_predict_answers_it(
    client: Clients, digits: Path, dnn: Callable[..., Answer]
) -> None:
    asked, content = client(), seven()
    Path("seven.png").write_bytes(content)
    printed = json.loads(dnn("predict", digits, "seven.png", "--json").stdout)
    expected = {key: printed[key] for key in ("epoch", "note", "selected_classes", "temperature")}
    (described,) = printed["images"]
    assert described["digit"] == 7
    for arguments, name in (
        ({"content": content, "headers": PNG}, ""),
        ({"content": content, "headers": {"content-type": "application/octet-stream"}}, ""),
        ({"files": {"image": ("seven.png", content, "image/png")}}, "seven.png"),
        ({"files": {"other": ("seven.png", content)}, "data": {"more": "text"}}, "seven.png"),
    ):
        answer = asked.post("/predict", **arguments)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        (image,) = found.pop("images")
        assert found == {"model": digits.name, "version": "1", **expected}
        np.testing.assert_allclose(image.pop("probabilities"), described["probabilities"], atol=1e-6)
        for key in ("probability", "runner_up_probability"):
            assert image.pop(key) == pytest.approx(described[key], abs=1e-6)
        assert image == {key: described[key] for key in image} | {"file": name}


def test_other_formats_are_answered_too(client: Clients) -> None:
    asked, picture = client(), Image.open(io.BytesIO(seven()))
    for kind in ("JPEG", "BMP", "WEBP", "GIF", "TIFF"):
        answer = asked.post(
            "/predict", content=encoded(picture, kind), headers={"content-type": f"image/{kind.lower()}"}
        )
        assert answer.json()["images"][0]["digit"] == 7, kind


def test_the_page_gets_what_the_network_sees_and_why(client: Clients, digits: Path) -> None:
    answer = client().post("/predict?pixels=1&why=1", content=seven(), headers=PNG)
    (image,) = answer.json()["images"]
    Path("seven.png").write_bytes(seven())
    (expected,) = predict.predict_images(digits, "seven.png", notify=lambda line: None)
    assert image["pixels"] == expected.image.tolist()
    found = np.array(image["why"])
    assert found.shape == (28, 28)
    loaded = keras_format.load(Path(digits, "checkpoints", "best.keras"))
    whole = attribution.attribute(loaded.network, to_unit_range(expected.image), np.eye(10)[[7]], loaded.batch)[0]
    np.testing.assert_allclose(found, whole.integrated_gradients, rtol=1e-3, atol=1e-6)


def bomb() -> bytes:
    """Return a PNG of a few kilobytes with 2**32 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 2**16, 2**16, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(2**20)))
        + chunk(b"IEND", b"")
    )


def test_a_picture_that_cannot_be_read_is_refused(client: Clients) -> None:
    asked = client()
    large = encoded(Image.new("L", (4097, 4096)))
    for content, message in (
        (b"", "not a PNG, JPEG, GIF, BMP, TIFF or WebP image"),
        (b"no picture", "not a PNG, JPEG, GIF, BMP, TIFF or WebP image"),
        (seven()[:400], "damaged image"),
        (bomb(), "too large"),
        (large, f"the picture is too large: at most {MAX_PIXELS:,} pixels are served"),
    ):
        answer = asked.post("/predict", content=content, headers=PNG)
        assert answer.status_code == 400
        assert message in answer.json()["error"]
        assert "/" not in answer.json()["error"]


def test_a_picture_without_a_digit_is_answered_as_dnn_predict_does(client: Clients) -> None:
    answer = client().post("/predict", content=encoded(Image.new("L", (100, 100))), headers=PNG)
    assert answer.status_code == 200
    assert answer.json()["images"] == [{"file": "", "error": "no digit found: the picture is a single colour"}]


def test_wrong_requests_are_refused(client: Clients, digits: Path) -> None:
    asked, content = client(), seven()
    kinds = "image/png, image/jpeg, image/gif, image/bmp, image/tiff, image/webp, application/octet-stream"
    for path, arguments, status, message in (
        ("/predict", {"content": content}, 415, f"the type of the body must be {kinds} or multipart/form-data"),
        ("/predict?why=yes", {"content": content, "headers": PNG}, 400, "why must be 0 or 1"),
        ("/predict?model=x", {"content": content, "headers": PNG}, 404, f"there is no model x; there is {digits.name}"),
        (
            "/predict",
            {"files": {}, "data": {"a": "b"}},
            415,
            f"the type of the body must be {kinds} or multipart/form-data",
        ),
        (
            "/predict",
            {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "Missing boundary in multipart.",
        ),
        (
            "/predict",
            {"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
            "the form must have a file",
        ),
    ):
        answer = asked.post(path, **arguments)
        assert (answer.status_code, answer.json()) == (status, {"error": message})


@pytest.mark.refusal
def test_a_letter_is_not_answered_as_a_digit(client: Clients, digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "digits"
    shutil.copytree(digits, run)
    (run / "refusal.keras").unlink(missing_ok=True)  # a server that another test started makes one
    letter = Image.new("L", (280, 280), "white")
    for line in ([(60, 220), (140, 60), (220, 220)], [(95, 160), (185, 160)], [(60, 60), (60, 220)]):
        ImageDraw.Draw(letter).line(line, "black", 20, "curve")
    before = client(run).post("/predict", content=encoded(letter), headers=PNG).json()
    assert [each["reason"] for each in before["images"]] == [""]
    assert of_run.find(model_source.find_model(run), lambda _: None) is not None
    served = client(run)
    (found,) = served.post("/predict", content=encoded(letter), headers=PNG).json()["images"]
    assert (found["digit"], found["reason"]) == (None, "it looks like no digit")
    (found,) = served.post("/predict", content=seven(), headers=PNG).json()["images"]
    assert (found["digit"], found["reason"]) == (7, "")
