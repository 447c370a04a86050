"""Test the files that `dnn explain` writes: where they are, what they contain, and what is rejected beforehand."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dnn_cli.data.datasets import Split
from dnn_cli.evaluation import model_source
from tests.conftest import Answer

Dnn = Callable[..., Answer]


@pytest.fixture
def run(dnn: Dnn) -> str:
    assert dnn("train", "-c", "smoke", "--engine", "numpy", "--epochs", 1, "--run-dir", "run", "-q").code == 0
    return "run"


def test_a_picture_and_a_page_are_written(run: str, dnn: Dnn) -> None:
    answer = dnn("explain", run, "--index", 8)
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout.endswith("\nrun/explanations/test-8.png\nrun/explanations/test-8.html\n")
    with Image.open("run/explanations/test-8.png") as picture:
        assert picture.size[0] > 1000
    page = Path("run/explanations/test-8.html").read_text(encoding="utf-8")
    assert len(page) < 2_000_000
    assert page.count("<svg ") == 3
    assert "<script" not in page
    assert not re.search(r"(?:src|srcset|href)=\"(?!data:|#)", page)
    assert "default-src 'none'" in page
    found = json.loads(dnn("explain", run, "--index", 8, "--json").stdout)
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    for each in found["attributions"]:
        [row] = [row for row in rows if f">{each['of']}</th>" in row and row.count("<td>") == 6]
        assert f"<td>{each['baseline']:.2f}</td><td>{each['value']:.2f}</td><td>{each['sum']:.2f}</td>" in row
    for unit in found["units"]:
        assert f"<td>{unit['contribution']:+.3f}</td>" in page


def test_the_files_of_an_image_file(run: str, dnn: Dnn, sample: Split) -> None:
    Image.fromarray(255 - sample.images[3]).resize((200, 200)).save("a <b>.png")
    answer = dnn("explain", run, "a <b>.png", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)
    assert found["files"] == ["run/explanations/a_b_.png", "run/explanations/a_b_.html"]
    page = Path("run/explanations/a_b_.html").read_text(encoding="utf-8")
    assert "a &lt;b&gt;.png" in page
    assert "<b>" not in page
    checkpoint = found["checkpoint"]
    assert json.loads(dnn("explain", checkpoint, "a <b>.png", "--json").stdout)["files"] == [
        "explanation-a_b_.png",
        "explanation-a_b_.html",
    ]
    assert dnn("explain", run, "a <b>.png", "--out", "b.html").stdout.endswith("\nb.html\n")
    assert not Path("b.png").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a.jpg", "error: --out a.jpg: the name must end in .png or .html\n"),
        ("no/a.png", "error: --out no/a.png: there is no folder no\n"),
        ("folder.png", "error: --out folder.png: is a folder\n"),
        ("image.png", "error: --out image.png is the image itself\n"),
    ],
)
def test_a_wrong_out_is_rejected_before_any_work(
    out: str, message: str, dnn: Dnn, sample: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("folder.png").mkdir()
    Image.fromarray(sample.images[3]).save("image.png")
    monkeypatch.setattr(model_source, "find_model", lambda *_: pytest.fail("the network was looked for"))
    assert dnn("explain", "run", "image.png", "--out", out) == Answer(2, "", message)


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_reported_before_any_work(name: str, dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(model_source, "find_model", lambda *_: pytest.fail("the network was looked for"))
    message = f"error: dnn explain needs {name}, which is not installed: pip install 'dnn-cli[report]'\n"
    assert dnn("explain", "--index", 0) == Answer(2, "", message)


def test_a_folder_that_cannot_be_made(run: str, dnn: Dnn) -> None:
    Path(run, "explanations").write_text("in the way")
    answer = dnn("explain", run, "--index", 8)
    assert answer == Answer(1, "", "error: run/explanations cannot be written: File exists\n")
