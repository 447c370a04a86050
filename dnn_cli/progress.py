"""Show the progress of a training on stderr: a line per epoch, and on a terminal a progress bar below."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from dnn_cli.typing import Logs


class Progress(Protocol):
    """Interface through which a training reports what happens."""

    def say(self, text: str) -> None:
        """Print a message, with ``--quiet`` too."""

    def warn(self, text: str) -> None:
        """Print a warning, with ``--quiet`` too."""

    def note(self, text: str) -> None:
        """Print a message, but not with ``--quiet``."""

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Report that training starts or resumes.

        Args:
            done: epochs trained before.
            epochs: total number of epochs.
            steps: steps in each epoch.
            images: training images in each epoch.
        """

    def step(self, stop: int, logs: "Logs") -> None:
        """Report the position within the epoch.

        Args:
            stop: steps done in this epoch.
            logs: its metrics so far.
        """

    def epoch(self, row: dict[str, Any]) -> None:
        """Report that an epoch is finished and saved; `row` is its row in the history."""

    def close(self) -> None:
        """Report that training has ended, for whatever reason."""


class QuietProgress:
    """Progress display of ``--quiet``: messages and warnings only."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self.say(f"warning: {text}")

    def note(self, text: str) -> None:
        """Print nothing."""

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Show nothing."""

    def step(self, stop: int, logs: "Logs") -> None:
        """Show nothing."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class LineProgress(QuietProgress):
    """Progress display with a plain line per epoch."""

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        self.say(text)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Remember the number of epochs and images, which every line shows."""
        self._epochs, self._images = epochs, images

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the metrics of the epoch."""
        self._print(row, width=None)

    def _print(self, row: dict[str, Any], width: int | None) -> None:
        self.say(format_epoch(row, self._epochs, self._images, width))


class LiveProgress(LineProgress):
    """Progress display with a line per epoch, and a bar below that fills up in each epoch."""

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

        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[metrics]}"))
        self._bar = Progress(*columns, console=_console(), transient=True, expand=True)
        self._steps, self._done = steps, done
        self._first: tuple[float, float] | None = None
        self._bar.start()
        self._task = self._bar.add_task(self._title(), total=steps, metrics="compiling")

    def step(self, stop: int, logs: "Logs") -> None:
        """Move the bar and show the metrics so far."""
        if self._bar is not None:
            metrics = [*(f"{name} {value:.4f}" for name, value in logs.items()), *self._pace(stop)]
            self._bar.update(self._task, completed=stop, metrics="  ".join(metrics))

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the metrics of the epoch above the bar, and empty the bar for the next epoch."""
        self._print(row, self._bar.console.width if self._bar is not None else None)
        self._done = row["epoch"]
        if self._bar is not None and self._done < self._epochs:
            self._bar.update(self._task, description=self._title(), completed=0)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _pace(self, stop: int) -> list[str]:
        """Return images per second and the time left; nothing at the first call, whose time is mostly compilation."""
        now, trained = time.monotonic(), (self._done + stop / self._steps) * self._images
        if self._first is None:
            self._first = now, trained
            return []
        speed = (trained - self._first[1]) / max(now - self._first[0], 1e-9)
        minutes, seconds = divmod(round((self._epochs * self._images - trained) / speed), 60)
        return [f"{speed:,.0f} images/s", f"{minutes}:{seconds:02} left"]

    def _title(self) -> str:
        return _position(self._done + 1, self._epochs)


def create(*, quiet: bool) -> Progress:
    """Return the progress display that suits stderr: a bar on a terminal, and lines elsewhere."""
    if quiet:
        return QuietProgress()
    return LiveProgress() if _is_terminal() else LineProgress()


@contextmanager
def bar(title: str, total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal, and nothing elsewhere.

    Args:
        title: the text before the bar.
        total: the number of items.
        quiet: show nothing.

    Yields:
        A function that reports one more item as done.
    """
    if quiet or not _is_terminal():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(), transient=True, expand=True) as shown:
        task = shown.add_task(title, total=total)
        yield lambda: shown.advance(task)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr, color_system=None if os.environ.get("NO_COLOR") else "auto")


def format_epoch(row: dict[str, Any], epochs: int, images: int, width: int | None = None) -> str:
    """Return the line of an epoch: ``epoch  3/10  loss 0.0772  accuracy 0.9772  0.18 s  333,000 images/s``.

    Args:
        row: the epoch's row in the history.
        epochs: total number of epochs.
        images: training images in the epoch.
        width: maximum number of characters; a longer line leaves out the speed, and then the time. None for no limit.
    """
    metrics = [f"{key} {value:.4f}" for key, value in row.items() if key not in ("epoch", "learning_rate", "seconds")]
    pace = [f"{row['seconds']:.2f} s", f"{images / row['seconds']:,.0f} images/s"]
    line = [_position(row["epoch"], epochs), *metrics, *pace]
    while width and len("  ".join(line)) > width and len(line) > 1 + len(metrics):
        del line[-1]
    return "  ".join(line)


def _position(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"
