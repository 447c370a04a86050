"""Explain pydantic's errors in the user's words, with their place in the YAML document."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from dnn_cli.config import yaml_document
from dnn_cli.config.section import Section
from dnn_cli.config.yaml_document import Document
from dnn_cli.errors import Problem

_TAGS = ("<count>", "<fraction>", "<word>", "<list>", "<number>", "<schedule>")
_NOUNS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def problem_of(details: ErrorDetails, read: Document, classes: Mapping[int, type[Section]]) -> Problem:
    """One of pydantic's errors in our words, with its place in the document."""
    kind, context = details["type"], details.get("ctx", {})
    path, parent = _locate(details["loc"], read.values, classes)
    found = _show(details["input"])
    if kind == "extra_forbidden":
        known = list(classes[id(parent)].model_fields) if id(parent) in classes else []
        message = f"unknown key{_suggestion(str(path[-1]), known)}"
    elif kind == "missing":
        message = "is required"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, "name")
        names = _names(context.get("expected_tags", ""))
        message = _choice(details["input"]["name"], names) if kind == "union_tag_invalid" else "is required"
    elif kind == "literal_error":
        message = _choice(details["input"], _names(context["expected"]))
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        message = f"must be {words} {context[bound]:.12g}, got {found}"
    elif kind in _NOUNS:
        message = f"must be {_NOUNS[kind]}, got {found}"
    elif kind == "too_long":
        message = f"must have at most {context['max_length']} entries, got {context['actual_length']}"
    elif kind == "too_short":
        message = f"must have at least {context['min_length']} entries, got {context['actual_length']}"
    elif kind == "string_too_short":
        message = "must not be empty"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        message = f"must be a mapping of settings, got {found}"
    else:
        message = f"{details['msg']}, got {found}"
    of_key = kind == "extra_forbidden"
    return Problem(read.place(path, of_key=of_key), yaml_document.format_path(path), message)


def reading_order(problem: Problem) -> list[int]:
    """Line and column; what has none, such as an override, comes first."""
    place = re.search(r":([0-9]+):([0-9]+)$", problem.place)
    return [int(number) for number in place.groups()] if place else []


def _locate(
    loc: tuple[str | int, ...], values: Any, classes: Mapping[int, type[Section]]
) -> tuple[yaml_document.Path, Any]:
    """Pydantic's location without the union tags it adds: the path in the document, and what is around its end.

    A section that goes by a `name` comes with that name as a tag; the other tags are `_TAGS`.
    """
    path: yaml_document.Path = ()
    parent = current = values
    tagged = False
    for part in loc:
        if part in _TAGS and not (isinstance(current, dict) and part in current):
            continue
        if isinstance(current, dict):
            if not tagged and "name" in getattr(classes.get(id(current)), "model_fields", ()):
                tagged = True
                continue
            parent, current = current, current.get(str(part))
        elif isinstance(current, list) and isinstance(part, int):
            parent, current = current, current[part]
        else:  # a short form
            break
        path, tagged = (*path, part), False
    return path, parent


def _names(quoted: str) -> list[str]:
    return re.findall("'([^']*)'", quoted)


def _choice(found: Any, names: Sequence[str]) -> str:
    allowed = f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    return f"must be {allowed}, got {_show(found)}{_suggestion(str(found), names, name_all=False)}"


def _suggestion(word: str, known: Sequence[str], *, name_all: bool = True) -> str:
    close = difflib.get_close_matches(word.lower(), known, 1)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (allowed: {', '.join(known)})" if known and name_all else ""


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
