"""The explanation of a prediction: which pixels and hidden units led to it, in numbers.

The network is evaluated in NumPy: that takes a moment, needs no TensorFlow, and works for every network that dnn
builds. `report.explanation_page` draws the result.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.data import decoding, image_files
from dnn_cli.data.class_names import show
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.numpy import keras_format
from dnn_cli.errors import DataError, RunError, UsageError
from dnn_cli.evaluation import evaluate, metrics, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.explanation import attribution
from dnn_cli.explanation.attribution import Attribution, Unit
from dnn_cli.typing import Array

SHOWN_UNITS = 8  # Hidden units in an explanation, those with the largest contributions.
SIGNIFICANT_DIGITS = 6  # Of each pixel of a map in JSON.


@dataclass(frozen=True)
class SplitImage:
    """An image of a dataset.

    Attributes:
        index: its position in the split, from 0.
        split: ``test``, ``validation`` or ``train``.
        dataset: the dataset's name or path; None for the dataset of the run.
    """

    index: int
    split: str
    dataset: str | None = None


@dataclass(frozen=True)
class Explanation:
    """The reasons for the prediction of one image.

    Attributes:
        source: the network.
        title: a description of the image.
        file_stem: the beginning of the names of files about the image.
        label: its actual class; None if unknown.
        note: a warning about the dataset; "" if there is none.
        image: (height, width[, channels]) the network's input, in [0, 1].
        probabilities: (classes,) the network's output, calibrated if the network is.
        predicted: the most probable of the selected classes.
        runner_up: the second most probable.
        attributions: three: of the logit of `predicted`, of the logit of `runner_up`, and of their difference.
        units: the units of the last hidden layer with the largest contributions to that difference.
    """

    source: ModelSource
    title: str
    file_stem: str
    label: int | None
    note: str
    image: Array
    probabilities: Array
    predicted: int
    runner_up: int
    attributions: list[Attribution]
    units: list[Unit]

    @property
    def names(self) -> tuple[str, str, str]:
        """The names of the attributions."""
        first, second = (show(label, self.source.class_names) for label in (self.predicted, self.runner_up))
        return first, second, f"{first} rather than {second}"

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain values for JSON."""
        return {
            "run": str(self.source.run) if self.source.run else None,
            "checkpoint": str(self.source.file),
            "epoch": self.source.epoch,
            "image": self.title,
            "label": self.label,
            "note": self.note,
            "selected_classes": self.source.selected_classes,
            "prediction": self.predicted,
            "name": self.names[0],
            "runner_up": self.runner_up,
            "runner_up_name": self.names[1],
            "probabilities": self.probabilities.tolist(),
            "temperature": self.source.temperature,
            "attributions": [
                {
                    "of": name,
                    "value": each.value,
                    "baseline": each.baseline,
                    "sum": float(each.integrated_gradients.sum()),
                    "residual": each.residual,
                    "steps": each.steps,
                    "agreement": each.agreement,
                    "integrated_gradients": _rounded(each.integrated_gradients),
                    "saliency": _rounded(each.saliency),
                    "occlusion": _rounded(each.occlusion),
                }
                for name, each in zip(self.names, self.attributions, strict=True)
            ],
            "units": [
                {
                    "unit": unit.index,
                    "activation": unit.activation,
                    "weight": unit.weight,
                    "contribution": unit.contribution,
                    "picture": _rounded(unit.picture),
                }
                for unit in self.units
            ],
        }


