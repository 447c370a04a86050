"""Test that a run's detector is made once, kept in the run, and only made for digits in the form of MNIST."""

import json
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.errors import RunError
from dnn_cli.evaluation import model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.evaluation.refusal import detector, of_run
from dnn_cli.evaluation.refusal.detector import Detector
from dnn_cli.runs.directory import RunDirectory
from tests.shared_runs import SharedRuns

pytestmark = pytest.mark.refusal


@pytest.fixture
def source(shared_runs: SharedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    """Return the best network of a run that has no detector yet; one is trained quickly."""
    monkeypatch.setattr(detector, "EPOCHS", 1)
    run = shared_runs.copy(tmp_path / "run", "smoke", "--engine", "numpy")
    (run / "refusal.keras").unlink(missing_ok=True)
    return model_source.find_model(run)


def found(source: ModelSource) -> tuple[Detector | None, list[str]]:
    notes: list[str] = []
    return of_run.find(source, notes.append), notes


def rename_dataset(run: RunDirectory | None, **changes: object) -> None:
    assert run is not None
    values = json.loads((run.path / "environment.json").read_text())
    values["dataset"] |= changes
    (run.path / "environment.json").write_text(json.dumps(values))


def test_it_is_trained_once_and_then_read(source: ModelSource, few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    first, notes = found(source)
    assert first is not None
    assert notes == []
    monkeypatch.setattr(Detector, "fit", None)  # which fails if it is called
    second, notes = found(source)
    assert second is not None
    assert notes == []
    np.testing.assert_allclose(second.scores(few.images), first.scores(few.images), atol=1e-4)


def test_a_damaged_one_is_an_error(source: ModelSource) -> None:
    assert source.run is not None
    source.run.refusal_file.write_bytes(b"PK")
    with pytest.raises(RunError) as error:
        found(source)
    assert str(error.value).startswith(f"{source.run.refusal_file} is damaged or not a Keras model: ")
    assert str(error.value).endswith("; delete it, and the next prediction makes it again")


def test_without_training_images_nothing_is_refused(source: ModelSource) -> None:
    rename_dataset(source.run, name="mnist")
    none, notes = found(source)
    assert none is None
    reason = "that needs the training images: MNIST was not found"
    assert notes == [f"note: what shows no digit is not told from digits, because {reason}"]


def test_a_run_that_cannot_be_written_is_no_obstacle(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RunError("run cannot be written: Read-only file system")

    monkeypatch.setattr(RunDirectory, "write_refusal", fail)
    detector, notes = found(source)
    assert detector is not None
    assert notes == ["note: run cannot be written: Read-only file system, so what is no digit has to be learned again"]


@pytest.mark.parametrize(
    "changes", [{"name": "fashion-mnist"}, {"name": "mine.npz"}, {"image_shape": [20, 20]}, {"resize": "fit"}]
)
def test_other_images_than_mnist_s_digits_have_none(source: ModelSource, changes: dict[str, object]) -> None:
    rename_dataset(source.run, **changes)
    assert found(source) == (None, [])


def test_a_single_file_and_few_digits_have_none(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(ModelSource(source.file)) == (None, [])
    monkeypatch.setattr(of_run, "MIN_DIGITS", 5000)
    assert found(source) == (None, [])


def test_a_detector_that_could_not_be_written_leaves_nothing(source: ModelSource) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"unfinished")
        raise OSError(28, "No space left on device")

    run = source.run
    assert run is not None
    with pytest.raises(RunError, match=r"cannot be written: No space left on device$"):
        run.write_refusal(fail)
    assert not run.has_refusal()
    assert not [path for path in run.path.iterdir() if path.name.endswith(".new")]
