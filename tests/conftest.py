"""Fixtures and helpers for all tests."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from dnn_cli.__main__ import run
from dnn_cli.data import datasets
from dnn_cli.data.datasets import Split
from tests import leaks
from tests.shared_runs import SharedRuns

ROOT = Path(__file__).parents[1]
MNIST_FOLDER = Path(os.environ.get("DNN_DATA_DIR", "")).absolute()
PATIENCE = 900  # seconds; even on a busy machine, only a process that hangs takes longer

# Hypothesis's limits of time are off, because a busy machine would exceed them. A failing example is printed as code
# instead of being stored in the source folder, which may be read-only.
hypothesis.settings.register_profile(
    "timeless",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    database=None,
    print_blob=True,
)
hypothesis.settings.load_profile("timeless")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the slow tests to the front, so that all workers finish at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Exclude the million objects of imported libraries from garbage collection, which they would slow down."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this test session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _environment(shared_folder: Path) -> Iterator[None]:
    """Disable downloads, hide all datasets except the sample, and share compiled code among processes.

    A background job ignores SIGINT, and a job below `nohup` SIGHUP; tests send both. NumPy uses a single thread,
    because the workers of a session already use all processors.
    """
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, user_api="blas"):
        patch.setenv("DNN_OFFLINE", "1")
        patch.setenv("DNN_XLA_CACHE", str(shared_folder / "xla"))
        for name in ("COLUMNS", "DNN_DATA_DIR", "DNN_MIRROR"):
            patch.delenv(name, raising=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """Fail a test that leaves its process changed, and restart Keras's numbering of names for the next test."""
    before = leaks.state()
    yield
    left = leaks.changes(before, leaks.state())
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)
    assert not left, "the test left its process changed:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def _apart(_unchanged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty folder, with an empty download folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture(autouse=True)
def _without_refusal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only tests marked `refusal` learn what is no digit, because that takes seconds for each run."""
    if request.node.get_closest_marker("refusal") is None:
        monkeypatch.setattr("dnn_cli.evaluation.refusal.of_run.MIN_DIGITS", 10**9)


@pytest.fixture(scope="session")
def shared_runs(shared_folder: Path) -> SharedRuns:
    """Return the runs that many tests use, each trained once in a test session."""
    return SharedRuns(shared_folder / "runs")


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder with the complete MNIST; without DNN_DATA_DIR, skip the tests that need it."""
    if not (MNIST_FOLDER / "mnist.npz").is_file():
        pytest.skip("needs the complete MNIST: set DNN_DATA_DIR to its folder")
    return MNIST_FOLDER


@pytest.fixture(scope="session")
def sample() -> Split:
    """Return the 4,000 training digits of the sample."""
    return datasets.find("mnist-sample").load("train")


@pytest.fixture(scope="session")
def few(sample: Split) -> Split:
    """Return the first 500 training digits of the sample."""
    return Split(sample.images[:500], sample.labels[:500])


@pytest.fixture
def dnn(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that runs a command in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return call


def command(*arguments: object) -> list[str]:
    """Return the command line of a `dnn` process."""
    return [sys.executable, "-m", "dnn_cli", *map(str, arguments)]


@pytest.fixture
def process() -> Callable[..., Answer]:
    """Return a function that runs a command in a separate process, as a user does."""

    def call(*arguments: object, **environment: str) -> Answer:
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts a command in a separate process, and kill it at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: object) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command(*arguments), stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield call
    for one in started:
        one.kill()
        one.wait()
        for stream in (one.stdout, one.stderr):
            if stream is not None:
                stream.close()


def saved_epoch(run: str | Path) -> int:
    """Return the last epoch that is saved in `run`; 0 if there is none."""
    state = Path(run, "state.json")
    return int(json.loads(state.read_text())["last"]["epoch"]) if state.is_file() else 0


def wait_for_epoch(run: str | Path, epoch: int, training: "subprocess.Popen[str]") -> None:
    """Wait until `training` has saved that epoch of `run`."""
    while saved_epoch(run) < epoch:
        assert training.poll() is None, training.communicate()
        time.sleep(0.001)


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays in a `.keras` file, by path: weights, optimizer state and random states."""
    import io
    import zipfile

    import h5py

    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    assert found
    return found


def assert_same_bits(one: Path, other: Path) -> None:
    """Check that two checkpoints hold the same numbers, bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype
        assert value.tobytes() == second[name].tobytes(), name
