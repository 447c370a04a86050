"""The base class of all records that a run keeps as JSON: one way to read them, and one way to write them."""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError


class JsonRecord:
    """Base class of frozen dataclasses that are read from JSON and written as JSON.

    The fields are the keys, in the order in which they are written. A field with a default may be missing in the file:
    it was added after the first version. Keys that are no fields are ignored.
    """

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Validate JSON values and make a record from them.

        Raises:
            ValueError: a key is missing or has a wrong value; the message names the key and the problem.
        """
        try:
            record: Self = cls._validator().validate_python(values)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            if problem["type"] == "dataclass_type":
                message = "should be a JSON object"
            raise ValueError(f"{key}: {message[0].lower()}{message[1:]}" if key else message) from None
        return record

    @classmethod
    @cache
    def _validator(cls) -> TypeAdapter[Any]:
        return TypeAdapter(cls)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values: dictionaries, lists, strings, numbers, booleans and None."""
        values: dict[str, Any] = _as_json(asdict(self))  # type: ignore[call-overload]
        return values


def _as_json(value: Any) -> Any:
    """Return `value` as `json.loads` would return it: tuples as lists, paths as strings."""
    if isinstance(value, dict):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value
