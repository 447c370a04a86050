"""Test that signals are handled in the main thread alone, and that what was there before is restored."""

import signal
import threading

import pytest

from dnn_cli.errors import InterruptedTrainingError
from dnn_cli.training.signals import SIGNALS, SignalHandler


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_the_first_signal_lets_the_training_save_and_the_second_stops_at_once() -> None:
    before, told = handlers(), list[str]()
    with SignalHandler(told.append, lambda: "epoch 3 is saved") as signals:
        assert handlers() != before
        signals.in_epoch = True
        assert not signals.received
        signals.raise_if_received()
        signal.raise_signal(signal.SIGINT)
        assert signals.received
        assert told == ["SIGINT: saving; a second SIGINT stops at once and loses the steps since the last checkpoint"]
        with pytest.raises(InterruptedTrainingError, match="^epoch 3 is saved$") as caught:
            signal.raise_signal(signal.SIGINT)
    assert caught.value.exit_code == 130
    assert handlers() == before


def test_another_thread_handles_no_signals() -> None:
    before, seen = handlers(), list[object]()

    def work() -> None:
        with SignalHandler(print, str) as signals:
            seen.extend(handlers())
            signals.raise_if_received()
        seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [*before, "done"]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalHandler(print, str) as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.received
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
