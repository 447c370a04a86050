"""What can go wrong, in words for the person who can mend it, with the exit code it leads to.

A `DnnError` is an expected failure: the command line prints its message and exits with its code.
Any other exception is a bug and keeps its traceback.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec


class DnnError(Exception):
    """Something failed while running."""

    exit_code = 1


class UsageError(DnnError):
    """The command line, or what it names, cannot be used as asked."""

    exit_code = 2


class DataError(DnnError):
    """A dataset is missing, damaged or not what it should be."""


class RunError(DnnError):
    """A run directory is locked, damaged or unfit for what was asked."""


class TrainingError(DnnError):
    """Training cannot go on, for example because the loss is not finite."""


class GateError(DnnError):
    """A quality gate such as ``--min-accuracy`` was not met."""

    exit_code = 3


class InterruptedTrainingError(DnnError):
    """A signal stopped the training after its state was saved.

    It can be made from a message alone, as every exception that passes through Keras must: Keras makes some anew.

    Args:
        message: what was saved, and the command that resumes it.
        signal_number: the signal, 2 for SIGINT or 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a config: where it stands, which key, and what is wrong with it."""

    place: str
    key: str
    message: str


class ConfigError(UsageError):
    """Every problem of a config at once, a line each."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        width = max(len(problem.place) for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{source} has {count}"]
        for problem in problems:
            key = f"{problem.key}: " if problem.key else ""
            lines.append(f"  {problem.place:<{width}}  {key}{problem.message}")
        super().__init__("\n".join(lines))


def together(errors: Sequence[DnnError]) -> DnnError:
    """One error that says all that `errors` say, each thing once; a wrong usage outweighs what failed."""
    text = "\n".join(dict.fromkeys(map(str, errors)))
    return UsageError(text) if any(isinstance(error, UsageError) for error in errors) else DnnError(text)


def reason(error: object) -> str:
    """What the operating system or an exception says went wrong, in a line that is never empty."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(text).splitlines()[0]


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
        names = " and ".join({"PIL": "Pillow"}.get(name, name) for name in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(f"{purpose} needs {names}, which {verb} not installed: pip install 'dnn-cli[{extra}]'")
