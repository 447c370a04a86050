"""Save one epoch while the next one trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Row
from dnn_cli.runs.state import State
from dnn_cli.training.engine import CheckpointWriter

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import EventWriter


class Checkpointer:
    """Context manager that commits epochs to a run from its own thread.

    `commit` copies the current values, which takes a millisecond. The copies are written while training continues.

    Args:
        run: the run, locked by this process.
        writer: takes snapshots of the network and writes them.
        state: state of the run, None before its first epoch.
        events: writes each epoch for TensorBoard, None if that is off.
        monitor: the figure that decides which epoch is the best; None for the default.
    """

    def __init__(
        self,
        run: RunDirectory,
        writer: CheckpointWriter,
        state: State | None,
        events: "EventWriter | None" = None,
        monitor: str | None = None,
    ) -> None:
        self._run = run
        self._writer = writer
        self._state = state
        self._events = events
        self._monitor = monitor
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def commit(self, history: list[Row]) -> None:
        """Start to save the epoch of the last row of `history`; raises `RunError` if the previous one failed."""
        self.wait()
        self._pending = self._thread.submit(self._write, self._writer.snapshot(), list(history))

    def wait(self) -> State | None:
        """Wait for the pending epoch and return the state on disk; raises `RunError` if it could not be written."""
        if self._pending is not None:
            self._pending.result()
        return self._state

    def describe_last(self) -> str:
        """Return a phrase that names the last saved epoch."""
        state = self.wait()
        if state is None:
            return f"no epoch is saved in {self._run}"
        return f"epoch {state.last.epoch} is saved in {self._run}"

    def _write(self, values: Any, history: list[Row]) -> None:
        def save(path: Path) -> None:
            self._writer.write(values, path)
            if self._events is not None:
                self._events.write(history[-1], self._writer.weights(values))

        self._state = self._run.commit(save, history, self._state, self._monitor)
