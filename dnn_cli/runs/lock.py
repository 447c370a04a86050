"""The lock of a run: one process at a time trains it, and others can ask whether one does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import filelock

from dnn_cli.errors import RunError, reason
from dnn_cli.files import open_regular, write_failure

# Seconds for which acquiring a lock is retried: `is_locked` holds it for an instant in another process.
ACQUIRE_TIMEOUT = 0.5


@contextmanager
def locked(file: Path, run: str) -> Iterator[None]:
    """Hold the lock in `file` for this process; the operating system releases it when the process ends or is killed.

    Args:
        file: created if it does not exist.
        run: the run's path, for messages.

    Raises:
        RunError: another process holds it, or the file cannot be written.
    """
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=ACQUIRE_TIMEOUT, poll_interval=0.005)
    except filelock.Timeout:
        raise RunError(f"{run} is being trained by another process; wait until that ends, or stop it") from None
    except OSError as error:
        raise RunError(write_failure(run, error)) from None
    except NotImplementedError as error:
        raise RunError(f"{run} cannot be locked: {reason(error)}; use a folder on a local disk") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(file: Path) -> bool:
    """Return whether a process, this one included, holds the lock in `file`.

    A lock can only be tested by trying to acquire it. That takes an instant and makes no training fail that starts at
    the same moment, because `locked` retries for longer.
    """
    try:
        with open_regular(file) as stream:
            return not _can_be_locked(stream)
    except OSError:  # the run was never trained, or this user may not read the file
        return False


def _can_be_locked(file: BinaryIO) -> bool:
    """Return whether no process holds a lock on an open file; processes that ask at the same time all get True."""
    if os.name == "nt":  # Windows has no shared locks
        lock = filelock.FileLock(file.name)
        with suppress(filelock.Timeout), lock.acquire(timeout=0):
            return True
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