def explain(
    target: Path | None,
    image: str | SplitImage,
    *,
    digit: int | None = None,
    checkpoint: str = "best",
    notify: Callable[[str], None],
) -> Explanation:
    """Explain the prediction of an image.

    Args:
        target: a run or a ``.keras`` file; None for the newest run in ``runs/``.
        image: an image of a dataset, an image file, or ``-`` for an image file on standard input.
        digit: the digit to explain of a picture that shows several, counted from 1 in reading order.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        notify: a function that is called with each warning, one line per call.

    Raises:
        UsageError: the run or the image does not exist, or Pillow is not installed and an image file is to be read.
        DataError: the image is damaged, or has another shape than the network's input.
        RunError: the network is damaged, or has layers that dnn does not build.
    """
    if isinstance(image, str):
        image_files.require_pillow()
    source = model_source.find_model(target, checkpoint)
    loaded = keras_format.load(source.file)
    chosen = (
        _from_file(source, image, digit, loaded.image_shape) if isinstance(image, str) else _from_split(source, image)
    )
    if chosen.note:
        notify(f"warning: {chosen.note}")
    probabilities = model_source.probabilities(source.file, chosen.image[None], engine="numpy", notify=notify)[0]
    predicted, runner_up = _two_most_probable(source, probabilities)
    targets = np.eye(len(probabilities))[[predicted, runner_up]]
    targets = np.concatenate([targets, targets[:1] - targets[1:]])
    pixels = to_unit_range(chosen.image)
    with np.errstate(all="ignore"):  # gradients that are not finite are reported below
        attributions = attribution.attribute(loaded.network, pixels, targets, loaded.batch)
        units = attribution.units(loaded.network, pixels, predicted, runner_up, SHOWN_UNITS)
    if not all(np.isfinite(each.integrated_gradients).all() for each in attributions):
        raise RunError(f"{source.file} cannot be explained: some of its gradients are infinite or not a number")
    return Explanation(
        source=source,
        title=chosen.title,
        file_stem=chosen.file_stem,
        label=chosen.label,
        note=chosen.note,
        image=pixels,
        probabilities=source.calibrated(probabilities[None])[0],
        predicted=predicted,
        runner_up=runner_up,
        attributions=attributions,
        units=units,
    )


@dataclass(frozen=True)
class _ChosenImage:
    """An image to explain, and its description as in an `Explanation`."""

    image: Array
    title: str
    file_stem: str
    label: int | None = None
    note: str = ""


def _from_file(source: ModelSource, name: str, number: int | None, shape: tuple[int, ...]) -> _ChosenImage:
    """Read an image file, or a digit of it, prepared as an input of `shape`."""
    is_stream = name == "-"
    title, stem = ("standard input", "stdin") if is_stream else (name, re.sub(r"[^\w.-]+", "_", Path(name).stem))
    if form := model_source.picture_form(source):
        if number is not None:
            raise UsageError(f"--digit {number}: {source.file} predicts whole pictures, not digits in them")
        (image,) = decoding.read_all([image_files.ImageSource(name)], form)
        if isinstance(image, str):
            raise DataError(f"{title}: {image}")
        return _ChosenImage(image, title, stem)
    side = shape[0] if len(shape) > 1 else isqrt(shape[0])
    digits = image_files.read(sys.stdin.buffer if is_stream else Path(name), side)
    if len(digits) > 1 and number is None:
        raise UsageError(f"{title} shows {len(digits)} digits: choose one with --digit 1 to --digit {len(digits)}")
    if not 1 <= (number or 1) <= len(digits):
        raise UsageError(f"--digit {number}: {title} shows {len(digits)} digits")
    chosen = digits[(number or 1) - 1]
    if len(digits) > 1:
        title, stem = f"digit {number} of {title}", f"{stem}-{number}"
    return _ChosenImage(chosen.image, title, stem, note=f"{title}: {chosen.doubt}" if chosen.doubt else "")


def _from_split(source: ModelSource, chosen: SplitImage) -> _ChosenImage:
    """Read an image of a dataset; raises `UsageError` if the index is out of range."""
    index, split = chosen.index, chosen.split
    dataset, part, note = evaluate.material(source, split, chosen.dataset)
    count = len(part.labels)
    if not 0 <= index < count:
        raise UsageError(f"--index {index}: the {split} split of {dataset.name} has images 0 to {count - 1}")
    label = int(part.labels[index])
    title = f"image {index} of the {split} split of {dataset.name}, labelled {show(label, source.class_names)}"
    return _ChosenImage(part.images[index], title, f"{split}-{index}", label, note)


def _two_most_probable(source: ModelSource, probabilities: Array) -> tuple[int, int]:
    """Return the two most probable of the classes that the network was trained on."""
    if len(probabilities) < 2:
        raise RunError(
            f"{source.file} cannot be explained: it predicts only one class, so there is no other to compare with"
        )
    return metrics.two_most_probable(probabilities, source.selected_classes)


def _rounded(map_: Array) -> list[list[float]]:
    return [[float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in row] for row in map_.tolist()]
