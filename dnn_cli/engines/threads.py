"""How many threads a training computes with: part of what decides its bits, so the number belongs to the run.

TensorFlow divides large operations among its threads, and a sum that is divided otherwise is rounded otherwise. The
bits depend on the number of threads alone; how many processors they share decides only how long they take.
"""

import os
from typing import Literal

from dnn_cli.config.schema import MAX_THREADS
from dnn_cli.errors import UsageError

VARIABLE = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own


def resolve(asked: int | Literal["auto"], engine: Literal["keras", "numpy"], running: int | None) -> int:
    """Return the number of threads of a training.

    Args:
        asked: ``training.threads``.
        engine: what trains; NumPy works on one thread.
        running: how many threads TensorFlow has in this process, which it cannot change; None before it runs.

    Raises:
        UsageError: `VARIABLE` is needed, and holds no number of threads.
    """
    if asked != "auto":
        return asked
    return 1 if engine == "numpy" else running or default()


def default() -> int:
    """Return the number that `VARIABLE` holds, or that of the processors this process may use.

    Raises:
        UsageError: `VARIABLE` holds something else.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if text in ("", "0"):  # as TensorFlow reads it, nothing is asked for
        return min(allowed_processors(), MAX_THREADS)
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_THREADS):
        raise UsageError(f"{VARIABLE} must be a whole number from 1 to {MAX_THREADS}, got {text!r}")
    return int(text)


def allowed_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
