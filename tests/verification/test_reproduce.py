"""Test `dnn reproduce`: a run is trained again from its records and compared bit by bit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.engines.numpy import build
from tests.conftest import Answer
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 3, batch_size: 100, early_stopping: {patience: 2}}
"""
SAME = [
    "history: the same in all 3 epochs",
    "last checkpoint: the same 14 arrays, bit for bit, after 3 epochs",
    "best checkpoint: the same 14 arrays, bit for bit, after 3 epochs",
]


@pytest.fixture
def copied(shared_runs: SharedRuns) -> Callable[..., Path]:
    """Return a function that copies a run of `CONFIG`, trained with some options, to a folder."""
    return lambda to, *options: shared_runs.copy(to, CONFIG, *options)


def test_a_run_is_reproduced_and_the_new_one_deleted(copied: Callable[..., Path], dnn: Dnn, tmp_path: Path) -> None:
    copied("a")
    os.environ["TMPDIR"], kept = str(tmp_path), os.environ.get("TMPDIR")
    try:
        answer = dnn("reproduce", "a", "--quiet")
    finally:
        os.environ.pop("TMPDIR") if kept is None else os.environ.update(TMPDIR=kept)
    assert (answer.code, answer.stderr) == (0, "")
    *same, last = answer.stdout.splitlines()
    assert same == SAME
    assert last.startswith("a was reproduced bit for bit, 3 epochs in ")
    assert {path.name for path in Path.cwd().iterdir()} == {"a"}


@pytest.mark.parametrize("engine", ["numpy", "keras"])
def test_a_run_that_was_stopped_resumed_and_extended_is_reproduced(
    engine: str, copied: Callable[..., Path], dnn: Dnn
) -> None:
    options = ("--engine", engine, "--set", "training.jit_compile=false", "--set", "training.early_stopping=null")
    copied("a", *options, "--epochs", 1)
    assert dnn("train", "--resume", "a", "--epochs", 2, "--quiet").code == 0
    found = json.loads(dnn("reproduce", "a", "--run-dir", "again", "--quiet", "--json").stdout)
    assert (found["equal"], found["epochs"], found["again"]) == (True, 2, "again")
    assert found["settings"] == found["environment"] == found["reasons"] == {}
    assert dnn("evaluate", "again").code == 0


def test_what_differs_is_named_with_the_spread_as_a_yardstick(copied: Callable[..., Path], dnn: Dnn) -> None:
    Path("runs").mkdir()
    for seed in (1, 2, 3):
        copied(f"runs/a-{seed}", "--seed", seed)
    forget_digests("runs/a-1")
    environment = Path("runs/a-1/environment.json")
    values = json.loads(environment.read_text())
    values["versions"]["numpy"] = "1.0"
    environment.write_text(json.dumps(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build", _slightly_different(build.build))
        answer = dnn("reproduce", "runs/a-1", "--quiet")
        alone = dnn("reproduce", "runs/a-2", "--quiet")
    assert (answer.code, answer.stderr) == (3, "error: runs/a-1 was not reproduced bit for bit\n")
    assert "versions.numpy" in answer.stdout
    verdict = answer.stdout.splitlines()[-1]
    assert verdict.startswith("val accuracy differs by 0.")
    assert ": no more than the standard deviation over 3 seeds, 0." in verdict
    assert alone.stdout.splitlines()[-1] == (
        "versions, processor, threads and data are the same, so the bits should be too: this is a bug"
    )


def _slightly_different(made: Callable[..., Any]) -> Callable[..., Any]:
    def build_other(*arguments: Any, **named: Any) -> Any:
        network = made(*arguments, **named)
        network.layers[0].weights.value.flat[-1] += 1e-3
        return network

    return build_other


def test_without_other_seeds_the_yardstick_is_the_interval(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a")
    yardstick = json.loads(dnn("reproduce", "a", "--quiet", "--json").stdout)["yardstick"]
    assert (yardstick["figure"], yardstick["seeds"]) == ("val_accuracy", 0)
    assert 0.01 < yardstick["size"] < 0.05  # of 500 images


def test_a_run_without_a_checkpoint_or_without_its_data_is_an_error(copied: Callable[..., Path], dnn: Dnn) -> None:
    copied("a")
    assert dnn("reproduce", "a", "--run-dir", "a") == Answer(
        2, "", "error: a exists already; resume it with --resume a, or choose another --run-dir\n"
    )
    Path("a/state.json").unlink()
    for file in Path("a/checkpoints").iterdir():
        file.unlink()
    assert dnn("reproduce", "a") == Answer(1, "", "error: a has no checkpoint yet; `dnn train --resume a` trains it\n")
