"""Define the errors that a user can act on, and the exit code of each.

A `DnnError` is an expected failure: the command line prints its message and exits with its code. Any other exception is
a bug, and its traceback is printed. A `DnnWarning` is how the Python API warns.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec


class DnnError(Exception):
    """Base class of expected failures.

    Attributes:
        exit_code: the exit code of the command line.
    """

    exit_code = 1


class DnnWarning(UserWarning):
    """A result is valid, but there is something to know about it. The Python API warns; commands print a line."""


class UsageError(DnnError):
    """The command line is wrong, or names something that cannot be used."""

    exit_code = 2


class DataError(DnnError):
    """A dataset is missing, damaged or of the wrong form."""


class RunError(DnnError):
    """A run directory is locked, damaged or unsuitable for the request."""


class TrainingError(DnnError):
    """Training cannot continue, for example because the loss is not finite."""


class GateError(DnnError):
    """A quality gate such as ``--min-accuracy`` was not met."""

    exit_code = 3


class InterruptedTrainingError(DnnError):
    """A signal stopped the training, after its state was saved.

    Keras creates some exceptions again from their message, so this class must not require other arguments.

    Args:
        message: what was saved, and the command that resumes the training.
        signal_number: the signal: 2 for SIGINT, 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


@dataclass(frozen=True)
class Problem:
    """A problem in a config.

    Attributes:
        place: where it is: ``file:line:column``, or an option of the command line.
        key: the path of the setting, for example ``training.epochs``; empty for the whole config.
        message: what is wrong.
    """

    place: str
    key: str
    message: str


class ConfigError(UsageError):
    """A config has problems. The message lists all of them, one per line.

    Args:
        source: the name of the config, or the names of all that have a problem.
        problems: at least one.
    """

    def __init__(self, source: str | Sequence[str], problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        width = max(len(problem.place) for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        sources = [source] if isinstance(source, str) else source
        lines = [f"{' and '.join(sources)} {'has' if len(sources) == 1 else 'have'} {count}"]
        for problem in problems:
            key = f"{problem.key}: " if problem.key else ""
            lines.append(f"  {problem.place:<{width}}  {key}{problem.message}")
        super().__init__("\n".join(lines))


def together(errors: Sequence[DnnError]) -> DnnError:
    """Combine errors into one, without repeated messages; it is a `UsageError` if one of them is."""
    text = "\n".join(dict.fromkeys(map(str, errors)))
    return UsageError(text) if any(isinstance(error, UsageError) for error in errors) else DnnError(text)


def reason(error: object) -> str:
    """Return the reason for an error on one line, never empty: the operating system's message, or the exception's."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(text).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory is exhausted: Python's, TensorFlow's, or that of the loader."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"  # TensorFlow is not imported to find out
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, ImportError) and ("cannot allocate memory" in text or "failed to map segment" in text))
    )


def require_extra(extra: str, *packages: str, purpose: str) -> None:
    """Check that the packages of an optional extra are installed, without importing them.

    Args:
        extra: the extra that installs them, such as ``report``.
        packages: the names by which they are imported.
        purpose: what needs them, as the beginning of the message: ``dnn report``.

    Raises:
        UsageError: a package is missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        titles = {"PIL": "Pillow", "cv2": "OpenCV", "ai_edge_litert": "ai-edge-litert"}
        names = " and ".join(titles.get(name, name) for name in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(f"{purpose} needs {names}, which {verb} not installed: pip install 'dnn-cli[{extra}]'")
