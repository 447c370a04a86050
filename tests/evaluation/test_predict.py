"""Test `dnn predict`: its output for image files and for unreadable ones, and its errors."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from dnn_cli.data import datasets, image_files
from dnn_cli.data.datasets import Split
from dnn_cli.evaluation import model_source, predict
from dnn_cli.evaluation.predict import COLUMNS
from dnn_cli.typing import Array
from tests.conftest import Answer, command
from tests.pictures import coverage, encoded, painted, written

Dnn = Callable[..., Answer]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture
def run(dnn: Dnn, home: Path) -> Path:
    """Return a run on the sample, trained once for all tests."""
    folder = home / "smoke-run"
    if not folder.exists():
        assert dnn("train", "-c", "smoke", "--engine", "numpy", "--run-dir", folder, "-q").code == 0
    return folder


@pytest.fixture(scope="module")
def tests() -> Split:
    """Return the 1,000 test digits of the sample."""
    return datasets.find("mnist-sample", split="test").load("test")


def test_names_in_csv_are_no_formulas() -> None:
    names = ["=1+1.png", "+a.png", "-b.png", "@c.png", "-", "a=b.png", "dir/=d.png"]
    source = model_source.ModelSource(Path("a.keras"))
    answers = [predict.UnreadableFile(name, "?") for name in names]
    rows = csv.DictReader(io.StringIO(predict.Predictions(source, "", answers).to_csv()))
    assert [row["file"] for row in rows] == [
        "./=1+1.png", "./+a.png", "./-b.png", "./@c.png", "-", "a=b.png", "dir/=d.png"
    ]  # fmt: skip


def draw(digits: Array, folder: str = "scans") -> list[Path]:
    """Write the digits as pictures of 100×100, dark on light; return the files."""
    return [
        written(Path(folder, f"{number}.png"), encoded(painted(coverage(digit, 100))))
        for number, digit in enumerate(digits)
    ]


def test_the_table_has_a_line_for_each_image(run: Path, tests: Split, dnn: Dnn) -> None:
    draw(tests.images[:12])
    answer = dnn("predict", run, "scans")
    assert (answer.code, answer.stderr) == (0, "")
    title, *lines = answer.stdout.splitlines()
    assert title.split() == ["file", "predicted", "probability", "runner-up", "probability"]
    assert [line.split()[0] for line in lines] == [f"scans/{number}.png" for number in range(12)]
    predicted = np.array([int(line.split()[1]) for line in lines])
    assert (predicted == tests.labels[:12]).mean() > 0.7
    for line in lines:
        _, digit, first, second, rest = line.split()
        assert 0.5 >= float(rest) <= float(first) <= 1
        assert digit != second


def test_json_has_every_probability(run: Path, tests: Split, dnn: Dnn) -> None:
    (file,) = draw(tests.images[:1])
    found = json.loads(dnn("predict", run, file, "--json").stdout)
    (image,) = found.pop("images")
    assert found == {
        "run": str(run),
        "checkpoint": f"{run}/checkpoints/best.keras",
        "epoch": found["epoch"],
        "note": found["note"],
        "selected_classes": None,
        "temperature": None,
    }
    expected = model_source.probabilities(run / "checkpoints" / "best.keras", image_files.read(file)[0].image[None])[0]
    np.testing.assert_allclose(image["probabilities"], expected)
    assert (image["digit"], image["runner_up"]) == tuple(np.argsort(-expected)[:2].tolist())
    assert image["probability"] == max(image["probabilities"])


def test_csv_is_printed_or_written_to_a_file(run: Path, tests: Split, dnn: Dnn) -> None:
    draw(tests.images[:3])
    printed = dnn("predict", run, "scans", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [row["file"] for row in rows] == ["scans/0.png", "scans/1.png", "scans/2.png"]
    assert tuple(rows[0]) == COLUMNS
    assert dnn("predict", run, "scans", "--out", "digits.csv").stdout == "digits.csv\n"
    assert Path("digits.csv").read_text(encoding="utf-8") == printed
    assert dnn("predict", run, "scans", "--out", "digits.json").code == 0
    saved = json.loads(Path("digits.json").read_text(encoding="utf-8"))
    assert [str(image["digit"]) for image in saved["images"]] == [row["digit"] for row in rows]


def test_show_draws_the_input_of_the_network(
    run: Path, tests: Split, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = draw(tests.images[:1])
    monkeypatch.setenv("NO_COLOR", "1")
    lines = dnn("predict", run, file, "--show").stdout.splitlines()
    seen = image_files.read(file)[0].image
    assert len(lines[:28]) == 28
    for line, row in zip(lines[:28], seen, strict=True):
        shown = np.array([character != " " for character in line.ljust(56)[:56:2]])
        assert not shown[row < 10].any()
        assert shown[row > 60].all()
    assert lines[-1].startswith("scans/0.png")


def test_an_image_is_read_from_standard_input(run: Path, tests: Split) -> None:
    picture = encoded(painted(coverage(tests.images[0])), "JPEG")
    done = subprocess.run(command("predict", run, "-", "--json"), input=picture, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert image["file"] == "-"
    done = subprocess.run(command("predict", run, "-"), input=b"", capture_output=True, text=False, check=False)
    assert done.returncode == 1
    assert b"standard input: the file is empty\nerror: 1 of 1 images could not be read\n" in done.stderr


def test_an_unreadable_image_is_reported_and_the_others_are_predicted(run: Path, tests: Split, dnn: Dnn) -> None:
    draw(tests.images[:3])
    written(Path("scans/1.png"), b"nothing")
    Path("empty").mkdir()
    answer = dnn("predict", run, "scans", "none.png", "*.gif", "empty")
    assert answer.code == 1
    assert [line.split()[0] for line in answer.stdout.splitlines()[1:]] == ["scans/0.png", "scans/2.png"]
    assert answer.stderr == (
        "scans/1.png: not a PNG, JPEG, GIF, BMP, TIFF or WebP image\n"
        "none.png: cannot be read: No such file or directory\n"
        "*.gif: no file matches this pattern\n"
        "empty: there are no image files in this folder\n"
        "error: 4 of 6 images could not be read\n"
    )
    answer = dnn("predict", run, "scans", "--csv")
    assert answer.code == 1
    assert answer.stdout.splitlines()[2] == 'scans/1.png,,,,,"not a PNG, JPEG, GIF, BMP, TIFF or WebP image",,,,,'


def test_both_engines_predict_the_same_probabilities(run: Path, tests: Split, dnn: Dnn) -> None:
    draw(tests.images[:20])
    ours, theirs = (
        json.loads(dnn("predict", run, "scans", "--json", "--engine", engine).stdout) for engine in ("numpy", "keras")
    )
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        np.testing.assert_allclose(one["probabilities"], other["probabilities"], atol=1e-5)


def test_without_a_run_the_newest_is_used_and_named(tests: Split, dnn: Dnn) -> None:
    assert dnn("train", "-c", "smoke", "--engine", "numpy", "-q").code == 0
    (file,) = draw(tests.images[:1])
    answer = dnn("predict", file)
    assert (answer.code, answer.stderr) == (0, "note: runs/smoke-1 is used, the newest run\n")
    assert dnn("predict").code == 2
    assert "Missing argument 'IMAGE...'" in dnn("predict", "runs/smoke-1").stderr


def test_several_digits_in_a_picture_are_predicted_one_by_one(run: Path, tests: Split, dnn: Dnn) -> None:
    ink = np.concatenate([coverage(digit, 100) for digit in tests.images[:3]], axis=1)
    file = written(Path("scans/several.png"), encoded(painted(ink)))
    images = json.loads(dnn("predict", run, file, "--json").stdout)["images"]
    assert [int(image["box"][0] // 100) for image in images] == [0, 1, 2]
    alone = [json.loads(dnn("predict", run, one, "--json").stdout)["images"][0] for one in draw(tests.images[:3])]
    assert [image["digit"] for image in images] == [image["digit"] for image in alone]


def test_a_digit_that_is_not_probable_enough_is_not_answered(run: Path, tests: Split, dnn: Dnn) -> None:
    (file,) = draw(tests.images[:1])
    answer = dnn("predict", run, file, "--min-probability", 1)
    assert answer.code == 1
    assert answer.stdout.splitlines()[1].split()[1] == "?"
    assert answer.stdout.rstrip().endswith("its probability is below 1")
    assert answer.stderr == "error: 1 of 1 digits were not recognized\n"
    (image,) = json.loads(dnn("predict", run, file, "--min-probability", 1, "--json").stdout)["images"]
    assert (image["digit"], image["reason"]) == (None, "its probability is below 1")


def test_a_digit_that_is_cut_off_is_not_answered(run: Path, tests: Split, dnn: Dnn) -> None:
    half = coverage(tests.images[tests.labels == 8][0], 100)[:, 50:]
    answer = dnn("predict", run, written(Path("scans/half.png"), encoded(painted(half))))
    assert answer.code == 1
    assert "it touches the picture's border: a part may be cut off" in answer.stdout


def draw_letter() -> Path:
    """Write a picture of the letter H."""
    ink = np.zeros((100, 100), np.float32)
    ink[20:80, 25:33] = ink[20:80, 67:75] = ink[46:54, 25:75] = 1
    return written(Path("letters/h.png"), encoded(painted(ink)))


@pytest.mark.refusal
def test_what_looks_like_no_digit_is_not_answered(run: Path, tests: Split, dnn: Dnn) -> None:
    letter, (digit,) = draw_letter(), draw(tests.images[:1])
    answer = dnn("predict", run, digit, letter)
    assert answer.code == 1
    assert answer.stderr == "error: 1 of 2 digits were not recognized\n"
    rows = [line.split() for line in answer.stdout.splitlines()[1:]]
    assert [row[1] == "?" for row in rows] == [False, True]
    assert answer.stdout.rstrip().endswith("it looks like no digit")
    images = json.loads(dnn("predict", run, digit, letter, "--json").stdout)["images"]
    assert [image["reason"] for image in images] == ["", "it looks like no digit"]
    assert (images[1]["digit"], images[1]["name"]) == (None, None)
    assert images[1]["most_probable"] in range(10)


@pytest.mark.refusal
def test_everything_is_answered_if_that_is_asked_for(run: Path, dnn: Dnn) -> None:
    letter = draw_letter()
    refused = json.loads(dnn("predict", run, letter, "--json").stdout)["images"][0]
    answer = dnn("predict", run, letter, "--json", "--answer-all")
    assert (answer.code, answer.stderr) == (0, "")
    (image,) = json.loads(answer.stdout)["images"]
    assert (image["digit"], image["reason"]) == (refused["most_probable"], "")
    assert image["probabilities"] == refused["probabilities"]


def test_an_array_is_always_answered(run: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    assert [one.reason for one in predict.predict_images(run, noise, notify=print)] == ["", ""]


def test_predict_does_not_import_tensorflow(run: Path, tests: Split) -> None:
    draw(tests.images[:2])
    code = (
        "import sys; from dnn_cli.__main__ import run;"
        f"assert run(['predict', {str(run)!r}, 'scans']) == 0;"
        "sys.exit(bool({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_predictions_are_chosen_among_the_selected_classes(tests: Split, dnn: Dnn) -> None:
    settings = ("--engine", "numpy", "--set", "data.classes=[0, 1]", "--epochs", 1)
    assert dnn("train", "-c", "smoke", "--run-dir", "two", "-q", *settings).code == 0
    draw(tests.images[:30])
    answer = dnn("predict", "two", "scans", "--json")
    assert {image["digit"] for image in json.loads(answer.stdout)["images"]} <= {0, 1}
    assert "note: two was trained only on the classes 0 1, and predicts no others\n" in answer.stderr


@pytest.mark.parametrize(
    ("shape", "refusal"),
    [
        ((8, 8), ""),
        ((64,), ""),
        ((14, 14, 1), ""),
        ((28, 20), "needs images of 28×20, but image files are converted to grey square ones"),
        ((8, 8, 3), "needs images of 8×8×3, but image files are converted to grey square ones"),
    ],
)
def test_networks_with_other_input_shapes_are_used_if_grey_and_square(
    shape: tuple[int, ...], refusal: str, tests: Split, dnn: Dnn
) -> None:
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    keras.Sequential(layers).save("stock.keras")
    (file,) = draw(tests.images[:1])
    answer = dnn("predict", "stock.keras", file)
    if refusal:
        assert (answer.code, answer.stderr) == (1, f"error: stock.keras {refusal}\n")
    else:
        assert (answer.code, answer.stderr) == (0, "")


def test_a_run_on_the_fallback_dataset_prints_a_warning(dnn: Dnn, tests: Split) -> None:
    assert dnn("train", "-c", "mnist", "--engine", "numpy", "--epochs", 1, "--run-dir", "run", "-q").code == 0
    (file,) = draw(tests.images[:1])
    answer = dnn("predict", "run", file)
    assert answer.code == 0
    assert answer.stderr.startswith("warning: ")
    assert "mnist-sample" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "a.png"], "there is no run or .keras file none"),
        (["RUN", "-", "-"], "- (standard input) can be given only once"),
        (["RUN", "a.png", "--out", "x.txt"], "--out x.txt: the name must end in .json or .csv"),
        (["RUN", "a.png", "--out", "no/x.csv"], "--out no/x.csv: there is no folder no"),
        (
            ["RUN", "a.png", "--json", "--csv"],
            "--show, --json, --csv and --out exclude each other: choose one",
        ),
    ],
)
def test_wrong_usage_is_rejected(arguments: list[str], message: str, run: Path, dnn: Dnn) -> None:
    answer = dnn("predict", *(str(run) if argument == "RUN" else argument for argument in arguments))
    assert (answer.code, answer.stdout) == (2, "")
    assert f"error: {message}\n" in answer.stderr.replace("Error: ", "error: ")


@pytest.mark.parametrize(("module", "name"), [("PIL", "Pillow"), ("cv2", "OpenCV")])
def test_without_a_library_the_message_names_the_extra(
    module: str, name: str, run: Path, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    answer = dnn("predict", run, "a.png")
    assert answer.code == 2
    message = f"needs {name}, which is not installed: pip install 'dnn-cli[images]'"
    assert answer.stderr.strip().endswith(message)
