"""Train one epoch: its steps, its validation, and checkpoints within it."""

import time
from dataclasses import dataclass
from math import isfinite

from dnn_cli.errors import TrainingError
from dnn_cli.progress import Progress
from dnn_cli.runs.partial import Partial, Position
from dnn_cli.runs.records import Row
from dnn_cli.training.checkpointer import Checkpointer
from dnn_cli.training.engine import Engine
from dnn_cli.training.signals import SignalHandler
from dnn_cli.typing import Logs


@dataclass
class Epoch:
    """One epoch under way.

    Args:
        engine: trains it.
        number: its number, from 0.
        progress: reports the progress to the user.
        checkpointer: saves places within it.
        signals: tells whether to stop within it.
    """

    engine: Engine
    number: int
    progress: Progress
    checkpointer: Checkpointer
    signals: SignalHandler

    def train(self, partial: Partial | None = None) -> Row:
        """Train and validate the epoch, or what is left of it after `partial`, and return its row of the history."""
        engine = self.engine
        engine.notify("epoch_begin", self.number)
        self._learning_rate = partial.learning_rate if partial else engine.learning_rate
        self._started = time.perf_counter() - (partial.seconds if partial else 0.0)
        self.signals.raise_if_received()
        logs = engine.run(self.number, self._on_chunk, partial)
        logs |= {f"val_{name}": value for name, value in engine.validate().items()}
        self._check_finite(logs, f"epoch {self.number + 1}")
        seconds = time.perf_counter() - self._started
        row = {"epoch": self.number + 1, **logs, "learning_rate": self._learning_rate, "seconds": seconds}
        engine.notify("epoch_end", self.number, logs)
        return row

    def _on_chunk(self, first: int, stop: int, logs: Logs) -> None:
        """End the epoch if a metric is not a finite number; save the place if it is time, or if a signal arrived."""
        steps = self.engine.steps
        self._check_finite(logs, f"epoch {self.number + 1}, between steps {first + 1} and {stop} of {steps}")
        if stop < steps and (self.signals.received or self.checkpointer.is_due()):
            self.checkpointer.commit_partial(self._position(stop))
            self.signals.raise_if_received()
        self.progress.step(stop, logs)

    def _position(self, step: int) -> Position:
        return Position(
            epoch=self.number + 1,
            step=step,
            metric_sums=self.engine.metric_sums(),
            learning_rate=self._learning_rate,
            seconds=time.perf_counter() - self._started,
        )

    def _check_finite(self, logs: Logs, place: str) -> None:
        for name, value in logs.items():
            if not isfinite(value):
                raise TrainingError(
                    f"{name} became {value} in {place}; {self.checkpointer.describe_last()}\n"
                    "a lower optimizer.learning_rate usually helps"
                )
