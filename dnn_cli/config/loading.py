"""Find, read and validate configs, from files or Python values, with overrides from a command or a function call."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from dnn_cli.config import consistency, python_values, yaml_document
from dnn_cli.config.messages import did_you_mean, reading_order, to_problem
from dnn_cli.config.schema import Config
from dnn_cli.config.section import SectionClasses
from dnn_cli.config.yaml_document import Document
from dnn_cli.errors import ConfigError, Problem, UsageError, reason

SHIPPED = ("mnist", "smoke", "small", "fast", "best", "tiny", "zero-to-four", "five-to-nine")

# The settings that have a short name, as an option of a command (``--batch-size``) and an argument of a function.
SHORT_NAMES = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "seed": "seed",
    "engine": "engine",
    "threads": "training.threads",
}
DATASETS = (  # the known names of `data.dataset`
    "mnist",
    "fashion_mnist",
    "mnist-sample",
    "kmnist",
    "emnist-balanced",
    "emnist-letters",
    "emnist-digits",
    "usps",
)
MAX_PLACE = 30  # characters of a Python value in the place of an error


@dataclass(frozen=True)
class Override:
    """A value that replaces a setting of the config.

    Attributes:
        key: the path of the setting, for example ``training.epochs``.
        value: the new value, as YAML holds it.
        place: the option or the argument that gives it; error messages name it as the place of the value.
        origin: what the option or the argument belongs to.
    """

    key: str
    value: Any
    place: str
    origin: str = "the command line"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``key.path=value``, where the value is YAML.

        Raises:
            UsageError: `text` has no key or no ``=``, or the value is not valid YAML.
        """
        key, equals, value = text.partition("=")
        if not equals or not _is_path(key):
            raise UsageError(f"--set {text}: expected key.path=value, for example --set training.epochs=5")
        place = f"--set {text}"
        try:
            document = yaml_document.parse(value, place)
            problems = document.problems
        except ConfigError as error:
            problems = list(error.problems)
        if problems:
            raise UsageError(f"{place}: {'; '.join(problem.message for problem in problems)}")
        return cls(key, document.values, place)

    @classmethod
    def from_python(cls, name: str, value: Any) -> Self:
        """Return the override that an argument of a function means, such as ``epochs=3``.

        Args:
            name: the path of a setting, or one of `SHORT_NAMES`.
            value: the new value.

        Raises:
            UsageError: `name` is not a path, or no config can hold the value.
        """
        if not isinstance(name, str) or not _is_path(name):
            raise UsageError(f"{name!r} is not a setting; expected a path such as 'training.epochs'")
        document = python_values.to_document(value, name)
        if document.problems:
            raise UsageError("\n".join(_named(problem, name) for problem in document.problems))
        shown = repr(document.values)
        place = f"{name}={shown if len(shown) <= MAX_PLACE else f'{shown[: MAX_PLACE - 3]}...'}"
        return cls(SHORT_NAMES.get(name, name), document.values, place, "the function call")


