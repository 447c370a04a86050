"""YAML text → plain values, remembering where each of them stands.

The dialect is YAML 1.2's core schema, which is what people expect to have written: ``1e-4`` is a number, ``no`` is
a string, ``010`` is ten. Only mappings, lists and scalars exist; a tag that asks for anything else is refused, a key
given twice is an error, and size and nesting are bounded, so that a hostile file costs nothing.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from dnn_cli.errors import ConfigError, Problem

Path = tuple[str | int, ...]

MAX_CHARACTERS = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 50


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's rules for what a plain scalar means."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML copies it on the first add)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _CoreSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def format_path(path: Path) -> str:
    """``("model", "layers", 0, "units")`` → ``model.layers[0].units``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_path(text: str) -> Path:
    """``model.layers[0].units`` or ``model.layers.0.units`` → ``("model", "layers", 0, "units")``."""
    parts = re.sub(r"\[(\d+)\]", r".\1", text).split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)


@dataclass
class Document:
    """Values read from YAML, and the place of every key and value in them.

    Attributes:
        source: the name that errors give the document.
        values: nested dicts, lists and scalars.
        key_places: path → place of the key.
        value_places: path → place of the value.
    """

    source: str
    values: Any = None
    key_places: dict[Path, str] = field(default_factory=dict)
    value_places: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, *, of_key: bool = False) -> str:
        """Where `path` stands, or the nearest thing around it that stands anywhere."""
        if of_key and path in self.key_places:
            return self.key_places[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.value_places:
                return self.value_places[path[:length]]
        return self.source

    def set(self, path: Path, value: Any, place: str) -> None:
        """Put `value` at `path`, as an override that stands at `place`; raises `ConfigError` if it cannot be."""
        container = self._container(path, place)
        key = path[-1]
        if isinstance(container, list):
            if not isinstance(key, int) or key > len(container):
                at = format_path(path[:-1])
                raise ConfigError(
                    self.source, [Problem(place, format_path(path), f"{at} has {len(container)} entries, from [0]")]
                )
            container[key : key + 1] = [value]
        else:
            container[str(key)] = value
        for places in (self.key_places, self.value_places):
            for known in [known for known in places if known[: len(path)] == path]:
                del places[known]
            places[path] = place

    def _container(self, path: Path, place: str) -> Any:
        if self.values is None:
            self.values = {}
        container = self.values
        for depth, key in enumerate(path[:-1]):
            try:
                inner = container[key]
            except (KeyError, IndexError, TypeError):
                inner = None
            if isinstance(inner, int) and not isinstance(inner, bool):  # a layer's short form
                inner = {"units": inner}
            elif isinstance(inner, str):  # an optimizer's short form
                inner = {"name": inner}
            elif inner is None and isinstance(container, dict):
                inner = {}
            if not isinstance(inner, dict | list):
                raise ConfigError(
                    self.source, [Problem(place, format_path(path), f"there is no {format_path(path[: depth + 1])}")]
                )
            container[key] = inner
            container = inner
        return container


def parse(text: str, source: str) -> Document:
    """Read YAML `text`; raises `ConfigError` naming `source`, line and column of what is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(source, [Problem(source, "", f"longer than {MAX_CHARACTERS:,} characters")])
    document = Document(source)
    loader = None
    try:
        loader = _CoreSchemaLoader(text)
        node = loader.get_single_node()
        _Builder(document, loader).build(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(source, [Problem(_place(source, mark), "", f"not valid YAML: {error.problem}")]) from None
    except yaml.reader.ReaderError as error:
        message = f"not valid YAML: character {error.character!r} is not allowed"
        raise ConfigError(source, [Problem(source, "", message)]) from None
    except RecursionError:
        raise ConfigError(source, [Problem(source, "", f"nested deeper than {MAX_DEPTH} levels")]) from None
    finally:
        if loader is not None:
            loader.dispose()
    return document


def parse_value(text: str, source: str) -> Any:
    """The value that `text` is in YAML, for an override."""
    return parse(text, source).values


def _place(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source


class _Builder:
    """Builds a document's values from YAML nodes; collects all duplicate keys and foreign tags before complaining."""

    def __init__(self, document: Document, loader: _CoreSchemaLoader) -> None:
        self.document = document
        self.loader = loader
        self.nodes = 0
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node | None) -> None:
        if node is not None:
            self.document.values = self._value(node, ())
        if self.problems:
            raise ConfigError(self.document.source, self.problems)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        place = _place(self.document.source, node.start_mark)
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES:,} values" if self.nodes > MAX_NODES else f"{MAX_DEPTH} levels of nesting"
            raise ConfigError(
                self.document.source, [Problem(place, "", f"more than {limit}, counting what aliases repeat")]
            )
        self.document.value_places[path] = place
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in ("str", "int", "float", "bool", "null"):
            return self._scalar(node, tag, path, place)
        self.problems.append(Problem(place, format_path(path), f"the tag '{node.tag}' is not allowed here"))
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(self.document.source, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(place, format_path(path), "a key must be a plain word"))
                continue
            key = str(key_node.value)
            inner = (*path, key)
            if key in values:
                first = self.document.key_places[inner].removeprefix(f"{self.document.source}:").split(":")[0]
                self.problems.append(Problem(place, format_path(inner), f"given twice, first in line {first}"))
                continue
            self.document.key_places[inner] = place
            values[key] = self._value(value_node, inner)
        return values

    def _scalar(self, node: yaml.ScalarNode, tag: str, path: Path, place: str) -> Any:
        text = str(node.value)
        try:
            if tag == "int":
                return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
            if tag == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self.problems.append(Problem(place, format_path(path), f"not a number that can be read: {text[:40]!r}"))
            return None
        if tag == "bool":
            return text.lower() == "true"
        return None if tag == "null" else text
