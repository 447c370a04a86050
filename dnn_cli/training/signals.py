"""Handle SIGINT and SIGTERM during training: stop where no finished work is lost."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from dnn_cli.errors import InterruptedTrainingError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalHandler:
    """Context manager that handles signals: the first one lets the current epoch finish, the second stops at once.

    A signal between two epochs stops at once too. Python allows only the main thread to handle signals; a training in
    another thread runs to its end.

    Args:
        notify: is called with a message for the user when the first signal arrives.
        interrupt_message: returns the message of the error that stops the training.

    Attributes:
        in_epoch: whether an epoch is running, which a first signal lets finish.
    """

    def __init__(self, notify: Callable[[str], None], interrupt_message: Callable[[], str]) -> None:
        self.in_epoch = False
        self._notify = notify
        self._interrupt_message = interrupt_message
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """Raise `InterruptedTrainingError` if a signal has arrived."""
        if self._received:
            raise InterruptedTrainingError(self._interrupt_message(), self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = bool(self._received), number
        if again or not self.in_epoch:
            self.raise_if_received()
        name = signal.Signals(number).name
        self._notify(f"{name}: finishing and saving this epoch; a second {name} stops at once and loses it")
