"""Test that a training calibrates its best network, and that only the stated probabilities change."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.evaluation import evaluate, model_source
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.reliability import fit_temperature
from tests.conftest import Answer
from tests.pictures import coverage, encoded, painted, written
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [32]}
optimizer: {name: adam, learning_rate: 0.01}
training: {epochs: 3}
"""


def read(run: Path | str) -> Calibration:
    return Calibration.from_json(Path(run, "calibration.json").read_text())


def test_the_temperature_is_fitted_to_the_images_held_out(shared_runs: SharedRuns) -> None:
    found = read(shared_runs.path(CONFIG))
    source = model_source.find_model(shared_runs.path(CONFIG))
    _, held_out, _ = evaluate.material(source, "validation")
    assert found == source.calibration
    assert (found.images, found.epoch) == (500, source.epoch)
    assert found.temperature == fit_temperature(
        model_source.probabilities(source.file, held_out.images), held_out.labels
    )
    assert found.after.loss < found.before.loss


def test_keras_networks_are_calibrated_as_well(shared_runs: SharedRuns) -> None:
    keras = ("--set", "engine=keras", "--set", "training.jit_compile=false")
    few = ("--set", "data.images_per_class=150")
    found = read(shared_runs.path(CONFIG, *few, *keras))
    assert found.after.loss < found.before.loss
    assert found.temperature == pytest.approx(read(shared_runs.path(CONFIG, *few)).temperature, rel=0.1)


def test_a_resumed_run_is_calibrated_as_one_that_never_stopped(dnn: Dnn, shared_runs: SharedRuns) -> None:
    shared_runs.copy("run", CONFIG, "--epochs", 1)
    before = read("run")
    assert before.epoch == 1
    assert dnn("train", "--resume", "run", "--epochs", 3).code == 0
    after, straight = read("run"), read(shared_runs.path(CONFIG))
    assert replace(after, checkpoint="") == replace(straight, checkpoint="")  # the files hold times
    assert after.checkpoint != before.checkpoint


def test_a_finished_run_of_an_earlier_version_is_calibrated_by_resuming_it(dnn: Dnn, shared_runs: SharedRuns) -> None:
    run = shared_runs.copy("run", CONFIG)
    expected = (run / "calibration.json").read_bytes()
    (run / "calibration.json").unlink()
    assert json.loads(dnn("evaluate", run, "--json").stdout)["calibrated"] is None
    assert dnn("train", "--resume", run).code == 0
    assert (run / "calibration.json").read_bytes() == expected


def test_without_images_held_out_there_is_no_calibration(dnn: Dnn, shared_runs: SharedRuns) -> None:
    run = shared_runs.path(CONFIG, "--set", "data.validation=0")
    assert not (run / "calibration.json").exists()
    assert "calibrated" not in dnn("evaluate", run).stdout


def test_a_damaged_best_checkpoint_is_not_calibrated(dnn: Dnn, shared_runs: SharedRuns) -> None:
    run = shared_runs.copy("run", CONFIG)
    state = json.loads((run / "state.json").read_text())
    state["last"]["best"]["sha256"] = "0" * 64
    (run / "state.json").write_text(json.dumps(state))
    (run / "calibration.json").unlink()
    assert dnn("train", "--resume", run).code == 0
    assert not (run / "calibration.json").exists()


def test_calibration_changes_probabilities_and_nothing_else(dnn: Dnn, shared_runs: SharedRuns) -> None:
    run = shared_runs.copy("run", CONFIG)
    source = model_source.find_model(run)
    _, tests, _ = evaluate.material(source, "test")
    for number, image in enumerate(tests.images[:8]):
        written(Path(f"scans/{number}.png"), encoded(painted(coverage(image, 100))))

    def outputs() -> list[dict[str, Any]]:
        words = (("evaluate", run), ("predict", run, "scans"), ("explain", run, "--index", 1))
        return [json.loads(dnn(*each, "--json").stdout) for each in words]

    (run / "calibration.json").rename("calibration.json")
    plain = outputs()
    assert dnn("predict", run, "scans").stdout.splitlines()[0].split("  ")[-1].strip() == "probability"
    Path("calibration.json").rename(run / "calibration.json")
    found = outputs()

    calibrated = found[0].pop("calibrated")
    assert plain[0].pop("calibrated") is None
    assert found[0] == plain[0]
    assert calibrated["temperature"] == read(run).temperature
    assert found[0]["loss"] != calibrated["loss"] == pytest.approx(found[0]["loss"], rel=0.1)
    error = f"{found[0]['calibration_error']:.4f}, calibrated {calibrated['calibration_error']:.4f}"
    assert f"calibration error  {error} (temperature {calibrated['temperature']:.4g})\n" in dnn("evaluate", run).stdout

    for mine, theirs in ((found[1], plain[1]), (found[2], plain[2])):
        assert mine.pop("temperature") == calibrated["temperature"]
        assert theirs.pop("temperature") is None
    for one, other in zip(found[1]["images"], plain[1]["images"], strict=True):
        assert (one["digit"], one["runner_up"]) == (other["digit"], other["runner_up"])
        np.testing.assert_allclose(one["probabilities"], read(run).apply(np.array([other["probabilities"]]))[0])
    expected = read(run).apply(np.array([plain[2].pop("probabilities")]))[0]
    np.testing.assert_allclose(found[2].pop("probabilities"), expected)
    assert found[2] == plain[2]

    head = dnn("predict", run, "scans").stdout.splitlines()[0]
    assert head.split() == ["file", "predicted", "calibrated", "probability", "runner-up", "probability"]
    assert f"calibrated probability {max(expected):.4f}" in dnn("explain", run, "--index", 1).stdout


def test_other_networks_than_the_best_keep_their_probabilities(dnn: Dnn, shared_runs: SharedRuns) -> None:
    run = shared_runs.path(CONFIG, "--set", "optimizer.learning_rate=0.1")
    state = json.loads((run / "state.json").read_text())["last"]
    assert state["best"]["epoch"] < state["epoch"]
    best, last, file = (
        json.loads(dnn("evaluate", *words, "--json").stdout)["calibrated"]
        for words in ((run,), (run, "--checkpoint", "last"), (run / "checkpoints/best.keras", "--data", "mnist-sample"))
    )
    assert best is not None
    assert (last, file) == (None, None)
