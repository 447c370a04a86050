"""Save one epoch while the next one trains, and places within a long epoch."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dnn_cli.config.schema import Monitor
from dnn_cli.runs.directory import Resumable, RunDirectory
from dnn_cli.runs.partial import Position
from dnn_cli.runs.records import Row
from dnn_cli.runs.state import State
from dnn_cli.training.engine import CheckpointWriter

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import EventWriter


class Checkpointer:
    """Context manager that commits epochs, and places within an epoch, to a run from its own thread.

    `commit` copies the current values, which takes a millisecond. The copies are written while training continues.

    Args:
        run: the run, locked by this process.
        writer: takes snapshots of the network and writes them.
        saved: what is saved in the run.
        steps: steps in an epoch.
        seconds: time after which `is_due` asks for a checkpoint within an epoch; None for never.
        events: writes each epoch for TensorBoard, None if that is off.
        monitor: the figure that decides which epoch is the best; None for the default.
    """

    def __init__(
        self,
        run: RunDirectory,
        writer: CheckpointWriter,
        saved: Resumable,
        *,
        steps: int,
        seconds: float | None = None,
        events: "EventWriter | None" = None,
        monitor: Monitor | None = None,
    ) -> None:
        self._run = run
        self._writer = writer
        self._state = saved.state
        self._partial: Position | None = saved.partial
        self._steps = steps
        self._seconds = float("inf") if seconds is None else seconds
        self._events = events
        self._monitor = monitor
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def commit(self, history: list[Row]) -> None:
        """Start to save the epoch of the last row of `history`; raises `RunError` if the previous save failed."""
        self.wait()
        self._pending = self._thread.submit(self._write, self._writer.snapshot(), list(history))
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the last save was so long ago that a place within the epoch should be saved."""
        return time.monotonic() - self._last >= self._seconds

    def commit_partial(self, position: Position) -> None:
        """Start to save a place within an epoch; raises `RunError` if the previous save failed."""
        self.wait()
        self._pending = self._thread.submit(self._write_partial, self._writer.snapshot(), position)
        self._last = time.monotonic()

    def wait(self) -> State | None:
        """Wait for the pending save and return the state on disk; raises `RunError` if it could not be written."""
        if self._pending is not None:
            self._pending.result()
        return self._state

    def describe_last(self) -> str:
        """Return a phrase that names what was saved last."""
        state, parts = self.wait(), []
        if state is not None:
            parts.append(f"epoch {state.last.epoch}")
        if self._partial is not None:
            parts.append(f"{self._partial.step:,} of {self._steps:,} steps of epoch {self._partial.epoch}")
        saved = " and ".join(parts) or "no epoch"
        return f"{saved} {'are' if self._partial else 'is'} saved in {self._run}"

    def _write(self, values: Any, history: list[Row]) -> None:
        def save(path: Path) -> None:
            self._writer.write(values, path)
            if self._events is not None:
                self._events.write(history[-1], self._writer.weights(values))

        self._state = self._run.commit(save, history, self._state, self._monitor)
        self._partial = None

    def _write_partial(self, values: Any, position: Position) -> None:
        self._run.commit_partial(lambda path: self._writer.write(values, path), position)
        self._partial = position
