from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnn_cli.serving import collecting, models
from tests.conftest import Answer
from tests.serving.conftest import Client, encoded, pixels, seven

Clients = Callable[..., Client]
PNG = {"content-type": "image/png"}
DRAWINGS = Path("drawings")


def test_drawings_become_a_dataset_that_dnn_train_reads(
    client: Clients, digits: Path, dnn: Callable[..., Answer]
) -> None:
    asked = client(collect=DRAWINGS)
    for label, paper in ((7, "white"), (7, "yellow"), (1, "white"), (1, "yellow"), (7, "white")):
        answer = asked.post(f"/collect?label={label}", content=seven("black", paper), headers=PNG)
        assert (answer.status_code, answer.json()) == (200, {"label": label, "name": str(label)})
    kept = sorted(DRAWINGS.rglob("*.png"))
    assert [path.parent.name for path in kept] == ["1", "7"]  # a drawing that is there already is not kept twice
    for path in kept:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels(digits, seven()))


def test_a_training_reads_the_folder(client: Clients, dnn: Callable[..., Answer]) -> None:
    asked = client(collect=DRAWINGS)
    for label in (1, 7):
        for width in range(100, 200, 10):
            drawing = Image.new("L", (200, 200), 255)
            drawing.paste(0, (90, 100 - width // 2, 90 + label * 9, 100 + width // 2))
            assert asked.post(f"/collect?label={label}", content=encoded(drawing), headers=PNG).status_code == 200
    Path("own.yaml").write_text(
        "engine: numpy\ndata: {dataset: drawings}\nmodel: {layers: [4]}\ntraining: {epochs: 1}\n"
    )
    answer = dnn("train", "-c", "own.yaml", "-q")
    assert answer.code == 0, answer.stderr


def test_wrong_drawings_are_refused(client: Clients, digits: Path) -> None:
    asked, picture = client(collect=DRAWINGS), seven()
    blank = encoded(Image.new("L", (50, 50)))
    for path, headers, content, status, message in (
        ("/collect", PNG, picture, 400, "label must be a number from 0 to 9"),
        ("/collect?label=10", PNG, picture, 400, "label must be a number from 0 to 9"),
        ("/collect?label=-1", PNG, picture, 400, "label must be a number from 0 to 9"),
        ("/collect?label=../7", PNG, picture, 400, "label must be a number from 0 to 9"),
        ("/collect?label=7&digit=1", PNG, picture, 400, "digit must be a number from 0 to 0"),
        ("/collect?label=7", {}, picture, 415, "the type of the body must be image/png"),
        ("/collect?label=7", {"content-type": "text/plain"}, picture, 415, "the type of the body must be image/png"),
        ("/collect?label=7&model=x", PNG, picture, 404, f"there is no model x; there is {digits.name}"),
        ("/collect?label=7", PNG, blank, 400, "no digit found: the picture is a single colour"),
    ):
        answer = asked.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (status, {"error": message})
    assert not DRAWINGS.exists()


def test_nothing_is_collected_by_default(client: Clients) -> None:
    assert client().post("/collect?label=7", content=seven(), headers=PNG).status_code == 404
    assert client().get("/models").json()["collects"] is False


def test_a_full_or_unwritable_folder_is_reported(client: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MAX_DRAWINGS", 1)
    asked = client(collect=DRAWINGS)
    assert asked.post("/collect?label=7", content=seven(), headers=PNG).status_code == 200
    answer = asked.post("/collect?label=8", content=seven(), headers=PNG)
    assert (answer.status_code, answer.json()) == (507, {"error": "there are 1 drawings already"})
    Path("file").touch()
    answer = client(collect=Path("file")).post("/collect?label=7", content=seven(), headers=PNG)
    assert (answer.status_code, answer.json()) == (507, {"error": "the drawing cannot be kept: Not a directory"})


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("T-shirt", "T-shirt"),
        ("日本", "日本"),
        ("a/b", "0"),
        ("..", "0"),
        ("", "0"),
        (" a", "0"),
        ("a\n", "0"),
        ("_x", "0"),
    ],
)
def test_a_class_has_a_safe_folder(digits: Path, name: str, folder: str) -> None:
    model = models.load(digits)
    source = replace(model.source)
    source.__dict__["class_names"] = (name,)  # a cached property
    assert collecting.class_folder(replace(model, source=source, classes=1), 0) == folder
