"""The calibration of a run's best network: it brings the stated probabilities closer to the share that is right."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from dnn_cli.runs.json_record import JsonRecord
from dnn_cli.typing import Array

SMALLEST = np.finfo(np.float32).tiny  # a smaller probability counts as this one, because its logarithm is needed


@dataclass(frozen=True, kw_only=True)
class Calibration(JsonRecord):
    """The content of ``calibration.json``, found on images that the training did not see.

    Attributes:
        checkpoint: the SHA-256 digest of the ``.keras`` file that it belongs to.
        temperature: the logits are divided by it (Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural
            Networks"); more than 1 for a network that is too sure of itself.
    """

    checkpoint: str
    temperature: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]

    def apply(self, probabilities: Array) -> Array:
        """Return the calibrated probabilities, float64, of a network's probabilities (n, classes)."""
        logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / self.temperature
        powers: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers
