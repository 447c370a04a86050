"""How a training is told while it runs: one line an epoch on stderr, and on a terminal a live one below."""

import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress(Protocol):
    """What the training tells."""

    def say(self, text: str) -> None:
        """Tell something that the user should know."""

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

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Note what the lines need."""
        self._epochs, self._images = epochs, images

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the epoch's figures."""
        self.say(describe_epoch(row, self._epochs, self._images))


class Live(Lines):
    """The lines, and below them a bar that moves within the epoch."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Draw the bar for the whole training."""
        super().begin(done, epochs, steps, images)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[figures]}"))
        left = (TimeRemainingColumn(), TextColumn("left"))
        self._bar = Progress(*columns, *left, console=Console(stderr=True), transient=True, expand=True)
        self._steps, self._done = steps, done
        self._bar.start()
        self._task = self._bar.add_task(
            self._title(), total=steps * epochs, completed=steps * done, figures="compiling"
        )

    def step(self, stop: int, logs: dict[str, float]) -> None:
        """Move the bar."""
        if self._bar is not None:
            speed = (self._bar.tasks[0].speed or 0) * self._images / self._steps
            figures = f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}  {speed:,.0f} images/s"
            self._bar.update(self._task, completed=self._done * self._steps + stop, figures=figures)

    def epoch(self, row: dict[str, Any]) -> None:
        """Print the epoch's figures above the bar."""
        super().epoch(row)
        self._done = row["epoch"]
        if self._bar is not None:
            self._bar.update(self._task, description=self._title())

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _title(self) -> str:
        return f"epoch {min(self._done + 1, self._epochs)}/{self._epochs}"


def choose(*, quiet: bool) -> Progress:
    """The way of telling that suits where stderr goes."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Lines()


def describe_epoch(row: dict[str, Any], epochs: int, images: int) -> str:
    """``epoch  3/10  loss 0.0772  accuracy 0.9772  0.18 s  333,000 images/s``."""
    figures = [f"{key} {value:.4f}" for key, value in row.items() if key not in ("epoch", "learning_rate", "seconds")]
    speed = f"{row['seconds']:.2f} s  {images / row['seconds']:,.0f} images/s"
    return "  ".join([f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}", *figures, speed])
