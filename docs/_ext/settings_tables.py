"""Make the tables of every setting in Markdown from the classes that validate a config."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dnn_cli.config.schema import json_schema

Schema = Mapping[str, Any]


def reference() -> str:
    """Return the reference in Markdown: a table for each section, then the optimizers and the schedules."""
    schema = json_schema()
    sections = schema["$defs"]
    optimizers = _members(schema["properties"]["optimizer"], sections)
    schedules = _members(sections["Adam"]["properties"]["learning_rate"], sections)
    return "\n\n".join(
        [
            "A setting that is not in the file has its default. On the command line, name a setting by its path: "
            "`--set data.validation=0.1`, `--set model.layers[0].units=256`.",
            _settings("The top level", schema),
            _sentence("data", sections["Data"]),
            _settings("`data`", sections["Data"]),
            _settings("`data.keys`", sections["Keys"]),
            _sentence("model", sections["Model"]),
            _settings("`model`", {"properties": _without(sections["Model"]["properties"], "layers")}),
            f"An entry of `model.layers` is {_lower(sections['Block']['description'])} "
            "So `layers: [128, 64]` is two blocks with ReLU; the default is none.",
            _settings("`model.layers[]`", sections["Block"]),
            _settings("`model.layers[].batch_normalization`", sections["BatchNormalization"]),
            _sentence("training", sections["Training"]),
            _settings("`training`", sections["Training"]),
            _settings("`training.early_stopping`", sections["EarlyStopping"]),
            _sentence("training.augmentation", sections["Augmentation"]),
            _settings("`training.augmentation`", sections["Augmentation"]),
            _settings("`training.augmentation.elastic`", sections["Elastic"]),
            "**`optimizer`**: a name, or a mapping of a `name` and any of its arguments. All of them are Keras's own.",
            _names("`optimizer.name`", optimizers),
            _arguments("Argument of an optimizer", optimizers),
            "**`optimizer.learning_rate`**: a number, or a mapping of a schedule's `name` and its arguments. "
            "Arguments without a default are required. Give each length once, in steps or in epochs; fractions are "
            "allowed.",
            _names("`optimizer.learning_rate.name`", schedules),
            _arguments("Argument of a schedule", schedules),
        ]
    )


def _members(field: Any, sections: Schema) -> list[Schema]:
    """Return the sections that a field may hold, in the order of their classes."""
    references = re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(field))
    return [sections[name] for name in references]


def _sentence(key: str, section: Schema) -> str:
    return f"**`{key}`**: {_lower(section['description'])}"


def _settings(title: str, section: Schema) -> str:
    """Return a row for every setting without a table of its own."""
    rows = []
    for key, field in section["properties"].items():
        if "default" in field:
            rows.append([f"`{key}`", _value(field), f"`{_plain(field['default'])}`", field["description"]])
        elif key in section.get("required", ()):
            rows.append([f"`{key}`", _value(field), "required", field["description"]])
    return _table([title, "Value", "Default", "Meaning"], rows)


def _without(properties: Schema, key: str) -> Schema:
    return {name: field for name, field in properties.items() if name != key}


def _names(title: str, sections: Iterable[Schema]) -> str:
    """Return a row with the arguments that all named sections share, and one for each section with its others."""
    sections = list(sections)
    usual = {}
    for key in sections[0]["properties"]:
        values = [_argument(key, section["properties"].get(key, {})) for section in sections]
        if all("default" in section["properties"].get(key, {}) for section in sections):
            usual[key] = max(values, key=values.count)
    rows = [["any of them", "arguments that every optimizer takes", ", ".join(usual.values())]] if usual else []
    for section in sections:
        written = [_argument(key, field) for key, field in section["properties"].items() if key != "name"]
        own = ", ".join(argument for argument in written if argument not in usual.values())
        rows.append([f"`{section['properties']['name']['const']}`", section["description"], own])
    return _table([title, "What it does", "Arguments and their defaults"], rows)


def _argument(key: str, field: Schema) -> str:
    return f"`{key}: {_plain(field['default'])}`" if "default" in field else f"`{key}`"


def _arguments(title: str, sections: Iterable[Schema]) -> str:
    """Return a row for every argument, and another where a later section gives it a different meaning."""
    rows: dict[str, list[str]] = {}
    for section in sections:
        for key, field in section["properties"].items():
            row = [_value(field), field.get("description", "")]
            if key != "name" and rows.setdefault(f"`{key}`", row) != row:
                rows[f"`{key}` of `{section['properties']['name']['const']}`"] = row
    return _table([title, "Value", "Meaning"], ([key, *row] for key, row in rows.items()))


def _value(field: Schema) -> str:
    """Return in words what a field may hold."""
    if "$ref" in field:
        return "a mapping"
    if "discriminator" in field:
        return "a schedule"
    if branches := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(map(_value, branches))
    if choices := field.get("enum") or [field[key] for key in ("const",) if key in field]:
        return ", ".join(f"`{choice}`" for choice in choices)
    if "items" in field:
        return f"a list, each {_value(field['items'])}"
    words = {"integer": "whole number", "boolean": "`true` or `false`", "string": "text", "null": "`null`"}
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {field[key]}" for key, sign in signs.items() if key in field]
    return " ".join([words.get(field["type"], str(field["type"])), " and ".join(bounds)]).strip()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
