"""List the paths of all settings, and the values of those that have only a few, for shell completion."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from dnn_cli.config.schema import Config
from dnn_cli.config.section import Section


def setting_choices() -> dict[str, tuple[str, ...]]:
    """Return the path of each setting, in the order of the schema, and its possible values; none if there are many.

    In a list, the path names the first entry: ``model.layers[0].units``. A setting that holds one of several sections
    has the settings of all of them, and their names as values.
    """
    found: dict[str, list[str]] = {}
    for path, values in _settings(Config, "", ()):
        found.setdefault(path, []).extend(values)
    return {path: tuple(dict.fromkeys(values)) for path, values in found.items()}


def _settings(section: type[Section], start: str, outer: tuple[type[Section], ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path and the values of each setting of a section, whose own path `start` ends with a dot."""
    for name, field in section.model_fields.items():
        path = f"{start}{name}"
        yield path, list(_values(field.annotation))
        for inner, index in _sections(field.annotation, ""):
            if inner not in (*outer, section):  # a schedule may hold another schedule
                yield from _settings(inner, f"{path}{index}.", (*outer, section))


def _sections(annotation: Any, index: str) -> Iterator[tuple[type[Section], str]]:
    """Yield each section class in a type, and ``[0]`` if it is the type of a list's entries."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, index
    entries = get_origin(annotation) is tuple
    for argument in _arguments(annotation):
        yield from _sections(argument, "[0]" if entries else index)


def _values(annotation: Any) -> Iterator[str]:
    """Yield the values of a type, as YAML writes them: those of its literals, or the names of its sections."""
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif annotation is bool:
        yield from ("true", "false")
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        if "name" in annotation.model_fields:
            yield from _values(annotation.model_fields["name"].annotation)
    elif get_origin(annotation) is not tuple:
        for argument in _arguments(annotation):
            yield from _values(argument)


def _arguments(annotation: Any) -> tuple[Any, ...]:
    arguments = get_args(annotation)
    return arguments[:1] if get_origin(annotation) is Annotated else arguments
