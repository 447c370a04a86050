"""Base class of config sections, and the types that they share."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator

from dnn_cli.config.yaml_document import KeyPath

# The path of a setting, and how its value contradicts other settings.
Contradiction = tuple[KeyPath, str]

# Put this in the `Annotated` type of a tuple field: strict mode would reject a list, and YAML has no tuples.
ListAsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class SectionClasses(dict[int, type["Section"]]):
    """The validation context: the section class of each mapping in a document, by the mapping's `id`."""


class Section(BaseModel):
    """A mapping of the config: immutable, strictly typed, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _record_class(cls, data: Any, info: ValidationInfo) -> Any:
        """Record the class of a mapping in the validation context, so that an error can name the keys allowed in it."""
        if isinstance(info.context, SectionClasses) and isinstance(data, dict):
            info.context[id(data)] = cls
        return data

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield the contradictions between settings of this section; paths start at the section."""
        yield from ()


def repetition(key: str, values: Iterable[int | str]) -> Iterator[Contradiction]:
    """Yield a contradiction if one of the values occurs more than once."""
    twice = sorted((value for value, count in Counter(values).items() if count > 1), key=str)
    if twice:
        yield (key,), f"must not repeat {', '.join(map(str, twice))}"
