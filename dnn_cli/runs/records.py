"""The records of a run: history rows and evaluation scores."""

from dataclasses import dataclass
from typing import Any, Self

FIGURES = {"loss", "accuracy", "seconds"}  # what every row of a history has
Row = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """What an evaluation found, as far as runs are compared by it.

    Attributes:
        dataset: the name of the data.
        fingerprint: of the images and labels.
        images: how many.
        epoch: of the checkpoint; None where another file was evaluated.
        loss: the mean cross-entropy in nats.
        accuracy: the share that was right.
        accuracy_interval: its 95 % interval.
    """

    dataset: str
    fingerprint: str
    images: int
    epoch: int | None
    loss: float
    accuracy: float
    accuracy_interval: tuple[float, float]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From what `Run.write_evaluation` was given."""
        epoch, (low, high) = values["epoch"], values["accuracy_interval"]
        return cls(
            str(values["dataset"]),
            str(values["fingerprint"]),
            int(values["images"]),
            None if epoch is None else int(epoch),
            float(values["loss"]),
            float(values["accuracy"]),
            (float(low), float(high)),
        )
