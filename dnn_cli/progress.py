"""How a training is told while it runs: one line an epoch on stderr, and on a terminal a live one below."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar


class Progress(Protocol):
    """What the training tells."""

    def say(self, text: str) -> None:
        """Tell something that the user should know."""

    def warn(self, text: str) -> None:
        """Warn of something."""

    def note(self, text: str) -> None:
        """Tell what one who watches wants to know."""

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Training goes on from epoch `done` to `epochs`, each of `steps` steps over `images` images."""

    def step(self, stop: int, logs: dict[str, float]) -> None:
        """The epoch has come to step `stop`; `logs` are its figures so far."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done and saved; `row` is what the history holds of it."""

    def close(self) -> None:
        """Training has ended, one way or another."""


class Quiet:
    """Tells nothing but warnings."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Say that it is a warning."""
        self.say(f"warning: {text}")

    def note(self, text: str) -> None:
        """Nothing."""

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Nothing."""

    def step(self, stop: int, logs: dict[str, float]) -> None:
        """Nothing."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines(Quiet):
    """One plain line an epoch."""

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        self.say(text)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Note what the lines need."""
        self._epochs, self._images = epochs, images

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the epoch's figures."""
        self._print(row, width=None)

    def _print(self, row: dict[str, Any], width: int | None) -> None:
        self.say(describe_epoch(row, self._epochs, self._images, width))


class Live(Lines):
    """The lines, and below them a bar that fills within each epoch."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Draw the bar."""
        super().begin(done, epochs, steps, images)
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[figures]}"))
        self._bar = Progress(*columns, console=_console(), transient=True, expand=True)
        self._steps, self._done = steps, done
        self._first: tuple[float, float] | None = None
        self._bar.start()
        self._task = self._bar.add_task(self._title(), total=steps, figures="compiling")

    def step(self, stop: int, logs: dict[str, float]) -> None:
        """Move the bar."""
        if self._bar is not None:
            figures = [*(f"{name} {value:.4f}" for name, value in logs.items()), *self._pace(stop)]
            self._bar.update(self._task, completed=stop, figures="  ".join(figures))

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the epoch's figures above the bar, and begin the bar anew."""
        self._print(row, self._bar.console.width if self._bar is not None else None)
        self._done = row["epoch"]
        if self._bar is not None and self._done < self._epochs:
            self._bar.update(self._task, description=self._title(), completed=0)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _pace(self, stop: int) -> list[str]:
        """Images a second and the time left; not before the second call, since the first one's time is compilation."""
        now, trained = time.monotonic(), (self._done + stop / self._steps) * self._images
        if self._first is None:
            self._first = now, trained
            return []
        speed = (trained - self._first[1]) / max(now - self._first[0], 1e-9)
        minutes, seconds = divmod(round((self._epochs * self._images - trained) / speed), 60)
        return [f"{speed:,.0f} images/s", f"{minutes}:{seconds:02} left"]

    def _title(self) -> str:
        return _place(self._done + 1, self._epochs)


def choose(*, quiet: bool) -> Progress:
    """The way of telling that suits where stderr goes."""
    if quiet:
        return Quiet()
    return Live() if _is_terminal() else Lines()


@contextmanager
def counting(title: str, total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar over `total` things, moved by each call of what is given; none where it could not be seen."""
    if quiet or not _is_terminal():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(), transient=True, expand=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr, color_system=None if os.environ.get("NO_COLOR") else "auto")


def describe_epoch(row: dict[str, Any], epochs: int, images: int, width: int | None = None) -> str:
    """``epoch  3/10  loss 0.0772  accuracy 0.9772  0.18 s  333,000 images/s``.

    Where all that is wider than `width`, the speed is left out, and then the time.
    """
    figures = [f"{key} {value:.4f}" for key, value in row.items() if key not in ("epoch", "learning_rate", "seconds")]
    pace = [f"{row['seconds']:.2f} s", f"{images / row['seconds']:,.0f} images/s"]
    line = [_place(row["epoch"], epochs), *figures, *pace]
    while width and len("  ".join(line)) > width and len(line) > 1 + len(figures):
        del line[-1]
    return "  ".join(line)


def _place(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"
