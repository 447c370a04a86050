"""Compare two runs to the last bit: their settings, environments, data, histories and weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dnn_cli.config import difference
from dnn_cli.engines import keras_file
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Environment, Row

if TYPE_CHECKING:
    from dnn_cli.typing import Array

# The values of an environment that the last bits of the weights depend on, and others that explain a difference.
FACTS = ("platform", "machine", "processor", "cpus", "threads", "compiled", "git")
CHECKPOINTS = ("last", "best")
Pair = tuple[Any, Any]


@dataclass(frozen=True)
class ArrayDifference:
    """An array that is not the same in two checkpoints.

    Attributes:
        name: its place in the file: ``layers/dense/vars/0``, ``optimizer/vars/3``.
        largest: the largest difference of two entries; None if only one checkpoint has the array, or its shapes or
            types differ.
    """

    name: str
    largest: float | None


@dataclass(frozen=True)
class CheckpointDifference:
    """Two checkpoints of the same name.

    Attributes:
        name: ``last`` or ``best``.
        epochs: the epoch of each.
        arrays: number of arrays in the first: weights, and what the optimizer keeps.
        different: those that differ in a bit.
    """

    name: str
    epochs: tuple[int, int]
    arrays: int
    different: tuple[ArrayDifference, ...]

    @property
    def is_equal(self) -> bool:
        """True if epoch and arrays are the same, bit for bit."""
        return self.epochs[0] == self.epochs[1] and not self.different

    @property
    def largest(self) -> float | None:
        """The largest difference of a weight or a value of the optimizer; None if an array is missing or misshapen."""
        values = [each.largest for each in self.different]
        return None if None in values else max((value for value in values if value is not None), default=0.0)


@dataclass(frozen=True)
class HistoryDifference:
    """Two histories; the time of an epoch does not count.

    Attributes:
        epochs: the number of rows of each.
        first: the first epoch whose figures differ; None if all that both have are the same.
        figures: the figure → its largest difference over the epochs of both.
    """

    epochs: tuple[int, int]
    first: int | None
    figures: dict[str, float]

    @property
    def is_equal(self) -> bool:
        """True if all figures of all epochs are the same."""
        return self.epochs[0] == self.epochs[1] and self.first is None


@dataclass(frozen=True)
class RunDifference:
    """What differs between two runs.

    Attributes:
        settings: the setting → its two values.
        environment: the fact → its two values: ``versions.keras``, ``threads``, ``dataset.fingerprint``.
        history: the figures of the epochs.
        checkpoints: the weights, and what the optimizer keeps.
    """

    settings: dict[str, Pair]
    environment: dict[str, Pair]
    history: HistoryDifference
    checkpoints: tuple[CheckpointDifference, ...]

    @property
    def is_equal(self) -> bool:
        """True if history and checkpoints are the same, bit for bit."""
        return self.history.is_equal and all(each.is_equal for each in self.checkpoints)

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as JSON values."""
        values: dict[str, Any] = {"equal": self.is_equal, **asdict(self)}
        for name in ("settings", "environment"):
            values[name] = {key: list(pair) for key, pair in values[name].items()}
        values["checkpoints"] = [
            asdict(each) | {"equal": each.is_equal, "largest": each.largest} for each in self.checkpoints
        ]
        values["history"]["equal"] = self.history.is_equal
        return values


def compare(one: RunDirectory, other: RunDirectory) -> RunDifference:
    """Compare two runs; raises `RunError` if a file of one is missing or damaged."""
    settings = {key: (values[0], values[1]) for key, values in _settings(one, other).items()}
    facts = [_facts(run.environment()) for run in (one, other)]
    environment = {key: (facts[0].get(key), facts[1].get(key)) for key in facts[0] | facts[1]}
    return RunDifference(
        settings=settings,
        environment={key: pair for key, pair in environment.items() if pair[0] != pair[1]},
        history=compare_histories(one.saved_history(), other.saved_history()),
        checkpoints=tuple(_compare_checkpoints(name, one, other) for name in CHECKPOINTS),
    )


def _settings(one: RunDirectory, other: RunDirectory) -> dict[str, list[Any]]:
    return difference.variations([one.config(), other.config()])


def _facts(environment: Environment) -> dict[str, Any]:
    """Return what the result of a run depends on besides its settings, by name."""
    data, transfer = environment.dataset, environment.transfer
    return {
        **{f"versions.{name}": version for name, version in environment.versions.items()},
        **{name: getattr(environment, name) for name in FACTS},
        "dataset.name": data.name,
        "dataset.fingerprint": data.fingerprint,
        "transfer.sha256": transfer and transfer.sha256,
    }


def compare_histories(one: Sequence[Row], other: Sequence[Row]) -> HistoryDifference:
    """Compare the figures of the epochs that both histories have."""
    pairs = list(zip(one, other, strict=False))
    names = [name for name in (one[0] if one else {}) if name not in ("epoch", "seconds")]
    figures = {name: max((abs(a[name] - b.get(name, a[name])) for a, b in pairs), default=0.0) for name in names}
    differing = [a["epoch"] for a, b in pairs if {**a, "seconds": 0} != {**b, "seconds": 0}]
    return HistoryDifference((len(one), len(other)), differing[0] if differing else None, figures)


def _compare_checkpoints(name: str, one: RunDirectory, other: RunDirectory) -> CheckpointDifference:
    (file, epoch), (other_file, other_epoch) = one.checkpoint(name), other.checkpoint(name)
    first, second = keras_file.arrays(file), keras_file.arrays(other_file)
    different = []
    for key in dict.fromkeys([*first, *second]):
        a, b = first.get(key), second.get(key)
        if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype):
            different.append(ArrayDifference(key, None))
        elif a.tobytes() != b.tobytes():
            different.append(ArrayDifference(key, _largest(a, b)))
    return CheckpointDifference(name, (epoch, other_epoch), len(first), tuple(different))


def _largest(one: "Array", other: "Array") -> float:
    import numpy as np

    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())
