"""Fixtures for all tests: run `dnn` in this process or in a separate one, and load the sample's digits."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.__main__ import run
from dnn_cli.data import datasets
from dnn_cli.data.datasets import Split

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session's processes keep what XLA compiled."""
    return tmp_path_factory.mktemp("xla")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Path) -> None:
    """Every test works in a folder of its own, downloads nothing and finds no dataset but the sample."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DNN_OFFLINE", "1")
    monkeypatch.setenv("DNN_XLA_CACHE", str(programs))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("DNN_DATA_DIR", "DNN_MIRROR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder with the complete MNIST; without DNN_DATA_DIR, skip the tests that need it."""
    folder = os.environ.get("DNN_DATA_DIR", "")
    if not (Path(folder) / "mnist.npz").is_file():
        pytest.skip("needs the whole of MNIST: set DNN_DATA_DIR")
    return Path(folder).absolute()


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
            command(*arguments), capture_output=True, text=True, env=os.environ | environment, timeout=300, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts a command in a separate process, which is killed at the end of the test."""
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


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return all arrays in a `.keras` file by their path in it: weights, optimizer state and random states."""
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
