"""Import TensorFlow without its startup messages."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from dnn_cli.engines.keras import xla_cache


def import_tensorflow(*, verbose: bool = False) -> None:
    """Import TensorFlow and Keras; hide the messages of the import unless `verbose` is set or the import fails.

    Native code prints them before any logging is set up, so they can be hidden only by redirecting the file descriptor.
    It is redirected during the import alone, so that messages of a later crash are shown.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ["KERAS_BACKEND"] = "tensorflow"
    xla_cache.use_wide_vectors()
    xla_cache.prepare()
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr(), _without("matplotlib"), _without("scipy"), _without_collection():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


def clear_session() -> None:
    """Free the memory of earlier networks and restart Keras's numbering of names."""
    if "keras" in sys.modules:
        import keras

        keras.utils.clear_session()


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
def _quiet_stderr() -> Iterator[None]:
    """Capture the output to file descriptor 2, and show it only if the block fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            captured.seek(0)
            os.write(2, captured.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
