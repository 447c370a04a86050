"""Fixtures for the tests of commands: a trained run, and a new interpreter that reports its imports."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, ROOT, Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
Fresh = Callable[..., tuple[Answer, set[str]]]
FRAMEWORKS = {"tensorflow", "keras", "matplotlib"}
HEAVY = FRAMEWORKS | {"pydantic", "numpy", "rich", "yaml"}


@pytest.fixture(autouse=True)
def _only_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the complete MNIST, so that the commands find the sample alone."""
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)


@pytest.fixture
def trained(shared_runs: SharedRuns, tmp_path: Path) -> Path:
    """Return a run of one epoch."""
    return shared_runs.copy(tmp_path / "trained", "smoke", "--epochs", 1)


@pytest.fixture
def fresh() -> Fresh:
    """Return a function that runs a command in a fresh interpreter: its answer and the modules it imported."""

    def call(*arguments: object) -> tuple[Answer, set[str]]:
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from dnn_cli.__main__ import run
code = run({[*map(str, arguments)]!r})
print(*sys.modules)
sys.exit(code)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        *lines, modules = done.stdout.splitlines()
        return Answer(done.returncode, "".join(f"{line}\n" for line in lines), done.stderr), set(modules.split())

    return call


def listing(folder: Path) -> list[str]:
    """Return the relative paths of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def usage(answer: Answer) -> str:
    """Return the message of a usage error, without Click's hint at --help."""
    assert (answer.code, answer.stdout) == (2, "")
    return answer.stderr.splitlines()[-1]
