"""Image files × a trained network → the digit in each, and how sure the network is of it."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli import files, progress
from dnn_cli.data import image_files, known_sets
from dnn_cli.data.formats import MAX_SIDE
from dnn_cli.errors import DnnError, RunError
from dnn_cli.evaluation import model_source
from dnn_cli.evaluation.model_source import Engine, ModelSource
from dnn_cli.typing import Array

MANY = 100  # images whose reading is worth a bar
COLUMNS = ("file", "digit", "probability", "runner_up", "runner_up_probability", "error")


@dataclass(frozen=True)
class Prediction:
    """What the network takes one image for.

    Attributes:
        file: its name, as it was asked for or found; ``-`` is standard input.
        image: what the network saw, (side, side) uint8.
        probabilities: of every class, (classes,) float.
        digit: the most probable class.
        runner_up: the second.
    """

    file: str
    image: Array
    probabilities: Array
    digit: int
    runner_up: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "file": self.file,
            "digit": self.digit,
            "probability": float(self.probabilities[self.digit]),
            "runner_up": self.runner_up,
            "runner_up_probability": float(self.probabilities[self.runner_up]),
            "probabilities": self.probabilities.tolist(),
        }


@dataclass(frozen=True)
class UnreadableFile:
    """An image file that could not be read, and why."""

    file: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"file": self.file, "error": self.error}


@dataclass(frozen=True)
class Predictions:
    """What a network takes images for, in the order in which they were asked for."""

    subject: ModelSource
    note: str
    answers: Sequence[Prediction | UnreadableFile]

    @property
    def guesses(self) -> list[Prediction]:
        """The answers of the images that could be read."""
        return [answer for answer in self.answers if isinstance(answer, Prediction)]

    def raise_if_broken(self) -> None:
        """Raise `DnnError` if a file could not be read."""
        if count := len(self.answers) - len(self.guesses):
            raise DnnError(f"{count:,} of {len(self.answers):,} images could not be read")

    def to_json(self) -> str:
        """Everything."""
        subject = self.subject
        about = {
            "run": str(subject.run) if subject.run else None,
            "checkpoint": str(subject.file),
            "epoch": subject.epoch,
            "note": self.note,
            "selected_classes": subject.selected_classes,
        }
        return json.dumps({**about, "images": [answer.to_dict() for answer in self.answers]}, indent=2) + "\n"

    def to_csv(self) -> str:
        """A row an image, under `COLUMNS`."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(answer.to_dict() for answer in self.answers)
        return text.getvalue()


def predict(
    target: Path,
    names: Sequence[str],
    *,
    checkpoint: str = "best",
    engine: Engine | None = None,
    say: Callable[[str], None],
    quiet: bool = False,
    verbose: bool = False,
) -> Predictions:
    """Read image files, bring each to what MNIST is, and have a network say what digit it is.

    Args:
        target: a run or a ``.keras`` file.
        names: files, folders, patterns, ``-``: see `image_files.find`.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        engine: what computes; None is NumPy where it knows the network, and Keras otherwise.
        say: takes warnings, a line each, and one for each file that cannot be read.
        quiet: draw no bar.
        verbose: let TensorFlow's own messages through.

    Raises:
        UsageError: there is no such run, or Pillow is not installed.
        RunError: the network is damaged, or takes no grey square images.
    """
    image_files.require_pillow()
    subject = model_source.find_model(target, checkpoint)
    side = _side(subject.file)
    note = _note(subject, say)
    sources = image_files.find(names)
    with progress.bar("reading", len(sources), quiet=quiet or len(sources) < MANY) as done:
        found = image_files.read_all(sources, side, done)
    seen = [image for image in found if not isinstance(image, str)]
    rows: Iterator[Array] = iter(())
    if seen:
        rows = iter(model_source.probabilities(subject.file, np.stack(seen), engine=engine, say=say, verbose=verbose))
    classes = subject.selected_classes
    answers: list[Prediction | UnreadableFile] = []
    for source, image in zip(sources, found, strict=True):
        if isinstance(image, str):
            say(f"{source.title}: {image}")
            answers.append(UnreadableFile(source.name, image))
        else:
            answers.append(_guess(source.name, image, next(rows), classes))
    return Predictions(subject, note, answers)


def check_output(file: Path) -> None:
    """Raise `UsageError` if `save` could not write to `file`."""
    files.check_output(file, suffixes=(".json", ".csv"))


def save(prediction: Predictions, file: Path) -> None:
    """Write the whole result, or nothing, to a file whose name ends in .json or .csv; raises `DnnError`."""
    files.write_output(file, prediction.to_csv() if file.suffix.lower() == ".csv" else prediction.to_json())


def _side(file: Path) -> int:
    """The side of the images that the network takes, which must be grey and square; as a row will do."""
    shape = model_source.image_shape(file)
    plain = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape
    side = isqrt(prod(plain))
    if plain not in ((side, side), (side * side,)) or not 1 <= side <= MAX_SIDE:
        wanted = "×".join(map(str, shape))
        raise RunError(f"{file} takes images of {wanted}; from image files, grey square ones are made")
    return side


def _note(subject: ModelSource, say: Callable[[str], None]) -> str:
    """What the run says of its data, told together with what else its guesses depend on."""
    if subject.run is None:
        return ""
    dataset = subject.run.environment()["dataset"]
    if dataset["note"]:
        say(f"warning: {dataset['note']}")
    if not known_sets.may_share_labels("mnist", dataset["name"]):  # its images show no digits
        say(f"warning: {subject.run} was trained on {dataset['name']}, but images are prepared as digits are")
    if subject.selected_classes:
        classes = " ".join(map(str, subject.selected_classes))
        say(f"note: {subject.run} was trained on the classes {classes} alone, and chooses among them")
    return str(dataset["note"])


def _guess(file: str, image: Array, probabilities: Array, classes: Sequence[int] | None) -> Prediction:
    """The two most probable of the classes; None is all."""
    candidates = np.arange(len(probabilities)) if classes is None else np.array(classes)
    best, second = candidates[(-probabilities[candidates]).argsort(kind="stable")[:2]].tolist()
    return Prediction(file, image, probabilities, best, second)
