"""Test that changes which a test leaves in its process are found and described."""

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
    """Return the descriptions of the changes that `leak` makes, and undo them."""
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
def test_a_change_is_found(leak: Leak, name: str) -> None:
    assert found(lambda _: None) == []
    (left,) = found(leak)
    assert left.startswith(name)


def test_the_first_import_of_a_library_is_allowed() -> None:
    assert found(lambda patch: patch.setitem(sys.modules, "new_library", ModuleType("new_library"))) == []


def test_a_changed_signal_handler_is_found() -> None:
    kept = signal.getsignal(signal.SIGTERM)
    try:
        (left,) = found(lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert left.startswith("signal handler 15: ")


def test_a_disabled_garbage_collector_is_found() -> None:
    try:
        assert found(lambda _: gc.disable()) == ["setting garbage collection: True → False"]
    finally:
        gc.enable()


def test_a_running_thread_is_found() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    try:
        (left,) = found(lambda _: thread.start())
    finally:
        over.set()
        thread.join()
    assert left.startswith("setting running threads: ")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can bind threads to processors")
def test_a_thread_bound_to_processors_is_found() -> None:
    processors = os.sched_getaffinity(0)
    if len(processors) == 1:
        pytest.skip("needs two processors")
    try:
        (left,) = found(lambda _: os.sched_setaffinity(0, {min(processors)}))
    finally:
        os.sched_setaffinity(0, processors)
    assert left.startswith(f"processors of thread {threading.get_native_id()}: ")


def test_a_changed_dtype_policy_is_found() -> None:
    try:
        assert found(lambda _: keras.config.set_dtype_policy("float64")) == [
            "Keras setting dtype policy: 'float32' → 'float64'"
        ]
    finally:
        keras.config.set_dtype_policy("float32")


def test_names_of_layers_do_not_depend_on_earlier_tests() -> None:
    assert [keras.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
