"""The contents of `state.json`: the checkpoints that a run can be resumed from."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Best:
    """The checkpoint with the lowest validation loss, or training loss where nothing is held out."""

    epoch: int
    monitor: str
    value: float
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """The model after `epoch` epochs, the digest of its file, and the best one up to then."""

    epoch: int
    sha256: str
    best: Best

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        epoch, best = int(values["epoch"]), Best(**values["best"])
        if not 1 <= best.epoch <= epoch:
            raise ValueError(f"of {epoch} epochs, epoch {best.epoch} is said to be the best")
        return cls(epoch, str(values["sha256"]), best)


@dataclass(frozen=True)
class State:
    """What can be resumed: the last checkpoint, and the one before it in case the last is damaged."""

    last: Checkpoint
    previous: Checkpoint | None = None
