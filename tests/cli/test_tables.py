"""Test output on terminals and in files: colours, width, and lines to copy."""

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dnn_cli.cli import tables
from tests.cli.conftest import Dnn
from tests.conftest import PATIENCE, ROOT, command

if TYPE_CHECKING:
    from rich.table import Table


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


def printed(*things: object, columns: str = "") -> list[str]:
    """Return the lines that are printed on a terminal, or in a file if `columns` is the value of ``COLUMNS``."""
    shown = io.StringIO() if columns else Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        patch.setenv("COLUMNS", columns or "24")
        patch.setenv("NO_COLOR", "1")
        tables.print_lines(*things)
    return shown.getvalue().splitlines()


def scores() -> "Table":
    return tables.folded(("run", "val accuracy", "state"), [("a-1", "0.9", "done"), ("b-1", "0.8", "half done")])


def test_a_narrow_terminal_breaks_lines_only_between_words() -> None:
    assert printed(scores()) == [
        "          val",
        "run  accuracy      state",
        "a-1       0.9       done",
        "b-1       0.8  half done",
    ]
    assert printed(scores(), columns="20") == [
        "          val",
        "run  accuracy  state",
        "a-1       0.9   done",
        "b-1       0.8   half",
        "                done",
    ]


def test_rows_stand_below_each_other_where_a_word_would_be_broken() -> None:
    assert printed(scores(), columns="19") == [
        "run           a-1",
        "val accuracy  0.9",
        "state         done",
        "",
        "run           b-1",
        "val accuracy  0.8",
        "state         half",
        "              done",
    ]


def test_a_matrix_is_never_cut() -> None:
    counts = tables.matrix("actual", *"0123456789")
    counts.add_row("7", *["1,000"] * 10)
    heading, row = printed(counts)
    assert heading.split() == ["actual", *"0123456789"]
    assert row.split() == ["7", *["1,000"] * 10]


@pytest.mark.parametrize("columns", ["0", "-1", "x", "1.5"])
def test_a_pipe_is_not_narrow_unless_columns_is_a_width(columns: str) -> None:
    assert printed(scores(), columns=columns) == [
        "run  val accuracy      state",
        "a-1           0.9       done",
        "b-1           0.8  half done",
    ]


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
