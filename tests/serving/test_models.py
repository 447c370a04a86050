import io
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.errors import RunError, UsageError
from dnn_cli.evaluation import model_source
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Reliability
from dnn_cli.serving import models
from dnn_cli.serving.models import Models
from dnn_cli.serving.requests import RequestError
from tests.conftest import Answer
from tests.serving.conftest import DIGITS
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]


@pytest.fixture
def own(digits: Path) -> Path:
    """Return a run that a test may change."""
    return Path(shutil.copytree(digits, "runs/own"))


def test_many_threads_get_the_probabilities_of_their_own_images(digits: Path, few: Split) -> None:
    model = models.load(digits)
    expected = model_source.probabilities(model_source.find_model(digits).file, few.images, engine="numpy")

    def ask(number: int) -> bool:
        some = slice(number, number + 1 + number % 7)
        return bool(np.allclose(model.probabilities(few.images[some]), expected[some], atol=1e-6))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


def test_probabilities_are_calibrated(own: Path, few: Split) -> None:
    plain = models.load(own).probabilities(few.images[:20])
    run = RunDirectory.open(own)
    state = run.state()
    assert state
    score = Reliability(loss=0.3, calibration_error=0.05)
    calibration = Calibration(
        checkpoint=state.last.best.sha256, epoch=5, temperature=3.0, images=9, before=score, after=score
    )
    run.write_calibration(calibration)
    calibrated = models.load(own).probabilities(few.images[:20])
    np.testing.assert_array_equal(calibrated.argmax(axis=1), plain.argmax(axis=1))
    assert (calibrated.max(axis=1) < plain.max(axis=1)).all()
    np.testing.assert_allclose(models.load(own, "last").probabilities(few.images[:20]).sum(axis=1), 1, atol=1e-5)


def test_a_file_and_several_runs_are_found_by_name(digits: Path, own: Path) -> None:
    shutil.copy(Path(digits, "checkpoints", "best.keras"), "model.keras")
    served = Models([Path("model.keras"), own])
    assert [model.name for model in served] == ["model", "own"]
    assert served.find().name == "model"
    assert served.find("own", "1").source.run is not None
    with pytest.raises(RequestError, match="there is no model x; there is model, own"):
        served.find("x")
    served.close()


def test_two_runs_of_one_name_are_refused(own: Path) -> None:
    other = shutil.copytree(own, "more/own")
    with pytest.raises(UsageError, match="more/own: another network is called own already; rename one of the two"):
        Models([own, Path(other)])


def test_weights_that_are_not_finite_are_refused(digits: Path) -> None:
    with (
        zipfile.ZipFile(Path(digits, "checkpoints", "best.keras")) as archive,
        zipfile.ZipFile("broken.keras", "w") as broken,
    ):
        for name in archive.namelist():
            content = io.BytesIO(archive.read(name))
            if name == "model.weights.h5":
                with h5py.File(content, "r+") as weights:
                    weights["layers/dense/vars/0"][0, 0] = np.nan
            broken.writestr(name, content.getvalue())
    with pytest.raises(RunError, match=r"broken.keras has weights that are not finite"):
        models.load(Path("broken.keras"))


def test_a_network_that_overflows_fails_its_request_alone(digits: Path) -> None:
    model = models.load(digits)
    with pytest.raises(RequestError, match="the network's outputs are not finite"):
        model.probabilities(np.full((1, 28, 28), np.inf, np.float32))
    assert model.probabilities(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)


def test_a_run_that_is_trained_on_is_loaded_again(own: Path, dnn: Dnn, few: Split) -> None:
    served, lines = Models([own]), list[str]()
    before = served.find()
    served.reload_changed(lines.append)
    assert served.find() is before
    assert dnn("train", "--resume", own, "--epochs", 6, "-q").code == 0
    served.reload_changed(lines.append)
    after = served.find()
    assert lines == ["own has changed: version 2 is served"]
    assert (before.version, after.version, after.name) == ("1", "2", "own")
    assert not np.array_equal(before.probabilities(few.images), after.probabilities(few.images))
    with pytest.raises(RequestError, match="there is no version 1 of model own; there is 2"):
        served.find("own", "1")
    served.close()


def test_a_run_that_breaks_is_served_as_it_was_until_it_is_whole_again(
    own: Path, shared_runs: SharedRuns, few: Split
) -> None:
    served, lines = Models([own]), list[str]()
    before = served.find()
    shutil.rmtree(own)
    for _ in range(3):
        served.reload_changed(lines.append)
    assert lines == ["warning: own stays as it was: there is no run or .keras file runs/own"]
    assert served.find() is before
    shutil.copytree(shared_runs.path(DIGITS.replace("seed: 3", "seed: 4")), own)
    served.reload_changed(lines.append)
    assert lines[1:] == ["own has changed: version 2 is served"]
    served.close()


def test_small_requests_are_computed_at_once_and_large_ones_by_workers(digits: Path) -> None:
    model = models.load(digits)
    assert model.is_quick(784)
    assert model.is_quick(40 * 784)
    assert not model.is_quick(2**16 + 1)
    assert not model.is_quick(100 * 784)
