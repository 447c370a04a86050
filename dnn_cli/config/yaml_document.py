"""YAML text → plain values, remembering where each of them stands; and plain values → YAML text.

The dialect is YAML 1.2's core schema, which is what people expect to have written: ``1e-4`` is a number, ``no`` is
a string, ``010`` is ten. Only mappings, lists and scalars exist; a tag that asks for anything else is refused, a key
given twice is an error, and size and nesting are bounded, so that a hostile file costs nothing.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from dnn_cli.errors import ConfigError, Problem

Path = tuple[str | int, ...]

MAX_CHARACTERS = 100_000
MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_INTEGER_CHARACTERS = 100

SHORT_FORMS = {int: "units", str: "name"}  # a layer's `128` is {units: 128}, an optimizer's `adam` is {name: adam}

_CORE_TAG = "tag:yaml.org,2002:"
_PLAIN_SCALARS = {  # tag → what it looks like, and the characters it may begin with
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
    """PyYAML's safe loader with YAML 1.2's rules for what a plain scalar means."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML copies it on the first add)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which here also quotes text that only YAML 1.2 would take for a number."""


for _tag, (_pattern, _first) in _PLAIN_SCALARS.items():
    for _class in (_CoreSchemaLoader, _Dumper):
        _class.add_implicit_resolver(_CORE_TAG + _tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def format_path(path: Path) -> str:
    """``("model", "layers", 0, "units")`` → ``model.layers[0].units``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_path(text: str) -> Path:
    """``model.layers[0].units`` or ``model.layers.0.units`` → ``("model", "layers", 0, "units")``."""
    parts = re.sub(r"\[([0-9]+)\]", r".\1", text).split(".")
    return tuple(int(part) if re.fullmatch(r"[0-9]{1,9}", part) else part for part in parts)


@dataclass
class Document:
    """Values read from YAML, and the place of every key and value in them.

    Attributes:
        source: the name that errors give the document.
        values: nested dicts, lists and scalars.
        key_places: path → place of the key.
        value_places: path → place of the value.
        problems: what is wrong with single keys and values, such as a key given twice.
    """

    source: str
    values: Any = None
    key_places: dict[Path, str] = field(default_factory=dict)
    value_places: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path, *, of_key: bool = False) -> str:
        """Where `path` stands, or the nearest thing around it that stands anywhere."""
        if of_key and path in self.key_places:
            return self.key_places[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.value_places:
                return self.value_places[path[:length]]
        return self.source

    def set(self, path: Path, value: Any, place: str) -> None:
        """Put `value` at `path`, as an override that stands at `place`.

        What is missing on the way is made, and a short form on the way is written out.

        Raises:
            ConfigError: something else is on the way, or a list would get a gap.
        """
        if len(path) > MAX_DEPTH:
            self._refuse(path, f"more than {MAX_DEPTH} levels of nesting", place)
        self.values = self._replaced(self.values, (), path, value, place)

    def _replaced(self, old: Any, at: Path, rest: Path, value: Any, place: str) -> Any:
        """`old`, which stands at `at`, with `value` put at `rest` inside it."""
        if not rest:
            for places in (self.key_places, self.value_places):
                for known in [known for known in places if known[: len(at)] == at]:
                    del places[known]
                places[at] = place
            return value
        key, *others = rest
        old = self._opened(old, at, key, place)
        if isinstance(old, dict):
            key = str(key)
            return {**old, key: self._replaced(old.get(key), (*at, key), tuple(others), value, place)}
        where = format_path(at) or "the config"
        if not isinstance(old, list):
            self._refuse((*at, *rest), f"{where} is not a mapping", place)
        if not isinstance(key, int):
            self._refuse((*at, *rest), f"{where} is a list, not a mapping", place)
        if key > len(old):
            self._refuse((*at, *rest), f"the next new entry of {where} would be [{len(old)}]", place)
        inner = old[key] if key < len(old) else None
        return [*old[:key], self._replaced(inner, (*at, key), tuple(others), value, place), *old[key + 1 :]]

    def _opened(self, old: Any, at: Path, key: str | int, place: str) -> Any:
        """`old` as something that `key` can be put into: nothing and short forms become mappings or lists."""
        if old is None:
            opened: Any = [] if at and isinstance(key, int) else {}
        elif at and type(old) in SHORT_FORMS:
            long = (*at, SHORT_FORMS[type(old)])
            self.key_places[long] = self.value_places[long] = self.place(at)
            opened = {SHORT_FORMS[type(old)]: old}
        else:
            return old
        if at:
            self.value_places[at] = place
        return opened

    def _refuse(self, path: Path, message: str, place: str) -> NoReturn:
        raise ConfigError(self.source, [Problem(place, format_path(path), message)])


def parse(text: str, source: str) -> Document:
    """Read YAML `text`, which errors call `source`.

    Raises:
        ConfigError: it cannot be read at all; what is wrong with single values is in `Document.problems`.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(source, [Problem(source, "", f"longer than {MAX_CHARACTERS:,} characters")])
    document = Document(source)
    try:
        loader = _CoreSchemaLoader(text)
        node = loader.get_node() if loader.check_node() else None
        if loader.check_node():
            place = _place(source, loader.peek_event().start_mark)  # type: ignore[no-untyped-call]
            raise ConfigError(source, [Problem(place, "", "a second YAML document begins here; a config is one")])
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
    """YAML text that `parse` reads back to equal `values`."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def dump_line(values: Any) -> str:
    """The same on one line, as it may stand inside a mapping: ``{patience: 5}``."""
    text = yaml.dump([values], Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=MAX_CHARACTERS)
    return text.strip()[1:-1]


def _place(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source


class _Builder:
    """Builds a document's values from YAML nodes; notes every duplicate key and foreign tag on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        """The plain value of `node`, which stands at `path`; raises `ConfigError` when it is too much."""
        place = self._visit(node, path)
        self.document.value_places[path] = place
        tag = node.tag.removeprefix(_CORE_TAG)
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in _SCALAR_TAGS:
            return self._scalar(node, tag, path, place)
        self._foreign_tag(node, path, place)
        return None

    def _visit(self, node: yaml.Node, path: Path) -> str:
        """The place of `node`, which is counted."""
        self.nodes += 1
        place = _place(self.document.source, node.start_mark)
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES:,} keys and values" if self.nodes > MAX_NODES else f"{MAX_DEPTH} levels of nesting"
            problem = Problem(place, "", f"more than {limit}, counting what aliases repeat")
            raise ConfigError(self.document.source, [problem])
        return place

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._visit(key_node, path)
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(place, path, "a key must be a plain word")
                continue
            if key_node.tag.removeprefix(_CORE_TAG) not in _SCALAR_TAGS:
                self._foreign_tag(key_node, path, place)
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

    def _scalar(self, node: yaml.ScalarNode, tag: str, path: Path, place: str) -> Any:
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

    def _foreign_tag(self, node: yaml.Node, path: Path, place: str) -> None:
        tag = node.tag.replace(_CORE_TAG, "!!")
        self._note(place, path, f"the tag {tag} is not allowed here")

    def _note(self, place: str, path: Path, message: str) -> None:
        self.document.problems.append(Problem(place, format_path(path), message))
