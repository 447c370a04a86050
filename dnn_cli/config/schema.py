"""Define the config: every setting, with its type, unit, range, default and description.

Error messages, the JSON Schema and the reference in the documentation are all made from these classes. Where Keras has
a name for a setting, that name is used. A config cannot import or run code: optimizers and schedules are chosen by name
from a fixed list.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from dnn_cli.config import yaml_document
from dnn_cli.config.data_section import Data, Label, Name, labels_as_keys
from dnn_cli.config.optimizers import Adam, AnyOptimizer
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.section import Contradiction, ListAsTuple, Section, repetition

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
Fraction = Annotated[float, Field(ge=0, lt=1)]
Index = Annotated[int, Field(ge=0)]
MAX_THREADS = 1024


def _check_threads(value: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_THREADS):
        return value
    raise PydanticCustomError("threads", f"must be auto or a whole number from 1 to {MAX_THREADS}")


Threads = Annotated[Annotated[int, Field(ge=1, le=MAX_THREADS)] | Literal["auto"], BeforeValidator(_check_threads)]


class BatchNormalization(Section):
    """Normalization of the activation's inputs: by each batch in training, and by running averages afterwards."""

    momentum: Fraction = Field(0.99, description="fraction of the running averages that is kept at each step")
    epsilon: float = Field(0.001, gt=0, le=1, description="added to the variance for numerical stability")


def _from_switch(value: Any) -> Any:
    return ({} if value else None) if isinstance(value, bool) else value


class Block(Section):
    """One hidden block: Dense → (BatchNormalization) → activation → (Dropout). A bare number means its `units`."""

    units: Units = Field(description="number of neurons")
    activation: Activation = Field("relu", description="activation function, by its name in Keras")
    use_bias: bool = Field(True, description="whether the Dense layer adds a bias")
    initializer: Initializer = Field("glorot_uniform", description="initializer of the kernel, by its name in Keras")
    batch_normalization: Annotated[
        BatchNormalization | None,
        BeforeValidator(_from_switch, json_schema_input_type=bool | BatchNormalization | None),
    ] = Field(None, description="normalize before the activation; `true` uses the defaults below")
    dropout: Fraction = Field(0.0, description="fraction of the block's outputs that is dropped in training")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the kernel")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the kernel")
    max_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="largest norm of the weights into one neuron; larger ones are scaled down after each step"
    )


def _block_from_units(value: Any) -> Any:
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _absolute(path: str) -> str:
    """Return the path in a form that means the same when the config is read in another folder."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:  # ~name of a user who has no home: there is no such file, which is reported later
        return path


class Model(Section):
    """The hidden part of the network; Flatten before it and Dense with softmax after it are always there."""

    input_dropout: Fraction = Field(0.0, description="fraction of the pixels that is dropped in training")
    layers: Annotated[
        tuple[Annotated[Block, BeforeValidator(_block_from_units, json_schema_input_type=Units | Block)], ...],
        ListAsTuple,
    ] = Field((), max_length=100, description="the hidden blocks, in order; `[128, 64]` is short for two with ReLU")
    init_from: Annotated[str, Field(min_length=1), AfterValidator(_absolute)] | None = Field(
        None, description="trained weights to start from: a run, whose best checkpoint is used, or a `.keras` file"
    )
    freeze: Annotated[
        Annotated[Literal["all-but-head"], Tag("<word>")] | Annotated[tuple[Index, ...], ListAsTuple, Tag("<list>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<list>"),
    ] = Field((), description="loaded blocks that are not trained, by their index in `layers`, from 0")
    learning_rate_factor: float = Field(
        1.0, gt=0, le=1000, description="factor on the learning rate of layers that are loaded and not frozen"
    )

    @property
    def frozen(self) -> frozenset[int]:
        """The indices in `layers` of the blocks that are not trained."""
        return frozenset(range(len(self.layers)) if self.freeze == "all-but-head" else self.freeze)

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield the settings for loaded weights where none are loaded, and the blocks to freeze that do not exist."""
        if self.init_from is None:
            if self.freeze:
                yield ("freeze",), "needs init_from: only blocks with loaded weights can be frozen"
            if self.learning_rate_factor != 1:
                yield ("learning_rate_factor",), "needs init_from: it applies to loaded layers only"
        if self.freeze == "all-but-head":
            if not self.layers:
                yield ("freeze",), "has nothing to freeze: layers is empty"
            return
        yield from repetition("freeze", self.freeze)
        beyond = sorted({index for index in self.freeze if index >= len(self.layers)})
        if beyond:
            count = len(self.layers)
            allowed = f"0 to {count - 1}" if count else "none, since layers is empty"
            yield ("freeze",), f"names blocks that do not exist: {', '.join(map(str, beyond))} (allowed: {allowed})"


