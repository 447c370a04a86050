"""Convert the Python values of a config to a document: the values that YAML would hold, without places.

A notebook gives tuples, paths and NumPy numbers where YAML has lists, text and numbers.
"""

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

from dnn_cli.config.section import Section
from dnn_cli.config.yaml_document import MAX_DEPTH, MAX_NODES, Document, KeyPath, format_path
from dnn_cli.errors import ConfigError, Problem


def to_document(values: Any, source: str) -> Document:
    """Return the document of a config that is given as Python values.

    Mappings, sequences, paths, NumPy's numbers and arrays, and sections of another config are converted.

    Args:
        values: the config; it is copied.
        source: the name of the document in error messages, which is also the place of every value.

    Returns:
        The document; values that no config can hold are in its `problems`.

    Raises:
        ConfigError: there are too many values, or they are nested too deeply.
    """
    document = Document(source)
    document.values = _Converter(document).value(values, ())
    return document


class _Converter:
    """Convert values, and record problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def value(self, value: Any, path: KeyPath) -> Any:
        """Return `value`, which is at `path`, as YAML would hold it; None for a value that no config can hold."""
        self._count(path)
        if isinstance(value, Section):
            value = value.model_dump(mode="json")
        elif hasattr(value, "tolist"):  # NumPy's arrays and numbers, and those of other libraries
            value = value.tolist()
        if isinstance(value, Mapping):
            return {key: self.value(inner, (*path, key)) for key, inner in value.items() if self._is_key(key, path)}
        if isinstance(value, list | tuple | range):
            return [self.value(inner, (*path, index)) for index, inner in enumerate(value)]
        return self._scalar(value, path)

    def _scalar(self, value: Any, path: KeyPath) -> str | int | float | bool | None:
        plain: str | int | float | bool | None = None
        if isinstance(value, bool):
            plain = value
        elif isinstance(value, str):
            plain = str.__str__(value)  # without the class of a subclass, such as an enumeration
        elif isinstance(value, PurePath):
            plain = str(value)
        elif isinstance(value, Integral):
            plain = int(value)
        elif isinstance(value, Real):
            plain = float(value)
        elif value is not None:
            self._note(path, f"must be a number, text, true or false, a list or a mapping, got {_article(value)}")
        return plain

    def _is_key(self, key: Any, path: KeyPath) -> bool:
        self._count(path)
        if not isinstance(key, str):
            self._note((*path, str(key)), f"a key must be text, got {_article(key)}")
        return isinstance(key, str)

    def _count(self, path: KeyPath) -> None:
        """Count a key or a value; raise `ConfigError` if a limit is exceeded."""
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES:,} keys and values" if self.count > MAX_NODES else f"{MAX_DEPTH} levels of nesting"
            source = self.document.source
            raise ConfigError(source, [Problem(source, "", f"more than {limit}")])

    def _note(self, path: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(self.document.source, format_path(path), message))


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
