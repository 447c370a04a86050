"""Starting TensorFlow: without its noise, and with the number of threads that a training asks for."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from dnn_cli.engines import threads as thread_counts
from dnn_cli.engines.keras import xla_cache
from dnn_cli.errors import UsageError

_started_with: int | None = None  # the number of threads that TensorFlow was started with


def import_tensorflow(threads: int | Literal["auto"] = "auto", *, verbose: bool = False) -> None:
    """Import TensorFlow and Keras, and set the number of threads.

    What they print is let through if `verbose`, or if the import fails. The banner comes from native code before any
    logging is set up, so only the file descriptor can be quietened, and only while the import lasts: a crash later on
    still speaks.

    Args:
        threads: how many threads an operation is divided among; `auto` takes any number.
        verbose: let TensorFlow's own messages through.

    Raises:
        UsageError: TensorFlow runs with another number of threads in this process.
    """
    wanted = thread_counts.resolve(threads, "keras", running())
    if "tensorflow" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        xla_cache.use_wide_vectors()
        xla_cache.prepare()
        _import(verbose=verbose)
    _set_threads(wanted)


def running() -> int | None:
    """Return how many threads TensorFlow runs with in this process; None before it runs, or where it does not tell."""
    tensorflow = sys.modules.get("tensorflow")
    return _started_with or (tensorflow and tensorflow.config.threading.get_intra_op_parallelism_threads()) or None


def check(threads: int) -> None:
    """Raise `UsageError` if TensorFlow is known to run with another number of threads in this process."""
    if (given := running()) not in (None, threads):
        raise UsageError(_conflict(given, threads))


def clear_session() -> None:
    """Free what is left of the networks made so far, and begin Keras's numbering of names anew."""
    if "keras" in sys.modules:
        import keras

        keras.utils.clear_session()


def _import(*, verbose: bool) -> None:
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr(), _without("matplotlib"), _without("scipy"), _without_collection():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


def _set_threads(threads: int) -> None:
    global _started_with  # noqa: PLW0603 (as TensorFlow, there is one of it in a process)
    import tensorflow as tf

    check(threads)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.list_logical_devices()  # starts the threads: from now on their number stays
    except RuntimeError:  # somebody else started it, with its own default
        if (given := thread_counts.default()) != threads:
            raise UsageError(_conflict(given, threads)) from None
    _started_with = threads


def _conflict(given: int | None, wanted: int) -> str:
    return (
        f"training.threads is {wanted}, but TensorFlow runs with {given} in this process and cannot change that; "
        "start another process for it"
    )


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Keep `module` from being imported.

    Keras takes matplotlib where it is installed, and TensorFlow scipy; the one costs a start half a second, the other
    a tenth, and neither is used.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pause the garbage collector: the import makes a million objects that stay, and going through them takes long."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Collect what goes to file descriptor 2, and show it only if the block fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            collected.seek(0)
            os.write(2, collected.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
