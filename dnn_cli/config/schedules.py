"""Define the learning-rate schedules of the config: those of Keras, with the same names and defaults."""

import re
from collections.abc import Iterator
from math import ceil, expm1, log1p
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from dnn_cli.config.section import Contradiction, ListAsTuple, Section

Rate = Annotated[float, Field(gt=0, le=1000)]
RateOrZero = Annotated[float, Field(ge=0, le=1000)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PositiveDecay = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=1)]
ALL = "all"  # a length: the epochs of the training that the warm-up leaves
PERCENTAGE = r"(100|[0-9]{1,2})(\.[0-9]+)?%"


def _is_word(value: Any) -> str:
    return "<word>" if isinstance(value, str) else "<number>"


def _check_percentage(value: str) -> str:
    if re.fullmatch(PERCENTAGE, value) and 0 < float(value[:-1]) <= 100:
        return value
    raise PydanticCustomError("percentage", "must be a number of epochs, or a percentage of them such as 50%")


def _check_all(value: str) -> str:
    if value == ALL:
        return value
    try:
        return _check_percentage(value)
    except PydanticCustomError:
        message = "must be a number of epochs, a percentage of them such as 50%, or all"
        raise PydanticCustomError("percentage", message) from None


_Number = Annotated[float, Field(gt=0, le=100_000), Tag("<number>")]
_Percentage = Annotated[
    str, AfterValidator(_check_percentage), Field(json_schema_extra={"pattern": f"^{PERCENTAGE}$"}), Tag("<word>")
]
_PercentageOrAll = Annotated[
    str, AfterValidator(_check_all), Field(json_schema_extra={"pattern": f"^({PERCENTAGE}|{ALL})$"}), Tag("<word>")
]
Epochs = Annotated[_Number | _Percentage, Discriminator(_is_word)]
EpochsOrAll = Annotated[_Number | _PercentageOrAll, Discriminator(_is_word)]


