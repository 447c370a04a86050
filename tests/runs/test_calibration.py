"""Test the calibration of a run: its formula, and that it belongs to one checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.errors import RunError
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Reliability
from tests.conftest import Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 1}
"""


def calibration(temperature: float, checkpoint: str = "", epoch: int = 1) -> Calibration:
    before, after = Reliability(0.2, 0.02), Reliability(0.1, 0.01)
    return Calibration(
        checkpoint=checkpoint, epoch=epoch, temperature=temperature, images=500, before=before, after=after
    )


def test_the_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, -1.0, 0.5]])
    powers, warmer = np.exp(logits), np.exp(logits / 2)
    found = calibration(2.0).apply(powers / powers.sum())
    np.testing.assert_allclose(found, warmer / warmer.sum(), rtol=1e-12)


def test_a_temperature_of_one_changes_nothing_and_a_probability_of_zero_is_possible() -> None:
    given = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    np.testing.assert_allclose(calibration(1.0).apply(given), given, atol=1e-7)


def test_a_fit_records_the_figures_before_and_after() -> None:
    probabilities = np.tile(np.array([[0.99, 0.01]], np.float32), (100, 1))
    found = Calibration.fit("digest", 3, probabilities, np.arange(100) % 5 // 4)
    assert found is not None
    assert (found.checkpoint, found.epoch, found.images) == ("digest", 3, 100)
    assert found.temperature == pytest.approx(np.log(99) / np.log(4), rel=1e-5)
    assert found.before.calibration_error == pytest.approx(0.19)
    assert found.after.calibration_error == pytest.approx(0, abs=1e-6)
    assert found.after.loss == pytest.approx(-0.8 * np.log(0.8) - 0.2 * np.log(0.2), rel=1e-6)
    assert found.before.loss == pytest.approx(-0.8 * np.log(0.99) - 0.2 * np.log(0.01), rel=1e-6)
    assert Calibration.fit("digest", 3, probabilities, np.zeros(100, int)) is None


@pytest.fixture
def run(shared_runs: SharedRuns, tmp_path: Path) -> RunDirectory:
    shared_runs.copy(tmp_path / "net-1", CONFIG)
    return RunDirectory.open(tmp_path / "net-1")


def test_a_calibration_belongs_to_the_best_checkpoint(run: RunDirectory) -> None:
    state = run.state()
    assert state is not None
    of_best = calibration(1.5, state.last.best.sha256)
    run.write_calibration(of_best)
    assert run.calibration() == of_best
    run.write_calibration(calibration(1.5, "0" * 64))
    assert run.calibration() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature: should be greater than or equal to 0.001"),
        ({"temperature": -1}, "temperature: should be greater than or equal to 0.001"),
        ({"temperature": "1"}, "temperature: should be a valid number"),
        ({"temperature": 1e9}, "temperature: should be less than or equal to 1000"),
        ({"epoch": 0}, "epoch: should be greater than or equal to 1"),
        ({"before": None}, "before: should be a JSON object"),
        ({"after": {"loss": 1}}, "after.calibration_error: field required"),
    ],
)
def test_a_damaged_calibration_is_one_error(
    run: RunDirectory, change: dict[str, object], message: str, dnn: Dnn
) -> None:
    file = run.path / "calibration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    for command in ("predict", "evaluate", "explain", "report"):
        words: dict[str, list[object]] = {"predict": ["-"], "explain": ["--index", 0]}
        answer = dnn(command, run, *words.get(command, []))
        assert (answer.code, answer.stderr) == (
            1,
            f"error: {file} is damaged: {message}; `dnn train --resume {run}` writes it again\n",
        )


def test_a_number_that_is_none_is_an_error(run: RunDirectory) -> None:
    file = run.path / "calibration.json"
    file.write_text('{"checkpoint": "", "temperature": NaN}')
    with pytest.raises(RunError) as error:
        run.calibration()
    assert str(error.value).startswith(f"{file} is damaged: ")
