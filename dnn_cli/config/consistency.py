"""Find settings that are valid one by one but contradict each other."""

from collections.abc import Iterator
from typing import Any

from dnn_cli.config import numpy_support
from dnn_cli.config.schema import Config
from dnn_cli.config.section import Contradiction, Section
from dnn_cli.config.yaml_document import KeyPath


def contradictions(config: Config) -> Iterator[Contradiction]:
    """Yield every contradiction of a config: within its sections, and with the engine chosen."""
    if config.engine == "numpy":
        yield from numpy_support.unsupported_settings(config)
    for start, section in _sections(config, ()):
        for path, message in section.contradictions():
            yield (*start, *path), message


def _sections(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Section]]:
    """Yield each section in `value`, which is at `path`, with the section's own path; outer sections come first."""
    if isinstance(value, Section):
        yield path, value
        for key, inner in value:
            yield from _sections(inner, (*path, key))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _sections(inner, (*path, index))
