"""Determine the number of threads of a training. It affects the last bits of the weights, so a run records it.

TensorFlow divides large operations among its threads, and a sum that is divided differently is rounded differently.
The number of processors affects only the time.
"""

import os
from typing import Literal

from dnn_cli.config.schema import MAX_THREADS
from dnn_cli.errors import UsageError

VARIABLE = "TF_NUM_INTRAOP_THREADS"  # read by TensorFlow too


def resolve(asked: int | Literal["auto"], engine: Literal["keras", "numpy"], running: int | None) -> int:
    """Return the number of threads of a training.

    Args:
        asked: ``training.threads``.
        engine: the engine that trains; NumPy uses one thread.
        running: number of threads that TensorFlow runs with in this process, which can't change; None before it runs.

    Raises:
        UsageError: the default is needed, but `VARIABLE` is not a number of threads.
    """
    if asked != "auto":
        return asked
    return 1 if engine == "numpy" else running or default()


def default() -> int:
    """Return the number in `VARIABLE`, or else the number of processors that this process may use.

    Raises:
        UsageError: `VARIABLE` is not a number of threads.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if text in ("", "0"):  # TensorFlow treats 0 as unset
        return min(allowed_processors(), MAX_THREADS)
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_THREADS):
        raise UsageError(f"{VARIABLE} must be a whole number from 1 to {MAX_THREADS}, got {text!r}")
    return int(text)


def allowed_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
