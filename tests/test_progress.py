"""What is told on the way: plain lines, and the live bar as a terminal shows it."""

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest

from dnn_cli import progress
from dnn_cli.progress import Live, Quiet


class Terminal(io.StringIO):
    """Stands for a terminal on stderr, and shows what it would."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines a person sees now, below each other."""
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
    """Stderr is a terminal of 80 columns."""
    shown = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("dnn_cli.progress.sys", SimpleNamespace(stderr=shown))
    return shown


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr("dnn_cli.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def row(epoch: int, seconds: float = 0.5, **more: float) -> dict[str, Any]:
    return {"epoch": epoch, "loss": 0.25, "accuracy": 0.925, **more, "learning_rate": 0.001, "seconds": seconds}


VALIDATION = {"val_loss": 0.5, "val_accuracy": 0.85}
LOGS = {"loss": 0.6127, "accuracy": 0.8331}


def test_an_epoch_is_a_line() -> None:
    assert progress.describe_epoch(row(3), 10, 60_000) == (
        "epoch  3/10  loss 0.2500  accuracy 0.9250  0.50 s  120,000 images/s"
    )


def test_a_line_fits_into_the_terminal() -> None:
    assert progress.describe_epoch(row(3, **VALIDATION), 10, 60_000, 80) == (
        "epoch  3/10  loss 0.2500  accuracy 0.9250  val_loss 0.5000  val_accuracy 0.8500"
    )
    assert progress.describe_epoch(row(3, 12345.6), 9999, 60_000, 80) == (
        "epoch    3/9999  loss 0.2500  accuracy 0.9250  12345.60 s  5 images/s"
    )


def test_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    told = progress.choose(quiet=False)
    assert type(told) is progress.Lines
    told.begin(0, 2, 100, 1000)
    told.step(50, LOGS)
    told.epoch(row(1))
    told.warn("the roof is on fire")
    told.say("it is out")
    told.epoch(row(2))
    told.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "epoch 1/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        "warning: the roof is on fire",
        "it is out",
        "epoch 2/2  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
    ]


def test_quiet_tells_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    told = progress.choose(quiet=True)
    told.begin(0, 2, 100, 1000)
    told.step(50, LOGS)
    told.epoch(row(1))
    told.warn("the roof is on fire")
    told.close()
    assert capsys.readouterr() == ("", "warning: the roof is on fire\n")


def test_a_terminal_gets_the_bar_unless_it_is_dumb(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress.choose(quiet=False)) is Live
    assert type(progress.choose(quiet=True)) is Quiet
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress.choose(quiet=False)) is progress.Lines


def shown(told: Live, terminal: Terminal) -> str:
    """The bar as it is now."""
    assert told._bar is not None
    told._bar.refresh()
    return terminal.screen()[-1]


def test_the_bar_shows_the_epoch_how_far_it_is_its_figures_the_speed_and_the_time_left(
    terminal: Terminal, clock: list[float]
) -> None:
    told = Live()
    told.begin(0, 10, 1875, 60_000)
    assert re.fullmatch(r"epoch  1/10 ━+ compiling", shown(told, terminal))
    clock[0] += 30
    told.step(32, LOGS)
    assert re.fullmatch(r"epoch  1/10 [━╸╺]+ loss 0\.6127  accuracy 0\.8331", shown(told, terminal))
    clock[0] += 1
    told.step(32 + 375, LOGS)  # a fifth of an epoch in a second, so 49 seconds are left
    line = shown(told, terminal)
    assert re.fullmatch(r"epoch  1/10 [━╸╺]+ loss 0\.6127  accuracy 0\.8331  12,000 images/s  0:49 left", line)
    assert len(line) == 80
    told.close()
    assert not any(terminal.screen())


def test_the_bar_begins_anew_with_each_epoch_and_leaves_only_the_lines(terminal: Terminal, clock: list[float]) -> None:
    told = Live()
    told.begin(1, 3, 100, 1000)
    for epoch in (2, 3):
        for stop in (50, 100):
            clock[0] += 1
            told.step(stop, LOGS)
            assert shown(told, terminal).startswith(f"epoch {epoch}/3 ")
        assert told._bar is not None
        assert told._bar.tasks[0].percentage == 100
        told.epoch(row(epoch))
        if epoch == 2:
            assert shown(told, terminal).startswith("epoch 3/3 ")
            assert told._bar.tasks[0].percentage == 0
    told.say("a sentence that is longer than the terminal is wide " * 3)
    told.close()
    told.close()
    told.say("the end")
    assert terminal.screen() == [
        "epoch 2/3  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        "epoch 3/3  loss 0.2500  accuracy 0.9250  0.50 s  2,000 images/s",
        ("a sentence that is longer than the terminal is wide " * 3).rstrip(),
        "the end",
        "",
    ]


def test_the_longest_bar_does_not_wrap(terminal: Terminal, clock: list[float]) -> None:
    told = Live()
    told.begin(99, 1000, 1875, 60_000)
    for stop in (800, 1600):
        clock[0] += 0.01
        told.step(stop, {"loss": 12.3456, "accuracy": 0.8331})
        assert len(shown(told, terminal)) <= 80
    assert len([line for line in terminal.screen() if line]) == 1
    told.close()


def test_without_colours_where_none_are_wanted(
    terminal: Terminal, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    told = Live()
    told.begin(0, 2, 10, 100)
    told.step(5, LOGS)
    told.epoch(row(1))
    told.close()
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.getvalue())


def test_text_that_looks_like_markup_is_told_as_it_is(terminal: Terminal, clock: list[float]) -> None:
    told = Live()
    told.begin(0, 2, 10, 100)
    told.warn("[red]runs/:smile:[/red]")
    told.close()
    assert terminal.screen()[0] == "warning: [red]runs/:smile:[/red]"
