"""Importing TensorFlow without its noise."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from dnn_cli.engines.keras import xla_cache


def import_tensorflow(*, verbose: bool = False) -> None:
    """Import TensorFlow and Keras; what they print is let through if `verbose`, or if the import fails.

    The banner comes from native code before any logging is set up, so only the file descriptor can be quietened, and
    only while the import lasts: a crash later on still speaks.
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
    """Free what is left of the networks made so far, and begin Keras's numbering of names anew."""
    if "keras" in sys.modules:
        import keras

        keras.utils.clear_session()


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
