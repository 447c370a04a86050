"""The registry of learning-rate schedules: Keras's own, with Keras's names and defaults."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dnn_cli.config.section import Contradiction, Section, Tuple

Rate = Annotated[float, Field(gt=0, le=1000)]
RateOrZero = Annotated[float, Field(ge=0, le=1000)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PositiveDecay = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(gt=0, le=100_000)]


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
