"""YAML → a frozen, validated `Config`.

Every setting has its unit, range and default here and nowhere else: the error messages, the JSON Schema and the
README's reference are all made from these classes. Names are Keras's own where Keras has one. Nothing in a config can
import or run code: optimizers and schedules are a closed registry, which has a room of its own.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import ErrorDetails

from dnn_cli import document, limits
from dnn_cli.document import Document
from dnn_cli.errors import ConfigError, Problem, UsageError
from dnn_cli.optimizers import Adam, Common, Contradiction, Optimizer, Schedule, Tuple
from dnn_cli.section import Section

SHIPPED = ("mnist", "smoke", "small", "fast", "best", "tiny", "zero-to-four", "five-to-nine")

Activation = Literal[
    "relu",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "leaky_relu",
    "relu6",
    "exponential",
    "softplus",
    "softsign",
    "squareplus",
    "sparse_plus",
    "log_sigmoid",
    "sparse_sigmoid",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "hard_shrink",
    "soft_shrink",
    "tanh_shrink",
    "linear",
]
Initializer = Literal[
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "variance_scaling",
    "orthogonal",
    "identity",
    "random_normal",
    "random_uniform",
    "truncated_normal",
]
MAX_UNITS = 16_384
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Share = Annotated[float, Field(ge=0, lt=1)]
Index = Annotated[int, Field(ge=0)]


def _repeated(key: str, values: Iterable[int]) -> Iterator[Contradiction]:
    """A contradiction if one of `values` is there more than once."""
    twice = sorted(value for value, count in Counter(values).items() if count > 1)
    if twice:
        yield key, f"must not repeat {', '.join(map(str, twice))}"


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
    classes: Annotated[tuple[Index, ...], Field(max_length=1000, json_schema_extra={"minItems": 2}), Tuple] | None = (
        Field(
            None, description="labels to train on and to evaluate, two at least; they stay as they are; `null` is all"
        )
    )
    images_per_class: Annotated[int, Field(ge=1)] | None = Field(
        None, description="training images of each class to keep, before any are held out; `null` is all"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single setting shows to be wrong."""
        if self.classes is not None and len(self.classes) < 2:
            yield "classes", f"must be two at least, got {len(self.classes)}"
        yield from _repeated("classes", self.classes or ())


class BatchNormalization(Section):
    """Normalize the inputs of the activations, by the batch while training and by running means after."""

    momentum: Share = Field(0.99, description="share of the running means that a step keeps")
    epsilon: float = Field(0.001, gt=0, le=1, description="added to the variance for numerical stability")


def _from_switch(value: Any) -> Any:
    return ({} if value else None) if isinstance(value, bool) else value


class Block(Section):
    """One hidden block: Dense → (BatchNormalization) → activation → (Dropout). A bare number is its `units`."""

    units: Units = Field(description="neurons")
    activation: Activation = Field("relu", description="Keras's name of the activation")
    use_bias: bool = Field(True, description="whether the Dense layer adds a bias")
    initializer: Initializer = Field("glorot_uniform", description="Keras's name of the kernel initializer")
    batch_normalization: Annotated[
        BatchNormalization | None,
        BeforeValidator(_from_switch, json_schema_input_type=bool | BatchNormalization | None),
    ] = Field(None, description="normalize before the activation; `true` is a mapping of the defaults")
    dropout: Share = Field(0.0, description="fraction of the block's outputs dropped while training")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the kernel")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the kernel")
    max_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="the longest vector of weights into one neuron; a longer one is scaled down after each step"
    )


