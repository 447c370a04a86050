"""One image × a trained network → why it is taken for what it is, in numbers and in pictures.

The layers are gone through in NumPy, so that it takes a moment and explains every network that dnn builds.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.data import image_files
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.numpy import keras_format
from dnn_cli.errors import RunError, UsageError
from dnn_cli.evaluation import evaluate, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.explanation import attribution
from dnn_cli.explanation.attribution import Attribution, Unit
from dnn_cli.typing import Array

UNITS = 8
DIGITS = 6  # significant ones of the numbers in JSON


@dataclass(frozen=True)
class Explanation:
    """Why a network takes an image for what it does.

    Attributes:
        subject: the network.
        title: which image, in words.
        name: which image, as its files are called.
        label: its true class, where that is known.
        note: what is to be known about the data, or nothing.
        image: (height, width[, channels]) as the network saw it, in [0, 1].
        probabilities: (classes,).
        chosen: the most probable of the classes that count.
        other: the second.
        attributions: of the logit of `chosen`, of that of `other`, and of the one less the other.
        units: of the last hidden layer, those that said most about `chosen` or `other`.
        files: where its picture and its page belong.
    """

    subject: ModelSource
    title: str
    name: str
    label: int | None
    note: str
    image: Array
    probabilities: Array
    chosen: int
    other: int
    attributions: list[Attribution]
    units: list[Unit]
    files: list[Path] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str, str]:
        """What the attributions are of."""
        return str(self.chosen), str(self.other), f"{self.chosen} rather than {self.other}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        subject = self.subject
        return {
            "run": str(subject.run) if subject.run else None,
            "checkpoint": str(subject.file),
            "epoch": subject.epoch,
            "image": self.title,
            "label": self.label,
            "note": self.note,
            "selected_classes": subject.selected_classes,
            "prediction": self.chosen,
            "runner_up": self.other,
            "probabilities": self.probabilities.tolist(),
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
            "files": [str(file) for file in self.files],
        }


def explain(
    target: Path | None,
    what: str | tuple[int, str, str | None],
    *,
    checkpoint: str = "best",
    out: Path | None = None,
    say: Callable[[str], None],
) -> Explanation:
    """Explain what a network takes an image for, in numbers.

    Args:
        target: a run or a ``.keras`` file; None is the newest run in ``runs/``.
        what: an image file, or ``-``; or an index from 0, the split that it counts in, and other data than the run's.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        out: the one file to write, .png or .html; None is both, in the run or else in the current folder.
        say: takes warnings, a line each.

    Raises:
        UsageError: there is no such run or image, matplotlib is not installed, or `out` cannot be.
        DataError: the image is damaged, or of another shape than the network takes.
        RunError: NumPy does not know the network, or it is damaged.
    """
    _check(out, what)
    subject = model_source.find_model(target, checkpoint)
    loaded = keras_format.load(subject.file)
    if isinstance(what, str):
        title, name, image = _of_file(what, loaded.image_shape)
        label, note = None, ""
    else:
        title, name, image, label, note = _of_split(subject, *what)
    if note:
        say(f"warning: {note}")
    probabilities = model_source.probabilities(subject.file, image[None], engine="numpy", say=say)[0]
    chosen, other = _first_two(subject, probabilities)
    targets = np.eye(len(probabilities))[[chosen, other]]
    targets = np.concatenate([targets, targets[:1] - targets[1:]])
    seen = to_unit_range(image)
    with np.errstate(all="ignore"):  # the outputs are finite; slopes that are not are told below
        attributions = attribution.attribute(loaded.network, seen, targets, loaded.batch)
        units = attribution.units(loaded.network, seen, chosen, other, UNITS)
    if not all(np.isfinite(each.integrated_gradients).all() for each in attributions):
        raise RunError(f"{subject.file} has gradients that are no finite numbers")
    return Explanation(
        subject,
        title,
        name,
        label,
        note,
        seen,
        probabilities,
        chosen,
        other,
        attributions,
        units,
        _files(subject, name, out),
    )


def _check(out: Path | None, what: str | tuple[int, str, str | None]) -> None:
    if find_spec("matplotlib") is None:
        raise UsageError("dnn explain draws with matplotlib, which is not here: pip install 'dnn-cli[report]'")
    if isinstance(what, str):
        image_files.check()
    if out is None:
        return
    if out.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"--out {out}: the name must end in .png or .html")
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"--out {out}: {'is a folder' if out.is_dir() else f'there is no folder {out.parent}'}")
    if isinstance(what, str) and out.exists() and Path(what).exists() and out.samefile(what):
        raise UsageError(f"--out {out} is the image itself")


def _of_file(name: str, shape: tuple[int, ...]) -> tuple[str, str, Array]:
    """The image of a file in words, the name of what is written of it, and the image as the network takes it."""
    side = shape[0] if len(shape) > 1 else isqrt(shape[0])
    if name == "-":
        return "standard input", "stdin", image_files.read(sys.stdin.buffer, side)
    return name, re.sub(r"[^\w.-]+", "_", Path(name).stem), image_files.read(Path(name), side)


def _of_split(subject: ModelSource, index: int, split: str, dataset: str | None) -> tuple[str, str, Array, int, str]:
    """The same of an image of a split; and its label, and what is to be known about the data, or nothing."""
    source, part, note = evaluate.material(subject, split, dataset)
    if not 0 <= index < len(part.labels):
        raise UsageError(f"--index {index}: the {split} split of {source.name} has images 0 to {len(part.labels) - 1}")
    label = int(part.labels[index])
    title = f"image {index} of the {split} split of {source.name}, labelled {label}"
    return title, f"{split}-{index}", part.images[index], label, note


def _first_two(subject: ModelSource, probabilities: Array) -> tuple[int, int]:
    """The two most probable of the classes that count."""
    selected = subject.selected_classes
    candidates = np.arange(len(probabilities)) if selected is None else np.array(selected)
    if len(candidates) < 2:
        raise RunError(f"{subject.file} knows one class only: there is nothing that it could have chosen instead")
    first = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    return int(first[0]), int(first[1])


def _files(subject: ModelSource, name: str, out: Path | None) -> list[Path]:
    if out is not None:
        return [out]
    stem = subject.run.explanations_folder / name if subject.run else Path(f"explanation-{name}")
    return [stem.with_name(f"{stem.name}{ending}") for ending in (".png", ".html")]


def _rounded(map_: Array) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in row] for row in map_.tolist()]
