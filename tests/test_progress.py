"""Test what is printed during training: plain lines, the bar as a terminal shows it, the line of a notebook."""

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dnn_cli import progress
from dnn_cli.progress import LineProgress, LiveProgress, NotebookProgress, QuietProgress


class Terminal(io.StringIO):
    """A terminal in place of stderr, which records its screen."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines that a person sees now."""
        lines, row, column = [""], 0, 0
        text = re.sub(r"\x1b\[\?25[lh]|\x1b\[[0-9;]*m", "", self.getvalue())
        for token in re.findall(r"\x1b\[2K|\x1b\[1A|\r|\n|[^\x1b\r\n]+", text):
            if token == "\r":
                column = 0
            elif token == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif token == "\x1b[2K":
                lines[row] = ""
            elif token == "\x1b[1A":
                row -= 1
            else:
                lines[row] = (lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]).rstrip()
                column += len(token)
        return lines


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace stderr by a terminal of 80 columns."""
    shown = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("dnn_cli.progress.sys", SimpleNamespace(stderr=shown, modules={}))
    return shown


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time in a list, where a test can change it."""
    now = [100.0]
    monkeypatch.setattr("dnn_cli.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def row(epoch: int, seconds: float = 0.5, **more: float) -> dict[str, Any]:
    """Return a row of the history."""
    return {"epoch": epoch, "loss": 0.25, "accuracy": 0.925, **more, "learning_rate": 0.001, "seconds": seconds}


VALIDATION = {"val_loss": 0.5, "val_accuracy": 0.85}
LOGS = {"loss": 0.6127, "accuracy": 0.8331}


def test_an_epoch_is_printed_on_one_line() -> None:
    assert progress.format_epoch(row(3), 10, 60_000) == (
        "epoch  3/10  loss 0.2500  accuracy 0.9250  0.50 s  120,000 images/s"
    )


def test_a_line_is_shortened_to_fit_the_terminal() -> None:
    assert progress.format_epoch(row(3, **VALIDATION), 10, 60_000, 80) == (
        "epoch  3/10  loss 0.2500  accuracy 0.9250  val_loss 0.5000  val_accuracy 0.8500"
    )
    assert progress.format_epoch(row(3, 12345.6), 9999, 60_000, 80) == (
        "epoch    3/9999  loss 0.2500  accuracy 0.9250  12345.60 s  5 images/s"
    )


def test_all_lines_are_printed_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    display = progress.create(quiet=False)
    assert type(display) is LineProgress
    display.begin(0, 2, 100, 1000)
    display.step(50, LOGS)
    display.epoch(row(1))
    display.warn("the roof is on fire")
    display.say("it is out")
    display.epoch(row(2))
    display.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "epoch 1/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        "warning: the roof is on fire",
        "it is out",
        "epoch 2/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
    ]


def test_quiet_progress_prints_messages_and_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    display = progress.create(quiet=True)
    display.begin(0, 2, 100, 1000)
    display.step(50, LOGS)
    display.note("not printed")
    display.epoch(row(1))
    display.warn("the roof is on fire")
    display.say("it is out")
    display.close()
    assert capsys.readouterr() == ("", "warning: the roof is on fire\nit is out\n")


def test_the_bar_is_drawn_on_a_terminal_that_is_not_dumb(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress.create(quiet=False)) is LiveProgress
    assert type(progress.create(quiet=True)) is QuietProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress.create(quiet=False)) is LineProgress


def shown(display: LiveProgress, terminal: Terminal) -> str:
    """Return the bar as it is now."""
    assert display._bar is not None
    display._bar.refresh()
    return terminal.screen()[-1]


def test_the_bar_shows_epoch_position_metrics_speed_and_time_left(terminal: Terminal, clock: list[float]) -> None:
    display = LiveProgress()
    display.begin(0, 10, 1875, 60_000)
    assert re.fullmatch(r"epoch  1/10 ━+ compiling", shown(display, terminal))
    clock[0] += 30
    display.step(32, LOGS)
    assert re.fullmatch(r"epoch  1/10 [━╸╺]+ loss 0\.6127  accuracy 0\.8331", shown(display, terminal))
    clock[0] += 1
    display.step(32 + 375, LOGS)  # a fifth of an epoch in a second, so 49 seconds are left
    line = shown(display, terminal)
    assert re.fullmatch(r"epoch  1/10 [━╸╺]+ loss 0\.6127  accuracy 0\.8331  12,000 images/s  0:49 left", line)
    assert len(line) == 80
    display.close()
    assert not any(terminal.screen())