class Schedule(Section):
    """Base class of schedules: learning rates that change from step to step.

    Attributes:
        LENGTHS: pairs of arguments for the same length, in steps and in epochs; exactly one of the two is required.
        OPTIONAL_LENGTHS: pairs of which at most one argument is given.
    """

    LENGTHS: ClassVar[tuple[tuple[str, str], ...]] = ()
    OPTIONAL_LENGTHS: ClassVar[tuple[tuple[str, str], ...]] = ()

    name: str

    def keras(self, steps_per_epoch: int | None) -> tuple[str, dict[str, Any]]:
        """Return the name of a class in `keras.optimizers.schedules`, and the arguments to create it with.

        Args:
            steps_per_epoch: steps in an epoch, to convert lengths in epochs; None if no length is in epochs.

        Raises:
            ValueError: a length is in epochs, and `steps_per_epoch` is None, or it is relative; see `over`.
        """
        arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in self if key != "name"}
        for steps, epochs in (*self.LENGTHS, *self.OPTIONAL_LENGTHS):
            if (length := arguments.pop(epochs)) is not None:
                if _is_relative(length):
                    raise ValueError(f"{epochs} is relative to the training: {length}")
                if steps_per_epoch is None:
                    raise ValueError(f"{epochs} needs the number of steps in an epoch")
                arguments[steps] = self._in_steps(length, steps_per_epoch)
        return type(self).__name__, arguments

    def _in_steps(self, epochs: Any, steps_per_epoch: int) -> Any:
        return max(1, round(epochs * steps_per_epoch))

    def over(self, epochs: int, recorded: "Schedule | None" = None) -> Self:
        """Return a copy whose lengths relative to the training, such as `ALL`, are numbers of epochs.

        A warm-up longer than the training leaves one epoch to `ALL`, so that a config can be tried with few epochs.

        Args:
            epochs: the length of the training.
            recorded: the schedule of a run that is resumed, whose lengths are kept.
        """
        lengths = dict[str, Any]()
        for _, name in (*self.OPTIONAL_LENGTHS, *self.LENGTHS):  # the warm-up first
            length = getattr(self, name)
            if type(recorded) is type(self) and _is_relative(length) and getattr(recorded, name) is not None:
                lengths[name] = getattr(recorded, name)
            elif length == ALL:
                lengths[name] = max(1.0, epochs - (lengths.get("warmup_epochs") or 0.0))
            elif isinstance(length, tuple):
                lengths[name] = tuple(_absolute(entry, epochs) for entry in length)
            elif length is not None:
                lengths[name] = _absolute(length, epochs)
        return self.model_copy(update=lengths)

    def mismatch(self, steps_per_epoch: int, epochs: int) -> str:
        """Return how the schedule fails to end with a training of `epochs`, as a clause; "" if it ends with it."""
        total = steps_per_epoch * epochs
        end = self._end(self.keras(steps_per_epoch)[1], total)
        if end is None or abs(end - total) <= 1:  # a length in epochs is rounded to steps
            return ""
        clause = f"the learning rate's {self.name} ends after {round(end / steps_per_epoch, 2):g} epochs"
        if end > total:
            return f"{clause}, but the training after {epochs}"
        return f"{clause}; for the rest of the {epochs} it stays at {self._last_rate():g}"

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        """Return the step at which the schedule ends; None if no end is right or wrong.

        Args:
            arguments: as `keras` returns them.
            total: the steps of the training.
        """
        return None

    def _last_rate(self) -> float:
        """Return the learning rate after the end of a schedule that may end before the training."""
        raise NotImplementedError

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield each length that is given neither in steps nor in epochs, or in both."""
        for steps, epochs in self.LENGTHS:
            if (getattr(self, steps) is None) == (getattr(self, epochs) is None):
                yield (), f"needs either {steps} or {epochs}, not both"


def _is_relative(length: Any) -> bool:
    """Return whether a length, or one in a tuple, depends on the number of epochs."""
    return isinstance(length, str) or (isinstance(length, tuple) and any(map(_is_relative, length)))


def _absolute(length: float | str, epochs: int) -> float:
    """Return a length in epochs; `length` is a number of them or a percentage of `epochs`."""
    return float(length[:-1]) / 100 * epochs if isinstance(length, str) else length


class _Decay(Schedule):
    LENGTHS = (("decay_steps", "decay_epochs"),)

    initial_learning_rate: Rate = Field(description="learning rate at the start")
    decay_steps: Steps | None = Field(None, description="length in steps of one batch each, without the warm-up")
    decay_epochs: EpochsOrAll | None = Field(
        None,
        description="the same in epochs, instead of `decay_steps`: a number, a percentage of the training's such as "
        "`50%`, or `all` that the warm-up leaves",
    )


class _DecayByRate(_Decay):
    decay_rate: Rate = Field(description="how fast the learning rate falls; see each schedule")
    staircase: bool = Field(False, description="fall in steps instead of continuously")


class ExponentialDecay(_DecayByRate):
    """Multiply the learning rate by `decay_rate` every `decay_steps`."""

    name: Literal["exponential_decay"]


class InverseTimeDecay(_DecayByRate):
    """Divide the initial rate by 1 + `decay_rate` · step / `decay_steps`."""

    name: Literal["inverse_time_decay"]


class PolynomialDecay(_Decay):
    """Fall to `end_learning_rate` along a polynomial."""

    name: Literal["polynomial_decay"]
    end_learning_rate: Rate = Field(0.0001, description="learning rate at the end")
    power: Limit = Field(1.0, description="exponent of the polynomial; 1 is a straight line")
    cycle: bool = Field(False, description="start again after the end")

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        return None if self.cycle else float(arguments["decay_steps"])

    def _last_rate(self) -> float:
        return self.end_learning_rate


class PiecewiseConstantDecay(Schedule):
    """Use the first of `values` up to the first boundary, then the second, and so on."""

    LENGTHS = (("boundaries", "boundary_epochs"),)

    name: Literal["piecewise_constant_decay"]
    boundaries: Annotated[tuple[Steps, ...], Field(min_length=1, max_length=100), ListAsTuple] | None = Field(
        None, description="last step of each value but the last, counted from 0; increasing"
    )
    boundary_epochs: Annotated[tuple[Epochs, ...], Field(min_length=1, max_length=100), ListAsTuple] | None = Field(
        None,
        description="epochs after which the next value begins, instead of `boundaries`: numbers or percentages; "
        "increasing",
    )
    values: Annotated[tuple[Rate, ...], Field(min_length=2, max_length=101), ListAsTuple] = Field(
        description="learning rates, one more than boundaries"
    )

    def _in_steps(self, epochs: tuple[float, ...], steps_per_epoch: int) -> list[int]:
        # In the step of a boundary, Keras still uses the value before it. Steps count from 0.
        return [max(0, round(boundary * steps_per_epoch) - 1) for boundary in epochs]

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        # The last value may be used for any number of steps, but for some.
        first_with_last_value = arguments["boundaries"][-1] + 1
        return None if first_with_last_value < total else first_with_last_value + 2.0  # more than rounding

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield boundaries that do not increase, or that do not fit the number of values."""
        yield from super().contradictions()
        for key in ("boundaries", "boundary_epochs"):
            if (boundaries := getattr(self, key)) is not None:
                if not _is_relative(boundaries) and list(boundaries) != sorted(set(boundaries)):
                    yield (key,), "must increase"
                if len(self.values) != len(boundaries) + 1:
                    yield ("values",), f"must be one more than {key}: {len(boundaries) + 1}, got {len(self.values)}"


