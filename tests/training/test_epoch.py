"""Test that a training stops within an epoch, and that the rest of the epoch is trained exactly."""

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli import progress
from dnn_cli.engines.keras import epoch as keras_epoch
from dnn_cli.engines.numpy import epoch as numpy_epoch
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.partial import Position
from tests.conftest import PATIENCE, Answer, assert_same_bits, command
from tests.shared_runs import SharedRuns
from tests.training.helpers import TINY, assert_same_training, history

Dnn = Callable[..., Answer]
STEPS = 73
HARD = """
training.augmentation={rotation: 10, translation: 2, elastic: {strength: 2}, noise: 0.1}
optimizer.use_ema=true
optimizer.gradient_accumulation_steps=4
optimizer.learning_rate={name: cosine_decay, initial_learning_rate: 0.003, decay_epochs: 2}
training.label_smoothing=0.1
""".strip().splitlines()
# The settings of a training, and the places at which it is stopped: steps reported since it began or was resumed, the
# epoch, and the step of that epoch that is saved, which is the next one.
STOPS: dict[str, tuple[list[str], list[tuple[int, int, int]]]] = {
    "compiled": (HARD, [(30, 1, 31), (STEPS - 31 + 18, 2, 19)]),
    "uncompiled": (["training.jit_compile=false"], [(1, 1, 2), (STEPS - 4, 1, STEPS - 1)]),
    "numpy": (["engine=numpy"], [(1, 1, 2), (1, 1, 4), (STEPS - 6, 1, STEPS - 1), (19, 2, 19)]),
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Write the config `TINY`, with two epochs, to a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("epochs: 4", "epochs: 2"))
    return path


def settings(changes: list[str]) -> list[str]:
    """Return the options that change these settings."""
    return [option for change in changes for option in ("--set", change)]


