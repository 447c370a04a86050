"""Test training through the command line: files of a run, bit-for-bit repetition, resumption, signals and damage."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli import progress
from dnn_cli.config import loading
from dnn_cli.errors import TrainingError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.training import loop
from tests.conftest import PATIENCE, Answer, assert_same_bits, command, saved_epoch, wait_for_epoch, weights
from tests.shared_runs import SharedRuns, forget_digests
from tests.training.helpers import TINY, assert_same_training, history

Dnn = Callable[..., Answer]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Write the config `TINY` to a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def trained(shared_runs: SharedRuns) -> Callable[..., Path]:
    """Return a function that copies a run of `TINY`, trained with some options, to a folder."""

    def call(to: str, *options: object) -> Path:
        return shared_runs.copy(to, TINY, *options)

    return call


Trained = Callable[..., Path]
UNCOMPILED = ("--set", "training.jit_compile=false")  # for what does not depend on XLA; starts faster
ONE_EPOCH = ("--epochs", 1)


def test_a_training_writes_progress_and_all_files_of_a_run(dnn: Dnn, tiny: Path) -> None:
    answer = dnn("train", "-c", tiny)
    assert answer.code == 0
    lines = answer.stderr.splitlines()
    pattern = r"epoch %d/4  loss \d\.\d{4}  accuracy 0\.\d{4}  val_loss \d\.\d{4}  val_accuracy 0\.\d{4}  .* images/s"
    assert len(lines) == 4
    for number, line in enumerate(lines, start=1):
        assert re.fullmatch(pattern % number, line), line
    assert "runs/tiny-1" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "next: dnn evaluate runs/tiny-1"

    run = Path("runs/tiny-1")
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files == {
        ".lock",
        "calibration.json",
        "config.yaml",
        "environment.json",
        "history.csv",
        "metrics.json",
        "state.json",
        "checkpoints/best.keras",
        "checkpoints/last.keras",
        "checkpoints/previous.keras",
    }
    header = (run / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"
    assert [row["epoch"] for row in history(run)] == [1, 2, 3, 4]
    assert {row["learning_rate"] for row in history(run)} == {0.003}
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["epochs"], metrics["stopped_early"], metrics["training_images"]) == (4, False, 3500)
    assert metrics["parameters"] == 784 * 16 + 16 + 4 * 16 + 16 * 10 + 10
    val_losses = [row["val_loss"] for row in history(run)]
    assert metrics["best"]["value"] == min(val_losses)
    assert metrics["best"]["epoch"] == val_losses.index(min(val_losses)) + 1
    environment = json.loads((run / "environment.json").read_text())
    assert environment["dataset"]["name"] == "mnist-sample"
    assert environment["dataset"]["fingerprint"].startswith("sha256:")


def test_the_recorded_config_trains_the_same_weights_in_another_process(
    dnn: Dnn, process: Dnn, trained: Trained, tiny: Path
) -> None:
    trained("first")
    answer = process("train", "-c", "first/config.yaml", "--run-dir", "again", "--json", "-q")
    assert (answer.code, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["run"] == "again"
    assert_same_training("first", "again")
    dnn("train", "-c", tiny, "--run-dir", "other", "--seed", 4)
    assert history("other") != history("first")


def test_extending_a_finished_run_gives_the_same_bits_as_one_longer_run(process: Dnn, trained: Trained) -> None:
    trained("straight")
    trained("extended", *ONE_EPOCH)
    answer = process("train", "--resume", "extended", "--epochs", 4)
    assert answer.code == 0
    lines = answer.stderr.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, start=2):
        assert re.fullmatch(rf"epoch {number}/4  loss .* images/s", line)
    assert_same_training("straight", "extended")
    assert json.loads(Path("extended/metrics.json").read_text())["epochs"] == 4


def test_ema_weights_and_schedules_in_epochs_are_extended_bit_for_bit(dnn: Dnn, tiny: Path) -> None:
    rate = "{name: cosine_decay, initial_learning_rate: 0.003, decay_epochs: 3}"
    changes = (f"optimizer.learning_rate={rate}", "optimizer.use_ema=true", "optimizer.gradient_accumulation_steps=4")
    options = [*UNCOMPILED, *(option for change in changes for option in ("--set", change))]
    assert dnn("train", "-c", tiny, "--run-dir", "straight", "--epochs", 2, *options).code == 0
    assert dnn("train", "-c", tiny, "--run-dir", "extended", "--epochs", 1, *options).code == 0
    assert dnn("train", "--resume", "extended", "--epochs", 2).code == 0
    assert_same_training("straight", "extended")
    rates = [row["learning_rate"] for row in history("straight")]
    assert rates == pytest.approx([0.003, 0.00225], rel=1e-5)  # three quarters after a third of half a cosine
    scores = json.loads(dnn("evaluate", "straight", "--split", "validation", "--checkpoint", "last", "--json").stdout)
    assert scores["loss"] == pytest.approx(history("straight")[-1]["val_loss"], rel=1e-4)


def test_a_schedule_over_all_epochs_is_recorded_and_kept_when_a_run_is_extended(dnn: Dnn, tiny: Path) -> None:
    def options(length: object) -> tuple[str, ...]:
        schedule = f"{{name: cosine_decay, initial_learning_rate: 0.003, decay_epochs: {length}}}"
        return "--set", f"optimizer.learning_rate={schedule}", *UNCOMPILED

    answer = dnn("train", "-c", tiny, "--run-dir", "all", "--epochs", 1, *options("all"))
    assert (answer.code, answer.stderr.count("warning")) == (0, 0)
    assert "decay_epochs: 1.0" in Path("all/config.yaml").read_text()
    ends = "warning: the learning rate's cosine_decay ends after 1 epochs; for the rest of the 2 it stays at 0"
    answer = dnn("train", "-c", tiny, "--run-dir", "straight", "--epochs", 2, *options(1))
    assert (answer.code, answer.stderr.splitlines()[0]) == (0, ends)
    # The config says `all`, the run 1: the run is extended as if it had been given the longer training from the start.
    answer = dnn("train", "--resume", "all", "-c", tiny, "--epochs", 2, *options("all"))
    assert (answer.code, answer.stderr.splitlines()[0]) == (0, f"{ends}; a resumed run keeps its schedule")
    assert_same_training("straight", "all")


@pytest.mark.slow
def test_a_run_killed_at_any_time_and_resumed_ends_as_an_uninterrupted_one(
    dnn: Dnn, start: Callable[..., "subprocess.Popen[str]"], tiny: Path
) -> None:
    arguments: tuple[object, ...] = ("-c", tiny, "--run-dir", "killed", "--epochs", 100_000)
    random = np.random.default_rng(5)
    done = 0
    for _ in range(2):
        victim = start("train", *arguments)
        wait_for_epoch("killed", done + 1, victim)
        time.sleep(random.uniform(0, 0.03))
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        done = saved_epoch("killed")
        weights(Path("killed/checkpoints/last.keras"))
        arguments = ("--resume", "killed")
    answer = dnn("train", "--resume", "killed", "--epochs", done + 2)
    assert answer.code == 0, answer
    first = next(line for line in answer.stderr.splitlines() if not line.startswith("warning: "))
    assert first.split()[:2] == ["epoch", f"{done + 1}/{done + 2}"]
    dnn("train", "-c", tiny, "--run-dir", "straight", "--epochs", done + 2)
    assert_same_training("straight", "killed")


def test_a_second_signal_stops_at_once_and_damages_nothing(
    start: Callable[..., "subprocess.Popen[str]"], tiny: Path
) -> None:
    # A step takes about a second.
    wide = ("engine=numpy", "model.layers=[4096, 4096]", "data.validation=0", "training.batch_size=1500")
    changes = [option for setting in wide for option in ("--set", setting)]
    training = start("train", "-c", tiny, "--run-dir", "run", "--epochs", "100", *changes)
    assert training.stderr
    assert training.stderr.readline().startswith("epoch   1/100")
    wait_for_epoch("run", 1, training)  # which is saved while the next one trains
    kept = Path("run/checkpoints/last.keras").read_bytes()
    training.send_signal(signal.SIGINT)
    assert training.stderr.readline() == (
        "SIGINT: saving; a second SIGINT stops at once and loses the steps since the last checkpoint\n"
    )
    training.send_signal(signal.SIGINT)
    _, stderr = training.communicate(timeout=PATIENCE)
    assert training.returncode == 130
    resume = shlex.join(command("train", "--resume", "run"))
    # A second signal within the write of the first message can print that message again.
    assert stderr.splitlines()[-2:] == ["error: interrupted; epoch 1 is saved in run", f"resume with: {resume}"]
    assert Path("run/checkpoints/last.keras").read_bytes() == kept


def test_augmentation_is_the_same_when_resumed(dnn: Dnn, process: Dnn, trained: Trained, tiny: Path) -> None:
    strengths = "training.augmentation={rotation: 10, translation: 2, elastic: {strength: 2}, noise: 0.1}"
    options = ("--set", strengths, *UNCOMPILED)
    dnn("train", "-c", tiny, *options, "--run-dir", "straight")
    dnn("train", "-c", tiny, *options, "--run-dir", "begun", "--epochs", 2)
    assert process("train", "--resume", "begun", "--epochs", 4).code == 0
    assert_same_training("straight", "begun")
    trained("plain")
    assert history("plain") != history("straight")


def test_a_run_stopped_before_its_first_epoch_can_be_resumed(dnn: Dnn, trained: Trained) -> None:
    for name in ("straight", "early"):
        trained(name)
    for path in Path("early").rglob("*.*"):
        if path.name not in ("config.yaml", "environment.json"):
            path.unlink()
    assert dnn("evaluate", "early").stderr == (
        "error: early has no checkpoint yet; `dnn train --resume early` trains it\n"
    )
    assert dnn("train", "--resume", "early").code == 0
    assert_same_training("straight", "early")


def test_training_resumes_from_the_previous_checkpoint_if_the_last_is_damaged(dnn: Dnn, trained: Trained) -> None:
    for name in ("straight", "damaged"):
        trained(name)
    Path("damaged/checkpoints/best.keras").unlink()  # which may hold the same epoch
    last = Path("damaged/checkpoints/last.keras")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    answer = dnn("evaluate", "damaged", "--checkpoint", "last")
    assert (answer.code, answer.stderr) == (
        1,
        "error: damaged/checkpoints/last.keras is damaged: its checksum is not the one in state.json\n",
    )
    answer = dnn("train", "--resume", "damaged")
    assert answer.code == 0
    warning, line = answer.stderr.splitlines()
    assert warning == (
        "warning: damaged/checkpoints/last.keras is unfinished or damaged; resuming from previous.keras, epoch 3"
    )
    assert line.startswith("epoch 4/4")
    assert_same_training("straight", "damaged")

    for name in ("last", "previous", "best"):
        Path(f"damaged/checkpoints/{name}.keras").write_bytes(b"")
    answer = dnn("train", "--resume", "damaged")
    assert (answer.code, answer.stderr) == (
        1,
        "error: damaged cannot be resumed: all checkpoints in damaged/checkpoints are damaged; "
        "`dnn train -c damaged/config.yaml` trains it again, into a new run\n",
    )


def test_resuming_with_another_config_is_rejected_with_the_differences(dnn: Dnn, trained: Trained, tiny: Path) -> None:
    trained("run", *ONE_EPOCH)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    changes = ("--set", "optimizer.learning_rate=0.01", "--seed", 9, "--epochs", 3)
    expected = (
        "error: run cannot be resumed with different settings; only training.epochs may change\n"
        "  seed: 3 → 9\n"
        "  optimizer.learning_rate: 0.003 → 0.01\n"
        "start a new run to train with them\n"
    )
    assert dnn("train", "--resume", "run", *changes) == Answer(2, "", expected)
    other = tiny.with_name("other.yaml")
    other.write_text(TINY.replace("0.003", "0.01").replace("seed: 3", "seed: 9"))
    assert dnn("train", "--resume", "run", "-c", other) == Answer(2, "", expected)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
    assert dnn("train", "--resume", "run", "-c", tiny, "--epochs", 2).code == 0
    answer = dnn("train", "--resume", "run", "--epochs", 1)
    assert answer == Answer(2, "", "error: run has trained 2 epochs already; --epochs must be at least 2\n")


def compiled(run: str) -> Any:
    """Return whether the environment records that XLA compiled the training steps."""
    return json.loads(Path(run, "environment.json").read_text())["compiled"]


def test_a_resume_with_compiled_steps_must_be_asked_for(dnn: Dnn, trained: Trained) -> None:
    trained("run", *ONE_EPOCH, "--set", "training.jit_compile=false")
    assert compiled("run") is False
    config = Path("run/config.yaml").read_text()
    answer = dnn("train", "--resume", "run", "--epochs", 2, "-q", "--set", "training.jit_compile=true")
    change = "run was trained uncompiled and resumes with compiled steps"
    assert (answer.code, answer.stderr) == (0, f"warning: {change}; its weights differ in the last bits\n")
    assert compiled("run") is True
    assert Path("run/config.yaml").read_text() == config.replace("epochs: 1", "epochs: 2")


def test_a_resume_never_leaves_the_path_that_trained(
    dnn: Dnn, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dnn_cli.engines.keras import epoch

    trained("compiled", *ONE_EPOCH)
    assert compiled("compiled") is True
    state = Path("compiled/state.json").read_bytes()

    def reject(self: epoch.CompiledEpoch) -> None:
        self.compiled = False

    with monkeypatch.context() as patch:
        patch.setattr(epoch.CompiledEpoch, "prepare", reject)
        assert dnn("train", "--resume", "compiled", "--epochs", 2, "-q") == Answer(
            1,
            "",
            "error: compiled was trained with compiled steps and would resume uncompiled, so that its weights would "
            "differ in the last bits; --set training.jit_compile=false resumes it nevertheless\n",
        )
    assert Path("compiled/state.json").read_bytes() == state

    # XLA rejected the model when the run was started, and would compile it now.
    trained("uncompiled", *ONE_EPOCH, "--set", "training.jit_compile=false")
    trained("straight", "--epochs", 2, "--set", "training.jit_compile=false")
    forget_digests("uncompiled")
    config = Path("uncompiled/config.yaml")
    config.write_text(config.read_text().replace("jit_compile: false", "jit_compile: true"))
    answer = dnn("train", "--resume", "uncompiled", "--epochs", 2, "-q")
    assert (answer.code, answer.stderr) == (0, "")
    assert compiled("uncompiled") is False
    assert_same_bits(Path("uncompiled/checkpoints/last.keras"), Path("straight/checkpoints/last.keras"))


def test_resuming_a_finished_run_trains_no_epoch(dnn: Dnn, trained: Trained) -> None:
    trained("run", *ONE_EPOCH)
    kept = Path("run/checkpoints/last.keras").read_bytes()
    Path("run/metrics.json").unlink()
    answer = dnn("train", "--resume", "run")
    assert (answer.code, answer.stderr) == (
        0,
        "run has trained all of its 1 epochs; to train more, pass a larger --epochs\n",
    )
    assert Path("run/checkpoints/last.keras").read_bytes() == kept
    assert json.loads(Path("run/metrics.json").read_text())["epochs"] == 1


def test_resuming_on_changed_data_is_rejected(dnn: Dnn, sample: Any, tiny: Path) -> None:
    np.savez("mine.npz", x_train=sample.images[:600], y_train=sample.labels[:600])
    own = ("--set", "data.dataset=mine.npz", "--set", "data.validation=0.1")
    dnn("train", "-c", tiny, *own, "--run-dir", "run", "--epochs", 1)
    np.savez("mine.npz", x_train=sample.images[1:601], y_train=sample.labels[1:601])
    answer = dnn("train", "--resume", "run", "--epochs", 2)
    path = Path("mine.npz").resolve()
    message = f"error: run cannot be resumed: {path} has changed since the run was started; "
    assert answer == Answer(1, "", f"{message}restore it, or start a new run\n")


def test_a_run_that_another_process_trains_cannot_be_resumed(trained: Trained) -> None:
    trained("run", *ONE_EPOCH)
    with RunDirectory.open(Path("run")).locked():
        code = [*command("train", "--resume", "run", "--epochs", "2")]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: run is being trained by another process; wait until that ends, or stop it\n",
    )


def test_a_loss_that_is_not_finite_stops_the_training(dnn: Dnn, tiny: Path) -> None:
    block = "{units: 16, activation: linear}"
    wild = ("--set", "optimizer={name: sgd, learning_rate: 1000}", "--set", f"model.layers=[{block}, {block}, {block}]")
    answer = dnn("train", "-c", tiny, *wild)
    assert answer.code == 1
    assert re.fullmatch(
        r"error: loss became (nan|inf) in epoch 1, between steps 1 and 32 of 73; "
        r"no epoch is saved in runs/tiny-1\na lower optimizer.learning_rate usually helps\n",
        answer.stderr,
    )
    assert not Path("runs/tiny-1/state.json").exists()


class CorruptWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets weights to NaN at the beginning of the third epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            self.model.layers[-1].bias.assign([float("nan")] * 10)


def test_the_message_names_the_steps_in_which_the_loss_became_nan() -> None:
    config = loading.parse(TINY, "test")
    quiet = progress.create(quiet=True)
    with pytest.raises(TrainingError) as error:
        loop.start(config, "test", quiet, callbacks=[CorruptWeights()])
    pattern = r"loss became nan in epoch 3, between steps 1 and \d+ of 73; epoch 2 is saved in runs/test-1\n.*"
    assert re.fullmatch(pattern, str(error.value))
    assert json.loads(Path("runs/test-1/state.json").read_text())["last"]["epoch"] == 2
    assert all(np.isfinite(value).all() for value in weights(Path("runs/test-1/checkpoints/last.keras")).values())


def test_keras_callbacks_are_called_when_epochs_begin_and_end() -> None:
    config = loading.parse(TINY, "test")
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    log = keras.callbacks.CSVLogger("log.csv")
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=100.0, patience=1)
    result = loop.start(config, "test", progress.create(quiet=True), callbacks=[rates, log, stop])
    assert [row["learning_rate"] for row in history(result.run.path)] == [0.0015, 0.00075]
    assert result.metrics.stopped_early is True
    with Path("log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]


def test_early_stopping_stops_at_the_epoch_where_keras_would_and_stays_stopped(dnn: Dnn, tiny: Path) -> None:
    stopping = ("--set", "training.early_stopping={patience: 2, min_delta: 0.05}", "--epochs", 50)
    dnn("train", "-c", tiny, "--run-dir", "run", *stopping)
    losses = [row["val_loss"] for row in history("run")]
    monitor = keras.callbacks.EarlyStopping("val_loss", min_delta=0.05, patience=2)
    monitor.set_model(keras.Sequential())
    monitor.on_train_begin()
    stopped = []
    for epoch, loss in enumerate(losses):
        monitor.on_epoch_end(epoch, {"val_loss": loss})
        stopped.append(bool(getattr(monitor.model, "stop_training", False)))
    assert stopped == [False] * (len(losses) - 1) + [True]
    assert json.loads(Path("run/metrics.json").read_text())["stopped_early"] is True
    kept = Path("run/checkpoints/last.keras").read_bytes()
    answer = dnn("train", "--resume", "run", "--epochs", 60)
    assert answer.code == 0
    assert f"run stopped early after {len(losses)} epochs" in answer.stderr
    assert Path("run/checkpoints/last.keras").read_bytes() == kept


def test_the_test_split_is_never_read(dnn: Dnn, sample: Any, tiny: Path) -> None:
    images, labels = sample.images[:600], sample.labels[:600]
    np.savez("with.npz", x_train=images, y_train=labels, x_test=np.full((5, 3), np.nan), y_test=np.array(["no"]))
    np.savez("without.npz", x_train=images, y_train=labels)
    for name in ("with", "without"):
        own = ("--set", f"data.dataset={name}.npz", "--set", "data.validation=0.1", "--run-dir", name, "--epochs", 1)
        assert dnn("train", "-c", tiny, *own, *UNCOMPILED).code == 0
    assert_same_bits(Path("with/checkpoints/last.keras"), Path("without/checkpoints/last.keras"))
    assert dnn("evaluate", "with").code == 1


def test_without_mnist_the_shipped_config_trains_on_the_sample_with_a_warning(
    dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)
    answer = dnn("train", "-c", "mnist")
    assert answer.code == 0
    note = json.loads(Path("runs/mnist-1/environment.json").read_text())["dataset"]["note"]
    assert note.startswith("MNIST was neither found nor downloaded (")
    assert answer.stderr.splitlines()[0] == f"warning: {note}"
    assert "warning" in answer.stdout
    found = dnn("evaluate", "--min-accuracy", "0.93")
    assert found.code == 0, found
    assert "warning" in found.stdout
    resumed = dnn("train", "--resume", "runs/mnist-1", "--epochs", 11, "--json")
    assert resumed.stderr.splitlines()[0] == f"warning: {note}"
    assert json.loads(resumed.stdout)["note"] == note


def test_without_mnist_and_without_a_fallback_the_error_says_what_to_do(
    dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)
    answer = dnn("train", "-c", "mnist", "--set", "data.fallback=null")
    assert answer.code == 1
    assert answer.stderr.startswith("error: MNIST was not found\n")
    assert "DNN_DATA_DIR" in answer.stderr
    assert not Path("runs").exists()


def test_the_smoke_config_reaches_ninety_percent(dnn: Dnn) -> None:
    assert dnn("train", "--config", "smoke", "-q").code == 0
    answer = dnn("evaluate", "--min-accuracy", "0.9", "--json")
    assert answer.code == 0
    assert json.loads(answer.stdout)["accuracy"] > 0.9


@pytest.mark.slow
def test_the_textbook_network_reaches_its_accuracy_on_mnist(dnn: Dnn, mnist_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(mnist_folder))
    assert dnn("train", "-c", "mnist").code == 0
    answer = dnn("evaluate", "--min-accuracy", "0.975", "--json")
    assert answer.code == 0
    assert json.loads(answer.stdout)["images"] == 10_000


@pytest.mark.slow
def test_checkpoints_need_nothing_but_tensorflow(trained: Trained) -> None:
    trained("run")
    code = (
        "import sys; sys.modules['dnn_cli'] = None\n"
        "import tensorflow as tf\n"
        "model = tf.keras.models.load_model(sys.argv[1])\n"
        "print(int(model.optimizer.iterations), [type(layer).__module__.split('.')[0] for layer in model.layers])"
    )
    path = "run/checkpoints/last.keras"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{4 * 73} ['keras', 'keras', 'keras', 'keras', 'keras', 'keras']\n"


def test_a_dry_run_rejects_what_the_training_would_reject(dnn: Dnn, trained: Trained, tiny: Path) -> None:
    trained("run", *ONE_EPOCH)
    for arguments in (("-c", tiny, "--run-dir", "run"), ("--resume", "run", "--seed", 4)):
        real, dry = dnn("train", *arguments), dnn("train", *arguments, "--dry-run")
        assert real.code == 2
        assert dry == real
