"""Define the optimizers of the config: those of Keras, with the same names and defaults."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from dnn_cli.config.schedules import AnySchedule, Decay, Limit, PositiveDecay, Rate, Steps
from dnn_cli.config.section import Contradiction, ListAsTuple, Section

Momentum = Annotated[float, Field(ge=0, le=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Word = Annotated[str, Field(pattern="^[a-z0-9_/]+$")]
LearningRate = Annotated[
    Annotated[Rate, Tag("<number>")] | Annotated[AnySchedule, Tag("<schedule>")],
    Discriminator(lambda value: "<schedule>" if isinstance(value, dict | Section) else "<number>"),
]


class OptimizerSection(Section):
    """Base class of optimizers: the arguments that every optimizer of Keras has."""

    name: str
    learning_rate: LearningRate = Field(0.001, description="learning rate: a number or a schedule")
    weight_decay: Strength | None = Field(
        None, description="fraction of each weight subtracted at a step, times the learning rate"
    )
    clipnorm: Limit | None = Field(
        None, description="largest norm of the gradient of one variable; larger ones are scaled down"
    )
    clipvalue: Limit | None = Field(None, description="largest absolute value in a gradient; larger ones are cut to it")
    global_clipnorm: Limit | None = Field(None, description="largest norm of the gradient of all variables together")
    use_ema: bool = Field(
        False, description="evaluate and save a moving average of the weights instead of the weights themselves"
    )
    ema_momentum: Momentum = Field(0.99, description="fraction of the moving average that is kept at each step")
    ema_overwrite_frequency: Steps | None = Field(
        None, description="interval, in steps, at which the weights are set to their moving average"
    )
    gradient_accumulation_steps: Annotated[int, Field(ge=2)] | None = Field(
        None, description="number of batches whose mean gradient is used for one update"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every way of clipping after the first, and an interval for an average that is not computed."""
        clips = [key for key in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, key) is not None]
        for key in clips[1:]:
            yield (key,), f"cannot be combined with {clips[0]}: choose one way of clipping"
        if self.ema_overwrite_frequency and not self.use_ema:
            yield ("ema_overwrite_frequency",), "has no effect without use_ema"


class SGD(OptimizerSection):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"]
    learning_rate: LearningRate = Field(0.01, description="learning rate: a number or a schedule")
    momentum: Momentum = Field(0.0, description="fraction of the last step that is added to the next")
    nesterov: bool = Field(False, description="use Nesterov's momentum")


class RMSprop(OptimizerSection):
    """Divide the gradient by a running root mean square of it."""

    name: Literal["rmsprop"]
    rho: Decay = Field(0.9, description="decay of the running mean of the squared gradient")
    momentum: Momentum = Field(0.0, description="fraction of the last step that is added to the next")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    centered: bool = Field(False, description="divide by the estimated standard deviation of the gradient")


class Adagrad(OptimizerSection):
    """Divide the gradient by the root of the sum of all squared gradients so far (Duchi et al. 2011)."""

    name: Literal["adagrad"]
    initial_accumulator_value: Strength = Field(0.1, description="initial value of the sum of squares")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class Adadelta(OptimizerSection):
    """Scale each step by the size of the steps before (Zeiler 2012); works best with a `learning_rate` near 1."""

    name: Literal["adadelta"]
    rho: Decay = Field(0.95, description="decay of the running mean of the squared gradient")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class _Moments(OptimizerSection):
    beta_1: Decay = Field(0.9, description="decay of the running mean of the gradient")
    beta_2: Decay = Field(0.999, description="decay of the running mean of the squared gradient")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")


class Adam(_Moments):
    """Use running means of the gradient and of its square (Kingma & Ba 2014)."""

    name: Literal["adam"]
    amsgrad: bool = Field(False, description="divide by the largest mean of squares so far")


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"]
    weight_decay: Strength = Field(
        0.004, description="fraction of each weight subtracted at a step, times the learning rate"
    )
    amsgrad: bool = Field(False, description="divide by the largest mean of squares so far")


class Adamax(_Moments):
    """Adam with the largest gradient instead of the mean square (Kingma & Ba 2014)."""

    name: Literal["adamax"]


class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2015)."""

    name: Literal["nadam"]


class Lamb(_Moments):
    """Adam with each layer's step scaled to the norm of its weights, for large batches (You et al. 2019)."""

    name: Literal["lamb"]