def load(name: str, overrides: Iterable[Override] = (), *, of_run: bool = False) -> Config:
    """Read a config file and apply overrides.

    Args:
        name: the path of a file, or the name of a shipped config.
        overrides: settings to replace, in this order.
        of_run: whether a run recorded it; its dataset may have moved, or be named relative to another folder.

    Raises:
        UsageError: there is no such file, or it cannot be read as text.
        ConfigError: the config has problems; the error lists all of them.
    """
    path = find(name)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(yaml_document.MAX_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text") from None
    return _validate(yaml_document.parse(text, str(path)), overrides, any_dataset=of_run)


def find(name: str) -> Path:
    """Return the config file that `name` means: a path, or else the name of a shipped config.

    Raises:
        UsageError: there is no such file.
    """
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {reason(error)}") from None
    if exists and not is_folder:
        return path
    if name in SHIPPED:
        return shipped_folder() / f"{name}.yaml"
    if is_folder:
        raise UsageError(f"{name} is a folder, not a config file")
    hint = did_you_mean(path.stem, SHIPPED)
    raise UsageError(f"there is no config file {name}{hint}; shipped configs: {', '.join(SHIPPED)}")


def shipped_folder() -> Path:
    """Return the folder of the shipped configs: inside an installed package, next to the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def parse(text: str, source: str, overrides: Iterable[Override] = ()) -> Config:
    """Read a config from YAML text and apply overrides; any name of a dataset is accepted.

    Args:
        text: the YAML.
        source: the name of the document in error messages.
        overrides: settings to replace, in this order.

    Raises:
        ConfigError: the config has problems; the error lists all of them, in reading order.
    """
    return _validate(yaml_document.parse(text, source), overrides, any_dataset=True)


def from_values(
    values: Mapping[str, Any] | Config, overrides: Iterable[Override] = (), source: str = "config"
) -> Config:
    """Validate a config that is given as Python values, and apply overrides.

    Args:
        values: a mapping as YAML would hold it, or a config; tuples, paths and NumPy's numbers are converted.
        overrides: settings to replace, in this order.
        source: the name of the config in error messages.

    Raises:
        ConfigError: the config has problems; the error lists all of them.
    """
    return _validate(python_values.to_document(values, source), overrides)


def _validate(document: Document, overrides: Iterable[Override], *, any_dataset: bool = False) -> Config:
    problems, overrides = document.problems, list(overrides)
    if document.values is None:
        problems.append(Problem(document.source, "", "there are no settings; if all defaults are meant, write {}"))
    for override in overrides:
        try:
            document.set(yaml_document.parse_path(override.key), override.value, override.place)
        except ConfigError as error:
            problems += error.problems
    classes = SectionClasses()
    try:
        config = Config.model_validate({} if document.values is None else document.values, context=classes)
    except ValidationError as error:
        reported = list(problems)
        for details in error.errors(include_url=False):
            problem = to_problem(details, document, classes, setting_paths())
            # A value that could not be read is reported already, and fails validation as well.
            if not any(problem.place == one.place and _is_inside(problem.key, one.key) for one in reported):
                problems.append(problem)
    else:
        problems += [
            Problem(document.place(path), yaml_document.format_path(path), message)
            for path, message in consistency.contradictions(config)
        ]
        if not any_dataset and (message := _unknown_dataset(config.data.dataset)):
            problems.append(Problem(document.place(("data", "dataset")), "data.dataset", message))
    if problems:
        raise ConfigError(_sources(document.source, problems, overrides), sorted(problems, key=reading_order))
    return config


def _sources(source: str, problems: Sequence[Problem], overrides: Sequence[Override]) -> list[str]:
    """Return the sources of the problems: the config, and what overrides it."""
    origins = {override.place: override.origin for override in overrides}
    return list(dict.fromkeys(origins.get(problem.place, source) for problem in sorted(problems, key=reading_order)))


def _unknown_dataset(name: str) -> str:
    """Return what is wrong with a name that is neither known nor a path; empty if nothing is."""
    if name in DATASETS or Path(name).suffix or set(name) & set("/\\~"):
        return ""
    with suppress(OSError, ValueError):  # no path can have this name
        if Path(name).exists():
            return ""
    return f"must be one of {', '.join(DATASETS)}, or a path, got {name!r}{did_you_mean(name, DATASETS)}"


def _is_inside(key: str, outer: str) -> bool:
    """Return whether the setting `key` is the setting `outer` or a part of it."""
    return key == outer or (outer != "" and key.startswith((f"{outer}.", f"{outer}[")))


def _is_path(key: str) -> bool:
    return all(str(part) for part in yaml_document.parse_path(key))


def _named(problem: Problem, name: str) -> str:
    """Return a problem inside the value of the setting `name` as a line."""
    inner = f"{'' if problem.key.startswith('[') else '.'}{problem.key}" if problem.key else ""
    return f"{name}{inner}: {problem.message}"


@cache
def setting_paths() -> dict[str, str]:
    """Return the path of each setting whose own name is unique: ``epochs`` → ``training.epochs``."""
    paths = [path for path in _paths(Config().to_dict()) if path != "optimizer.name"]  # a name can mean anything
    names = Counter(path.rpartition(".")[2] for path in paths)
    return {name: path for path in paths if names[name := path.rpartition(".")[2]] == 1}


def _paths(section: Mapping[str, Any], start: str = "") -> Iterator[str]:
    for key, value in section.items():
        yield f"{start}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{start}{key}.")
