"""The content of `partial.json`: a place within an epoch from which the run can be resumed."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from dnn_cli.runs.json_record import JsonRecord

Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Position(JsonRecord):
    """A place within an epoch: everything besides the network that the rest of the epoch depends on.

    Attributes:
        epoch: the epoch under way, from 1.
        step: steps of the epoch that are done, 1 or more.
        metric_sums: the sums from which the engine computes the epoch's metrics.
        learning_rate: the learning rate when the epoch began.
        seconds: the time that the steps took.
    """

    epoch: Annotated[int, Field(ge=1)]
    step: Annotated[int, Field(ge=1)]
    metric_sums: tuple[Finite, ...]
    learning_rate: Finite
    seconds: Annotated[Finite, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Partial(Position):
    """A saved place within an epoch.

    Attributes:
        sha256: the digest of the checkpoint file.
    """

    sha256: str
