"""The base class of all records that a run keeps as JSON: one way to read them, and one way to write them."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from dnn_cli.errors import reason


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a valid string")
    return value


# The types of the values in records. A string of digits is not a number, and no number is infinite.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Ordinal = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]
FileName = Annotated[str, PlainValidator(_check_text)]  # may contain bytes that are no UTF-8, as surrogates


class JsonRecord:
    """Base class of frozen dataclasses that are read from JSON and written as JSON.

    The fields are the keys, in the order in which they are written. A field with a default may be missing in the file:
    it was added after the first version. Keys that are no fields are ignored.
    """

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record from the text of a JSON object; raises like `from_dict`."""
        try:
            values = json.loads(text, parse_constant=_reject_constant)
        except RecursionError as error:
            raise ValueError(reason(error)) from None
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        return cls.from_dict(values)

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

    def to_json(self) -> str:
        """Return the record as JSON, indented by two spaces."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"


def _as_json(value: Any) -> Any:
    """Return `value` as `json.loads` would return it: tuples as lists, paths as strings."""
    if isinstance(value, dict):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
