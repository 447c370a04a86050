"""Compare configs: find the settings that differ, and format their values."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dnn_cli.config import yaml_document
from dnn_cli.config.schema import Config
from dnn_cli.config.yaml_document import KeyPath

ABSENT = "(not there)"  # the value of a setting in a config that has no such setting


def difference(old: Config, new: Config) -> list[str]:
    """Return a line for each setting that differs: ``optimizer.learning_rate: 0.001 → 0.01``."""
    return [f"{key}: {show(before)} → {show(after)}" for key, (before, after) in variations([old, new]).items()]


def variations(several: Sequence[Config]) -> dict[str, list[Any]]:
    """Return each setting whose value is not the same in all configs, with its value in each.

    Values have the shortest form that a config file allows: ``[128, {"units": 64, "dropout": 0.2}]``. A setting that
    only some configs have, such as an argument of one optimizer, is `ABSENT` in the others. It is left out where it has
    its default value in all configs that have it.

    Args:
        several: the configs.

    Returns:
        The path of each setting → a value for each config, in the order of `several`.
    """
    explicit = [config.model_dump(mode="json", exclude_defaults=True) for config in several]
    found = {}
    for path, values in _differences([config.to_dict() for config in several], ()):
        chosen = [_value_at(path, values) for values in explicit]
        if ABSENT not in values or any(value is not ABSENT for value in chosen):
            pairs = zip(chosen, values, strict=True)
            found[yaml_document.format_path(path)] = [_shorten(full if own is ABSENT else own) for own, full in pairs]
    return found


def show(value: Any) -> str:
    """Return the value of a setting as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _differences(values: Sequence[Any], path: KeyPath) -> Iterable[tuple[KeyPath, Sequence[Any]]]:
    """Yield the paths at which `values` differ, and their values there.

    Mappings are compared key by key, and lists of equal length entry by entry; other lists are compared as a whole.

    Args:
        values: what each config has at `path`.
        path: where they are.
    """
    inner: Iterable[tuple[str | int, Sequence[Any]]] | None = None
    if all(isinstance(value, dict) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        inner = [(key, [value.get(key, ABSENT) for value in values]) for key in keys]
    elif all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        inner = enumerate(zip(*values, strict=True))
    if inner is not None:
        for part, parts in inner:
            yield from _differences(parts, (*path, part))
    elif any(value != values[0] for value in values):
        yield path, values


def _value_at(path: KeyPath, values: Any) -> Any:
    """Return the value at `path` in nested `values`, or `ABSENT`."""
    for part in path:
        if isinstance(values, dict) and part not in values:
            return ABSENT
        values = values[part]
    return values


def _shorten(value: Any) -> Any:
    """Return `value` with the short forms that a config file may use."""
    if isinstance(value, list):
        return [_shorten(entry) for entry in value]
    if isinstance(value, dict) and len(value) == 1 and set(value) <= set(yaml_document.SHORT_FORMS.values()):
        return next(iter(value.values()))
    return value