def _block_from_units(value: Any) -> Any:
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _absolute(path: str) -> str:
    """The same place for a config that is read in another folder."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:  # ~nobody: there is no such home, and no such file
        return path


class Model(Section):
    """The network between Flatten and the Dense-softmax output, which are always there."""

    input_dropout: Share = Field(0.0, description="fraction of the pixels dropped while training")
    layers: Annotated[
        tuple[Annotated[Block, BeforeValidator(_block_from_units, json_schema_input_type=Units | Block)], ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    ] = Field((), max_length=100, description="the hidden blocks, in order; `[128, 64]` is short for two with ReLU")
    init_from: Annotated[str, Field(min_length=1), AfterValidator(_absolute)] | None = Field(
        None, description="a run, whose best checkpoint is taken, or a `.keras` file: the weights to start from"
    )
    freeze: Annotated[
        Annotated[Literal["all-but-head"], Tag("<word>")] | Annotated[tuple[Index, ...], Tuple, Tag("<list>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<list>"),
    ] = Field((), description="loaded blocks that stay as they are: their places in `layers`, from 0")
    learning_rate_factor: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="what the learning rate is multiplied by for layers that are loaded and not frozen",
    )

    @property
    def frozen(self) -> frozenset[int]:
        """The places in `layers` of the blocks that are not trained."""
        return frozenset(range(len(self.layers)) if self.freeze == "all-but-head" else self.freeze)

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single setting shows to be wrong."""
        if self.init_from is None:
            if self.freeze:
                yield "freeze", "needs init_from: what is not trained must have been trained before"
            if self.learning_rate_factor != 1:
                yield "learning_rate_factor", "needs init_from: it is for the layers that are loaded"
        if self.freeze == "all-but-head":
            if not self.layers:
                yield "freeze", "has nothing to freeze: layers is empty"
            return
        yield from _repeated("freeze", self.freeze)
        beyond = sorted({index for index in self.freeze if index >= len(self.layers)})
        if beyond:
            count = len(self.layers)
            allowed = f"0 to {count - 1}" if count else "none, since layers is empty"
            yield "freeze", f"names blocks that are not there: {', '.join(map(str, beyond))} (allowed: {allowed})"


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
    label_smoothing: Share = Field(
        0.0, description="share of each label that is spread over all classes; `loss` and `val_loss` count it"
    )
    early_stopping: EarlyStopping | None = Field(None, description="when to stop before the last epoch")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="how training images are deformed")
    jit_compile: bool = Field(True, description="compile the epoch with XLA")
    tensorboard: bool = Field(
        False, description="write what `tensorboard --logdir runs` shows; needs `pip install 'dnn-cli[tensorboard]'`"
    )


class Config(Section):
    """A whole training, every default spelled out."""

    seed: int = Field(0, ge=0, lt=2**32, description="what every random number is drawn from")
    engine: Literal["keras", "numpy"] = Field(
        "keras", description="what trains: Keras on TensorFlow, or plain NumPy, which starts at once but knows less"
    )
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
            found[document.format_path(path)] = [_brief(full if own is ABSENT else own) for own, full in pairs]
    return found


def show(value: Any) -> str:
    """A setting's value as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _differences(values: Sequence[Any], path: document.Path) -> Iterable[tuple[document.Path, Sequence[Any]]]:
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


def _at(path: document.Path, values: Any) -> Any:
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
    if isinstance(value, dict) and len(value) == 1 and set(value) <= set(document.SHORT_FORMS.values()):
        return next(iter(value.values()))
    return value


def _contradictions(config: Config, read: Document) -> Iterable[Problem]:
    """What no single setting shows to be wrong."""
    if config.engine == "numpy":
        for path, message in limits.of_training(config):
            yield Problem(read.place(path), document.format_path(path), message)
    stopping = config.training.early_stopping
    if stopping and stopping.monitor.startswith("val_") and not config.data.validation:
        path = ("training", "early_stopping", "monitor")
        message = f"{stopping.monitor} needs images held out; set data.validation, or monitor loss or accuracy"
        yield Problem(read.place(path), document.format_path(path), message)
    sections: tuple[tuple[document.Path, Any], ...] = (
        (("data",), config.data),
        (("model",), config.model),
        (("optimizer",), config.optimizer),
        (("optimizer", "learning_rate"), config.optimizer.learning_rate),
    )
    for base, section in sections:
        if isinstance(section, Data | Model | Common | Schedule):
            for key, message in section.contradictions():
                path = (*base, key) if key else base
                yield Problem(read.place(path), document.format_path(path), message)


ABSENT = "(not there)"
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
    elif kind == "too_short":
        message = f"must have at least {context['min_length']} entries, got {context['actual_length']}"
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
