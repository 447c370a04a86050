"""Test the event files with TensorBoard's own reader: each epoch once, even after a kill, and no effect on training."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from dnn_cli.__main__ import run as dnn_main
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.training.tensorboard import EventWriter
from tests.conftest import ROOT, Answer, assert_same_bits, saved_epoch, wait_for_epoch, weights

Dnn = Callable[..., Answer]
Start = Callable[..., "subprocess.Popen[str]"]

CONFIG = """
data: {dataset: mnist-sample, validation: 500}
model: {layers: [{units: 8, batch_normalization: true, dropout: 0.1}]}
training: {epochs: 3, batch_size: 100, tensorboard: true}
"""
LAYER = {"class_name": "Flatten", "config": {"name": "flatten"}}
NETWORK = json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": [LAYER]}})
MISSING = "error: training.tensorboard needs tensorboard, which is not installed: pip install 'dnn-cli[tensorboard]'\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG)
    return path


def read(folder: Path | str) -> EventAccumulator:
    kinds = ("scalars", "histograms", "compressedHistograms", "tensors")
    return EventAccumulator(str(folder), size_guidance=dict.fromkeys(kinds, 0)).Reload()


def steps(accumulator: EventAccumulator) -> dict[str, list[int]]:
    """Return the epochs of every scalar and histogram."""
    tags = accumulator.Tags()
    scalars = {tag: [event.step for event in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    histograms = {tag: [event.step for event in accumulator.Histograms(tag)] for tag in tags["histograms"]}
    return scalars | histograms


def assert_each_epoch_once(run: Path, epochs: int) -> None:
    for split in ("train", "validation"):
        folder = run / "tensorboard" / split
        shown = steps(read(folder))
        assert {"loss", "accuracy"} <= shown.keys()
        assert all(found == list(range(1, epochs + 1)) for found in shown.values()), shown
        # Without TensorBoard's handling of restarts too: the files contain each epoch once.
        events = [event for path in sorted(folder.iterdir()) for event in EventFileLoader(str(path)).Load()]
        held = [event.step for event in events for value in event.summary.value if value.tag == "loss"]
        assert held == list(range(1, epochs + 1))
        assert sum(event.HasField("graph_def") for event in events) == (split == "train")


@pytest.mark.parametrize("engine", ["keras", "numpy"])
def test_metrics_histograms_and_graph_are_read_back(engine: str, dnn: Dnn, config: Path) -> None:
    tensorflow_import.clear_session()  # because Keras numbers the inputs of all networks in a process
    started = time.time()
    assert dnn("train", "-c", config, "--engine", engine).code == 0
    run = Path("runs/a-1")
    rows = RunDirectory.open(run).history(3)
    shown = read(run / "tensorboard/train")
    held_out = read(run / "tensorboard/validation")
    assert shown.Tags()["scalars"] == ["loss", "accuracy", "learning_rate", "seconds"]
    for accumulator, prefix in ((shown, ""), (held_out, "val_")):
        for tag in accumulator.Tags()["scalars"]:
            points = {event.step: event.value for event in accumulator.Scalars(tag)}
            assert points == {row["epoch"]: pytest.approx(row[prefix + tag], rel=1e-6) for row in rows}
            assert started <= accumulator.Scalars(tag)[-1].wall_time <= time.time()
    saved = weights(run / "checkpoints/last.keras")
    kinds = {"dense": "dense_1", "batch_normalization": "batch_normalization_1", "dense_1": "output"}
    names = {"dense": ("kernel", "bias"), "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance")}
    expected = {
        f"{name}/{part}": saved[f"layers/{kind}/vars/{place}"]
        for kind, name in kinds.items()
        for place, part in enumerate(names[kind.removesuffix("_1")])
    }
    assert shown.Tags()["histograms"] == list(expected)
    assert held_out.Tags()["histograms"] == []
    for tag, values in expected.items():
        last = shown.Histograms(tag)[-1]
        found = last.histogram_value
        assert (last.step, found.num, sum(found.bucket)) == (3, values.size, values.size)
        assert (found.min, found.max) == (values.min(), values.max())
        assert found.sum == pytest.approx(values.sum(dtype=float), rel=1e-9)
    assert [(node.name, node.op, list(node.input)) for node in shown.Graph().node] == [
        ("input_layer", "InputLayer", []),
        ("flatten", "Flatten", ["input_layer"]),
        ("dense_1", "Dense", ["flatten"]),
        ("batch_normalization_1", "BatchNormalization", ["dense_1"]),
        ("activation_1", "Activation", ["batch_normalization_1"]),
        ("dropout_1", "Dropout", ["activation_1"]),
        ("output", "Dense", ["dropout_1"]),
    ]


def test_tensorboard_finds_all_runs_in_the_runs_folder(dnn: Dnn, config: Path) -> None:
    config.write_text(CONFIG.replace("validation: 500", "validation: 0"))
    assert dnn("train", "-c", config, "--seed", 0, "--seed", 1, "--engine", "numpy").code == 0
    found = EventMultiplexer().AddRunsFromDirectory("runs").Reload()
    assert set(found.Runs()) == {"a-1/tensorboard/train", "a-2/tensorboard/train"}
    first, second = (found.Scalars(f"a-{number}/tensorboard/train", "loss") for number in (1, 2))
    assert [event.step for event in first] == [event.step for event in second] == [1, 2, 3]
    assert first[0].value != second[0].value


@pytest.mark.parametrize("engine", ["keras", "numpy"])
def test_writing_events_does_not_change_the_training(engine: str, dnn: Dnn, config: Path) -> None:
    assert dnn("train", "-c", config, "--engine", engine, "--run-dir", "on").code == 0
    off = ("--set", "training.tensorboard=false")
    assert dnn("train", "-c", config, "--engine", engine, "--run-dir", "off", *off).code == 0
    assert not Path("off/tensorboard").exists()
    for name in ("last", "best", "previous"):
        assert_same_bits(Path("on/checkpoints", f"{name}.keras"), Path("off/checkpoints", f"{name}.keras"))


# Resumption


class Crash(BaseException):
    """Simulates a kill."""


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_kill_between_events_and_checkpoint_leaves_each_epoch_once(
    epoch: int, dnn: Dnn, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = RunDirectory._commit

    def crash(run: RunDirectory, save: Callable[[Path], None], history: list[Any], state: Any, *more: Any) -> Any:
        def save_and_crash(path: Path) -> None:
            save(path)
            raise Crash

        return flush(run, save_and_crash if history[-1]["epoch"] == epoch else save, history, state, *more)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_commit", crash)
        with pytest.raises(Crash):
            dnn_main(["train", "-c", str(config), "--engine", "numpy", "--run-dir", "run", "-q"])
    orphaned = read("run/tensorboard/train")  # stays open, as in a running TensorBoard
    assert steps(orphaned)["loss"] == list(range(1, epoch + 1))
    assert dnn("train", "--resume", "run").code == 0
    assert_each_epoch_once(Path("run"), 3)
    if epoch > 1:  # before that there is no checkpoint: training starts again, in a file of the same name
        assert steps(orphaned.Reload())["loss"] == [1, 2, 3]


@pytest.mark.slow
def test_a_kill_at_any_time_leaves_each_epoch_once(start: Start, dnn: Dnn, config: Path) -> None:
    arguments: tuple[object, ...] = ("-c", config, "--engine", "numpy", "--run-dir", "run", "--epochs", 100_000)
    random = np.random.default_rng(3)
    done = 0
    for _ in range(4):
        victim = start("train", *arguments, "-q")
        wait_for_epoch("run", done + 1, victim)
        time.sleep(random.uniform(0, 0.1))
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        done = saved_epoch("run")
        arguments = ("--resume", "run")
    assert dnn("train", "--resume", "run", "--epochs", done + 2).code == 0
    assert_each_epoch_once(Path("run"), done + 2)


def test_an_incomplete_record_is_removed_when_resuming(dnn: Dnn, config: Path) -> None:
    dnn("train", "-c", config, "--engine", "numpy", "--run-dir", "run")
    (path,) = Path("run/tensorboard/train").iterdir()
    whole = path.read_bytes()
    for rubbish in (b"\x10", whole[:30], b"\xff" * 7, (2**63 + 5).to_bytes(8, "little") + b"0" * 20):
        path.write_bytes(whole + rubbish)
        assert dnn("train", "--resume", "run", "--epochs", 3).code == 0
        assert path.read_bytes() == whole
    assert dnn("train", "--resume", "run", "--epochs", 4).code == 0
    assert path.read_bytes() == whole
    assert_each_epoch_once(Path("run"), 4)


def test_events_after_the_previous_checkpoint_are_removed_when_resuming_from_it(dnn: Dnn, config: Path) -> None:
    dnn("train", "-c", config, "--engine", "numpy", "--run-dir", "run")
    for name in ("last", "best"):
        Path(f"run/checkpoints/{name}.keras").write_text("damaged")
    assert dnn("train", "--resume", "run").code == 0
    assert_each_epoch_once(Path("run"), 3)


def test_deleted_events_do_not_prevent_resuming(dnn: Dnn, config: Path) -> None:
    dnn("train", "-c", config, "--engine", "numpy", "--run-dir", "run")
    for path in Path("run/tensorboard").glob("*/*"):
        path.unlink()
    assert dnn("train", "--resume", "run", "--epochs", 5).code == 0
    assert steps(read("run/tensorboard/train"))["loss"] == [4, 5]


# Histograms


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros(5), (0, 0, 5, [0.0], [5])),
        (np.array([np.nan, 1, np.inf, 1]), (1, 1, 2, [1.0], [2])),
        (np.array([np.nan]), (0, 0, 0, [], [])),
        (np.array([0, 30], "f"), (0, 30, 2, list(range(1, 31)), [1] + [0] * 28 + [1])),
        (np.array([-3e38, 3e38], "f"), (np.float32(-3e38), np.float32(3e38), 2, None, [1] + [0] * 28 + [1])),
    ],
)
def test_histograms_of_unusual_values(values: Any, expected: tuple[Any, ...], tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "train", tmp_path / "validation", NETWORK, 0)
    writer.write({"epoch": 1, "loss": math.inf}, {"odd": values})
    (event,) = read(tmp_path / "train").Histograms("odd")
    found = event.histogram_value
    low, high, count, limits, counts = expected
    assert (found.min, found.max, found.num, found.bucket) == (low, high, count, counts)
    assert limits is None or found.bucket_limit == limits
    assert not (tmp_path / "validation").exists()


# Without the extra


def test_without_the_extra_the_error_says_how_to_install_it(
    dnn: Dnn, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dnn("train", "-c", config, "--engine", "numpy", "--run-dir", "run")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for arguments in (
        ["-c", config],
        ["-c", config, "--dry-run"],
        ["-c", config, "--engine", "numpy"],
        ["--resume", "run", "--epochs", 9],
        ["--resume", "run", "--dry-run"],
    ):
        assert dnn("train", *arguments) == Answer(2, "", MISSING)
    for arguments in (["--seed", 1, "--seed", 2], ["--seed", 1, "--seed", 2, "--dry-run"]):
        answer = dnn("train", "-c", config, *arguments)
        assert (answer.code, answer.stdout) == (2, "")
        assert MISSING.removeprefix("error: ").strip() in answer.stderr
    assert not Path("runs").exists()
    assert dnn("train", "-c", config, "--set", "training.tensorboard=false", "--dry-run").code == 0
    assert dnn("runs", ".").code == dnn("compare", "run").code == 0  # runs that were trained elsewhere can be read


def script(code: str) -> Answer:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def test_the_missing_extra_is_reported_before_tensorflow_is_imported(config: Path) -> None:
    code = """
import sys
sys.modules["tensorboard"] = None
from dnn_cli.__main__ import run
code = run(["train", "-c", "a.yaml"])
assert "tensorflow" not in sys.modules
sys.exit(code)
"""
    assert script(code) == Answer(2, "", MISSING)


def test_engine_numpy_writes_events_without_tensorflow(config: Path) -> None:
    code = """
import sys
from dnn_cli.__main__ import run
assert run(["train", "-c", "a.yaml", "--engine", "numpy", "-q"]) == 0
assert "tensorboard" in sys.modules
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    answer = script(code)
    assert (answer.code, answer.stderr) == (0, "")


def test_tensorboard_is_not_imported_if_it_is_off(config: Path) -> None:
    code = """
import sys
from dnn_cli.__main__ import run
assert run(["train", "-c", "a.yaml", "--engine", "numpy", "-q", "--set", "training.tensorboard=false"]) == 0
assert "tensorboard" not in sys.modules
"""
    assert script(code).code == 0
