"""Test the `dnn` process: its streams, its exit codes, and the traceback of a bug."""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dnn_cli
from dnn_cli.config import schema
from dnn_cli.runs import environment
from dnn_cli.training import loop
from tests.conftest import PATIENCE, ROOT, Answer, command
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _only_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["schema"], 0), (["show", "RUN"], 0), (["evaluate", "RUN", "--json", "--min-accuracy", "1"], 3)],
)
def test_a_closed_pipe_is_no_error_and_hides_none(arguments: list[str], code: int, shared_runs: SharedRuns) -> None:
    ends = os.pipe()
    os.close(ends[0])
    words = [str(shared_runs.copy("run", "smoke", "--epochs", 1)) if word == "RUN" else word for word in arguments]
    child = subprocess.Popen(command(*words), stdout=ends[1], stderr=subprocess.PIPE, text=True)
    os.close(ends[1])
    error = child.communicate(timeout=120)[1]
    assert (child.returncode, error.startswith("error: accuracy "), error.count("\n")) == (code, code == 3, code // 3)


def test_characters_that_the_encoding_lacks_become_question_marks(process: Dnn, tmp_path: Path) -> None:
    answer = process("data", "mnist-sample", PYTHONIOENCODING="ascii")
    assert (answer.code, answer.stderr) == (0, "")
    assert "4000?28?28" in answer.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("arguments", "unbuffered"), [(["schema"], ""), (["schema"], "1"), (["evaluate", "RUN"], "")])
def test_a_full_disk_is_reported(arguments: list[str], unbuffered: str, shared_runs: SharedRuns) -> None:
    words = [str(shared_runs.copy("run", "smoke", "--epochs", 1)) if word == "RUN" else word for word in arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*words),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stderr) == (1, "error: the result cannot be written: No space left on device\n")


@pytest.mark.skipif(os.name == "nt", reason="closes streams as a shell does")
def test_closed_stdout_and_stderr_do_not_stop_a_training() -> None:
    line = f"{' '.join(map(shlex.quote, command('train', '-c', 'smoke', '--epochs', 1)))} >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", line], check=False, timeout=120).returncode == 0
    assert Path("runs/smoke-1/metrics.json").exists()


def test_an_unexpected_exception_is_not_caught(monkeypatch: pytest.MonkeyPatch, dnn: Dnn) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise RuntimeError("this should not be")

    monkeypatch.setattr(loop, "start", bug)
    with pytest.raises(RuntimeError, match="this should not be"):
        dnn("train", "-c", "smoke")


def test_an_unexpected_exception_prints_its_traceback() -> None:
    code = """
import sys
from dnn_cli import __main__
from dnn_cli.config import schema
def bug(): raise RuntimeError("this should not be")
schema.json_schema = bug
sys.argv = ["dnn", "schema"]
__main__.main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("RuntimeError: this should not be\n")


class ResourceExhaustedError(Exception):
    """As TensorFlow names its own."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError"),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (ResourceExhaustedError("OOM when allocating\nmore lines"), "OOM when allocating"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (ImportError("x.so: failed to map segment"), "x.so: failed to map segment"),
    ],
)  # fmt: skip
def test_running_out_of_memory_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, dnn: Dnn
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(schema, "json_schema", exhausted)
    answer = dnn("schema")
    assert (answer.code, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith(f"error: there is not enough memory: {said}; less is needed with fewer images ")


def test_another_import_error_is_a_bug(monkeypatch: pytest.MonkeyPatch, dnn: Dnn) -> None:
    def broken() -> None:
        raise ImportError("no module")

    monkeypatch.setattr(schema, "json_schema", broken)
    with pytest.raises(ImportError, match="no module"):
        dnn("schema")


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, dnn: Dnn) -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(schema, "json_schema", interrupted)
    assert dnn("schema") == Answer(130, "", "\ninterrupted\n")


def test_python_m_dnn_cli_is_the_dnn_command(process: Dnn) -> None:
    assert process("--version").stdout == f"dnn, version {environment.program_version()}\n"
    installed = shutil.which("dnn", path=str(Path(sys.executable).parent))
    if installed is None:
        pytest.skip("dnn is not installed beside this Python")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"dnn, version {dnn_cli.__version__}")
