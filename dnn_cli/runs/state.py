"""The contents of `state.json`: the checkpoints that a run can be resumed from, and the files that belong to them."""

from dataclasses import dataclass

from dnn_cli.config.schema import Monitor
from dnn_cli.runs.json_record import JsonRecord, Number, Ordinal


def is_higher_better(figure: str) -> bool:
    """Return whether a larger value of a figure is better: of all but losses."""
    return not figure.endswith("loss")


@dataclass(frozen=True)
class Best(JsonRecord):
    """The checkpoint with the best monitored figure: by default, the lowest validation loss or else training loss.

    Attributes:
        epoch: the number of epochs after which it was saved, from 1.
        monitor: the figure: ``val_loss``, or the one that the config names.
        value: the value of the monitored figure.
        sha256: the digest of the checkpoint file.
    """

    epoch: Ordinal
    monitor: Monitor
    value: Number
    sha256: str


@dataclass(frozen=True)
class Checkpoint(JsonRecord):
    """The network after `epoch` epochs.

    Attributes:
        epoch: the number of epochs.
        sha256: the digest of the checkpoint file.
        best: the best checkpoint up to then.
        history: the digest of the history up to then: its header and `epoch` rows. None if not recorded.
    """

    epoch: Ordinal
    sha256: str
    best: Best
    history: str | None = None  # not in 0.1.0

    def __post_init__(self) -> None:
        """Raise `ValueError` unless the best epoch is one of those that were trained."""
        if not 1 <= self.best.epoch <= self.epoch:
            raise ValueError(f"the best epoch is {self.best.epoch}, but {self.epoch} epochs were trained")


@dataclass(frozen=True)
class State(JsonRecord):
    """The state of a run after its last completed epoch.

    Attributes:
        last: the last checkpoint.
        previous: the one before it, which is used if the last is damaged.
        config: the digest of the config without its number of epochs. None if not recorded.
    """

    last: Checkpoint
    previous: Checkpoint | None = None
    config: str | None = None  # not in 0.1.0
