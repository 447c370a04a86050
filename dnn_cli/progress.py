"""Show the progress of a training: a line per epoch on stderr, on a terminal with a progress bar below.

A Jupyter notebook keeps every line, so a training has one there, which is rewritten.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from dnn_cli.terminal import console, printable, unprotected

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from dnn_cli.typing import Logs


REWRITE_SECONDS = 0.1  # a notebook's line is not rewritten more often within an epoch: each time is a message


class Progress(Protocol):
    """Interface through which a training reports what happens."""

    def say(self, text: str) -> None:
        """Print a message, with ``--quiet`` too."""

    def warn(self, text: str) -> None:
        """Print a warning, with ``--quiet`` too."""

    def note(self, text: str) -> None:
        """Print a message, but not with ``--quiet``."""

    def waiting(self, text: str) -> AbstractContextManager[None]:
        """Show what the training waits for while a ``with`` block runs; nothing else may be printed in it."""

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


class Pace:
    """Speed of a training, and the time left.

    Args:
        images: training images of all epochs.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._first: tuple[float, float] | None = None

    def describe(self, trained: float) -> list[str]:
        """Return images per second and the time left; nothing at the first call, whose time is mostly compilation.

        Args:
            trained: images trained so far; those of an unfinished epoch may be a fraction.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now, trained
            return []
        speed = (trained - self._first[1]) / max(now - self._first[0], 1e-9)
        minutes, seconds = divmod(round((self._images - trained) / speed), 60)
        return [f"{speed:,.0f} images/s", f"{minutes}:{seconds:02} left"]


class QuietProgress:
    """Progress display of ``--quiet``: messages and warnings only.

    Args:
        warn: is called with each warning; None prints it on a line.
    """

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self._warn = warn

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        if self._warn is None:
            self.say(f"warning: {text}")
        else:
            self._warn(text)

    def note(self, text: str) -> None:
        """Print nothing."""

    def waiting(self, text: str) -> AbstractContextManager[None]:
        """Show nothing."""
        return nullcontext()

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

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        super().__init__(warn)
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show `text` in the place of the bar. It does not move: stderr is redirected while TensorFlow is imported."""
        stream = unprotected(sys.stderr)
        print(text, end="\r", file=stream, flush=True)
        try:
            yield
        finally:
            print(" " * len(text), end="\r", file=stream, flush=True)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Draw the bar."""
        super().begin(done, epochs, steps, images)
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[metrics]}"))
        self._bar = Progress(*columns, console=_console(), transient=True, expand=True)
        self._steps, self._done = steps, done
        self._pace = Pace(epochs * images)
        self._bar.start()
        self._task = self._bar.add_task(self._title(), total=steps, metrics="compiling")

    def step(self, stop: int, logs: "Logs") -> None:
        """Move the bar and show the metrics so far."""
        if self._bar is not None:
            pace = self._pace.describe((self._done + stop / self._steps) * self._images)
            self._bar.update(self._task, completed=stop, metrics="  ".join([*_metrics(logs), *pace]))

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

    def _title(self) -> str:
        return _position(self._done + 1, self._epochs)


class NotebookProgress(LineProgress):
    """Progress display of a Jupyter notebook: a line on stdout that is rewritten; messages are printed above it."""

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        super().__init__(warn)
        self._line = ""
        self._rewritten = 0.0

    def say(self, text: str) -> None:
        """Print a line above the one that is rewritten."""
        line = self._line
        self._rewrite(text)
        self._end()
        if line:
            self._rewrite(line)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Show the line."""
        super().begin(done, epochs, steps, images)
        self._steps, self._done, self._pace = steps, done, Pace(epochs * images)
        self._rewrite(f"{_position(min(done + 1, epochs), epochs)}  compiling")

    def step(self, stop: int, logs: "Logs") -> None:
        """Rewrite the line with the position in the epoch, its metrics so far and the time left."""
        if time.monotonic() - self._rewritten < REWRITE_SECONDS:
            return
        share = stop / self._steps
        pace = self._pace.describe((self._done + share) * self._images)
        position = f"{_position(self._done + 1, self._epochs)}  {share:4.0%}"
        self._rewrite("  ".join([position, *_metrics(logs), *pace]))

    def epoch(self, row: dict[str, Any]) -> None:
        """Rewrite the line with the metrics of the epoch."""
        self._done = row["epoch"]
        self._rewrite(format_epoch(row, self._epochs, self._images))

    def close(self) -> None:
        """Keep the line as it is."""
        self._end()

    def _rewrite(self, text: str) -> None:
        print(f"\r{text:<{len(self._line)}}" if self._line else text, end="", flush=True)
        self._line, self._rewritten = text, time.monotonic()

    def _end(self) -> None:
        if self._line:
            print(flush=True)
        self._line = ""


def create(*, quiet: bool, warn: Callable[[str], None] | None = None) -> Progress:
    """Return the progress display that suits the place: a rewritten line, a bar on a terminal, or lines elsewhere.

    Args:
        quiet: show messages and warnings only.
        warn: is called with each warning; None prints it on a line.
    """
    if quiet:
        return QuietProgress(warn)
    if _is_notebook():
        return NotebookProgress(warn)
    return LiveProgress(warn) if _is_terminal() else LineProgress(warn)


@contextmanager
def bar(title: str, total: int, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show a progress bar on a terminal, and nothing elsewhere.

    Args:
        title: the text before the bar.
        total: the number of items.
        quiet: show nothing.

    Yields:
        A function that reports one more item as done, or as many as its argument says.
    """
    if quiet or not _is_terminal():
        yield lambda _=1: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(), transient=True, expand=True) as shown:
        task = shown.add_task(printable(title), total=total)
        yield lambda count=1: shown.advance(task, count)


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a Jupyter notebook; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return any(one.__name__ == "ZMQInteractiveShell" for one in type(shell).__mro__)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _console() -> "Console":
    return console(sys.stderr, color_system=None if os.environ.get("NO_COLOR") else "auto")


def format_epoch(row: dict[str, Any], epochs: int, images: int, width: int | None = None) -> str:
    """Return the line of an epoch: ``epoch  3/10  loss 0.0772  accuracy 0.9772  0.18 s  333,000 images/s``.

    Args:
        row: the epoch's row in the history.
        epochs: total number of epochs.
        images: training images in the epoch.
        width: maximum number of characters; a longer line leaves out the speed, and then the time. None for no limit.
    """
    metrics = _metrics({key: row[key] for key in row if key not in ("epoch", "learning_rate", "seconds")})
    pace = [f"{row['seconds']:.2f} s", f"{images / row['seconds']:,.0f} images/s"]
    line = [_position(row["epoch"], epochs), *metrics, *pace]
    while width and len("  ".join(line)) > width and len(line) > 1 + len(metrics):
        del line[-1]
    return "  ".join(line)


def _metrics(logs: "Logs") -> list[str]:
    return [f"{name} {value:.4f}" for name, value in logs.items()]


def _position(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"
