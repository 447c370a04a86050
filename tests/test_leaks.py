"""What a test leaves behind in its process is found and named."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import pytest

from tests import leaks

Leak = Callable[[pytest.MonkeyPatch], Any]


def found(leak: Leak) -> list[str]:
    """Name what `leak` changes, and undo it."""
    with pytest.MonkeyPatch.context() as patch:
        before = leaks.state()
        leak(patch)
        return leaks.changes(before, leaks.state())


@pytest.mark.parametrize(
    ("leak", "name"),
    [
        (lambda patch: patch.setenv("DNN_MIRROR", "x"), "environment variable DNN_MIRROR: absent → 'x'"),
        (lambda patch: patch.delenv("DNN_OFFLINE"), "environment variable DNN_OFFLINE: '1' → absent"),
        (lambda patch: patch.chdir("/"), "setting working directory: "),
        (lambda patch: patch.syspath_prepend("/nowhere"), "setting sys.path: "),
        (lambda patch: patch.setattr(sys, "argv", ["dnn"]), "setting sys.argv: "),
        (lambda patch: patch.setitem(sys.modules, "json", ModuleType("json")), "module json: "),
        (lambda patch: patch.delitem(sys.modules, "json"), "module json: "),
        (lambda patch: patch.setitem(sys.modules, "no_such_library", None), "module no_such_library: absent → None"),
    ],
)
def test_what_a_test_leaves_is_named(leak: Leak, name: str) -> None:
    assert found(lambda _: None) == []
    (left,) = found(leak)
    assert left.startswith(name)


def test_a_library_that_is_new_is_no_leak() -> None:
    assert found(lambda patch: patch.setitem(sys.modules, "new_library", ModuleType("new_library"))) == []


def test_a_signal_handler_is_named() -> None:
    kept = signal.getsignal(signal.SIGTERM)
    try:
        (left,) = found(lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert left.startswith("signal handler 15: ")


def test_the_garbage_collector_that_is_off_is_named() -> None:
    try:
        assert found(lambda _: gc.disable()) == ["setting garbage collection: True → False"]
    finally:
        gc.enable()


def test_a_thread_that_goes_on_is_named() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    try:
        (left,) = found(lambda _: thread.start())
    finally:
        over.set()
        thread.join()
    assert left.startswith("setting threads of its own: ")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets threads be bound")
def test_a_thread_that_is_bound_is_named() -> None:
    processors = os.sched_getaffinity(0)
    if len(processors) == 1:
        pytest.skip("there is one processor")
    try:
        (left,) = found(lambda _: os.sched_setaffinity(0, {min(processors)}))
    finally:
        os.sched_setaffinity(0, processors)
    assert left.startswith(f"processors of thread {threading.get_native_id()}: ")


def test_a_policy_for_all_networks_is_named() -> None:
    try:
        assert found(lambda _: keras.config.set_dtype_policy("float64")) == [
            "Keras setting dtype policy: 'float32' → 'float64'"
        ]
    finally:
        keras.config.set_dtype_policy("float32")


def test_names_are_numbered_from_the_start() -> None:
    """Whatever networks other tests made in this process."""
    assert [keras.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
