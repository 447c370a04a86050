"""Test output on terminals and in files: colours, width, and lines to copy."""

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dnn_cli.cli import tables
from tests.cli.conftest import Dnn
from tests.conftest import PATIENCE, ROOT, command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_to_copy_are_not_wrapped_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    long = Path("runs", "x" * 60)
    shown = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        tables.print_facts({"run": str(long), "time": "12.3 s"})
        tables.print_next("evaluate", long)
    lines = shown.getvalue().splitlines()
    assert lines[-1] == f"next: dnn evaluate {long}"
    assert max(map(len, lines[:-1])) <= 40
    assert "".join(lines[:-2]).replace(" ", "") == f"run{long}"
    assert "\x1b" not in shown.getvalue()


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_colours_unless_no_color_is_set(colour: bool) -> None:
    pty = pytest.importorskip("pty")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    if not colour:
        environment["NO_COLOR"] = "1"
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command("data"), stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert child.wait(PATIENCE) == 0
    assert (b"\x1b[" in shown) == colour
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode()
    assert "  x_train  4000×28×28  uint8  md5:" in plain
    assert max(map(len, plain.replace("\r", "").splitlines())) <= 100


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:  # Linux's way of saying that the other end is closed
        if error.errno != errno.EIO:
            raise
        return b""


def test_a_file_gets_no_colours_and_no_trailing_spaces(
    dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for arguments in (["evaluate", trained], ["data"], ["train", "-c", "mnist", "--epochs", 1]):
        answer = dnn(*arguments)
        assert answer.code == 0
        assert "\x1b" not in answer.stdout + answer.stderr
        assert not re.search(r" +$", answer.stdout, re.MULTILINE)
