"""Test that runs made by version 0.1.0 are shown, evaluated, reported, used for predictions, and resumed exactly.

`tests/fixtures/` holds, for each engine, a run of two epochs and the result of four epochs of the same config trained
without interruption. Both were made by version 0.1.0 on the machine that `MACHINE` describes.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Answer, assert_same_bits, weights
from tests.pictures import coverage, encoded, painted, written
from tests.runs.helpers import without_later_keys

Dnn = Callable[..., Answer]

FIXTURES = ROOT / "tests/fixtures"
# What the last bits of a training depend on, besides the versions in environment.json and the number of threads.
MACHINE = {
    "cpu family": "25",
    "model": "1",
    "flags": "avx avx2 f16c fma sse sse2 sse4_1 sse4_2 sse4a ssse3",
}
TWO_THREADS = {"TF_NUM_INTRAOP_THREADS": "2", "DNN_XLA_CACHE": "0"}
TOLERANCE = 1e-4  # how far weights may differ on another machine; two more epochs change them a hundred times as much


@pytest.fixture(params=["keras", "numpy"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the run of two epochs, as a relative path."""
    shutil.copytree(FIXTURES / f"run-0.1.0-{request.param}", tmp_path / request.param)
    return Path(request.param)


def undisturbed(run: Path) -> Path:
    """Return the folder with the result of four epochs without interruption."""
    return FIXTURES / f"run-0.1.0-{run.name}-undisturbed"


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def figures(file: Path) -> list[dict[str, float]]:
    """Return the rows of a history without the times."""
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in rows]


def is_same_kind_of_machine(run: Path) -> bool:
    """Return whether processor and libraries are those that made the fixtures, so that every bit must be the same."""
    recorded = read(run / "environment.json")["versions"]
    if any(metadata.version(name) != recorded[name] for name in ("tensorflow", "keras", "numpy")):
        return False
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    vectors = sorted(flag for flag in facts.get("flags", "").split() if re.match("s?sse|avx|fma|amx|f16c", flag))
    return {key: facts.get(key) for key in MACHINE} | {"flags": " ".join(vectors)} == MACHINE


def reproduces_every_bit(run: Path, process: Dnn) -> bool:
    """Return whether training from scratch ends with the bits of the fixture; it may also do so on other machines."""
    config = FIXTURES / f"run-0.1.0-{run.name}/config.yaml"
    answer = process("train", "-c", config, "--epochs", 4, "--run-dir", "from-scratch", "-q", **TWO_THREADS)
    assert answer.code == 0, answer
    ours, theirs = weights(Path("from-scratch/checkpoints/last.keras")), weights(undisturbed(run) / "last.keras")
    return ours.keys() == theirs.keys() and all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def test_an_old_run_is_resumed_as_if_it_had_never_stopped(run: Path, process: Dnn) -> None:
    """The result must have the bits of the uninterrupted training wherever those bits can be reproduced.

    On the kind of machine that made the fixtures, that is required without a trial: a change of this program that
    changes the bits of every training must fail here, too. On another machine, training from scratch shows whether it
    computes the same bits. If it does not, the start of the resumed run already has other bits than a training of this
    machine would have, and only the closeness of the result can be tested.
    """
    before = (run / "history.csv").read_text()
    start = weights(run / "checkpoints/last.keras")
    answer = process("train", "--resume", run, "--epochs", 4, "-q", **TWO_THREADS)
    assert answer.code == 0, answer

    expected, resumed = undisturbed(run) / "last.keras", run / "checkpoints/last.keras"
    ours, theirs = weights(resumed), weights(expected)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=TOLERANCE, err_msg=name)
    assert max(np.abs(value - start[name]).max() for name, value in ours.items() if "layers" in name) > 100 * TOLERANCE

    history = (run / "history.csv").read_text()
    assert history.startswith(before)
    rows, wanted = figures(run / "history.csv"), figures(undisturbed(run) / "history.csv")
    assert [row.keys() for row in rows] == [row.keys() for row in wanted]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in wanted], rel=1e-3)
    state = read(run / "state.json")
    assert [state[name]["epoch"] for name in ("last", "previous")] == [4, 3]

    if is_same_kind_of_machine(run) or reproduces_every_bit(run, process):
        assert_same_bits(resumed, expected)
        assert rows == wanted
        recorded = read(undisturbed(run) / "state.json")
        assert state["last"]["best"]["value"] == recorded["last"]["best"]["value"]


def test_an_old_run_is_shown_with_all_of_its_records(run: Path, dnn: Dnn) -> None:
    answer = dnn("show", run, "--json")
    assert (answer.code, answer.stderr) == (0, "")
    shown = json.loads(answer.stdout)
    assert (shown["state"], shown["epochs"], shown["parameters"]) == ("done", 2, 6402)
    shown["test"] = shown["evaluations"]["test"]
    files = {"environment": "environment.json", "metrics": "metrics.json", "test": "evaluation/test.json"}
    for part, recorded in ((part, read(run / file)) for part, file in files.items()):
        assert json.dumps(without_later_keys(shown[part], recorded)) == json.dumps(recorded)
    assert dnn("show", run).code == 0


def test_an_old_run_is_evaluated_as_before(run: Path, dnn: Dnn) -> None:
    before = read(run / "evaluation/test.json")
    answer = dnn("evaluate", run, "--json")
    assert (answer.code, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)
    assert [key for key in found if key in before] == list(before)
    assert found["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(before["accuracy"], abs=0.003)
    same = ("epoch", "split", "dataset", "note", "selected_classes", "fingerprint", "images")
    assert [found[key] for key in same] == [before[key] for key in same]


def test_an_old_run_gets_a_report(run: Path, dnn: Dnn) -> None:
    answer = dnn("report", run)
    assert (answer.code, answer.stderr) == (0, "")
    assert "<svg" in (run / "report.html").read_text()


def test_an_old_run_predicts_image_files(run: Path, dnn: Dnn) -> None:
    digit = np.zeros((28, 28), "uint8")
    digit[4:24, 12:16] = 255
    file = written(Path("one.png"), encoded(painted(coverage(digit))))
    answer = dnn("predict", run, file, "--json")
    assert (answer.code, answer.stderr) == (0, "")
    (image,) = json.loads(answer.stdout)["images"]
    assert image["file"] == "one.png"
    assert sum(image["probabilities"]) == pytest.approx(1)
