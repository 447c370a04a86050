"""YAML → a frozen, validated `Config`.

Every setting has its unit, range and default here and nowhere else: the error messages, the JSON Schema and the
README's reference are all made from these classes. Names are Keras's own where Keras has one. Nothing in a config can
import or run code: optimizers and schedules are a closed registry.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from dnn_cli import document
from dnn_cli.document import Document
from dnn_cli.errors import ConfigError, Problem, UsageError

SHIPPED = ("mnist", "smoke", "small")

Activation = Literal[
    "relu",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "leaky_relu",
    "relu6",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "linear",
]
Initializer = Literal[
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
]
Rate = Annotated[float, Field(gt=0, le=1000)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Units = Annotated[int, Field(ge=1, le=16_384)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Steps = Annotated[int, Field(ge=1)]


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


class Data(Section):
    """Which images to train on."""

    dataset: str = Field(
        "mnist",
        min_length=1,
        description="`mnist`, `fashion_mnist`, `mnist-sample`, or the path of an `.npz` file or a folder of IDX files",
    )
    validation: Annotated[
        Annotated[int, Field(ge=0), Tag("<count>")] | Annotated[float, Field(gt=0, lt=1), Tag("<fraction>")],
        Discriminator(lambda value: "<fraction>" if isinstance(value, float) else "<count>"),
    ] = Field(0, description="training images to hold out, as a count or a fraction; stratified by class")
    fallback: Literal["mnist-sample"] | None = Field(
        None, description="what to use, loudly, when `mnist` can be neither found nor downloaded"
    )


class Block(Section):
    """One hidden block: Dense → (BatchNormalization) → activation → (Dropout). A bare number is its `units`."""

    units: Units = Field(description="neurons")
    activation: Activation = Field("relu", description="Keras's name of the activation")
    use_bias: bool = Field(True, description="whether the Dense layer adds a bias")
    initializer: Initializer = Field("glorot_uniform", description="Keras's name of the kernel initializer")
    batch_normalization: bool = Field(False, description="normalize before the activation")
    dropout: float = Field(0.0, ge=0, lt=1, description="fraction of the block's outputs dropped while training")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the kernel")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the kernel")


def _block_from_units(value: Any) -> Any:
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Model(Section):
    """The network between Flatten and the Dense-softmax output, which are always there."""

    layers: Annotated[
        tuple[Annotated[Block, BeforeValidator(_block_from_units, json_schema_input_type=Units | Block)], ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    ] = Field((), max_length=100, description="the hidden blocks, in order; `[128, 64]` is short for two with ReLU")


class ExponentialDecay(Section):
    """Multiply by `decay_rate` every `decay_steps`."""

    name: Literal["exponential_decay"]
    initial_learning_rate: Rate = Field(description="rate at the start")
    decay_steps: Steps = Field(description="how long, in steps of one batch each, not counting a warm-up")
    decay_rate: Rate = Field(description="how fast the rate falls, as the formula says")
    staircase: bool = Field(False, description="fall in jumps instead of smoothly")


class InverseTimeDecay(Section):
    """Divide by 1 + `decay_rate` · step / `decay_steps`."""

    name: Literal["inverse_time_decay"]
    initial_learning_rate: Rate = Field(description="rate at the start")
    decay_steps: Steps = Field(description="how long, in steps of one batch each, not counting a warm-up")
    decay_rate: Rate = Field(description="how fast the rate falls, as the formula says")
    staircase: bool = Field(False, description="fall in jumps instead of smoothly")


class PolynomialDecay(Section):
    """Fall to `end_learning_rate` along a polynomial."""

    name: Literal["polynomial_decay"]
    initial_learning_rate: Rate = Field(description="rate at the start")
    decay_steps: Steps = Field(description="how long, in steps of one batch each, not counting a warm-up")
    end_learning_rate: Rate = Field(0.0001, description="rate at the end")
    power: float = Field(1.0, gt=0, description="exponent; 1 is a straight line")
    cycle: bool = Field(False, description="start again after the end")


class CosineDecay(Section):
    """Fall along half a cosine, after a linear warm-up if one is asked for."""

    name: Literal["cosine_decay"]
    initial_learning_rate: float = Field(ge=0, le=1000, description="rate at the start")
    decay_steps: Steps = Field(description="how long, in steps of one batch each, not counting a warm-up")
    alpha: float = Field(0.0, ge=0, le=1, description="rate at the end, as a fraction of the highest")
    warmup_target: Rate | None = Field(None, description="rate at the end of the warm-up")
    warmup_steps: int = Field(0, ge=0, description="how long the warm-up is, in steps")


Schedule = Annotated[
    ExponentialDecay | InverseTimeDecay | PolynomialDecay | CosineDecay,
    Field(discriminator="name"),
]
LearningRate = Annotated[
    Annotated[Rate, Tag("<number>")] | Annotated[Schedule, Tag("<schedule>")],
    Discriminator(lambda value: "<schedule>" if isinstance(value, dict | Section) else "<number>"),
]


class SGD(Section):
    """Stochastic gradient descent, with momentum if asked for."""

    name: Literal["sgd"]
    learning_rate: LearningRate = Field(0.01, description="size of a step: a number or a schedule")
    momentum: float = Field(0.0, ge=0, le=1, description="share of the last step that is kept")
    nesterov: bool = Field(False, description="Nesterov's momentum")


class RMSprop(Section):
    """Steps divided by a running root mean square of the gradient."""

    name: Literal["rmsprop"]
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    rho: Decay = Field(0.9, description="decay of the mean square")
    momentum: float = Field(0.0, ge=0, le=1, description="share of the last step that is kept")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    centered: bool = Field(False, description="divide by the estimated variance")


class Adagrad(Section):
    """Steps divided by the root of all squared gradients so far."""

    name: Literal["adagrad"]
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    initial_accumulator_value: float = Field(0.1, ge=0, description="where the sum of squares starts")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class Adam(Section):
    """Running means of the gradient and of its square (Kingma & Ba 2014)."""

    name: Literal["adam"]
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    beta_1: Decay = Field(0.9, description="decay of the mean")
    beta_2: Decay = Field(0.999, description="decay of the mean square")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    amsgrad: bool = Field(False, description="keep the largest mean square")


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"]
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    weight_decay: float = Field(0.004, ge=0, description="share of a weight taken off at a step, times the rate")
    beta_1: Decay = Field(0.9, description="decay of the mean")
    beta_2: Decay = Field(0.999, description="decay of the mean square")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    amsgrad: bool = Field(False, description="keep the largest mean square")


class Nadam(Section):
    """Adam with Nesterov's momentum (Dozat 2015)."""

    name: Literal["nadam"]
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    beta_1: Decay = Field(0.9, description="decay of the mean")
    beta_2: Decay = Field(0.999, description="decay of the mean square")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


