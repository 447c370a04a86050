"""Compare an exported network, run by its own program, with the trained one."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Annotated

import numpy as np
from pydantic import Field

from dnn_cli.errors import GateError
from dnn_cli.exporting.formats import Quantization, Runtime
from dnn_cli.runs.json_record import Count, JsonRecord, Number, Ordinal, Share
from dnn_cli.typing import Array

# The largest difference of a probability that is allowed; for the quantized formats that of the accuracy.
TOLERANCES: dict[Quantization, float] = {"none": 1e-5, "float16": 2e-3, "dynamic": 0.003, "int8": 0.003}
ROUNDING = 1e-12  # of the difference of two accuracies
BATCH = 1000  # images that a program gets at a time
REPETITIONS = 30  # of the prediction of one image, whose median time counts

Seconds = Annotated[float, Field(strict=True, ge=0)]


@dataclass(frozen=True)
class Proof(JsonRecord):
    """The comparison of an exported network with the trained one, on the test images.

    Attributes:
        runtime: the program that ran it.
        images: number of images.
        largest_difference: of a probability.
        changed_answers: number of images with another most probable class.
        accuracy_before: of the trained network.
        accuracy_after: of the exported one.
        latency: seconds for one image.
        images_per_second: in batches.
    """

    runtime: str
    images: Ordinal
    largest_difference: Number
    changed_answers: Count
    accuracy_before: Share
    accuracy_after: Share
    latency: Seconds
    images_per_second: Number

    def deviation(self, quantization: Quantization) -> float:
        """Return what the tolerance limits: a difference of probabilities, or of accuracies if it is quantized."""
        if quantization in ("dynamic", "int8"):
            return abs(self.accuracy_after - self.accuracy_before)
        return self.largest_difference

    def check(self, quantization: Quantization, tolerance: float) -> None:
        """Raise `GateError` if the deviation is above the tolerance."""
        deviation = self.deviation(quantization)
        if not deviation <= tolerance + ROUNDING:
            what = "accuracy" if quantization in ("dynamic", "int8") else "a probability"
            raise GateError(
                f"{self.runtime} answers otherwise than the trained network: {what} differs by {deviation:.2g}, more "
                f"than the tolerance of {tolerance:g}; the export was deleted"
            )


def prove(name: str, runtime: Runtime, images: Array, labels: Array, expected: Array) -> Proof:
    """Run an exported network on all images and compare its probabilities with the expected ones.

    Args:
        name: the name of the program.
        runtime: the network in this program.
        images: (n, …) as the exported network takes them.
        labels: (n,) the true classes.
        expected: (n, classes) the probabilities of the trained network.
    """
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    started = perf_counter()
    found = np.concatenate([runtime.predict(batch) for batch in batches])
    seconds = perf_counter() - started
    answers, wanted = found.argmax(axis=1), expected.argmax(axis=1)
    # NaN must not pass as equal.
    largest = float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())
    return Proof(
        runtime=name,
        images=len(images),
        largest_difference=min(largest, float(np.finfo(np.float32).max)),
        changed_answers=int((answers != wanted).sum()),
        accuracy_before=float((wanted == labels).mean()),
        accuracy_after=float((answers == labels).mean()),
        latency=_latency(runtime, images[:1]),
        images_per_second=len(images) / max(seconds, 1e-9),
    )


def _latency(runtime: Runtime, image: Array) -> float:
    own: Callable[[Array], float] | None = getattr(runtime, "latency", None)
    if own:
        return own(image)
    runtime.predict(image)
    times = []
    for _ in range(REPETITIONS):
        started = perf_counter()
        runtime.predict(image)
        times.append(perf_counter() - started)
    return median(times)