class CosineDecay(_Decay):
    """Fall along half a cosine, after a linear warm-up if `warmup_target` is given."""

    OPTIONAL_LENGTHS = (("warmup_steps", "warmup_epochs"),)

    name: Literal["cosine_decay"]
    initial_learning_rate: RateOrZero = Field(description="learning rate at the start")
    alpha: float = Field(0.0, ge=0, le=1, description="learning rate at the end, as a fraction of the highest")
    warmup_target: Rate | None = Field(None, description="learning rate at the end of the warm-up")
    warmup_steps: int = Field(0, ge=0, description="length of the warm-up in steps")
    warmup_epochs: Epochs | None = Field(
        None, description="the same in epochs, instead of `warmup_steps`: a number or a percentage"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a warm-up without a target or a length, or with two lengths, and a start at 0 without a warm-up."""
        yield from super().contradictions()
        if self.warmup_steps and self.warmup_epochs:
            yield (), "needs either warmup_steps or warmup_epochs, not both"
        elif (self.warmup_target is None) != (self.warmup_steps == 0 and self.warmup_epochs is None):
            yield (), "a warm-up needs warmup_target, and warmup_steps or warmup_epochs"
        elif self.initial_learning_rate == 0 and self.warmup_target is None:
            yield ("initial_learning_rate",), "must be greater than 0 without a warm-up"
        if self.decay_epochs == ALL and self.warmup_steps:
            yield ("decay_epochs",), "all needs a warm-up in epochs: warmup_epochs instead of warmup_steps"

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        return float(arguments["warmup_steps"] + arguments["decay_steps"])

    def _last_rate(self) -> float:
        return self.alpha * (self.initial_learning_rate if self.warmup_target is None else self.warmup_target)


class CosineDecayRestarts(Schedule):
    """Fall along half a cosine, then start again, several times (Loshchilov & Hutter 2016)."""

    LENGTHS = (("first_decay_steps", "first_decay_epochs"),)

    name: Literal["cosine_decay_restarts"]
    initial_learning_rate: Rate = Field(description="learning rate at the start")
    first_decay_steps: Steps | None = Field(None, description="length of the first half cosine in steps")
    first_decay_epochs: EpochsOrAll | None = Field(
        None, description="the same in epochs, instead of `first_decay_steps`: a number, a percentage, or `all`"
    )
    t_mul: float = Field(2.0, ge=1, le=1000, description="length of each half cosine, as a multiple of the one before")
    m_mul: float = Field(
        1.0, gt=0, le=1000, description="starting rate of each half cosine, as a multiple of the one before"
    )
    alpha: float = Field(0.0, ge=0, le=1, description="learning rate at the end, as a fraction of the highest")

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        """Return the end of the half cosine in which the training ends: first · (1 + t_mul + t_mul² + …)."""
        first, growth = arguments["first_decay_steps"], self.t_mul - 1
        if growth == 0:
            return float(first * max(1, ceil((total - 1) / first)))
        periods = max(1, ceil(log1p((total - 1) * growth / first) / log1p(growth)))
        return float(first * expm1(periods * log1p(growth)) / growth)


class LinearWarmup(Schedule):
    """Rise in a straight line, then stay constant; in Keras this is a PolynomialDecay that rises."""

    LENGTHS = (("warmup_steps", "warmup_epochs"),)

    name: Literal["linear_warmup"]
    initial_learning_rate: RateOrZero = Field(0.0, description="learning rate at the start")
    warmup_target: Rate = Field(description="learning rate at the end of the warm-up")
    warmup_steps: Steps | None = Field(None, description="length of the warm-up in steps")
    warmup_epochs: Epochs | None = Field(
        None, description="the same in epochs, instead of `warmup_steps`: a number or a percentage"
    )

    def _end(self, arguments: dict[str, Any], total: int) -> float | None:
        return float(arguments["decay_steps"]) if arguments["decay_steps"] > total else None

    def keras(self, steps_per_epoch: int | None) -> tuple[str, dict[str, Any]]:
        """Return Keras's polynomial of power 1, from the initial rate up to the target.

        Args:
            steps_per_epoch: steps in an epoch, to convert a length in epochs; None if the length is in steps.

        Raises:
            ValueError: the length is in epochs, and `steps_per_epoch` is None.
        """
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
