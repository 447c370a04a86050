"""YAML → a frozen, validated `Config`.

Every setting has its unit, range and default here and nowhere else: the error messages, the JSON Schema and the
README's reference are all made from these classes. Names are Keras's own where Keras has one. Nothing in a config can
import or run code: optimizers and schedules are a closed registry, which has a room of its own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
)
from pydantic_core import PydanticCustomError

from dnn_cli.config import yaml_document
from dnn_cli.config.optimizers import Adam, Optimizer
from dnn_cli.config.section import Contradiction, Section, Tuple

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
MAX_THREADS = 1024


def _check_threads(value: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_THREADS):
        return value
    raise PydanticCustomError("threads", f"must be auto or a whole number from 1 to {MAX_THREADS}")


Threads = Annotated[Annotated[int, Field(ge=1, le=MAX_THREADS)] | Literal["auto"], BeforeValidator(_check_threads)]


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
    threads: Threads = Field(
        "auto",
        description="threads that an operation is divided among, which decides the last bits; `auto` is the processors "
        "allowed when a run begins, and is recorded as a number",
    )
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
        return yaml_document.dump(self.to_dict())

    def with_epochs(self, epochs: int) -> Self:
        """The same config with another number of epochs."""
        return self._with_training(epochs=epochs)

    def with_threads(self, threads: int | Literal["auto"]) -> Self:
        """The same config with another number of threads."""
        return self._with_training(threads=threads)

    def _with_training(self, **changes: Any) -> Self:
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
