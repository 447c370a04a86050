"""The registry of optimizers and learning-rate schedules: Keras's own, with Keras's names and defaults.

A section is named like the Keras class it stands for, and its `name` is that class's in lower case (a schedule's in
snake case). Lengths may also be given in epochs; they become steps when the number of training images is known, so that
what Keras gets, and saves, is its own object and nothing of ours.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from dnn_cli.section import Section

Rate = Annotated[float, Field(gt=0, le=1000)]
RateOrZero = Annotated[float, Field(ge=0, le=1000)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PositiveDecay = Annotated[float, Field(gt=0, lt=1)]
Momentum = Annotated[float, Field(ge=0, le=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Limit = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(gt=0, le=100_000)]
Word = Annotated[str, Field(pattern="^[a-z0-9_/]+$")]
Tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)

Contradiction = tuple[str, str]  # the key, or nothing for the section itself, and what is wrong with it


class Schedule(Section):
    """A learning rate that changes from step to step."""

    LENGTHS: ClassVar[tuple[tuple[str, str], ...]] = ()  # each in steps or in epochs: one of them is needed
    OPTIONAL_LENGTHS: ClassVar[tuple[tuple[str, str], ...]] = ()

    name: str

    def keras(self, steps_per_epoch: int | None) -> tuple[str, dict[str, Any]]:
        """The name of Keras's class in `keras.optimizers.schedules`, and what it is called with.

        Args:
            steps_per_epoch: what turns a length in epochs into steps; needed where there is one.
        """
        arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in self if key != "name"}
        for steps, epochs in (*self.LENGTHS, *self.OPTIONAL_LENGTHS):
            if (length := arguments.pop(epochs)) is not None:
                if steps_per_epoch is None:
                    raise ValueError(f"{epochs} needs the number of steps in an epoch")
                arguments[steps] = self._in_steps(length, steps_per_epoch)
        return type(self).__name__, arguments

    def _in_steps(self, epochs: Any, steps_per_epoch: int) -> Any:
        return max(1, round(epochs * steps_per_epoch))

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single argument shows to be wrong."""
        for steps, epochs in self.LENGTHS:
            if (getattr(self, steps) is None) == (getattr(self, epochs) is None):
                yield "", f"needs {steps} or {epochs}, and not both"


class _Decay(Schedule):
    LENGTHS = (("decay_steps", "decay_epochs"),)

    initial_learning_rate: Rate = Field(description="rate at the start")
    decay_steps: Steps | None = Field(None, description="how long, in steps of one batch each, not counting a warm-up")
    decay_epochs: Epochs | None = Field(None, description="`decay_steps`, in epochs")


class _DecayByRate(_Decay):
    decay_rate: Rate = Field(description="how fast the rate falls, as the formula says")
    staircase: bool = Field(False, description="fall in jumps instead of smoothly")


class ExponentialDecay(_DecayByRate):
    """Multiply by `decay_rate` every `decay_steps`."""

    name: Literal["exponential_decay"]


class InverseTimeDecay(_DecayByRate):
    """Divide by 1 + `decay_rate` · step / `decay_steps`."""

    name: Literal["inverse_time_decay"]


class PolynomialDecay(_Decay):
    """Fall to `end_learning_rate` along a polynomial."""

    name: Literal["polynomial_decay"]
    end_learning_rate: Rate = Field(0.0001, description="rate at the end")
    power: Limit = Field(1.0, description="exponent; 1 is a straight line")
    cycle: bool = Field(False, description="start again after the end")


