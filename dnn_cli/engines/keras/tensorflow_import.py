"""Import TensorFlow without its startup messages, and with the number of threads that a training asks for."""

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

    The messages of the import are hidden unless `verbose` is set or the import fails. Native code prints them before
    any logging is set up, so they can be hidden only by redirecting the file descriptor. It is redirected during the
    import alone, so that messages of a later crash are shown.

    Args:
        threads: number of threads to divide an operation among; `auto` accepts any number.
        verbose: show TensorFlow's own messages.

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
    """Return the number of threads that TensorFlow runs with in this process; None if unknown or not running."""
    tensorflow = sys.modules.get("tensorflow")
    return _started_with or (tensorflow and tensorflow.config.threading.get_intra_op_parallelism_threads()) or None


def check(threads: int) -> None:
    """Raise `UsageError` if TensorFlow is known to run with another number of threads in this process."""
    if (given := running()) not in (None, threads):
        raise UsageError(_conflict(given, threads))


def clear_session() -> None:
    """Free the memory of earlier networks and restart Keras's numbering of names."""
    if "keras" in sys.modules:
        import keras

        keras.utils.clear_session()


def _import(*, verbose: bool) -> None:
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_output(2), _without("matplotlib"), _without("scipy"), _without_collection():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


def _set_threads(threads: int) -> None:
    global _started_with  # noqa: PLW0603 (there is one TensorFlow in a process)
    import tensorflow as tf

    check(threads)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.list_logical_devices()  # this starts the threads; their number can't change afterwards
    except RuntimeError:  # other code started it, with its own default
        if (given := thread_counts.default()) != threads:
            raise UsageError(_conflict(given, threads)) from None
    _started_with = threads


def _conflict(given: int | None, wanted: int) -> str:
    return (
        f"training.threads is {wanted}, but TensorFlow runs with {given} in this process and cannot change that; "
        "use a separate process for it"
    )


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Prevent the import of `module`.

    Keras imports matplotlib if it is installed, which takes half a second, and TensorFlow imports scipy, which takes a
    tenth. Neither is used.
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
    """Pause the garbage collector: the import creates a million permanent objects, and scanning them is slow."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def quiet_output(*descriptors: int) -> Iterator[None]:
    """Capture what is written to file descriptors, also by native code, and show it on stderr only if the block fails.

    Args:
        descriptors: 1 for stdout, 2 for stderr, or both.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured:
        originals = [(descriptor, os.dup(descriptor)) for descriptor in descriptors]
        failed = False
        try:
            for descriptor, _ in originals:
                os.dup2(captured.fileno(), descriptor)
            yield
        except BaseException:
            failed = True
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in originals:
                os.dup2(original, descriptor)
                os.close(original)
            if failed:
                captured.seek(0)
                os.write(2, captured.read())
