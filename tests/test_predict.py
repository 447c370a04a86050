"""`dnn predict`: guesses in the order asked, broken files told and passed over, and no TensorFlow without need."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnn_cli.__main__ import run as dnn_main
from dnn_cli.data import Split

from .conftest import Answer
from .files import digits, write_npz
from .pictures import coverage, encoded, painted, written

Dnn = Callable[..., Answer]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the NumPy engine. Tests only read it."""
    path = tmp_path_factory.mktemp("trained") / "run"
    assert dnn_main(["train", "-c", "smoke", "--engine", "numpy", "-q", "--run-dir", str(path)]) == 0
    return path


@pytest.fixture
def scans(few: Split) -> list[int]:
    """Twelve pictures, ``scans/0.png`` to ``scans/11.png``; their labels."""
    for number, digit in enumerate(few.images[:12]):
        written(Path(f"scans/{number}.png"), encoded(painted(coverage(digit), (250, 230, 120), (20, 20, 90))))
    return [int(label) for label in few.labels[:12]]


def found(answer: Answer) -> Any:
    return json.loads(answer.stdout)["images"]


def test_a_folder(trained: Path, scans: list[int], dnn: Dnn) -> None:
    answer = dnn("predict", trained, "scans", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    images = found(answer)
    assert [image["file"] for image in images] == [f"scans/{number}.png" for number in range(12)]
    assert sum(image["digit"] == label for image, label in zip(images, scans, strict=True)) >= 10
    for image in images:
        order = sorted(range(10), key=lambda digit: -image["probabilities"][digit])
        assert [image["digit"], image["runner_up"]] == order[:2]
        assert image["probability"] == image["probabilities"][order[0]]
        assert sum(image["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_what_people_see(trained: Path, scans: list[int], dnn: Dnn) -> None:
    (image,) = found(dnn("predict", trained, "scans/0.png", "--json"))
    answer = dnn("predict", trained, "scans/0.png")
    assert answer.code == 0
    head, row = (line.split() for line in answer.stdout.splitlines())
    assert head == ["file", "digit", "probability", "runner-up", "probability"]
    assert row == [
        "scans/0.png",
        str(image["digit"]),
        f"{image['probability']:.4f}",
        str(image["runner_up"]),
        f"{image['runner_up_probability']:.4f}",
    ]


def test_the_picture_that_the_network_saw(trained: Path, scans: list[int], dnn: Dnn) -> None:
    lines = dnn("predict", trained, "scans/0.png", "--show").stdout.splitlines()
    assert len(lines) == 28 + 2
    assert any("@@" in line for line in lines[4:24])
    assert all(len(line) <= 56 for line in lines[:28])


def test_broken_files_are_told_and_the_others_go_on(trained: Path, scans: list[int], dnn: Dnn) -> None:
    written(Path("empty.png"), b"")
    answer = dnn("predict", trained, "scans/1.png", "empty.png", "none.png", "scans/0.png", "--csv")
    assert answer.code == 1
    assert answer.stderr.splitlines() == [
        "empty.png: it is empty",
        "none.png: it cannot be read: No such file or directory",
        "error: 2 of 4 images could not be read",
    ]
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert [row["file"] for row in rows] == ["scans/1.png", "empty.png", "none.png", "scans/0.png"]
    assert [row["error"] for row in rows] == ["", "it is empty", "it cannot be read: No such file or directory", ""]
    assert [bool(row["digit"]) for row in rows] == [True, False, False, True]
    assert dnn("predict", trained, "empty.png").code == 1


def test_saved(trained: Path, scans: list[int], dnn: Dnn) -> None:
    for kind in ("json", "csv"):
        answer = dnn("predict", trained, "scans", "--out", f"a.{kind}")
        assert answer == Answer(0, f"a.{kind}\n", "")
        assert Path(f"a.{kind}").read_text() == dnn("predict", trained, "scans", f"--{kind}").stdout


def test_standard_input(trained: Path, scans: list[int], dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    (named,) = found(dnn("predict", trained, "scans/3.png", "--json"))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(Path("scans/3.png").read_bytes())))
    (piped,) = found(dnn("predict", trained, "-", "--json"))
    assert piped == named | {"file": "-"}
    assert dnn("predict", trained, "-").stderr.startswith("standard input: it is empty\n")


def test_keras_agrees(trained: Path, scans: list[int], dnn: Dnn) -> None:
    for target in (trained, trained / "checkpoints" / "last.keras"):
        ours = found(dnn("predict", target, "scans", "--json"))
        theirs = found(dnn("predict", target, "scans", "--json", "--engine", "keras"))
        for one, other in zip(ours, theirs, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_tensorflow_is_not_imported(trained: Path, scans: list[int]) -> None:
    code = (
        "import sys; from dnn_cli.__main__ import run; "
        f"code = run(['predict', {str(trained)!r}, 'scans', '--show']); "
        "sys.exit(code or bool({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_network_of_some_classes_chooses_among_them(scans: list[int], dnn: Dnn) -> None:
    settings = ("--set", "data.classes=[2, 7]", "--epochs", 1)
    assert dnn("train", "-c", "smoke", "--engine", "numpy", *settings, "--run-dir", "two").code == 0
    answer = dnn("predict", "two", "scans", "--json")
    assert answer.stderr == "note: two was trained on the classes 2 7 alone, and chooses among them\n"
    assert {frozenset((image["digit"], image["runner_up"])) for image in found(answer)} == {frozenset((2, 7))}


def test_a_network_of_images_that_are_not_square(scans: list[int], dnn: Dnn) -> None:
    own = write_npz(Path("own.npz"), **digits())
    settings = ("--set", f"data.dataset={own}", "--epochs", 1)
    assert dnn("train", "-c", "smoke", "--engine", "numpy", *settings, "--run-dir", "own").code == 0
    answer = dnn("predict", "own", "scans")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.endswith("best.keras takes images of 3×4; from image files, grey square ones are made\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "a.png"], "error: there is no run or .keras file none"),
        (
            ["{run}", "a.png", "--json", "--csv"],
            "Error: --show, --json, --csv and --out each say where the result goes",
        ),
        (["{run}", "a.png", "--out", "a.txt"], "error: --out a.txt: the name must end in .json or .csv"),
        (["{run}", "a.png", "--out", "no/a.csv"], "error: --out no/a.csv: there is no folder no"),
        (["{run}", "-", "-"], "error: - is standard input, which can be read only once"),
        (["{run}"], "Error: Missing argument 'IMAGE...'"),
    ],
)
def test_refusals(arguments: list[str], message: str, trained: Path, dnn: Dnn) -> None:
    answer = dnn("predict", *(argument.format(run=trained) for argument in arguments))
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.stderr