class PiecewiseConstantDecay(Schedule):
    """The first of `values` up to the first boundary, then the next."""

    LENGTHS = (("boundaries", "boundary_epochs"),)

    name: Literal["piecewise_constant_decay"]
    boundaries: Annotated[tuple[Steps, ...], Field(min_length=1, max_length=100), Tuple] | None = Field(
        None, description="the last steps, from 0, of all values but the last; increasing"
    )
    boundary_epochs: Annotated[tuple[Epochs, ...], Field(min_length=1, max_length=100), Tuple] | None = Field(
        None, description="after how many epochs the next value comes; increasing"
    )
    values: Annotated[tuple[Rate, ...], Field(min_length=2, max_length=101), Tuple] = Field(
        description="the rates, one more than there are boundaries"
    )

    def _in_steps(self, epochs: tuple[float, ...], steps_per_epoch: int) -> list[int]:
        # Keras still uses the old value in the step that a boundary names; steps count from 0.
        return [max(0, round(boundary * steps_per_epoch) - 1) for boundary in epochs]

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single argument shows to be wrong."""
        yield from super().contradictions()
        for key in ("boundaries", "boundary_epochs"):
            if (boundaries := getattr(self, key)) is not None:
                if list(boundaries) != sorted(set(boundaries)):
                    yield key, "must increase"
                if len(self.values) != len(boundaries) + 1:
                    yield "values", f"must be one more than {key}: {len(boundaries) + 1}, got {len(self.values)}"


class CosineDecay(_Decay):
    """Fall along half a cosine, after a linear warm-up if one is asked for."""

    OPTIONAL_LENGTHS = (("warmup_steps", "warmup_epochs"),)

    name: Literal["cosine_decay"]
    initial_learning_rate: RateOrZero = Field(description="rate at the start")
    alpha: float = Field(0.0, ge=0, le=1, description="rate at the end, as a fraction of the highest")
    warmup_target: Rate | None = Field(None, description="rate at the end of the warm-up")
    warmup_steps: int = Field(0, ge=0, description="how long the warm-up is, in steps")
    warmup_epochs: Epochs | None = Field(None, description="`warmup_steps`, in epochs")

    def contradictions(self) -> Iterator[Contradiction]:
        """What no single argument shows to be wrong."""
        yield from super().contradictions()
        if self.warmup_steps and self.warmup_epochs:
            yield "", "needs warmup_steps or warmup_epochs, and not both"
        elif (self.warmup_target is None) != (self.warmup_steps == 0 and self.warmup_epochs is None):
            yield "", "warmup_target goes together with warmup_steps or warmup_epochs"
        elif self.initial_learning_rate == 0 and self.warmup_target is None:
            yield "initial_learning_rate", "must be greater than 0 without a warm-up"


class CosineDecayRestarts(Schedule):
    """Half a cosine after another, each beginning anew (Loshchilov & Hutter 2016)."""

    LENGTHS = (("first_decay_steps", "first_decay_epochs"),)

    name: Literal["cosine_decay_restarts"]
    initial_learning_rate: Rate = Field(description="rate at the start")
    first_decay_steps: Steps | None = Field(None, description="how long the first half cosine is, in steps")
    first_decay_epochs: Epochs | None = Field(None, description="`first_decay_steps`, in epochs")
    t_mul: float = Field(2.0, ge=1, le=1000, description="how many times longer each is than the one before")
    m_mul: float = Field(1.0, gt=0, le=1000, description="each one's rate at the start, times that of the one before")
    alpha: float = Field(0.0, ge=0, le=1, description="rate at the end, as a fraction of the highest")


class LinearWarmup(Schedule):
    """Rise in a straight line, then stay: Keras's PolynomialDecay, upwards."""

    LENGTHS = (("warmup_steps", "warmup_epochs"),)

    name: Literal["linear_warmup"]
    initial_learning_rate: RateOrZero = Field(0.0, description="rate at the start")
    warmup_target: Rate = Field(description="rate at the end of the warm-up")
    warmup_steps: Steps | None = Field(None, description="how long the warm-up is, in steps")
    warmup_epochs: Epochs | None = Field(None, description="`warmup_steps`, in epochs")

    def keras(self, steps_per_epoch: int | None) -> tuple[str, dict[str, Any]]:
        """The polynomial of power 1 that rises."""
        _, arguments = super().keras(steps_per_epoch)
        return "PolynomialDecay", {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": arguments["warmup_steps"],
            "end_learning_rate": self.warmup_target,
        }


AnySchedule = Annotated[
    ExponentialDecay
    | InverseTimeDecay
    | PolynomialDecay
    | PiecewiseConstantDecay
    | CosineDecay
    | CosineDecayRestarts
    | LinearWarmup,
    Field(discriminator="name"),
]
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
