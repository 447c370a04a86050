"""Saving an epoch while the next one trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import keras

from dnn_cli import model as models
from dnn_cli.run import Row, Run, State


class Checkpoints:
    """Commits epoch after epoch to a run, from a thread of its own.

    What is saved are the values at the moment of `commit`: they are copied into a second network of the same make,
    which takes a millisecond, and that one is written while the first goes on training.

    Args:
        run: locked by this process.
        network: what is trained.
        state: of the run, None before its first epoch.
    """

    def __init__(self, run: Run, network: keras.Sequential, state: State | None) -> None:
        self._run = run
        self._network = network
        self._state = state
        self._copy: keras.Sequential | None = None
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
        if self._copy is None:
            self._write(self._network, list(history))
            self._pending = self._thread.submit(self._load_copy)
            return
        for copied, value in zip(_values(self._copy), _values(self._network), strict=True):
            copied.assign(value)
        self._pending = self._thread.submit(self._write, self._copy, list(history))

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

    def _write(self, network: keras.Sequential, history: list[Row]) -> None:
        self._state = self._run.commit(lambda path: models.save(network, path), history, self._state)

    def _load_copy(self) -> None:
        self._copy = models.load(self._run.checkpoint("last")[0])


def _values(network: keras.Sequential) -> list[keras.Variable]:
    """All that a file of the network holds: weights, moving means, random states and the optimizer's."""
    return [*network.variables, *network.optimizer.variables]
