"""Read YAML into plain values and record the place of each, and write plain values as YAML.

The dialect is the core schema of YAML 1.2, which reads values as most people expect: ``1e-4`` is a number, ``no`` is
a string, ``010`` is ten. A document holds only mappings, lists and scalars. A tag for anything else is an error, and so
is a repeated key. Size and nesting are limited, so that a malicious file takes neither much time nor much memory.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from dnn_cli.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]  # keys and list indices, from the top of the document to a value

MAX_CHARACTERS = 100_000
MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_INTEGER_CHARACTERS = 100

# A scalar of this type is short for a mapping with this key: 128 for {units: 128}, adam for {name: adam}.
SHORT_FORMS = {int: "units", str: "name"}

_CORE_TAG = "tag:yaml.org,2002:"
_PLAIN_SCALARS = {  # tag → pattern of an unquoted scalar with this tag, and the characters that it can begin with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
_SCALAR_TAGS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "null": "null"}


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with the rules of YAML 1.2 for the type of an unquoted scalar."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML copies it before the first change)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also quotes text that only YAML 1.2 reads as a number."""


for _tag, (_pattern, _first) in _PLAIN_SCALARS.items():
    for _class in (_CoreSchemaLoader, _Dumper):
        _class.add_implicit_resolver(_CORE_TAG + _tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def format_path(path: KeyPath) -> str:
    """Return a path as text: ``("model", "layers", 0, "units")`` → ``model.layers[0].units``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_path(text: str) -> KeyPath:
    """Return the path in `text`: ``model.layers[0].units`` → ``("model", "layers", 0, "units")``.

    An index can also be written as ``model.layers.0.units``.
    """
    parts = re.sub(r"\[([0-9]+)\]", r".\1", text).split(".")
    return tuple(int(part) if re.fullmatch(r"[0-9]{1,9}", part) else part for part in parts)


@dataclass
class Document:
    """Values read from YAML, and the place of every key and value.

    Attributes:
        source: the name of the document in error messages.
        values: nested dicts, lists and scalars.
        key_places: the place of each key, by its path: ``source:line:column``.
        value_places: the place of each value, by its path.
        problems: errors in single keys and values, such as a repeated key.
    """

    source: str
    values: Any = None
    key_places: dict[KeyPath, str] = field(default_factory=dict)
    value_places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath, *, of_key: bool = False) -> str:
        """Return the place of a value, or of the innermost value around it that has a place.

        Args:
            path: the path of the value.
            of_key: return the place of its key instead, if it has one.
        """
        if of_key and path in self.key_places:
            return self.key_places[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.value_places:
                return self.value_places[path[:length]]
        return self.source

    def set(self, path: KeyPath, value: Any, place: str) -> None:
        """Set the value at a path.

        Missing mappings and lists on the way are created, and a short form on the way becomes a mapping.

        Args:
            path: where to set it.
            value: the new value.
            place: the place of the new value in error messages.

        Raises:
            ConfigError: another value is on the way, or a list would get a gap.
        """
        if len(path) > MAX_DEPTH:
            self._reject(path, f"more than {MAX_DEPTH} levels of nesting", place)
        self.values = self._replaced(self.values, (), path, value, place)

    def _replaced(self, old: Any, at: KeyPath, rest: KeyPath, value: Any, place: str) -> Any:
        """Return a copy of `old`, which is at the path `at`, with `value` at the path `rest` inside it."""
        if not rest:
            for places in (self.key_places, self.value_places):
                for known in [known for known in places if known[: len(at)] == at]:
                    del places[known]
                places[at] = place
            return value
        key, *others = rest
        old = self._expanded(old, at, key, place)
        if isinstance(old, dict):
            key = str(key)
            return {**old, key: self._replaced(old.get(key), (*at, key), tuple(others), value, place)}
        where = format_path(at) or "the config"
        if not isinstance(old, list):
            self._reject((*at, *rest), f"{where} is not a mapping", place)
        if not isinstance(key, int):
            self._reject((*at, *rest), f"{where} is a list, not a mapping", place)
        if key > len(old):
            self._reject((*at, *rest), f"{where} has no entry [{len(old)}] yet; add that one first", place)
        inner = old[key] if key < len(old) else None
        return [*old[:key], self._replaced(inner, (*at, key), tuple(others), value, place), *old[key + 1 :]]

    def _expanded(self, old: Any, at: KeyPath, key: str | int, place: str) -> Any:
        """Return `old` in a form that can hold `key`: null and short forms become mappings or lists."""
        if old is None:
            expanded: Any = [] if at and isinstance(key, int) else {}
        elif at and type(old) in SHORT_FORMS:
            long = (*at, SHORT_FORMS[type(old)])
            self.key_places[long] = self.value_places[long] = self.place(at)
            expanded = {SHORT_FORMS[type(old)]: old}
        else:
            return old
        if at:
            self.value_places[at] = place
        return expanded

    def _reject(self, path: KeyPath, message: str, place: str) -> NoReturn:
        raise ConfigError(self.source, [Problem(place, format_path(path), message)])


def parse(text: str, source: str) -> Document:
    """Read YAML text.

    Args:
        text: the YAML.
        source: the name of the document in error messages.

    Returns:
        The document; errors in single keys and values are in its `problems`.

    Raises:
        ConfigError: the text cannot be read at all.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(source, [Problem(source, "", f"longer than {MAX_CHARACTERS:,} characters")])
    document = Document(source)
    try:
        loader = _CoreSchemaLoader(text)
        node = loader.get_node() if loader.check_node() else None
        if loader.check_node():
            place = _place(source, loader.peek_event().start_mark)  # type: ignore[no-untyped-call]
            raise ConfigError(source, [Problem(place, "", "a second YAML document begins here; only one is allowed")])
        if node is not None:
            document.values = _Builder(document).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(source, [Problem(_place(source, mark), "", f"not valid YAML: {error.problem}")]) from None
    except yaml.reader.ReaderError as error:
        *lines, last = text[: error.position].split("\n")
        place = f"{source}:{len(lines) + 1}:{len(last) + 1}"
        message = f"not valid YAML: the character {chr(error.character)!r} is not allowed"
        raise ConfigError(source, [Problem(place, "", message)]) from None
    except RecursionError:
        raise ConfigError(source, [Problem(source, "", f"more than {MAX_DEPTH} levels of nesting")]) from None
    return document


def dump(values: Any) -> str:
    """Return YAML text that `parse` reads back to equal `values`."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def dump_line(values: Any) -> str:
    """Return YAML text on one line, which can be a value in a mapping: ``{patience: 5}``."""
    text = yaml.dump([values], Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=MAX_CHARACTERS)
    return text.strip()[1:-1]


def _place(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source


class _Builder:
    """Build the values of a document from YAML nodes, and record places and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """Return the plain value of a node.

        Args:
            node: the node.
            path: its path in the document.

        Raises:
            ConfigError: there are too many nodes, or they are nested too deeply.
        """
        place = self._visit(node, path)
        self.document.value_places[path] = place
        tag = node.tag.removeprefix(_CORE_TAG)
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in _SCALAR_TAGS:
            return self._scalar(node, tag, path, place)
        self._note_tag(node, path, place)
        return None

    def _visit(self, node: yaml.Node, path: KeyPath) -> str:
        """Count a node and return its place; raise `ConfigError` if a limit is exceeded."""
        self.nodes += 1
        place = _place(self.document.source, node.start_mark)
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES:,} keys and values" if self.nodes > MAX_NODES else f"{MAX_DEPTH} levels of nesting"
            problem = Problem(place, "", f"more than {limit}, counting what aliases repeat")
            raise ConfigError(self.document.source, [problem])
        return place

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._visit(key_node, path)
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(place, path, "a key must be text, not a mapping or list")
                continue
            if key_node.tag.removeprefix(_CORE_TAG) not in _SCALAR_TAGS:
                self._note_tag(key_node, path, place)
                continue
            key = str(key_node.value)
            inner = (*path, key)
            if key in values:
                first = self.document.key_places[inner].removeprefix(f"{self.document.source}:").split(":")[0]
                self._note(place, inner, f"given twice, first in line {first}")
                continue
            self.document.key_places[inner] = place
            values[key] = self.value(value_node, inner)
        return values

    def _scalar(self, node: yaml.ScalarNode, tag: str, path: KeyPath, place: str) -> Any:
        text = str(node.value)
        if tag == "str":
            return text
        too_long = tag == "int" and len(text) > MAX_INTEGER_CHARACTERS
        if too_long or not re.fullmatch(_PLAIN_SCALARS[tag][0], text):
            shown = repr(text if len(text) <= 40 else f"{text[:37]}...")
            self._note(place, path, f"cannot be read as {_SCALAR_TAGS[tag]}: {shown}")
            return None
        if tag == "int":
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if tag == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text.lower() == "true" if tag == "bool" else None

    def _note_tag(self, node: yaml.Node, path: KeyPath, place: str) -> None:
        tag = node.tag.replace(_CORE_TAG, "!!")
        self._note(place, path, f"the tag {tag} is not allowed here")

    def _note(self, place: str, path: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(place, format_path(path), message))