_Optimizers = Annotated[SGD | RMSprop | Adagrad | Adam | AdamW | Nadam, Field(discriminator="name")]
_OptimizerNames = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam"]
Optimizer = Annotated[
    _Optimizers,
    BeforeValidator(
        lambda value: {"name": value} if isinstance(value, str) else value,
        json_schema_input_type=_OptimizerNames | _Optimizers,
    ),
]


class EarlyStopping(Section):
    """Stop when a figure has not improved for a while."""

    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = Field(
        "val_loss", description="the figure that is to improve"
    )
    patience: int = Field(5, ge=1, description="epochs without improvement before stopping")
    min_delta: float = Field(0.0, ge=0, description="the least change that counts as improvement")


class Elastic(Section):
    """Bend each image as a rubber sheet: the points of a coarse grid are moved at random, the rest follows."""

    strength: float = Field(
        0.0, ge=0, le=1000, description="pixels by which a grid point moves at most, along each axis"
    )
    smoothness: float = Field(7.0, ge=1, le=1000, description="pixels from one grid point to the next")


class Augmentation(Section):
    """Deform every training image at random each time it is used. Each strength is drawn uniformly, either way."""

    rotation: float = Field(0.0, ge=0, le=180, description="degrees by which an image is turned at most")
    translation: float = Field(0.0, ge=0, le=1000, description="pixels by which it is moved at most, along each axis")
    scale: float = Field(0.0, ge=0, le=0.9, description="fraction by which height and width grow or shrink at most")
    shear: float = Field(0.0, ge=0, le=60, description="degrees by which upright lines lean at most")
    elastic: Elastic = Field(default_factory=Elastic, description="how each image is bent")
    noise: float = Field(
        0.0, ge=0, le=1, description="standard deviation of what is added to each pixel, where black is 0 and white 1"
    )

    @property
    def is_on(self) -> bool:
        """Whether it changes anything."""
        return any((self.rotation, self.translation, self.scale, self.shear, self.elastic.strength, self.noise))