class ScheduleFreeAdamW(_Moments):
    """Adam that averages weights instead of lowering the learning rate (Defazio et al. 2024)."""

    name: Literal["schedulefreeadamw"]
    learning_rate: LearningRate = Field(0.0025, description="learning rate: a number or a schedule")
    beta_1: PositiveDecay = Field(0.9, description="decay of the running mean of the gradient")
    epsilon: Epsilon = Field(1e-8, description="added for numerical stability")
    warmup_steps: int = Field(0, ge=0, description="steps in which the learning rate rises from 0 to its value")


class Lion(OptimizerSection):
    """Take steps of equal size in the direction of the sign of a running mean (Chen et al. 2023)."""

    name: Literal["lion"]
    beta_1: PositiveDecay = Field(0.9, description="decay of the running mean of the gradient")
    beta_2: Decay = Field(0.99, description="decay of the running mean that is stored")


class Ftrl(OptimizerSection):
    """Follow the regularized leader, which keeps many weights at zero (McMahan et al. 2013)."""

    name: Literal["ftrl"]
    learning_rate_power: float = Field(
        -0.5, ge=-1, le=0, description="how fast the learning rate falls; 0 keeps it constant"
    )
    initial_accumulator_value: Strength = Field(0.1, description="initial value of the sum of squares")
    l1_regularization_strength: Strength = Field(0.0, description="L1 penalty on the weights")
    l2_regularization_strength: Strength = Field(0.0, description="L2 penalty on the weights")
    l2_shrinkage_regularization_strength: Strength = Field(
        0.0, description="L2 penalty that is added to the gradient only"
    )
    beta: Strength = Field(0.0, description="added to the root of the sum of squares, for numerical stability")


class Adafactor(OptimizerSection):
    """Adam that stores row and column averages of the squares, to save memory (Shazeer & Stern 2018)."""

    name: Literal["adafactor"]
    beta_2_decay: float = Field(
        -0.8, ge=-1, lt=0, description="exponent by which the decay approaches 1 over the steps"
    )
    epsilon_1: Epsilon = Field(1e-30, description="added for numerical stability")
    epsilon_2: Epsilon = Field(1e-3, description="smallest scale of a variable")
    clip_threshold: float = Field(
        1.0, ge=1, description="largest root mean square of an update; larger ones are scaled down"
    )
    relative_step: bool = Field(True, description="lower the learning rate with the root of the number of steps")


class Muon(OptimizerSection):
    """Momentum with orthogonalized updates (Jordan et al. 2024) for kernels; AdamW for all other weights."""

    name: Literal["muon"]
    weight_decay: Strength | None = Field(
        0.004, description="fraction of each weight subtracted at a step, times the learning rate"
    )
    adam_beta_1: Decay = Field(0.9, description="`beta_1` of AdamW")
    adam_beta_2: Decay = Field(0.999, description="`beta_2` of AdamW")
    adam_weight_decay: Strength | None = Field(0.004, description="`weight_decay` of AdamW")
    epsilon: Epsilon = Field(1e-7, description="added for numerical stability")
    exclude_layers: Annotated[tuple[Word, ...], ListAsTuple] = Field(
        ("output",),
        max_length=100,
        description="layers trained by AdamW: those whose name contains one of these; should include the output layer",
    )
    muon_a: float = Field(3.4445, description="first coefficient of the orthogonalizing iteration")
    muon_b: float = Field(-4.775, description="second coefficient of the orthogonalizing iteration")
    muon_c: float = Field(2.0315, description="third coefficient of the orthogonalizing iteration")
    adam_lr_ratio: Limit = Field(1.0, description="learning rate of AdamW, as a multiple of Muon's")
    momentum: Momentum = Field(0.95, description="fraction of the last step that is added to the next")
    ns_steps: int = Field(5, ge=1, le=100, description="number of orthogonalizing iterations")
    nesterov: bool = Field(True, description="use Nesterov's momentum")
    rms_rate: Limit | None = Field(
        0.2, description="scale of updates, to match the size of AdamW's; `null` does not scale them"
    )


_ByMapping = Annotated[
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
_ByName = Literal[
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
AnyOptimizer = Annotated[
    _ByMapping,
    BeforeValidator(
        lambda value: {"name": value} if isinstance(value, str) else value,
        json_schema_input_type=_ByName | _ByMapping,
    ),
]
