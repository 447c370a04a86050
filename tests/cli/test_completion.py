"""Test `dnn completion`, and what the scripts that it prints complete."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dnn_cli.cli.completion import VARIABLE
from dnn_cli.config import loading
from tests.cli.conftest import HEAVY, Dnn, usage
from tests.conftest import PATIENCE, ROOT, command
from tests.shared_runs import SharedRuns


def completed(line: str) -> list[str]:
    """Return what Bash gets to complete the last word of a command line: types and values."""
    done = subprocess.run(
        command(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env=os.environ | {VARIABLE: "bash_complete", "COMP_WORDS": line},
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dnn sc", "plain,schema"),
        ("dnn train -c mn", "plain,mnist"),
        ("dnn train --config zero", "plain,zero-to-four plain,zero.yaml"),
        ("dnn train --config=zero.", "plain,zero.yaml"),
        ("dnn train -c folder/", "file,folder/"),
        ("dnn train --engine ", "plain,keras plain,numpy"),
        ("dnn train --set optimizer.na", "plain,optimizer.name="),
        ("dnn train --set seed=1 --set training.jit_compile=", "plain,true plain,false"),
        ("dnn train --set=model.layers[0].activation=soft", "plain,softplus plain,softsign plain,soft_shrink"),
        ("dnn train --set data.dataset=fa", "plain,fashion_mnist"),
        ("dnn evaluate --split v", "plain,validation"),
        ("dnn evaluate --data mnist-", "plain,mnist-sample"),
        ("dnn evaluate --checkpoint b", "plain,best"),
        ("dnn data fash", "plain,fashion_mnist"),
        ("dnn completion z", "plain,zsh"),
    ],
)
def test_a_word_is_completed(line: str, expected: str) -> None:
    Path("zero.yaml").touch()
    assert completed(line) == expected.split()


def test_all_configs_are_offered_and_runs_wherever_a_command_takes_one(shared_runs: SharedRuns) -> None:
    assert completed("dnn train -c ") == [f"plain,{name}" for name in loading.SHIPPED]
    shared_runs.copy("runs/some-1", "smoke", "--epochs", 1)
    for words in ("evaluate", "show", "report", "compare runs/some-1", "predict", "explain", "train --resume"):
        assert completed(f"dnn {words} ru") == ["plain,runs/some-1"], words
    assert completed("dnn evaluate model") == ["file,model"]


@pytest.mark.parametrize("line", ["dnn train -c ", "dnn show r", "dnn train --set a", "dnn data "])
def test_completing_imports_nothing_heavy(line: str) -> None:
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from dnn_cli.__main__ import run; run([])"
    environment = {**os.environ, VARIABLE: "bash_complete", "COMP_WORDS": line, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "dnn_cli.cli.completion" in modules
    assert not modules & (HEAVY - {"pydantic", "yaml"})


@pytest.mark.parametrize(
    ("shell", "part"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef dnn"), ("fish", "complete --no-files --command dnn")],
)
def test_the_script_of_each_shell_is_printed(shell: str, part: str, dnn: Dnn) -> None:
    answer = dnn("completion", shell)
    assert (answer.code, answer.stderr) == (0, "")
    assert part in answer.stdout
    assert f"{VARIABLE}={shell}_complete" in answer.stdout


def test_another_shell_is_a_usage_error(dnn: Dnn) -> None:
    assert usage(dnn("completion", "csh")).startswith("Error: Invalid value for 'SHELL': 'csh' is not one of ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_the_value_of_a_setting(dnn: Dnn, tmp_path: Path) -> None:
    program = tmp_path / "bin/dnn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m dnn_cli "$@"\n')
    program.chmod(0o700)
    script = f"""
{dnn("completion", "bash").stdout}
COMP_LINE="dnn train --set optimizer.name=adam"
COMP_POINT=${{#COMP_LINE}}
_dnn_completion {program}
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("adam adamw adamax\n", "")