class Training(Section):
    """How long to train, and in what portions."""

    epochs: int = Field(10, ge=1, le=100_000, description="passes over the training images")
    batch_size: int = Field(
        32, ge=1, le=65_536, description="images in a step; the last step of an epoch has what is left"
    )
    early_stopping: EarlyStopping | None = Field(None, description="when to stop before the last epoch")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="how training images are deformed")
    jit_compile: bool = Field(True, description="compile the epoch with XLA")


class Config(Section):
    """A whole training, every default spelled out."""

    seed: int = Field(0, ge=0, lt=2**32, description="what every random number is drawn from")
    data: Data = Field(default_factory=Data, description="which images to train on")
    model: Model = Field(default_factory=Model, description="the network")
    optimizer: Optimizer = Field(default_factory=lambda: Adam(name="adam"), description="its name, or a mapping")
    training: Training = Field(default_factory=Training, description="how long to train, and in what portions")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as YAML and JSON hold them."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """YAML that `parse` reads back to an equal config."""
        return document.dump(self.to_dict())

    def with_epochs(self, epochs: int) -> Self:
        """The same config with another number of epochs."""
        return self.model_copy(update={"training": self.training.model_copy(update={"epochs": epochs})})


@dataclass(frozen=True)
class Override:
    """A value from the command line that takes a config's place, and how errors name where it stands."""

    key: str
    value: Any
    place: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``key.path=value``, the value in YAML; raises `UsageError` where it has no such form."""
        key, equals, value = text.partition("=")
        if not equals or not key or not all(str(part) for part in document.parse_path(key)):
            raise UsageError(f"--set {text}: expected key.path=value, for example --set training.epochs=5")
        place = f"--set {text}"
        try:
            read = document.parse(value, place)
            problems = read.problems
        except ConfigError as error:
            problems = list(error.problems)
        if problems:
            raise UsageError(f"{place}: {'; '.join(problem.message for problem in problems)}")
        return cls(key, read.values, place)


def load(name: str, overrides: Iterable[Override] = ()) -> Config:
    """The config at the path `name`, or the shipped one of that name, with `overrides` applied.

    Raises:
        UsageError: there is no such file, or it is not text.
        ConfigError: it has problems; all of them are named.
    """
    path = find(name)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(document.MAX_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text") from None
    return parse(text, str(path), overrides)


def find(name: str) -> Path:
    """The file that `name` stands for: a path, or the name of a shipped config."""
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
    if exists and not is_folder:
        return path
    if name in SHIPPED:
        return shipped_folder() / f"{name}.yaml"
    if is_folder:
        raise UsageError(f"{name} is a folder, not a config file")
    close = difflib.get_close_matches(path.stem, SHIPPED, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise UsageError(f"there is no config file {name}{hint}; shipped configs: {', '.join(SHIPPED)}")


def shipped_folder() -> Path:
    """Where the shipped configs are: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def parse(text: str, source: str, overrides: Iterable[Override] = ()) -> Config:
    """Read a config from YAML `text`, which errors call `source`; raises `ConfigError` with every problem."""
    read = document.parse(text, source)
    problems = read.problems
    for override in overrides:
        try:
            read.set(document.parse_path(override.key), override.value, override.place)
        except ConfigError as error:
            problems += error.problems
    known = {problem.place for problem in problems}
    classes: dict[int, type[Section]] = {}
    try:
        config = Config.model_validate({} if read.values is None else read.values, context=classes)
        problems += _contradictions(config, read)
    except ValidationError as error:
        found = [_problem(details, read, classes) for details in error.errors(include_url=False)]
        problems += [problem for problem in found if problem.place not in known]
    if problems:
        raise ConfigError(source, sorted(problems, key=_reading_order))
    return config


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def difference(old: Config, new: Config) -> list[str]:
    """What differs between two configs, a line each: ``optimizer.learning_rate: 0.001 → 0.01``."""
    return list(_differences(old.to_dict(), new.to_dict(), ()))


