"""Find changes that a test leaves in its process and that could affect later tests."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

PYTEST_SETS = ("PYTEST_CURRENT_TEST",)  # environment variables that pytest itself changes
SET_VARIABLES = {
    "cv2",
    "tensorflow",
    "threadpoolctl",
}  # libraries that set environment variables when they are imported
TASKS = Path("/proc/self/task")
State = dict[str, dict[Any, Any]]


def state() -> State:
    """Return the state of this process that tests could change: by kind, then by name."""
    return {
        "environment variable": {name: value for name, value in os.environ.items() if name not in PYTEST_SETS},
        "signal handler": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "processors of thread": _affinities(),
        "module": dict(sys.modules),
        "setting": {
            "working directory": _working_directory(),
            "sys.argv": list(sys.argv),
            "sys.path": list(sys.path),
            "sys.excepthook": sys.excepthook,
            "recursion limit": sys.getrecursionlimit(),
            "garbage collection": gc.isenabled(),
            "running threads": sum(not thread.daemon for thread in threading.enumerate()),
        },
        "Keras setting": _keras(),
    }


def changes(before: State, after: State) -> list[str]:
    """Describe the differences of two states, except first imports of libraries and the variables that these set."""
    found = []
    is_first_import = bool(SET_VARIABLES & (after["module"].keys() - before["module"].keys()))
    for kind, old in before.items():
        new = after[kind]
        for name in old.keys() | new.keys():
            if kind == "processors of thread":
                is_kept = (
                    name not in old or name not in new or old[name] == new[name]
                )  # a test may start and stop threads
            elif kind == "module":
                is_kept = (name in new and new[name] is old[name]) if name in old else new[name] is not None
            elif kind == "environment variable" and name not in old:
                is_kept = is_first_import
            elif kind == "Keras setting":
                is_kept = not old or old[name] == new[name]
            else:
                is_kept = name in old and name in new and old[name] == new[name]
            if not is_kept:
                found.append(f"{kind} {name}: {_shown(old, name)} → {_shown(new, name)}")
    return sorted(found)


def _shown(values: dict[Any, Any], name: Any) -> str:
    return repr(values[name])[:200] if name in values else "absent"


def _affinities() -> dict[int, frozenset[int]]:
    found = {}
    for task in TASKS.glob("*"):
        try:
            found[int(task.name)] = frozenset(os.sched_getaffinity(int(task.name)))
        except OSError:
            continue  # the thread ended in the meantime
    return found


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "deleted"


def _keras() -> dict[str, Any]:
    """Return the settings that affect all networks of the process; empty if Keras is not imported."""
    keras, tensorflow = sys.modules.get("keras"), sys.modules.get("tensorflow")
    if keras is None or tensorflow is None:
        return {}
    return {
        "dtype policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image data format": keras.config.image_data_format(),
        "traceback filtering": keras.config.is_traceback_filtering_enabled(),
        "interactive logging": keras.config.is_interactive_logging_enabled(),
        "functions run eagerly": tensorflow.config.functions_run_eagerly(),
    }
