"""Test training with `engine: numpy` through the command line, which must not import TensorFlow."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from dnn_cli import progress
from dnn_cli.config import loading
from dnn_cli.data import datasets
from dnn_cli.training import loop
from tests.conftest import Answer, saved_epoch, wait_for_epoch
from tests.training.helpers import TINY, assert_same_training, history

Dnn = Callable[..., Answer]

NUMPY = TINY + "engine: numpy\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(NUMPY)
    return path


def imported(answer: Answer) -> set[str]:
    """Return the top-level packages that a process imported, as PYTHONPROFILEIMPORTTIME reports them."""
    lines = [line for line in answer.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip().split(".")[0] for line in lines}


def test_numpy_trains_and_evaluates_without_tensorflow(process: Dnn, tiny: Path) -> None:
    trained = process("train", "-c", tiny, "--run-dir", "run", PYTHONPROFILEIMPORTTIME="1")
    assert trained.code == 0, trained.stderr
    scored = process("evaluate", "run", "--json", PYTHONPROFILEIMPORTTIME="1")
    assert scored.code == 0
    for answer in (trained, scored):
        assert "numpy" in imported(answer)
        assert not imported(answer) & {"tensorflow", "keras", "matplotlib", "scipy"}
    run = Path("run")
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == {
        ".lock",
        "calibration.json",
        "config.yaml",
        "environment.json",
        "evaluation/test.json",
        "history.csv",
        "metrics.json",
        "state.json",
        "checkpoints/best.keras",
        "checkpoints/last.keras",
        "checkpoints/previous.keras",
    }
    assert (run / "history.csv").read_text().startswith("epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,sec")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["parameters"] == 784 * 16 + 16 + 4 * 16 + 16 * 10 + 10
    assert json.loads(scored.stdout)["accuracy"] > 0.8


def test_both_engines_give_nearly_the_same_history_and_scores(dnn: Dnn) -> None:
    for engine in ("keras", "numpy"):
        options = ("--engine", engine, "--epochs", 3, "--set", "data.validation=300")
        assert dnn("train", "-c", "smoke", "--run-dir", engine, *options).code == 0
    for one, other in zip(history("keras"), history("numpy"), strict=True):
        assert one.keys() == other.keys()
        assert one == pytest.approx(other, rel=2e-3)
    scores = [json.loads(dnn("evaluate", engine, "--json").stdout) for engine in ("keras", "numpy")]
    assert scores[0]["accuracy"] == pytest.approx(scores[1]["accuracy"], abs=0.003)
    assert scores[0].keys() == scores[1].keys()


def test_keras_evaluates_a_numpy_checkpoint_to_the_same_metrics(dnn: Dnn, tiny: Path) -> None:
    dnn("train", "-c", tiny, "--run-dir", "run")
    network = keras.models.load_model("run/checkpoints/best.keras")
    split = datasets.find("mnist-sample", split="test").load("test")
    loss, accuracy = network.evaluate(split.images.astype("float32") / 255, split.labels, verbose=0)
    for options in (
        ("run",),
        ("run/checkpoints/best.keras", "--data", "mnist-sample"),
    ):  # evaluated by NumPy, and by Keras
        scored = json.loads(dnn("evaluate", *options, "--json").stdout)
        assert (scored["loss"], scored["accuracy"]) == pytest.approx((loss, accuracy), rel=1e-4)
    validation = json.loads(dnn("evaluate", "run", "--split", "validation", "--json").stdout)
    best = min(history("run"), key=lambda row: row["val_loss"])
    assert validation["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_keras_can_start_from_weights_that_numpy_trained(dnn: Dnn, tiny: Path) -> None:
    dnn("train", "-c", tiny, "--run-dir", "run")
    settings = ("model.init_from=run", "training.epochs=1")
    options = [part for each in settings for part in ("--set", each)]
    assert dnn("train", "-c", tiny, "--engine", "keras", "--run-dir", "tuned", *options).code == 0
    assert history("tuned")[0]["loss"] < history("run")[1]["loss"]
    rejected = dnn("train", "-c", tiny, "--run-dir", "rejected", *options)
    assert rejected.code == 2
    assert "--set model.init_from=run  model.init_from: needs engine: keras" in rejected.stderr


def test_the_same_config_gives_the_same_bits_in_another_process_and_when_resumed(
    dnn: Dnn, process: Dnn, tiny: Path
) -> None:
    dnn("train", "-c", tiny, "--run-dir", "straight")
    process("train", "-c", "straight/config.yaml", "--run-dir", "again")
    assert_same_training("straight", "again")
    dnn("train", "-c", tiny, "--run-dir", "extended", "--epochs", 2)
    answer = process("train", "--resume", "extended", "--epochs", 4)
    assert [line[:9] for line in answer.stderr.splitlines()] == ["epoch 3/4", "epoch 4/4"]
    assert_same_training("straight", "extended")


def test_a_killed_and_resumed_run_ends_as_an_uninterrupted_one(
    dnn: Dnn, start: Callable[..., "subprocess.Popen[str]"], tiny: Path
) -> None:
    victim = start("train", "-c", tiny, "--run-dir", "killed", "--epochs", 100_000)
    wait_for_epoch("killed", 1, victim)
    victim.kill()
    victim.wait()
    longer = ("--epochs", saved_epoch("killed") + 2)
    assert dnn("train", "--resume", "killed", *longer).code == 0
    dnn("train", "-c", tiny, "--run-dir", "undisturbed", *longer)
    assert_same_training("undisturbed", "killed")


def test_unsupported_settings_are_rejected_with_their_place(dnn: Dnn, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "engine: numpy\n"
        "model: {layers: [{units: 4, activation: selu, max_norm: 2}]}\n"
        "optimizer: {name: adam, amsgrad: true}\n"
        "training: {augmentation: {rotation: 5}}\n"
    )
    answer = dnn("train", "-c", path, "--set", "data.dataset=mnist-sample")
    assert answer.code == 2
    assert not Path("runs").exists()
    lines = answer.stderr.splitlines()
    assert lines[0] == f"error: {path} has 3 problems"
    assert [line.split("  ")[1] for line in lines[1:]] == [f"{path}:{place}" for place in ("2:57", "3:34", "4:26")]
    assert [line.split("  ")[2] for line in lines[1:]] == [
        "model.layers[0].max_norm: needs engine: keras",
        "optimizer.amsgrad: needs engine: keras",
        "training.augmentation: needs engine: keras",
    ]


def test_an_unknown_engine_is_rejected(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--engine", "numpi")
    assert answer.code == 2
    assert "engine: must be one of keras, numpy, got 'numpi' (did you mean 'numpy'?)" in answer.stderr


def test_a_run_cannot_be_resumed_with_another_engine(dnn: Dnn, tiny: Path) -> None:
    dnn("train", "-c", tiny, "--run-dir", "run", "--epochs", 1)
    answer = dnn("train", "--resume", "run", "--epochs", 2, "--engine", "keras")
    assert answer.code == 2
    assert "engine: numpy → keras" in answer.stderr


def test_a_loss_that_is_not_finite_ends_the_training(dnn: Dnn) -> None:
    settings = ("model.layers=[{units: 8, activation: exponential}, 8]", "optimizer={name: sgd, learning_rate: 900}")
    options = [part for each in settings for part in ("--set", each)]
    answer = dnn("train", "-c", "smoke", "--engine", "numpy", *options)
    assert answer.code == 1
    assert answer.stderr.startswith("error: loss became ")
    assert "a lower optimizer.learning_rate usually helps" in answer.stderr


def test_images_of_another_shape_are_rejected_in_evaluation(dnn: Dnn, tiny: Path, tmp_path: Path) -> None:
    from tests.files import user

    dnn("train", "-c", tiny, "--run-dir", "run", "--epochs", 1)
    answer = dnn("evaluate", "run", "--data", user(tmp_path))
    assert answer.code == 1
    assert answer.stderr.endswith("error: the images are 3×4, but run/checkpoints/best.keras needs 28×28\n")


def test_the_numpy_engine_rejects_callbacks(tiny: Path) -> None:
    settings: Any = loading.load(str(tiny))
    with pytest.raises(ValueError, match="callbacks and model.init_from need engine: keras"):
        loop.start(settings, "tiny", progress.QuietProgress(), callbacks=[keras.callbacks.Callback()])


def test_classes_can_be_selected_with_the_numpy_engine(dnn: Dnn, tiny: Path) -> None:
    settings = ("data.classes=[3, 5]", "data.images_per_class=100", "data.validation=0")
    options = [part for each in settings for part in ("--set", each)]
    assert dnn("train", "-c", tiny, "--run-dir", "run", *options).code == 0
    scored = json.loads(dnn("evaluate", "run", "--json").stdout)
    assert scored["selected_classes"] == [3, 5]
    assert scored["accuracy"] > 0.8


def test_early_stopping_works_with_the_numpy_engine(dnn: Dnn, tiny: Path) -> None:
    stopping = "training.early_stopping={monitor: val_loss, patience: 1, min_delta: 10}"
    answer = dnn("train", "-c", tiny, "--run-dir", "run", "--set", stopping)
    assert answer.code == 0
    assert len(history("run")) == 2
    assert "stopped early after 2 epochs" in answer.stderr
