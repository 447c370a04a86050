"""Handle SIGINT, SIGTERM and SIGHUP during training: stop where no finished work is lost."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from dnn_cli.errors import InterruptedTrainingError

# Windows has no SIGHUP, which a terminal sends when it is closed.
SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class SignalHandler:
    """Context manager that handles signals: the first one lets the training save its place, the second stops at once.

    A signal between two epochs stops at once too. Python allows only the main thread to handle signals; a training in
    another thread runs to its end. A signal that the process ignores, as below `nohup`, is still ignored.

    Args:
        notify: is called with a message for the user when the first signal arrives.
        interrupt_message: returns the message of the error that stops the training.

    Attributes:
        in_epoch: whether an epoch is running, in which a first signal only sets `received`.
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
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def received(self) -> bool:
        """True if a signal has arrived."""
        return bool(self._received)

    def raise_if_received(self) -> None:
        """Raise `InterruptedTrainingError` if a signal has arrived."""
        if self._received:
            raise InterruptedTrainingError(self._interrupt_message(), self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self.received, number
        if again or not self.in_epoch:
            self.raise_if_received()
        name = signal.Signals(number).name
        with suppress(OSError):  # the terminal may be closed
            self._notify(f"{name}: saving; a second {name} stops at once and loses the steps since the last checkpoint")
