"""Test the import of TensorFlow: its messages are hidden if it succeeds, and shown if it fails."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, Answer

Process = Callable[..., Answer]
ROOT = Path(__file__).parents[3]

FAKE = """
import gc, os, sys
os.write(2, b"native noise\\n")
print("python noise", file=sys.stderr)
try:
    import matplotlib
    had_matplotlib = True
except ImportError:
    had_matplotlib = False
collecting = gc.isenabled()
backend = os.environ["KERAS_BACKEND"]
class get_logger:
    setLevel = staticmethod(lambda level: None)
class config:
    class threading:
        given = 0
        get_intra_op_parallelism_threads = classmethod(lambda own: own.given)
        set_intra_op_parallelism_threads = classmethod(lambda own, number: setattr(own, "given", number))
    list_logical_devices = staticmethod(lambda: [])
"""


@pytest.fixture
def with_fake(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs code in a Python process with a fake tensorflow module that prints messages."""
    (tmp_path / "tensorflow.py").write_text(FAKE)
    (tmp_path / "matplotlib.py").write_text("drawn = True\n")

    def run(code: str, more: str = "") -> "subprocess.CompletedProcess[str]":
        (tmp_path / "tensorflow.py").write_text(FAKE + more)
        lines = [
            "import sys",
            f"sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]",
            "from dnn_cli.engines.keras.tensorflow_import import import_tensorflow",
            code,
        ]
        command = [sys.executable, "-c", "\n".join(lines)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    return run


Fake = Callable[..., "subprocess.CompletedProcess[str]"]


def test_messages_of_the_import_are_hidden(with_fake: Fake) -> None:
    done = with_fake("import_tensorflow()\nimport tensorflow as tf\nprint(tf.backend, tf.collecting)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "tensorflow False\n", "")


def test_verbose_shows_the_messages(with_fake: Fake) -> None:
    done = with_fake("import_tensorflow(verbose=True)")
    assert (done.returncode, sorted(done.stderr.split("\n"))) == (0, ["", "native noise", "python noise"])


def test_a_failed_import_shows_its_messages(with_fake: Fake) -> None:
    done = with_fake("import_tensorflow()", "raise ImportError('the library is broken')")
    assert done.returncode == 1
    assert {"native noise", "python noise", "ImportError: the library is broken"} <= set(done.stderr.split("\n"))


def test_stderr_is_restored_after_the_import(with_fake: Fake) -> None:
    check = """
import gc, os
before = os.fstat(2), sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
try:
    import_tensorflow()
except ImportError:
    pass
after = os.fstat(2), sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
assert (before[0].st_ino, before[1]) == (after[0].st_ino, after[1])
assert gc.isenabled()
os.write(2, b"native words\\n")
"""
    assert with_fake(check).stderr == "native words\n"
    broken = with_fake(check, "raise ImportError")
    assert broken.returncode == 0
    assert broken.stderr.endswith("native words\n")


def test_keras_does_not_import_matplotlib(with_fake: Fake) -> None:
    code = "import_tensorflow()\nimport tensorflow, matplotlib\nprint(tensorflow.had_matplotlib, matplotlib.drawn)"
    assert with_fake(code).stdout == "False True\n"
    early = with_fake("import matplotlib\nimport_tensorflow()\nimport tensorflow\nprint(tensorflow.had_matplotlib)")
    assert early.stdout == "True\n"


def test_a_second_import_does_nothing(with_fake: Fake) -> None:
    assert with_fake("import_tensorflow()\nimport_tensorflow(verbose=True)").stderr == ""


def test_no_command_shows_messages_of_libraries(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    trained = process("train", "-c", "smoke", "--epochs", "1", "-q", KERAS_BACKEND="jax")
    assert (trained.code, trained.stderr) == (0, "")
    assert trained.stdout.startswith("run         runs/smoke-1\n")
    evaluated = process("evaluate")
    assert (evaluated.code, evaluated.stderr) == (0, "")
    loud = process("evaluate", "-v")
    assert loud.code == 0
    assert "cuda" in loud.stderr.lower() or "tensorflow" in loud.stderr.lower()
    assert loud.stdout == evaluated.stdout
