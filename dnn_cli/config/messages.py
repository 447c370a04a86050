"""Translate pydantic's validation errors into messages for users, with their place in the YAML document."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from dnn_cli.config.section import SectionClasses
from dnn_cli.config.yaml_document import Document, KeyPath, format_path
from dnn_cli.errors import Problem

# The schema puts the tags of its unions in angle brackets, which distinguishes them from keys: Tag("<number>").
_UNION_TAG = re.compile(r"<[a-z]+>")
_EXPECTED_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "dict_type": "a mapping of settings",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_OTHER_NAMES = {"lr": "learning_rate", "bs": "batch_size", "wd": "weight_decay", "random_state": "seed"}
_UNKNOWN_NAME, _MISSING_NAME = "union_tag_invalid", "union_tag_not_found"


def to_problem(
    details: ErrorDetails, document: Document, classes: SectionClasses, settings: Mapping[str, str] | None = None
) -> Problem:
    """Return one of pydantic's errors as a problem with a message, a key and a place.

    Args:
        details: the error.
        document: the YAML document that was validated.
        classes: the section class of each mapping in the document.
        settings: the path of each setting by its own name, to suggest for an unknown key outside of all sections.
    """
    kind = details["type"]
    path, parent = _locate(details["loc"], document.values, classes)
    if kind == "extra_forbidden":
        known = list(classes[id(parent)].model_fields) if id(parent) in classes else []
        key, others = str(path[-1]), settings if settings and len(path) == 1 else {}
        message = f"unknown key{did_you_mean(key, known) or _in_a_section(key, others) or _allowed(known)}"
    else:
        message = _message(details)
    if kind in (_UNKNOWN_NAME, _MISSING_NAME):
        path = (*path, "name")
    return Problem(document.place(path, of_key=kind == "extra_forbidden"), format_path(path), message)


def reading_order(problem: Problem) -> list[int]:
    """Return the line and column of a problem, to sort by; one without a line, as in an override, comes first."""
    place = re.search(r":([0-9]+):([0-9]+)$", problem.place)
    return [int(number) for number in place.groups()] if place else []


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean '...'?)`` with the known word nearest to `word`, or nothing if none is near."""
    close = difflib.get_close_matches(_usual(word), list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def nearest_setting(name: str, settings: Mapping[str, str]) -> str | None:
    """Return the path of the setting with the name nearest to `name`, or None if none is near.

    Args:
        name: the own name of a setting, as a user writes it.
        settings: the path of each setting by its own name.
    """
    close = difflib.get_close_matches(_usual(name), list(settings), 1, cutoff=0.8)
    return settings[close[0]] if close else None


def _usual(word: str) -> str:
    """Return the name of a setting here if `word` is its name elsewhere, and otherwise `word` in lower case."""
    return _OTHER_NAMES.get(word.lower(), word.lower())


def _in_a_section(key: str, settings: Mapping[str, str]) -> str:
    path = nearest_setting(key, settings)
    return f" (did you mean '{path}'?)" if path else ""


def _message(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    found = _show(details["input"])
    if kind in ("missing", _MISSING_NAME):
        message = "is required"
    elif kind == _UNKNOWN_NAME:
        message = _choice(details["input"]["name"], _quoted_names(context["expected_tags"]))
    elif kind == "literal_error":
        message = _choice(details["input"], _quoted_names(context["expected"]))
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        message = f"must be {words} {context[bound]:.12g}, got {found}"
    elif kind in _EXPECTED_TYPES:
        message = f"must be {_EXPECTED_TYPES[kind]}, got {found}"
    elif kind == "too_long":
        message = f"must have at most {_entries(context['max_length'])}, got {context['actual_length']}"
    elif kind == "too_short":
        message = f"must have at least {_entries(context['min_length'])}, got {context['actual_length']}"
    elif kind == "string_too_short":
        message = "must not be empty"
    elif kind == "string_pattern_mismatch":
        message = f"must match the pattern {context['pattern']}, got {found}"
    else:
        message = f"{details['msg']}, got {found}"
    return message


def _locate(loc: tuple[str | int, ...], values: Any, classes: SectionClasses) -> tuple[KeyPath, Any]:
    """Return the path in the document that pydantic's location `loc` means, and the mapping or list around its end.

    Pydantic adds the tag of each union to the location. The tag is the section's `name` where sections are chosen by
    their name, and otherwise one in angle brackets.
    """
    path: KeyPath = ()
    parent = current = values
    tagged = False
    for part in loc:
        if _UNION_TAG.fullmatch(str(part)) and not (isinstance(current, dict) and part in current):
            continue
        if isinstance(current, dict):
            if not tagged and "name" in getattr(classes.get(id(current)), "model_fields", ()):
                tagged = True
                continue
            parent, current = current, current.get(str(part))
        elif isinstance(current, list) and isinstance(part, int):
            parent, current = current, current[part]
        else:  # a short form, such as 128 for {units: 128}
            break
        path, tagged = (*path, part), False
    return path, parent


def _quoted_names(text: str) -> list[str]:
    return re.findall("'([^']*)'", text)


def _choice(found: Any, names: Sequence[str]) -> str:
    expected = f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    return f"must be {expected}, got {_show(found)}{did_you_mean(str(found), names)}"


def _allowed(known: Sequence[str]) -> str:
    return f" (allowed: {', '.join(known)})" if known else ""


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


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
