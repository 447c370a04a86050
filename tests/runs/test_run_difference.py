"""Test the comparison of two runs to the last bit, through `dnn diff`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.engines import keras_file
from tests.conftest import Answer
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""


@pytest.fixture
def copied(shared_runs: SharedRuns) -> Callable[..., Path]:
    """Return a function that copies a run of `CONFIG`, trained with some options, to a folder."""
    return lambda to, *options: shared_runs.copy(to, CONFIG, *options)


def test_a_copy_is_the_same(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a"), copied("b")
    assert dnn("diff", "a", "b") == Answer(
        0,
        "history: the same in all 2 epochs\n"
        "last checkpoint: the same 14 arrays, bit for bit, after 2 epochs\n"
        "best checkpoint: the same 14 arrays, bit for bit, after 2 epochs\n",
        "",
    )


def test_settings_figures_and_weights_that_differ_are_shown(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a"), copied("b", "--seed", 1)
    answer = dnn("diff", "a", "b")
    assert (answer.code, answer.stderr) == (3, "error: a and b are not the same\n")
    lines = answer.stdout.splitlines()
    assert lines[:3] == ["setting  a  b", "seed     0  1", ""]
    assert lines[3].startswith("history: differs from epoch 1 on; at most by loss 0.")
    assert lines[4].startswith("last checkpoint: 12 of 14 arrays differ; largest difference ")
    assert "  layers/dense/vars/0" in answer.stdout


def test_one_bit_of_the_optimizer_is_a_difference(
    copied: Callable[..., Path], dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied("a"), copied("b")
    read = keras_file.arrays

    def flipped(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = read(path)
        if path.parts[0] == "b":
            found["optimizer/vars/2"].view("u4").flat[0] ^= 1
        return found

    monkeypatch.setattr(keras_file, "arrays", flipped)
    found = json.loads(dnn("diff", "a", "b", "--json").stdout)
    assert (found["equal"], found["history"]["equal"]) == (False, True)
    for checkpoint in found["checkpoints"]:
        (array,) = checkpoint["different"]
        assert array["name"] == "optimizer/vars/2"
        assert 0 < array["largest"] < 1e-6


def test_versions_and_epochs_that_differ_are_shown(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a"), copied("b")
    environment = Path("b/environment.json")
    forget_digests("b")
    values = json.loads(environment.read_text())
    values["versions"]["numpy"] = "1.0"
    environment.write_text(json.dumps(values))
    assert dnn("diff", "a", "b").code == 0
    shown = dnn("diff", "a", "b").stdout
    assert shown.splitlines()[0].split() == ["environment", "a", "b"]
    assert shown.splitlines()[1].split()[0::2] == ["versions.numpy", "1.0"]
    assert dnn("train", "--resume", "a", "--epochs", 3).code == 0
    answer = dnn("diff", "a", "b")
    assert answer.code == 3
    assert "history: 3 and 2 epochs; the same in those of both\n" in answer.stdout
    assert "last checkpoint: after 3 and 2 epochs; 13 of 14 arrays differ; largest difference " in answer.stdout


def test_another_network_has_other_arrays(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a"), copied("b", "--set", "model.layers=[4]")
    answer = dnn("diff", "a", "b")
    assert answer.code == 3
    assert "of other shapes or missing" in answer.stdout
    assert json.loads(dnn("diff", "a", "b", "--json").stdout)["checkpoints"][0]["largest"] is None


def test_a_run_that_is_damaged_or_missing_is_an_error(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a"), copied("b")
    assert dnn("diff", "a", "nowhere").code == 2
    Path("b/checkpoints/last.keras").write_bytes(b"damaged")
    Path("b/checkpoints/best.keras").write_bytes(b"damaged")
    answer = dnn("diff", "a", "b")
    assert answer == Answer(
        1, "", "error: b/checkpoints/last.keras is damaged: its checksum is not the one in state.json\n"
    )
    shutil.rmtree("b/checkpoints")
    assert dnn("diff", "a", "b").code == 1