Monitor = Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "loss", "accuracy"]


class EarlyStopping(Section):
    """The rule by which training stops when a metric no longer improves."""

    monitor: Monitor = Field("val_loss", description="metric that must improve")
    patience: int = Field(5, ge=1, description="epochs without improvement after which training stops")
    min_delta: float = Field(0.0, ge=0, description="smallest change that counts as an improvement")


class Elastic(Section):
    """Bend each image like a rubber sheet: points of a coarse grid move at random, and the pixels between follow."""

    strength: float = Field(
        0.0, ge=0, le=1000, description="largest displacement of a grid point along each axis, in pixels"
    )
    smoothness: float = Field(7.0, ge=1, le=1000, description="distance between grid points, in pixels")


class Augmentation(Section):
    """Deform each training image at random whenever it is used. Amounts are drawn uniformly, in either direction."""

    rotation: float = Field(0.0, ge=0, le=180, description="largest rotation, in degrees")
    translation: float = Field(0.0, ge=0, le=1000, description="largest shift along each axis, in pixels")
    scale: float = Field(0.0, ge=0, le=0.9, description="largest change of height and of width, as a fraction")
    shear: float = Field(0.0, ge=0, le=60, description="largest slant of vertical lines, in degrees")
    elastic: Elastic = Field(default_factory=Elastic, description="how each image is bent")
    noise: float = Field(
        0.0, ge=0, le=1, description="standard deviation of the noise added to each pixel; black is 0 and white is 1"
    )

    @property
    def is_on(self) -> bool:
        """True if these settings change the images."""
        return any((self.rotation, self.translation, self.scale, self.shear, self.elastic.strength, self.noise))


Weight = Annotated[float, Field(ge=0, le=1_000_000)]


def _not_empty(weights: dict[int | str, float]) -> dict[int | str, float]:
    """Reject weights that leave nothing to train on."""
    if weights and not any(weights.values()):
        raise PydanticCustomError("class_weight", "must have a weight above 0")
    return weights


class Training(Section):
    """The length of the training, its batches, when it stops early, and how its images are deformed."""

    epochs: int = Field(10, ge=1, le=100_000, description="passes over the training images")
    batch_size: int = Field(32, ge=1, le=65_536, description="images per step; the last step of an epoch has the rest")
    label_smoothing: Fraction = Field(
        0.0, description="fraction of each label that is spread over all classes; `loss` and `val_loss` include it"
    )
    class_weight: (
        Annotated[
            Annotated[Literal["balanced"], Tag("<word>")]
            | Annotated[dict[Label | Name, Weight], AfterValidator(_not_empty), Tag("<mapping>")],
            Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<word>"),
            BeforeValidator(labels_as_keys),
        ]
        | None
    ) = Field(
        None,
        description="factor on the loss of each image by its class: a mapping from names or labels, 1 for the others; "
        "`balanced` lets every class count the same. `loss` includes it, `val_loss` does not",
    )
    monitor: Monitor | None = Field(
        None, description="metric that decides which checkpoint is the best; `null` means `val_loss`, or else `loss`"
    )
    early_stopping: EarlyStopping | None = Field(None, description="when to stop before the last epoch")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="how training images are deformed")
    jit_compile: bool = Field(True, description="compile the epoch with XLA")
    checkpoint_seconds: float | None = Field(
        60.0,
        gt=0,
        le=86_400,
        description="seconds after which a place within a longer epoch is saved; null saves at the end of epochs only",
    )
    threads: Threads = Field(
        "auto",
        description="threads that an operation is divided among, which decides the last bits; `auto` is the processors "
        "allowed when a run begins, and is recorded as a number",
    )
    tensorboard: bool = Field(
        False, description="write what `tensorboard --logdir runs` shows; needs `pip install 'dnn-cli[tensorboard]'`"
    )


class Config(Section):
    """The config of one training. Every setting has a default."""

    seed: int = Field(0, ge=0, lt=2**32, description="seed of all random numbers")
    engine: Literal["keras", "numpy"] = Field(
        "keras",
        description="what trains: Keras on TensorFlow, or NumPy, which starts at once but supports fewer settings",
    )
    data: Data = Field(default_factory=Data, description="the images to train on")
    model: Model = Field(default_factory=Model, description="the network")
    optimizer: AnyOptimizer = Field(default_factory=lambda: Adam(name="adam"), description="its name, or a mapping")
    training: Training = Field(default_factory=Training, description="how long to train, and how")

    @property
    def validation_figures(self) -> set[str]:
        """The figures of the validation images, besides those that Keras computes, that decide something."""
        stopping = self.training.early_stopping
        monitored = {self.training.monitor, stopping.monitor if stopping else None}
        return {name for name in ("val_balanced_accuracy", "val_macro_f1") if name in monitored}

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield what validates without images held out, and a schedule that is impossible in these epochs."""
        monitor = self.training.monitor
        if monitor and monitor.startswith("val_") and not self.data.validation:
            message = f"{monitor} needs images held out; set data.validation, or monitor loss or accuracy"
            yield ("training", "monitor"), message
        stopping = self.training.early_stopping
        if stopping and stopping.monitor.startswith("val_") and not self.data.validation:
            message = f"{stopping.monitor} needs images held out; set data.validation, or monitor loss or accuracy"
            yield ("training", "early_stopping", "monitor"), message
        rate = self.optimizer.learning_rate
        if isinstance(rate, Schedule):
            known = list(rate.contradictions())
            for contradiction in rate.over(self.training.epochs).contradictions():
                if contradiction not in known:
                    yield ("optimizer", "learning_rate", *contradiction[0]), contradiction[1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values, as YAML and JSON hold them."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return YAML that reads back to an equal config."""
        return yaml_document.dump(self.to_dict())

    def with_epochs(self, epochs: int) -> Self:
        """Return a copy of the config with another number of epochs."""
        return self._with_training(epochs=epochs)

    def with_absolute_schedule(self, run: Self | None = None) -> Self:
        """Return a copy whose schedule has no length relative to the training.

        Args:
            run: the config of a run that is resumed, whose lengths are kept.
        """
        rate = self.optimizer.learning_rate
        if not isinstance(rate, Schedule):
            return self
        recorded = run.optimizer.learning_rate if run else None
        absolute = rate.over(self.training.epochs, recorded if isinstance(recorded, Schedule) else None)
        return self.model_copy(update={"optimizer": self.optimizer.model_copy(update={"learning_rate": absolute})})

    def with_threads(self, threads: int | Literal["auto"]) -> Self:
        """Return a copy of the config with another number of threads."""
        return self._with_training(threads=threads)

    def with_jit_compile(self, jit_compile: bool) -> Self:
        """Return a copy of the config that compiles the training steps, or does not."""
        return self._with_training(jit_compile=jit_compile)

    def _with_training(self, **changes: Any) -> Self:
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