class SignalAt(progress.QuietProgress):
    """Progress that receives SIGTERM when a number of steps have been reported."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    def step(self, stop: int, logs: Any) -> None:
        """Count the call, which is one for each step."""
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sends SIGTERM to the next training after a number of steps."""
    monkeypatch.setattr(keras_epoch, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(keras_epoch, "FIRST_CHUNK_STEPS", 1)
    monkeypatch.setattr(numpy_epoch, "CHUNK_SECONDS", -1.0)
    return lambda steps: monkeypatch.setattr(progress, "create", lambda **_: SignalAt(steps))


@pytest.mark.parametrize("engine", STOPS)
def test_a_training_that_is_stopped_within_epochs_ends_as_an_undisturbed_one(
    dnn: Dnn, tiny: Path, signal_at: Callable[[int], None], engine: str
) -> None:
    changes, stops = STOPS[engine]
    options = settings(changes)
    assert dnn("train", "-c", tiny, "--run-dir", "straight", *options, "-q").code == 0
    arguments: list[object] = ["-c", tiny, "--run-dir", "stopped", *options]
    for steps, epoch, done in stops:
        signal_at(steps)
        answer = dnn("train", *arguments)
        lines = answer.stderr.splitlines()
        assert answer.code == 143
        saved = f"{done} of {STEPS} steps of epoch {epoch}"
        before = "" if epoch == 1 else f"epoch {epoch - 1} and "
        assert lines[-2] == f"error: interrupted; {before}{saved} are saved in stopped"
        assert lines[-1].endswith("train --resume stopped")
        assert json.loads(Path("stopped/partial.json").read_text())["step"] == done
        arguments = ["--resume", "stopped"]
    signal_at(1000)
    assert dnn("train", *arguments).code == 0
    assert_same_training("straight", "stopped")
    assert not Path("stopped/partial.json").exists()
    assert {path.name for path in Path("stopped/checkpoints").iterdir()} == {
        "last.keras",
        "previous.keras",
        "best.keras",
    }


NUMPY = ("--set", "engine=numpy")
# One epoch of a few seconds, which is saved whenever progress is reported.
LONG_EPOCH = """
seed: 3
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [{units: 64, dropout: 0.2, batch_normalization: true}]}
training: {epochs: 1, batch_size: 1, checkpoint_seconds: 0.01}
"""


@pytest.fixture
def long_epoch(tmp_path: Path) -> Path:
    """Write the config `LONG_EPOCH` to a file."""
    path = tmp_path / "long.yaml"
    path.write_text(LONG_EPOCH)
    return path


def test_a_long_epoch_is_saved_within_and_its_end_removes_that(
    dnn: Dnn, tiny: Path, signal_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def record(self: RunDirectory, save: Any, position: Position) -> None:
        saved.append(position.step)
        original(self, save, position)

    original = RunDirectory.commit_partial
    monkeypatch.setattr(RunDirectory, "commit_partial", record)
    signal_at(1000)
    for seconds, expected in (("1e-9", [*range(1, STEPS)] * 2), ("null", []), ("3600", [])):
        saved.clear()
        changes = (*NUMPY, "--set", f"training.checkpoint_seconds={seconds}", "--run-dir", f"run-{seconds}")
        assert dnn("train", "-c", tiny, *changes).code == 0
        assert saved == expected
        assert not list(Path(f"run-{seconds}").rglob("*partial*"))
    assert_same_bits(Path("run-1e-9/checkpoints/last.keras"), Path("run-null/checkpoints/last.keras"))
    assert history("run-1e-9") == history("run-null")


def test_a_run_killed_within_an_epoch_loses_only_the_steps_since_its_last_checkpoint(
    dnn: Dnn, start: Callable[..., "subprocess.Popen[str]"], long_epoch: Path, shared_runs: SharedRuns
) -> None:
    victim = start("train", "-c", long_epoch, "--run-dir", "killed")
    while not (step := saved_step("killed")):
        assert victim.poll() is None, victim.communicate()
        time.sleep(0.001)
    victim.kill()
    assert victim.wait() == -signal.SIGKILL
    step = saved_step("killed") or step
    answer = dnn("train", "--resume", "killed")
    assert answer.code == 0
    assert answer.stderr.splitlines()[0] == f"resuming within epoch 1, after {step:,} of its steps"
    assert_same_training(shared_runs.path(LONG_EPOCH), "killed")


def saved_step(run: str) -> int:
    """Return the step of the epoch under way that is saved in `run`; 0 if there is none."""
    path = Path(run, "partial.json")
    return int(json.loads(path.read_text())["step"]) if path.is_file() else 0


@pytest.fixture
def stopped(dnn: Dnn, tiny: Path, signal_at: Callable[[int], None]) -> Path:
    """Return a run that was stopped after 40 steps of its second epoch; later trainings are not stopped."""
    signal_at(STEPS + 39)
    assert dnn("train", "-c", tiny, *NUMPY, "--run-dir", "stopped").code == 143
    signal_at(1000)
    return Path("stopped")


def test_a_damaged_checkpoint_within_an_epoch_is_reported_and_the_epoch_begins_again(
    dnn: Dnn, tiny: Path, stopped: Path
) -> None:
    dnn("train", "-c", tiny, *NUMPY, "--run-dir", "straight", "-q")
    begin = "resuming from the beginning of epoch 2"
    damages: dict[str, Callable[[Path], object]] = {
        f"{stopped}/checkpoints/partial.keras is unfinished or damaged": lambda run: (
            run / "checkpoints/partial.keras"
        ).write_bytes(b"rubbish"),
        f"{stopped}/partial.json is damaged: step: should be greater than or equal to 1": lambda run: change(
            run, step=0
        ),
        f"{stopped}/partial.json is damaged: NaN is not a number in JSON": lambda run: change(
            run, metric_sums=[float("nan")] * 3
        ),
    }
    for number, (message, damage) in enumerate(damages.items()):
        copy = Path(shutil.copytree(stopped, f"copy-{number}"))
        damage(copy)
        copy = copy.rename("damaged")
        answer = dnn("train", "--resume", copy)
        assert answer.code == 0
        assert answer.stderr.splitlines()[0] == f"warning: {message.replace('stopped', 'damaged')}; {begin}"
        assert_same_training("straight", copy)
        shutil.rmtree(copy)


@pytest.mark.parametrize("changes", [{"step": STEPS}, {"metric_sums": [1.0]}])
def test_a_place_that_is_in_no_epoch_of_the_run_is_an_error(dnn: Dnn, stopped: Path, changes: dict[str, Any]) -> None:
    change(stopped, **changes)
    answer = dnn("train", "--resume", stopped)
    assert answer.code == 1
    assert answer.stderr.splitlines()[-1] == (
        "error: stopped/partial.json is damaged: it names no place in an epoch of 73 steps; "
        "delete it to resume from the beginning of epoch 2"
    )
    (stopped / "partial.json").unlink()
    assert dnn("train", "--resume", stopped).code == 0


def change(run: Path, **values: object) -> None:
    """Change values of a run's `partial.json`."""
    path = run / "partial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_a_process_within_the_epoch(
    dnn: Dnn,
    start: Callable[..., "subprocess.Popen[str]"],
    long_epoch: Path,
    shared_runs: SharedRuns,
    number: signal.Signals,
    code: int,
) -> None:
    training = start("train", "-c", long_epoch, "--run-dir", "run")
    while not saved_step("run"):
        assert training.poll() is None, training.communicate()
        time.sleep(0.001)
    training.send_signal(number)
    _, stderr = training.communicate(timeout=PATIENCE)
    assert training.returncode == code
    name, step = number.name, saved_step("run")
    assert stderr.splitlines() == [
        f"{name}: saving; a second {name} stops at once and loses the steps since the last checkpoint",
        f"error: interrupted; {step:,} of 3,500 steps of epoch 1 are saved in run",
        f"resume with: {shlex.join(command('train', '--resume', 'run'))}",
    ]
    assert dnn("train", "--resume", "run").code == 0
    assert_same_training(shared_runs.path(LONG_EPOCH), "run")


def test_a_closed_terminal_stops_the_training_with_everything_saved(
    dnn: Dnn, long_epoch: Path, shared_runs: SharedRuns
) -> None:
    process, terminal = pty.fork()
    if process == 0:
        arguments = command("train", "-c", long_epoch, "--run-dir", "run")
        os.execv(arguments[0], arguments)
    while not saved_step("run"):
        os.read(terminal, 1000)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert saved_step("run")
    assert dnn("train", "--resume", "run").code == 0
    assert_same_training(shared_runs.path(LONG_EPOCH), "run")


def test_a_training_below_nohup_goes_on_when_the_terminal_is_closed(dnn: Dnn, tiny: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        training = subprocess.Popen(
            command("train", "-c", tiny, *NUMPY, "--run-dir", "run", "-q"), stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    while not Path("run/config.yaml").is_file():
        time.sleep(0.001)
    while training.poll() is None:
        training.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    _, stderr = training.communicate()
    assert (training.returncode, stderr) == (0, "")