def test_the_bar_starts_again_with_each_epoch_and_leaves_only_the_lines(terminal: Terminal, clock: list[float]) -> None:
    display = LiveProgress()
    display.begin(1, 3, 100, 1000)
    for epoch in (2, 3):
        for stop in (50, 100):
            clock[0] += 1
            display.step(stop, LOGS)
            assert shown(display, terminal).startswith(f"epoch {epoch}/3 ")
        assert display._bar is not None
        assert display._bar.tasks[0].percentage == 100
        display.epoch(row(epoch))
        if epoch == 2:
            assert shown(display, terminal).startswith("epoch 3/3 ")
            assert display._bar.tasks[0].percentage == 0
    display.say("a sentence that is longer than the terminal is wide " * 3)
    display.close()
    display.close()
    display.say("the end")
    assert terminal.screen() == [
        "epoch 2/3  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        "epoch 3/3  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        ("a sentence that is longer than the terminal is wide " * 3).rstrip(),
        "the end",
        "",
    ]


def test_the_longest_bar_does_not_wrap(terminal: Terminal, clock: list[float]) -> None:
    display = LiveProgress()
    display.begin(99, 1000, 1875, 60_000)
    for stop in (800, 1600):
        clock[0] += 0.01
        display.step(stop, {"loss": 12.3456, "accuracy": 0.8331})
        assert len(shown(display, terminal)) <= 80
    assert len([line for line in terminal.screen() if line]) == 1
    display.close()


def test_no_color_switches_colours_off(terminal: Terminal, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    display = LiveProgress()
    display.begin(0, 2, 10, 100)
    display.step(5, LOGS)
    display.epoch(row(1))
    display.close()
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.getvalue())


def test_text_in_the_form_of_markup_is_printed_unchanged(terminal: Terminal, clock: list[float]) -> None:
    display = LiveProgress()
    display.begin(0, 2, 10, 100)
    display.warn("[red]runs/:smile:[/red]")
    display.close()
    assert terminal.screen()[0] == "warning: [red]runs/:smile:[/red]"


def test_what_is_waited_for_is_shown_and_removed(terminal: Terminal) -> None:
    with LiveProgress().waiting("loading TensorFlow"):
        assert terminal.screen() == ["loading TensorFlow"]
    LiveProgress().say("next")
    assert terminal.screen()[0] == "next"


def test_only_a_terminal_shows_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (QuietProgress, LineProgress):
        with kind().waiting("loading TensorFlow"):
            pass
    assert capsys.readouterr() == ("", "")


def test_warnings_can_be_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    passed = list[str]()
    for kind in (QuietProgress, LineProgress, LiveProgress, NotebookProgress):
        kind(passed.append).warn(f"a warning of {kind.__name__}")
    assert len(passed) == 4
    assert capsys.readouterr() == ("", "")


class ZMQInteractiveShell:
    """IPython's shell in the kernel of a notebook."""


class ColabShell(ZMQInteractiveShell):
    """A shell that is derived from it."""


class TerminalInteractiveShell:
    """IPython's shell in a terminal."""


@pytest.mark.parametrize(
    ("shell", "kind"),
    [
        (ZMQInteractiveShell(), NotebookProgress),
        (ColabShell(), NotebookProgress),
        (TerminalInteractiveShell(), LineProgress),
        (None, LineProgress),
    ],
)
def test_a_notebook_is_recognized_by_its_shell(shell: object, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert type(progress.create(quiet=False)) is kind
    assert type(progress.create(quiet=True)) is QuietProgress


def notebook(text: str) -> list[str]:
    """Return the lines that a notebook shows: a carriage return goes back to the start of the line."""
    shown = []
    for line in text.split("\n"):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part) :]
        shown.append(cells.rstrip())
    return shown


def test_the_line_of_a_notebook_is_rewritten_and_kept_at_the_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    display = NotebookProgress()
    text = ""

    def last_line() -> str:
        nonlocal text
        text += capsys.readouterr().out
        return notebook(text)[-1]

    display.note("before")
    display.begin(0, 2, 10, 1000)
    assert last_line() == "epoch 1/2  compiling"
    display.step(1, LOGS)  # too soon
    assert last_line() == "epoch 1/2  compiling"
    clock[0] += 1
    display.step(5, LOGS)
    assert last_line() == "epoch 1/2   50%  loss 0.6127  accuracy 0.8331"
    clock[0] += 1
    display.step(10, LOGS)  # half an epoch in a second
    assert last_line() == "epoch 1/2  100%  loss 0.6127  accuracy 0.8331  500 images/s  0:02 left"
    display.epoch(row(1))
    assert last_line() == "epoch 1/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s"
    display.say("SIGINT: finishing and saving this epoch")
    display.warn("the roof is on fire")
    display.step(10, {"loss": 1.0})
    display.epoch(row(2))
    display.close()
    display.close()
    assert last_line() == ""
    assert notebook(text) == [
        "before",
        "SIGINT: finishing and saving this epoch",
        "warning: the roof is on fire",
        "epoch 2/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        "",
    ]
