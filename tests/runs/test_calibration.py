"""Test the calibration of a run: its formula, and that it belongs to one checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.errors import RunError
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 1}
"""


def test_the_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, -1.0, 0.5]])
    powers, warmer = np.exp(logits), np.exp(logits / 2)
    found = Calibration(checkpoint="", temperature=2.0).apply(powers / powers.sum())
    np.testing.assert_allclose(found, warmer / warmer.sum(), rtol=1e-12)


def test_a_temperature_of_one_changes_nothing_and_a_probability_of_zero_is_possible() -> None:
    given = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    np.testing.assert_allclose(Calibration(checkpoint="", temperature=1.0).apply(given), given, atol=1e-7)


@pytest.fixture
def run(shared_runs: SharedRuns, tmp_path: Path) -> RunDirectory:
    shared_runs.copy(tmp_path / "net-1", CONFIG)
    return RunDirectory.open(tmp_path / "net-1")


def test_a_calibration_belongs_to_the_best_checkpoint(run: RunDirectory) -> None:
    state = run.state()
    assert state is not None
    assert state.last.best is not None
    of_best = Calibration(checkpoint=state.last.best.sha256, temperature=1.5)
    run.write_calibration(of_best)
    assert run.calibration() == of_best
    run.write_calibration(Calibration(checkpoint="0" * 64, temperature=1.5))
    assert run.calibration() is None


@pytest.mark.parametrize("temperature", ["0", "-1", "NaN", '"1"'])
def test_a_wrong_temperature_is_an_error(run: RunDirectory, temperature: str) -> None:
    file = run.path / "calibration.json"
    file.write_text(f'{{"checkpoint": "", "temperature": {temperature}}}')
    with pytest.raises(RunError) as error:
        run.calibration()
    assert str(error.value).startswith(f"{file} is damaged: ")
