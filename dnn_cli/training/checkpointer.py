"""Saving an epoch while the next one trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Row
from dnn_cli.runs.state import State
from dnn_cli.training.engine import Archive

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import Board


class Checkpoints:
    """Commits epoch after epoch to a run, from a thread of its own.

    What is saved are the values at the moment of `commit`: they are copied, which takes a millisecond, and the copies
    are written while the network goes on training.

    Args:
        run: locked by this process.
        archive: of what is trained.
        state: of the run, None before its first epoch.
        board: where TensorBoard is told of each epoch, if it is.
    """

    def __init__(self, run: RunDirectory, archive: Archive, state: State | None, board: "Board | None" = None) -> None:
        self._run = run
        self._archive = archive
        self._state = state
        self._board = board
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def commit(self, history: list[Row]) -> None:
        """Begin to save the epoch of the last row in `history`; raises what went wrong with the one before."""
        self.wait()
        self._pending = self._thread.submit(self._write, self._archive.values(), list(history))

    def wait(self) -> State | None:
        """What is on the disk when nothing is left to be saved; raises `RunError` if it could not be written."""
        if self._pending is not None:
            self._pending.result()
        return self._state

    def describe(self) -> str:
        """Which epoch can be gone on from."""
        state = self.wait()
        if state is None:
            return f"no epoch was finished before it in {self._run}"
        return f"epoch {state.last.epoch} is safe in {self._run}"

    def _write(self, values: Any, history: list[Row]) -> None:
        def save(path: Path) -> None:
            self._archive.write(values, path)
            if self._board is not None:
                self._board.write(history[-1], self._archive.weights(values))

        self._state = self._run.commit(save, history, self._state)
