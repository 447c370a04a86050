"""Find, read and validate config files, with overrides from the command line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from dnn_cli.config import consistency, yaml_document
from dnn_cli.config.messages import did_you_mean, reading_order, to_problem
from dnn_cli.config.schema import Config
from dnn_cli.config.section import SectionClasses
from dnn_cli.errors import ConfigError, Problem, UsageError, reason

SHIPPED = ("mnist", "smoke", "small", "fast", "best", "tiny", "zero-to-four", "five-to-nine")


@dataclass(frozen=True)
class Override:
    """A value from the command line that replaces a setting of the config.

    Attributes:
        key: the path of the setting, for example ``training.epochs``.
        value: the new value, as YAML holds it.
        place: the option as the user wrote it; error messages name it as the place of the value.
    """

    key: str
    value: Any
    place: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``key.path=value``, where the value is YAML.

        Raises:
            UsageError: `text` has no key or no ``=``, or the value is not valid YAML.
        """
        key, equals, value = text.partition("=")
        if not equals or not key or not all(str(part) for part in yaml_document.parse_path(key)):
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


def load(name: str, overrides: Iterable[Override] = ()) -> Config:
    """Read a config file and apply overrides.

    Args:
        name: the path of a file, or the name of a shipped config.
        overrides: settings to replace, in this order.

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
    return parse(text, str(path), overrides)


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
    """Read a config from YAML text and apply overrides.

    Args:
        text: the YAML.
        source: the name of the document in error messages.
        overrides: settings to replace, in this order.

    Raises:
        ConfigError: the config has problems; the error lists all of them, in reading order.
    """
    document = yaml_document.parse(text, source)
    problems = document.problems
    for override in overrides:
        try:
            document.set(yaml_document.parse_path(override.key), override.value, override.place)
        except ConfigError as error:
            problems += error.problems
    classes = SectionClasses()
    try:
        config = Config.model_validate({} if document.values is None else document.values, context=classes)
    except ValidationError as error:
        reported = {problem.place for problem in problems}
        found = [to_problem(details, document, classes) for details in error.errors(include_url=False)]
        # A value that could not be read is reported already, and fails validation as well.
        problems += [problem for problem in found if problem.place not in reported]
    else:
        problems += [
            Problem(document.place(path), yaml_document.format_path(path), message)
            for path, message in consistency.contradictions(config)
        ]
    if problems:
        raise ConfigError(source, sorted(problems, key=reading_order))
    return config
