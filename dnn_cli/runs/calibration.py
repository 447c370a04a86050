"""The calibration of a run's best network: it brings the stated probabilities closer to the share that is right."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from dnn_cli.runs.json_record import JsonRecord, Ordinal
from dnn_cli.runs.records import Reliability

if TYPE_CHECKING:
    from dnn_cli.typing import Array

Temperature = Annotated[float, Field(strict=True, ge=0.001, le=1000)]


@dataclass(frozen=True, kw_only=True)
class Calibration(JsonRecord):
    """The content of ``calibration.json``, found on the images held out of the training.

    Attributes:
        checkpoint: the SHA-256 digest of the ``.keras`` file that it belongs to.
        epoch: the epoch of that checkpoint.
        temperature: the logits are divided by it (Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural
            Networks"); more than 1 for a network that is too sure of itself.
        images: number of images that it was found on.
        before: the network's own probabilities of these images.
        after: their calibrated probabilities.
    """

    checkpoint: str
    epoch: Ordinal
    temperature: Temperature
    images: Ordinal
    before: Reliability
    after: Reliability

    @classmethod
    def fit(cls, checkpoint: str, epoch: int, probabilities: "Array", labels: "Array") -> Self | None:
        """Return the calibration of a checkpoint, or None if the images do not tell its temperature.

        Args:
            checkpoint: the digest of its file.
            epoch: its epoch.
            probabilities: (n, classes) float, its probabilities of the images held out.
            labels: (n,) their classes.
        """
        from dnn_cli.runs import reliability

        temperature = reliability.fit_temperature(probabilities, labels)
        if temperature is None:
            return None
        return cls(
            checkpoint=checkpoint,
            epoch=epoch,
            temperature=temperature,
            images=len(labels),
            before=_reliability(probabilities, labels),
            after=_reliability(with_temperature(probabilities, temperature), labels),
        )

    def apply(self, probabilities: "Array") -> "Array":
        """Return the calibrated probabilities, float64, of the network's probabilities (n, classes)."""
        return with_temperature(probabilities, self.temperature)


def with_temperature(probabilities: "Array", temperature: float) -> "Array":
    """Return the probabilities (n, classes), float64, of which the logits are divided by `temperature`."""
    import numpy as np  # commands that list runs don't need it

    from dnn_cli.runs.reliability import MIN_PROBABILITY, softmax

    return softmax(np.log(np.maximum(probabilities.astype(np.float64), MIN_PROBABILITY)) / temperature)


def _reliability(probabilities: "Array", labels: "Array") -> Reliability:
    from dnn_cli.runs import reliability

    loss = float(reliability.cross_entropies(probabilities, labels).mean())
    return Reliability(loss, reliability.calibration_error(reliability.calibration_bins(probabilities, labels)))
