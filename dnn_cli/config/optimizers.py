"""The registry of optimizers: Keras's own, with Keras's names and defaults."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from dnn_cli.config.schedules import AnySchedule, Decay, Limit, PositiveDecay, Rate, Steps
from dnn_cli.config.section import Contradiction, Section, Tuple

Momentum = Annotated[float, Field(ge=0, le=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Word = Annotated[str, Field(pattern="^[a-z0-9_/]+$")]
LearningRate = Annotated[
    Annotated[Rate, Tag("<number>")] | Annotated[AnySchedule, Tag("<schedule>")],
    Discriminator(lambda value: "<schedule>" if isinstance(value, dict | Section) else "<number>"),
]


class Common(Section):
    """What every optimizer of Keras takes."""

    name: str
    learning_rate: LearningRate = Field(0.001, description="size of a step: a number or a schedule")
    weight_decay: Strength | None = Field(None, description="share of a weight taken off at a step, times the rate")
    clipnorm: Limit | None = Field(
        None, description="the longest gradient of one variable; a longer one is scaled down"
    )
    clipvalue: Limit | None = Field(None, description="the largest number in a gradient, either way")
    global_clipnorm: Limit | None = Field(None, description="the longest gradient of all variables together")
    use_ema: bool = Field(
        False, description="judge and save the moving average of the weights instead of the last ones"
    )
    ema_momentum: Momentum = Field(0.99, description="share of the moving average that a step keeps")
    ema_overwrite_frequency: Steps | None = Field(
        None, description="every how many steps training itself goes on from the moving average"
    )
    gradient_accumulation_steps: Annotated[int, Field(ge=2)] | None = Field(
        None, description="batches whose mean gradient makes one update"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single argument shows to be wrong."""
        clips = [key for key in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, key) is not None]
        for key in clips[1:]:
            yield key, f"goes without {clips[0]}: at most one way of clipping"
        if self.ema_overwrite_frequency and not self.use_ema:
            yield "ema_overwrite_frequency", "does nothing without use_ema"


class SGD(Common):
    """Stochastic gradient descent, with momentum if asked for."""

    name: Literal["sgd"]
    learning_rate: LearningRate = Field(0.01, description="size of a step: a number or a schedule")
    momentum: Momentum = Field(0.0, description="share of the last step that is kept")
    nesterov: bool = Field(False, description="Nesterov's momentum")


class RMSprop(Common):
    """Steps divided by a running root mean square of the gradient."""

    name: Literal["rmsprop"]
    rho: Decay = Field(0.9, description="decay of the mean square")
    momentum: Momentum = Field(0.0, description="share of the last step that is kept")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    centered: bool = Field(False, description="divide by the estimated variance")


class Adagrad(Common):
    """Steps divided by the root of all squared gradients so far (Duchi et al. 2011)."""

    name: Literal["adagrad"]
    initial_accumulator_value: Strength = Field(0.1, description="where the sum of squares starts")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class Adadelta(Common):
    """Steps in proportion to the steps before (Zeiler 2012); wants a `learning_rate` near 1."""

    name: Literal["adadelta"]
    rho: Decay = Field(0.95, description="decay of the mean square")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class _Moments(Common):
    beta_1: Decay = Field(0.9, description="decay of the mean")
    beta_2: Decay = Field(0.999, description="decay of the mean square")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class Adam(_Moments):
    """Running means of the gradient and of its square (Kingma & Ba 2014)."""

    name: Literal["adam"]
    amsgrad: bool = Field(False, description="keep the largest mean square")


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"]
    weight_decay: Strength = Field(0.004, description="share of a weight taken off at a step, times the rate")
    amsgrad: bool = Field(False, description="keep the largest mean square")


class Adamax(_Moments):
    """Adam with the largest gradient in place of the mean square (Kingma & Ba 2014)."""

    name: Literal["adamax"]


class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2015)."""

    name: Literal["nadam"]


class Lamb(_Moments):
    """Adam with each layer's step in proportion to its weights, for large batches (You et al. 2019)."""

    name: Literal["lamb"]


