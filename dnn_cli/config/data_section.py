"""Define the config's section `data`: which images to train on, and how they are read."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from dnn_cli.config.section import Contradiction, ListAsTuple, Section, repetition

MAX_SIDE = 1024  # as in `data.formats`, which this package may not import
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Name = Annotated[str, Field(min_length=1)]
Label = Annotated[int, Field(ge=0, lt=1000)]
Key = Annotated[str, Field(min_length=1)] | None


def _kind(value: Any) -> str:
    """Return the tag of the type that a value is meant to have: each union needs one, even for a wrong value."""
    if isinstance(value, str):
        return "<name>"
    return "<fraction>" if isinstance(value, float) else "<count>"


Count = Annotated[int, Field(ge=0), Tag("<count>")]
Share = Annotated[float, Field(gt=0, lt=1), Tag("<fraction>")]
Amount = Annotated[Count | Share, Discriminator(lambda value: _kind(value).replace("name", "count"))]


def _check_name(value: Any) -> Any:
    if isinstance(value, str) and value != "part":
        raise PydanticCustomError("validation", "must be a count, a fraction or part")
    return value


AmountOrPart = Annotated[
    Annotated[Count | Share | Annotated[Literal["part"], Tag("<name>")], Discriminator(_kind)],
    BeforeValidator(_check_name),
]
ClassReference = Annotated[
    Count | Annotated[Name, Tag("<name>")], Discriminator(lambda value: _kind(value).replace("fraction", "count"))
]


def labels_as_keys(value: Any) -> Any:
    """Turn a list into a tuple, and the keys of a mapping, which are text in YAML and JSON, into labels."""
    if not isinstance(value, dict):
        return tuple(value) if isinstance(value, list) else value
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in value.items()}


class Keys(Section):
    """The names of the arrays in an `.npz` file or a folder of `.npy` files, where they are not found by themselves."""

    x_train: Key = Field(None, description="images to train on")
    y_train: Key = Field(None, description="their labels")
    x_validation: Key = Field(None, description="images to validate with")
    y_validation: Key = Field(None, description="their labels")
    x_test: Key = Field(None, description="images to test with")
    y_test: Key = Field(None, description="their labels")

    def chosen(self) -> dict[str, str]:
        """Return the keys that are set."""
        return self.model_dump(exclude_none=True)


class Data(Section):
    """The images to train on."""

    dataset: str = Field(
        "mnist",
        min_length=1,
        description="`mnist`, `fashion_mnist`, `kmnist`, `emnist-balanced`, `emnist-letters`, `emnist-digits`, `usps`, "
        "`mnist-sample`, or the path of your own data: a folder of class folders with pictures, a CSV or Parquet file, "
        "an `.npz` file, or a folder of `.npy` or IDX files",
    )
    validation: AmountOrPart = Field(
        0,
        description="training images to hold out for validation: a count or a fraction; stratified by class. Data with "
        "a validation part use that instead of 0; `part` requires it",
    )
    test: Amount = Field(
        0.2,
        description="images to hold out for the test where your own data have no test part: a count or a fraction; "
        "stratified by class",
    )
    fallback: Literal["mnist-sample"] | None = Field(
        None, description="dataset to use, with a warning, when `mnist` can be neither found nor downloaded"
    )
    classes: (
        Annotated[tuple[ClassReference, ...], Field(max_length=1000, json_schema_extra={"minItems": 2}), ListAsTuple]
        | None
    ) = Field(
        None,
        description="labels or names of the classes to train and evaluate on, at least two; they keep their numbers; "
        "`null` means all",
    )
    class_names: (
        Annotated[
            Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), Tag("<list>")]
            | Annotated[dict[Label | Name, Name], Tag("<mapping>")],
            Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<list>"),
            BeforeValidator(labels_as_keys),
        ]
        | None
    ) = Field(
        None, description="names of the classes: a list in the order of the labels, or a mapping from labels or names"
    )
    images_per_class: Annotated[int, Field(ge=1)] | None = Field(
        None, description="training images to keep of each class, before any are held out; `null` means all images"
    )
    image_size: Annotated[tuple[Side, ...], Field(min_length=2, max_length=2), ListAsTuple] | None = Field(
        None, description="height and width to which pictures are resized; `null` keeps the size that all have"
    )
    color: Literal["grey", "rgb"] | None = Field(
        None, description="channels of pictures; `null` means grey if all pictures are grey, and RGB otherwise"
    )
    resize: Literal["fit", "fill", "stretch"] = Field(
        "fit", description="how a picture becomes `image_size`: with black borders, with edges cut off, or distorted"
    )
    image_shape: Annotated[tuple[Side, ...], Field(min_length=2, max_length=3), ListAsTuple] | None = Field(
        None, description="height, width and maybe channels of images that are stored as rows of pixels"
    )
    value_range: Annotated[tuple[float, ...], Field(min_length=2, max_length=2), ListAsTuple] | None = Field(
        None, description="stored values of black and white; `null` recognizes 0 to 1, 0 to 255 and 0 to 65535"
    )
    keys: Keys | None = Field(None, description="names of the arrays; `null` recognizes usual names")
    on_broken: Literal["error", "skip"] = Field(
        "error", description="what to do about a picture that cannot be decoded"
    )
    follow_links: bool = Field(
        False, description="follow symbolic links, and paths in a CSV file that lead out of its folder"
    )
    max_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="memory that the images of a part may take; `null` means half of the machine's"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a contradiction for lists with too few or repeated elements, and for an empty range."""
        if self.classes is not None and len(self.classes) < 2:
            yield ("classes",), f"must have at least two labels, got {len(self.classes)}"
        yield from repetition("classes", self.classes or ())
        if isinstance(self.class_names, tuple):
            yield from repetition("class_names", self.class_names)
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            yield ("value_range",), f"must go from black to a larger white, got {list(self.value_range)}"
