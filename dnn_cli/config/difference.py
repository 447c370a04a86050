"""Show where configs differ."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dnn_cli.config import yaml_document
from dnn_cli.config.schema import Config


def difference(old: Config, new: Config) -> list[str]:
    """What differs between two configs, a line each: ``optimizer.learning_rate: 0.001 → 0.01``."""
    return [f"{key}: {show(before)} → {show(after)}" for key, (before, after) in variations([old, new]).items()]


def variations(several: Sequence[Config]) -> dict[str, list[Any]]:
    """Each setting that is not the same in all of `several`, with its value in each; `ABSENT` where it has no place.

    Values are told as briefly as a file can: ``[128, {"units": 64, "dropout": 0.2}]``. What only some have, such as an
    argument of one optimizer, is left out while it has its default there.
    """
    explicit = [config.model_dump(mode="json", exclude_defaults=True) for config in several]
    found = {}
    for path, values in _differences([config.to_dict() for config in several], ()):
        chosen = [_at(path, values) for values in explicit]
        if ABSENT not in values or any(value is not ABSENT for value in chosen):
            pairs = zip(chosen, values, strict=True)
            found[yaml_document.format_path(path)] = [_brief(full if own is ABSENT else own) for own, full in pairs]
    return found


def show(value: Any) -> str:
    """A setting's value as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _differences(values: Sequence[Any], path: yaml_document.Path) -> Iterable[tuple[yaml_document.Path, Sequence[Any]]]:
    """Where `values`, which all stand at `path`, are not the same, and what stands there; a list as long as another
    is gone through, others are told whole.
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


def _at(path: yaml_document.Path, values: Any) -> Any:
    """What stands at `path` in nested `values`, or `ABSENT`."""
    for part in path:
        if isinstance(values, dict) and part not in values:
            return ABSENT
        values = values[part]
    return values


def _brief(value: Any) -> Any:
    """`value` with the short forms that a file may use."""
    if isinstance(value, list):
        return [_brief(entry) for entry in value]
    if isinstance(value, dict) and len(value) == 1 and set(value) <= set(yaml_document.SHORT_FORMS.values()):
        return next(iter(value.values()))
    return value


ABSENT = "(not there)"