class ScheduleFreeAdamW(_Moments):
    """Adam that averages instead of following a schedule (Defazio et al. 2024)."""

    name: Literal["schedulefreeadamw"]
    learning_rate: LearningRate = Field(0.0025, description="size of a step: a number or a schedule")
    beta_1: PositiveDecay = Field(0.9, description="decay of the mean")
    epsilon: Epsilon = Field(1e-8, description="added for numerical stability")
    warmup_steps: int = Field(0, ge=0, description="steps in which the rate rises from 0 to its value")


class Lion(Common):
    """Steps of one size, in the sign of a running mean (Chen et al. 2023)."""

    name: Literal["lion"]
    beta_1: PositiveDecay = Field(0.9, description="decay of the mean")
    beta_2: Decay = Field(0.99, description="decay of the mean that is kept")


class Ftrl(Common):
    """Follow the regularized leader, which keeps many weights at zero (McMahan et al. 2013)."""

    name: Literal["ftrl"]
    learning_rate_power: float = Field(-0.5, ge=-1, le=0, description="how the rate falls; 0 keeps it")
    initial_accumulator_value: Strength = Field(0.1, description="where the sum of squares starts")
    l1_regularization_strength: Strength = Field(0.0, description="pull towards exactly zero")
    l2_regularization_strength: Strength = Field(0.0, description="pull towards small weights")
    l2_shrinkage_regularization_strength: Strength = Field(0.0, description="the same, on the gradient alone")
    beta: Strength = Field(0.0, description="added to the root of the sum of squares")


class Adafactor(Common):
    """Adam that keeps a row and a column of each mean square instead of all of it (Shazeer & Stern 2018)."""

    name: Literal["adafactor"]
    beta_2_decay: float = Field(-0.8, ge=-1, lt=0, description="exponent with which the decay grows over the steps")
    epsilon_1: Epsilon = Field(1e-30, description="added for numerical stability")
    epsilon_2: Epsilon = Field(1e-3, description="what a variable's scale is at least")
    clip_threshold: float = Field(1.0, ge=1, description="what an update's root mean square is at most")
    relative_step: bool = Field(True, description="let the rate fall with the root of the steps")


class Muon(Common):
    """Momentum made orthogonal (Jordan et al. 2024) for kernels; AdamW for biases and the layers left out."""

    name: Literal["muon"]
    weight_decay: Strength | None = Field(0.004, description="share of a weight taken off at a step, times the rate")
    adam_beta_1: Decay = Field(0.9, description="of AdamW: decay of the mean")
    adam_beta_2: Decay = Field(0.999, description="of AdamW: decay of the mean square")
    adam_weight_decay: Strength | None = Field(0.004, description="of AdamW: its weight decay")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    exclude_layers: Annotated[tuple[Word, ...], Tuple] = Field(
        ("output",),
        max_length=100,
        description="parts of the names of layers left to AdamW; the output layer should be one",
    )
    muon_a: float = Field(3.4445, description="first coefficient of the iteration that makes orthogonal")
    muon_b: float = Field(-4.775, description="second coefficient")
    muon_c: float = Field(2.0315, description="third coefficient")
    adam_lr_ratio: Limit = Field(1.0, description="AdamW's learning rate over Muon's")
    momentum: Momentum = Field(0.95, description="share of the last step that is kept")
    ns_steps: int = Field(5, ge=1, le=100, description="iterations that make orthogonal")
    nesterov: bool = Field(True, description="Nesterov's momentum")
    rms_rate: Limit | None = Field(0.2, description="size of an update beside AdamW's; `null` leaves it as it comes")


_Optimizers = Annotated[
    SGD
    | RMSprop
    | Adagrad
    | Adadelta
    | Adam
    | AdamW
    | Adamax
    | Nadam
    | Lamb
    | ScheduleFreeAdamW
    | Lion
    | Ftrl
    | Adafactor
    | Muon,
    Field(discriminator="name"),
]
_Names = Literal[
    "sgd",
    "rmsprop",
    "adagrad",
    "adadelta",
    "adam",
    "adamw",
    "adamax",
    "nadam",
    "lamb",
    "schedulefreeadamw",
    "lion",
    "ftrl",
    "adafactor",
    "muon",
]
Optimizer = Annotated[
    _Optimizers,
    BeforeValidator(
        lambda value: {"name": value} if isinstance(value, str) else value,
        json_schema_input_type=_Names | _Optimizers,
    ),
]
