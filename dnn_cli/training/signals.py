"""SIGINT and SIGTERM while training: stop where nothing is lost."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from dnn_cli.errors import InterruptedTrainingError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, a first signal lets the epoch under way finish; a second, or one between epochs, stops at once.

    Args:
        notify: takes a sentence for the user when the first signal comes.
        last_words: what to say when training stops: what is safe, and the command that resumes.
    """

    def __init__(self, notify: Callable[[str], None], last_words: Callable[[], str]) -> None:
        self.in_epoch = False
        self._notify = notify
        self._last_words = last_words
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """Stop here if a signal has come; raises `InterruptedTrainingError`."""
        if self._received:
            raise InterruptedTrainingError(self._last_words(), self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = bool(self._received), number
        if again or not self.in_epoch:
            self.raise_if_received()
        name = signal.Signals(number).name
        self._notify(f"{name}: finishing and saving this epoch; {name} again stops at once and loses it")
