"""What every mapping of a config is made from."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator


class Section(BaseModel):
    """A mapping of the config: frozen, typed strictly, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _note_class(cls, data: Any, info: ValidationInfo) -> Any:
        """Remember which class a mapping was checked against, so that an error can name the keys it knows."""
        if isinstance(info.context, dict) and isinstance(data, dict):
            info.context[id(data)] = cls
        return data


Tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


Contradiction = tuple[str, str]  # the key, or nothing for the section itself, and what is wrong with it
