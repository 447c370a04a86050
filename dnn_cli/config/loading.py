"""Find, read and validate config files, with overrides from the command line."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    ValidationError,
)

from dnn_cli.config import numpy_support, yaml_document
from dnn_cli.config.messages import problem_of, reading_order
from dnn_cli.config.optimizers import Common
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Config, Data, Model
from dnn_cli.config.yaml_document import Document
from dnn_cli.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from dnn_cli.config.section import Section

SHIPPED = ("mnist", "smoke", "small", "fast", "best", "tiny", "zero-to-four", "five-to-nine")


@dataclass(frozen=True)
class Override:
    """A value from the command line that takes a config's place, and how errors name where it stands."""

    key: str
    value: Any
    place: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``key.path=value``, the value in YAML; raises `UsageError` where it has no such form."""
        key, equals, value = text.partition("=")
        if not equals or not key or not all(str(part) for part in yaml_document.parse_path(key)):
            raise UsageError(f"--set {text}: expected key.path=value, for example --set training.epochs=5")
        place = f"--set {text}"
        try:
            read = yaml_document.parse(value, place)
            problems = read.problems
        except ConfigError as error:
            problems = list(error.problems)
        if problems:
            raise UsageError(f"{place}: {'; '.join(problem.message for problem in problems)}")
        return cls(key, read.values, place)


def load(name: str, overrides: Iterable[Override] = ()) -> Config:
    """The config at the path `name`, or the shipped one of that name, with `overrides` applied.

    Raises:
        UsageError: there is no such file, or it is not text.
        ConfigError: it has problems; all of them are named.
    """
    path = find(name)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(yaml_document.MAX_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text") from None
    return parse(text, str(path), overrides)


def find(name: str) -> Path:
    """The file that `name` stands for: a path, or the name of a shipped config."""
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
    if exists and not is_folder:
        return path
    if name in SHIPPED:
        return shipped_folder() / f"{name}.yaml"
    if is_folder:
        raise UsageError(f"{name} is a folder, not a config file")
    close = difflib.get_close_matches(path.stem, SHIPPED, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise UsageError(f"there is no config file {name}{hint}; shipped configs: {', '.join(SHIPPED)}")


def shipped_folder() -> Path:
    """Where the shipped configs are: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def parse(text: str, source: str, overrides: Iterable[Override] = ()) -> Config:
    """Read a config from YAML `text`, which errors call `source`; raises `ConfigError` with every problem."""
    read = yaml_document.parse(text, source)
    problems = read.problems
    for override in overrides:
        try:
            read.set(yaml_document.parse_path(override.key), override.value, override.place)
        except ConfigError as error:
            problems += error.problems
    known = {problem.place for problem in problems}
    classes: dict[int, type[Section]] = {}
    try:
        config = Config.model_validate({} if read.values is None else read.values, context=classes)
        problems += _contradictions(config, read)
    except ValidationError as error:
        found = [problem_of(details, read, classes) for details in error.errors(include_url=False)]
        problems += [problem for problem in found if problem.place not in known]
    if problems:
        raise ConfigError(source, sorted(problems, key=reading_order))
    return config


def _contradictions(config: Config, read: Document) -> Iterable[Problem]:
    """What no single setting shows to be wrong."""
    if config.engine == "numpy":
        for path, message in numpy_support.of_training(config):
            yield Problem(read.place(path), yaml_document.format_path(path), message)
    stopping = config.training.early_stopping
    if stopping and stopping.monitor.startswith("val_") and not config.data.validation:
        path = ("training", "early_stopping", "monitor")
        message = f"{stopping.monitor} needs images held out; set data.validation, or monitor loss or accuracy"
        yield Problem(read.place(path), yaml_document.format_path(path), message)
    sections: tuple[tuple[yaml_document.Path, Any], ...] = (
        (("data",), config.data),
        (("model",), config.model),
        (("optimizer",), config.optimizer),
        (("optimizer", "learning_rate"), config.optimizer.learning_rate),
    )
    for base, section in sections:
        if isinstance(section, Data | Model | Common | Schedule):
            for key, message in section.contradictions():
                path = (*base, key) if key else base
                yield Problem(read.place(path), yaml_document.format_path(path), message)
