"""Test that printed commands start `dnn` in the way in which it was started itself."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dnn_cli.command import command, program
from tests.conftest import ROOT

# The script that pip installs as `bin/dnn` if the path of Python contains spaces.
SCRIPT = f"""#!/bin/sh
'''exec' {shlex.quote(sys.executable)} "$0" "$@"
' '''
import sys
from dnn_cli.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "my bin/dnn"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


def hint(*words: object, **environment: str) -> str:
    """Return the command that `dnn runs` suggests if there is no run yet."""
    done = subprocess.run(
        [*map(str, words), "runs"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    start, printed, end = done.stdout.split("`")
    assert (start, end) == ("there is no run in runs/ yet; ", " makes one\n")
    return printed


def test_a_path_is_repeated_with_quotes(script: Path) -> None:
    assert hint("my bin/dnn") == "'my bin/dnn' train -c mnist"
    assert hint(script) == f"{shlex.quote(str(script))} train -c mnist"
    script.parent.rename("bin")
    assert hint("./bin/dnn") == "./bin/dnn train -c mnist"


def test_the_name_is_enough_if_it_is_on_path(script: Path, tmp_path: Path) -> None:
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    assert hint("dnn", PATH=path) == "dnn train -c mnist"
    (tmp_path / "other").mkdir()
    other = str(shutil.copy(script, tmp_path / "other/dnn"))
    assert hint(other, PATH=path) == f"{shlex.quote(other)} train -c mnist"


def test_python_m_is_repeated() -> None:
    python = shlex.quote(sys.executable)
    assert hint(sys.executable, "-m", "dnn_cli") == f"{python} -m dnn_cli train -c mnist"
    assert hint(sys.executable, "-X", "utf8", "-mdnn_cli") == f"{python} -X utf8 -mdnn_cli train -c mnist"


def test_the_printed_command_runs(script: Path) -> None:
    line = f"{hint('my bin/dnn')} --dry-run"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, check=False).returncode == 0


def test_another_program_prints_the_plain_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["notebook.py", "--flag"])
    assert program() == ["dnn"]


def test_arguments_are_quoted_where_necessary() -> None:
    assert command("train", "-c", Path("my configs/a.yaml"), "--epochs", 3) == (
        "dnn train -c 'my configs/a.yaml' --epochs 3"
    )