def _differences(old: Any, new: Any, path: document.Path) -> Iterable[str]:
    pairs: Iterable[tuple[str | int, Any, Any]] | None = None
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = ((key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new})
    elif isinstance(old, list) and isinstance(new, list):
        pairs = ((index, *pair) for index, pair in enumerate(zip_longest(old, new, fillvalue=_ABSENT)))
    if pairs is not None:
        for part, before, after in pairs:
            yield from _differences(before, after, (*path, part))
    elif old != new:
        before, after = (value if isinstance(value, str) else json.dumps(value) for value in (old, new))
        yield f"{document.format_path(path)}: {before} → {after}"


def _contradictions(config: Config, read: Document) -> Iterable[Problem]:
    """What no single setting shows to be wrong."""
    stopping = config.training.early_stopping
    if stopping and stopping.monitor.startswith("val_") and not config.data.validation:
        path: document.Path = ("training", "early_stopping", "monitor")
        message = f"{stopping.monitor} needs images held out; set data.validation, or monitor loss or accuracy"
        yield Problem(read.place(path), document.format_path(path), message)
    rate = config.optimizer.learning_rate
    if isinstance(rate, CosineDecay) and (rate.warmup_target is None) != (rate.warmup_steps == 0):
        path = ("optimizer", "learning_rate")
        yield Problem(read.place(path), document.format_path(path), "warmup_target and warmup_steps go together")
    elif isinstance(rate, CosineDecay) and rate.initial_learning_rate == 0 and rate.warmup_target is None:
        path = ("optimizer", "learning_rate", "initial_learning_rate")
        yield Problem(read.place(path), document.format_path(path), "must be greater than 0 without a warm-up")


_ABSENT = "(not there)"
_TAGS = ("<count>", "<fraction>", "<number>", "<schedule>")
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


def _problem(details: ErrorDetails, read: Document, classes: Mapping[int, type[Section]]) -> Problem:
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
    elif kind == "string_too_short":
        message = "must not be empty"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        message = f"must be a mapping of settings, got {found}"
    else:
        message = f"{details['msg']}, got {found}"
    of_key = kind == "extra_forbidden"
    return Problem(read.place(path, of_key=of_key), document.format_path(path), message)


def _reading_order(problem: Problem) -> list[int]:
    """Line and column; what has none, such as an override, comes first."""
    place = re.search(r":([0-9]+):([0-9]+)$", problem.place)
    return [int(number) for number in place.groups()] if place else []


def _locate(loc: tuple[str | int, ...], values: Any, classes: Mapping[int, type[Section]]) -> tuple[document.Path, Any]:
    """Pydantic's location without the union tags it adds: the path in the document, and what is around its end.

    A section that goes by a `name` comes with that name as a tag; the other tags are `_TAGS`.
    """
    path: document.Path = ()
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
