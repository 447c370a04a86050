"""Predict the digits in images, with the probability of every class, or say why a picture shows none."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from math import isqrt, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli import files, progress
from dnn_cli.data import decoding, image_files, known_sets
from dnn_cli.data.class_names import show
from dnn_cli.data.decoding import Form
from dnn_cli.data.formats import MAX_SIDE
from dnn_cli.data.image_files import ImageSource
from dnn_cli.data.pixels import Box
from dnn_cli.errors import DnnError, RunError
from dnn_cli.evaluation import image_inputs, metrics, model_source
from dnn_cli.evaluation.image_inputs import ImageInput
from dnn_cli.evaluation.model_source import Engine, ModelSource
from dnn_cli.evaluation.refusal import of_run
from dnn_cli.evaluation.refusal.detector import Detector
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from dnn_cli.evaluation.image_inputs import ImageLike

PROGRESS_BAR_IMAGES = 100  # reading fewer images is too fast for a progress bar
PLACES = ("left", "top", "right", "bottom")
COLUMNS = ("file", "digit", "probability", "runner_up", "runner_up_probability", "error", "reason", *PLACES)
NAME_COLUMNS = ("name", "runner_up_name")


@dataclass(frozen=True, repr=False)
class Prediction:
    """The probabilities of one image.

    Attributes:
        file: the name of the image file, as the user gave it or as it was found; ``-`` for standard input; empty for an
            image that comes from no file.
        image: the network's input, (height, width[, channels]), uint8 in 0..255 or float32 in [0, 1].
        probabilities: (classes,) float, the probability of every class, calibrated if the network is.
        digit: the most probable class.
        runner_up: the second most probable class.
        box: its place in the picture: left, top, right and bottom in pixels; empty for a whole picture or an array.
        reason: why it is not answered as `digit`; empty if it is.
        class_names: the names of the classes in the order of the labels; None if they have none.
    """

    file: str
    image: Array
    probabilities: Array
    digit: int
    runner_up: int
    box: Box = ()
    reason: str = ""
    class_names: Sequence[str] | None = None

    @property
    def answer(self) -> str:
        """The name of the most probable class, or ``?``."""
        return "?" if self.reason else self.name

    @property
    def name(self) -> str:
        """The name of the most probable class."""
        return show(self.digit, self.class_names)

    @property
    def runner_up_name(self) -> str:
        """The name of the second most probable class."""
        return show(self.runner_up, self.class_names)

    def __repr__(self) -> str:
        first, second = (f"{self.probabilities[which]:.4f}" for which in (self.digit, self.runner_up))
        name = f" of {self.file}" if self.file else ""
        classes = f"{self.name}, probability {first}; runner-up {self.runner_up_name}, {second}"
        return f"<Prediction{name}: {f'? ({self.reason}); ' if self.reason else ''}{classes}>"

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "file": self.file,
            "box": list(self.box) or None,
            "digit": None if self.reason else self.digit,
            "name": None if self.reason else self.name,
            "reason": self.reason,
            "most_probable": self.digit,
            "probability": float(self.probabilities[self.digit]),
            "runner_up": self.runner_up,
            "runner_up_name": self.runner_up_name,
            "runner_up_probability": float(self.probabilities[self.runner_up]),
            "probabilities": self.probabilities.tolist(),
        }


@dataclass(frozen=True)
class UnreadableFile:
    """An image file that could not be read, and the reason."""

    file: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {"file": self.file, "error": self.error}


@dataclass(frozen=True)
class Predictions:
    """The predictions of one network for several images.

    Attributes:
        subject: the network.
        note: a warning about the data that it was trained on; empty if there is none.
        answers: one for each digit, in the order of the command line and in reading order in each picture.
    """

    subject: ModelSource
    note: str
    answers: Sequence[Prediction | UnreadableFile]

    @property
    def guesses(self) -> list[Prediction]:
        """The predictions of the images that could be read."""
        return [answer for answer in self.answers if isinstance(answer, Prediction)]

    def raise_if_broken(self) -> None:
        """Raise `DnnError` if a file could not be read, or a digit not recognized."""
        problems = []
        if count := len(self.answers) - len(self.guesses):
            images = len({answer.file for answer in self.answers})
            problems.append(f"{count:,} of {images:,} images could not be read")
        if count := sum(bool(guess.reason) for guess in self.guesses):
            things = "digits" if any(guess.box for guess in self.guesses) else "images"
            problems.append(f"{count:,} of {len(self.guesses):,} {things} were not recognized")
        if problems:
            raise DnnError(", ".join(problems))

    def to_json(self) -> str:
        """Return everything as JSON."""
        subject = self.subject
        about = {
            "run": str(subject.run) if subject.run else None,
            "checkpoint": str(subject.file),
            "epoch": subject.epoch,
            "note": self.note,
            "selected_classes": subject.selected_classes,
            "temperature": subject.temperature,
        }
        return json.dumps({**about, "images": [answer.to_dict() for answer in self.answers]}, indent=2) + "\n"

    def to_csv(self) -> str:
        """Return a CSV row for each image, below a header of `COLUMNS`, and of `NAME_COLUMNS` if classes have names."""
        text = io.StringIO()
        columns = (*COLUMNS, *NAME_COLUMNS) if self.subject.class_names else COLUMNS
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for answer in self.answers:
            row = answer.to_dict()
            places = dict(zip(PLACES, row.get("box") or (), strict=False))
            writer.writerow(row | places | {"file": _no_formula(row["file"])})
        return text.getvalue()


def _no_formula(file: str) -> str:
    """Return another name of the same file if spreadsheet programs would run this one as a formula: ``./=1+1.png``."""
    return f"./{file}" if file.startswith(("=", "+", "-", "@", "\t", "\r")) and file != "-" else file


def predict(
    target: Path | None,
    names: Sequence[str],
    *,
    checkpoint: str = "best",
    engine: Engine | None = None,
    min_probability: float = 0.0,
    answer_all: bool = False,
    notify: Callable[[str], None],
    quiet: bool = False,
    verbose: bool = False,
) -> Predictions:
    """Read image files, prepare them as the training pictures or find digits as MNIST's in them, and predict classes.

    Args:
        target: a run or a ``.keras`` file; None for the newest run in ``runs/``.
        names: files, folders, patterns or ``-``, as `image_files.find` describes them.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        engine: computes with it; None for NumPy if it supports the network, and Keras otherwise.
        min_probability: a less probable digit is no answer.
        answer_all: answer what looks like no digit as well.
        notify: is called with each warning and with the problem of each unreadable file, one line per call.
        quiet: show no progress bar.
        verbose: let TensorFlow print its own messages.

    Raises:
        UsageError: there is no such run, or Pillow is not installed.
        RunError: the network is damaged, or its inputs are not grey square images.
    """
    image_files.require_pillow()
    subject = model_source.find_model(target, checkpoint)
    if target is None:
        notify(f"note: {subject.run} is used, the newest run")
    form = model_source.picture_form(subject)
    note = _note(subject, notify, digits=form is None)
    sources = image_files.find(names)
    with progress.bar("reading", len(sources), quiet=quiet or len(sources) < PROGRESS_BAR_IMAGES) as done:
        found = _read(sources, subject, form, done)
    every = [one for inputs in found if not isinstance(inputs, str) for one in inputs]
    detector = None if answer_all else _detector(subject, every, notify, quiet=quiet)
    guesses = iter(_predictions(subject, every, engine, notify, detector=detector, verbose=verbose))
    answers: list[Prediction | UnreadableFile] = []
    for source, inputs in zip(sources, found, strict=True):
        if isinstance(inputs, str):
            notify(f"{source.title}: {inputs}")
            answers.append(UnreadableFile(source.name, inputs))
        else:
            answers += (_if_probable(guess, min_probability) for guess in islice(guesses, len(inputs)))
    return Predictions(subject, note, answers)


def _if_probable(guess: Prediction, least: float) -> Prediction:
    """Return the prediction, without an answer if its probability is below `least`."""
    if guess.reason or guess.probabilities[guess.digit] >= least:
        return guess
    return replace(guess, reason=f"its probability is below {least:g}")


def predict_images(
    target: Path,
    images: "ImageLike | Iterable[ImageLike]",
    *,
    checkpoint: str = "best",
    notify: Callable[[str], None],
) -> list[Prediction]:
    """Predict the class of images that a program holds.

    Args:
        target: a run or a ``.keras`` file.
        images: arrays, which are used as they are; Pillow images and paths, which are prepared as the training
            pictures or else as MNIST's digits are; `image_inputs.read` describes them.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        notify: is called with each warning, a line.

    Returns:
        A prediction for each array, for each digit in a picture, and for each picture if the network was trained on
        pictures; in order.

    Raises:
        UsageError: there is no such run, `images` is something else, or Pillow is needed and not installed.
        DataError: an array does not fit the network, or a picture cannot be read.
        RunError: the network is damaged, or cannot take pictures.
    """
    subject = model_source.find_model(target, checkpoint)
    shape = model_source.image_shape(subject.file)
    form = model_source.picture_form(subject)
    inputs = image_inputs.read(images, shape, cache(lambda: image_side(subject.file)), subject.file, form)
    _note(subject, notify, digits=any(one.box for one in inputs))
    return _predictions(subject, inputs, None, notify, detector=_detector(subject, inputs, notify, quiet=True))


def _read(
    sources: Sequence[ImageSource], subject: ModelSource, form: Form | None, done: Callable[[], None]
) -> list[list[ImageInput] | str]:
    """Return what the network sees of each file, or the reason why that cannot be read.

    With a form it is the whole picture, and otherwise each of its digits.
    """
    if form:
        images = decoding.read_all(sources, form, done)
        return [
            image if isinstance(image, str) else [ImageInput(image, source.name)]
            for source, image in zip(sources, images, strict=True)
        ]
    found = image_files.read_all(sources, image_side(subject.file), done)
    return [
        digits
        if isinstance(digits, str)
        else [ImageInput(one.image, source.name, one.box, one.doubt) for one in digits]
        for source, digits in zip(sources, found, strict=True)
    ]


def _predictions(
    subject: ModelSource,
    inputs: Sequence[ImageInput],
    engine: Engine | None,
    notify: Callable[[str], None],
    *,
    detector: Detector | None = None,
    verbose: bool = False,
) -> list[Prediction]:
    if not inputs:
        return []
    images = image_inputs.stack(inputs, model_source.image_shape(subject.file))
    rows = model_source.probabilities(subject.file, images, engine=engine, notify=notify, verbose=verbose)
    return [
        Prediction(one.file, one.image, *guess, box=one.box, reason=reason, class_names=subject.class_names)
        for one, guess, reason in zip(inputs, _guesses(subject, rows), _reasons(inputs, detector), strict=True)
    ]


def _detector(
    subject: ModelSource, inputs: Sequence[ImageInput], notify: Callable[[str], None], *, quiet: bool
) -> Detector | None:
    """Return what tells digits in pictures from other things; None if there are no pictures, or no way to tell."""
    if not any(one.box for one in inputs):
        return None
    return of_run.find(subject, notify, progress.create(quiet=quiet))


def _reasons(inputs: Sequence[ImageInput], detector: Detector | None) -> list[str]:
    """Return why each input is not answered, empty if it is. The detector refuses parts of pictures, never an array."""
    if detector is None:
        return [one.doubt for one in inputs]
    scores = detector.scores(np.stack([one.image for one in inputs if one.box]))
    refused = iter((scores > 0).tolist())
    looks_wrong = [bool(one.box) and next(refused) for one in inputs]
    return [one.doubt or of_run.REASON * wrong for one, wrong in zip(inputs, looks_wrong, strict=True)]


def _guesses(subject: ModelSource, rows: Array) -> Iterator[tuple[Array, int, int]]:
    """Yield the calibrated probabilities of each row (classes,), the most probable class, and the second.

    The classes are chosen by the network's own probabilities: calibration may round small differences away.
    """
    for row, calibrated in zip(rows, subject.calibrated(rows), strict=True):
        yield calibrated, *metrics.two_most_probable(row, subject.selected_classes)


def check_output(file: Path) -> None:
    """Raise `UsageError` if `save` could not write to `file`."""
    files.check_output(file, suffixes=(".json", ".csv"))


def save(prediction: Predictions, file: Path) -> None:
    """Write the complete result, or nothing, to a .json or .csv file; raises `DnnError` if that fails."""
    files.write_output(file, prediction.to_csv() if file.suffix.lower() == ".csv" else prediction.to_json())


def image_side(file: Path) -> int:
    """Return the side of the network's input images, which must be grey and square; they may be flattened."""
    shape = model_source.image_shape(file)
    plain = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape
    side = isqrt(prod(plain))
    if plain not in ((side, side), (side * side,)) or not 1 <= side <= MAX_SIDE:
        wanted = "×".join(map(str, shape))
        raise RunError(f"{file} needs images of {wanted}, but image files are converted to grey square ones")
    return side


def _note(subject: ModelSource, notify: Callable[[str], None], *, digits: bool = True) -> str:
    """Return the recorded warning about the run's data; report it, and other limits of its predictions.

    Args:
        subject: the network.
        notify: is called with each warning.
        digits: whether some images were prepared as digits are.
    """
    if subject.run is None:
        return ""
    dataset = subject.run.environment().dataset
    if dataset.note:
        notify(f"warning: {dataset.note}")
    if digits and not known_sets.may_share_labels("mnist", dataset.name):  # its images show no digits
        notify(f"warning: {subject.run} was trained on {dataset.name}, but image files are prepared as digits of MNIST")
    if subject.selected_classes:
        classes = " ".join(show(label, subject.class_names) for label in subject.selected_classes)
        notify(f"note: {subject.run} was trained only on the classes {classes}, and predicts no others")
    return dataset.note
