"""Test that names and messages of others cannot control the terminal, and that other programs get them unchanged."""

import io
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table

from dnn_cli import terminal
from tests.conftest import Answer, command

Process = Callable[..., Answer]

EVIL = "\x1b]0;owned\x07\x1b[2J"  # sets the window's title and clears the screen
SHOWN = "\\u001b]0;owned\\u0007\\u001b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – × 数字\ttab\n", "plain – × 数字\ttab\n"),
        (EVIL, SHOWN),
        ("a\rb\x08\x7f\x9b2J\x00", "a\\u000db\\u0008\\u007f\\u009b2J\\u0000"),
        ("gnp.\u202egpj\u2066\u200f", "gnp.\\u202egpj\\u2066\\u200f"),
        ("r\udcff", "r\\udcff"),
    ],
)
def test_what_controls_a_terminal_becomes_an_escape(text: str, shown: str) -> None:
    assert terminal.printable(text) == shown
    stream = io.StringIO()
    protected = terminal.PrintableStream(stream)
    assert protected.write(text) == len(text)
    protected.writelines([text, text])
    assert stream.getvalue() == shown * 3
    assert terminal.unprotected(protected) is stream  # type: ignore[arg-type]


def test_a_console_keeps_its_own_escapes_only() -> None:
    stream = io.StringIO()
    console = terminal.console(stream, force_terminal=True, color_system="standard", width=200)
    table = Table(EVIL)
    table.add_row(EVIL, style="red")
    console.print(table)
    console.print(EVIL, markup=False, highlight=False)
    text = stream.getvalue()
    assert text.count("\\u001b]0;owned\\u001b[2J") == 3  # rich drops \x07 itself
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x1b[31m" in text


def test_stderr_of_every_command_is_printable(process: Process) -> None:
    answer = process("train", "-c", f"{EVIL}.yaml")
    assert answer.stderr.startswith(f"error: there is no config file {SHOWN}.yaml; ")
    Path("keys.yaml").write_text('{"\\u001b[2J": 1}\n')
    assert "\\u001b[2J" in process("train", "-c", "keys.yaml").stderr
    answer = process(f"{EVIL}")  # a message of Click
    assert answer.code == 2
    for part in ("\x1b", "\x07"):
        assert part not in answer.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_stdout_is_printable_on_a_terminal() -> None:
    parent, child = pty.openpty()
    done = subprocess.Popen(command("runs", EVIL), stdout=child, stderr=child)
    os.close(child)
    text = b""
    while chunk := _read(parent):
        text += chunk
    done.wait(60)
    os.close(parent)
    assert b"\\u001b]0;owned" in text
    assert b"\x1b]" not in text
    assert b"\x07" not in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""
