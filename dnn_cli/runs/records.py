"""The records of a run: its environment, its history, the summary of its training, and its evaluations.

Comments mark the fields that version 0.1.0 did not write.
"""

import csv
import io
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from dnn_cli.errors import reason
from dnn_cli.runs.json_record import Count, FileName, Flag, JsonRecord, Number, Ordinal, Share
from dnn_cli.runs.state import Best

# No dataset has an image side or a number of classes as large. A damaged number must not fill the memory.
MAX_EXTENT = 2**16
Extent = Annotated[int, Field(strict=True, ge=1, le=MAX_EXTENT)]
Label = Annotated[int, Field(strict=True, ge=0, lt=MAX_EXTENT)]
Labels = Annotated[tuple[Label, ...], Field(min_length=1)]
Shape = Annotated[tuple[Extent, ...], Field(min_length=2, max_length=3)]
Interval = tuple[Number, Number]
LayerOrigin = Literal["frozen", "loaded", "new"]  # a frozen layer is loaded too
LAYER_ORIGINS: tuple[LayerOrigin, ...] = get_args(LayerOrigin)

# The figures of one epoch by their names: epoch, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds.
Row = dict[str, Any]
MAX_FLOAT32 = 3.4028235e38
ROUNDING = 1e-6
# The range of each figure. Those of the validation are in a row if images are held out.
TRAINING_FIGURES = {
    "epoch": (1, 999_999),
    "loss": (-ROUNDING, MAX_FLOAT32),
    "accuracy": (0, 1 + ROUNDING),
    "learning_rate": (0, MAX_FLOAT32),
    "seconds": (1e-9, 1e9),
}
VALIDATION_FIGURES = {f"val_{name}": TRAINING_FIGURES[name] for name in ("loss", "accuracy")}


def check_row(row: Row) -> Row:
    """Return a row of the history; raises `ValueError` if a figure is missing, unknown or out of its range."""
    figures = TRAINING_FIGURES | (VALIDATION_FIGURES if VALIDATION_FIGURES.keys() & row.keys() else {})
    if missing := figures.keys() - row.keys():
        raise ValueError(f"missing {', '.join(sorted(missing))}")
    if unknown := row.keys() - figures.keys():
        raise ValueError(f"unknown figure {min(map(str, unknown))!r}")
    for name, value in row.items():
        if type(value) not in (int, float) or not isfinite(value):
            raise ValueError(f"{name} is not a finite number")
        low, high = figures[name]
        if not low <= value <= high:
            raise ValueError(f"{name} is {value:.4g}, which is impossible")
    if type(row["epoch"]) is not int:
        raise ValueError("epoch is not a whole number")
    return row


CheckedRow = Annotated[Row, AfterValidator(check_row)]


# environment.json


@dataclass(frozen=True, kw_only=True)
class DatasetRecord(JsonRecord):
    """The data that a run is trained on.

    Attributes:
        name: a known name, or the absolute path of the user's own data.
        requested: the name in the config; it differs from `name` if the fallback was used.
        note: a warning about the data, for example that the fallback was used; empty if there is none.
        path: the file or folder that was read.
        fingerprint: the digest of all training images and labels, before any were selected.
        training_images: number of images to train on.
        validation_images: number of images held out; None if not recorded.
        classes: number of classes in the data.
        selected_classes: the labels of `data.classes`; None for all.
        image_shape: (height, width[, channels]); None if not recorded.
        class_names: the name of every class in the order of the labels; None if the classes are numbers.
        resize: how pictures became images, ``fit``, ``fill`` or ``stretch``; None if the data hold no pictures.
    """

    name: FileName
    requested: FileName
    note: FileName
    path: FileName
    fingerprint: str
    training_images: Count
    validation_images: Count | None = None  # not in 0.1.0
    classes: Extent
    selected_classes: Labels | None = None  # not in 0.1.0
    image_shape: Shape | None = None  # not in 0.1.0
    class_names: tuple[str, ...] | None = None  # not in 0.1.0
    resize: Literal["fit", "fill", "stretch"] | None = None  # not in 0.1.0


@dataclass(frozen=True)
class TransferRecord(JsonRecord):
    """The trained weights that a run starts from.

    Attributes:
        file: the `.keras` file.
        sha256: the digest of its content.
        layers: for each layer with weights, whether it is new, loaded, or loaded and frozen.
        reason: why the output layer is new, as a phrase; empty if it is not.
    """

    file: Path
    sha256: str
    layers: dict[str, LayerOrigin]
    reason: str = ""

    def describe(self) -> str:
        """Return a line: ``started from FILE: frozen dense_1; loaded dense_2; new output (of another shape)``."""
        names = {state: [name for name, one in self.layers.items() if one == state] for state in LAYER_ORIGINS}
        parts = "; ".join(f"{state} {', '.join(layers)}" for state, layers in names.items() if layers)
        return f"started from {self.file}: {parts}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class Environment(JsonRecord):
    """Everything besides the config that the result of a run depends on.

    Attributes:
        started: the time when the run was started, in UTC, as ISO 8601; None if not recorded.
        command: the command line that started the run.
        folder: the working directory.
        versions: the versions of dnn, Python and the libraries that compute.
        platform: operating system, machine and C library.
        machine: the processor's architecture.
        processor: the processor's model and vector instructions.
        cpus: number of processors.
        threads: number of threads that an operation is divided among.
        git: the revision of the working directory, if it is a git repository.
        compiled: whether XLA compiled the training steps; None before the first epoch, and if not recorded. The last
            bits of the weights depend on it.
        config: the digest of the config without its number of epochs; None if not recorded.
        dataset: the data.
        transfer: the trained weights that it starts from; None if it starts from random ones.
    """

    started: str | None = None  # not in 0.1.0
    command: tuple[FileName, ...] = ()
    folder: FileName = ""
    versions: dict[str, str] = field(default_factory=dict)
    platform: str | None = None
    machine: str | None = None
    processor: str | None = None  # not in 0.1.0
    cpus: Ordinal | None = None
    threads: Ordinal | None = None  # not in 0.1.0
    git: str | None = None
    compiled: Flag | None = None  # not in 0.1.0
    config: str | None = None  # not in 0.1.0
    dataset: DatasetRecord
    transfer: TransferRecord | None = None  # not in 0.1.0


# history.csv


def format_history(rows: list[Row]) -> str:
    """Return the rows as CSV, with a header line; floats keep all of their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def parse_history(text: str) -> list[Row]:
    """Return the rows of a CSV text; raises `ValueError` with the line if it is damaged."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return [
            check_row({key: int(value) if key == "epoch" else float(value) for key, value in row.items()})
            for row in reader
        ]
    except TypeError:
        problem = "the number of cells is not that of the header"
    except (ValueError, csv.Error) as error:
        problem = reason(error)
    raise ValueError(f"line {reader.line_num}: {problem}")


def history_until(text: str, epoch: int) -> str:
    """Return the part of a history's text up to an epoch: the header and `epoch` rows."""
    return "".join(text.splitlines(keepends=True)[: epoch + 1])


# metrics.json


@dataclass(frozen=True, kw_only=True)
class TrainingMetrics(JsonRecord):
    """The summary of a training that has ended.

    Attributes:
        epochs: number of epochs trained, resumed ones included.
        stopped_early: whether early stopping or a callback ended the training before all epochs of the config.
        final: the figures of the last epoch.
        best: the best checkpoint.
        parameters: number of parameters in the network.
        dataset: the name of the data.
        note: a warning about the data; empty if there is none.
        selected_classes: the labels of `data.classes`; None for all.
        training_images: number of images in an epoch.
        seconds: the time of all epochs.
        seconds_per_epoch: the median time of an epoch.
        images_per_second: training images per second in the median epoch.
    """

    epochs: Ordinal
    stopped_early: Flag
    final: CheckedRow
    best: Best | None
    parameters: Count
    dataset: FileName
    note: FileName
    selected_classes: Labels | None = None  # not in 0.1.0
    training_images: Count
    seconds: Number
    seconds_per_epoch: Number
    images_per_second: Number


# evaluation/


@dataclass(frozen=True)
class CalibrationBin(JsonRecord):
    """The images whose highest probability lies in one bin.

    Attributes:
        images: number of images.
        confidence: the mean of their highest probabilities; None if there are no images.
        accuracy: the share that is classified correctly; None if there are no images.
    """

    images: Count
    confidence: Number | None
    accuracy: Share | None


@dataclass(frozen=True)
class ClassFigures(JsonRecord):
    """The figures of one class; None where a figure is undefined.

    Attributes:
        label: the class.
        name: its name; the label as text if it has none.
        precision: share of the images predicted as this class that belong to it.
        recall: share of the images of this class that are predicted as it.
        f1: the harmonic mean of both.
        support: number of images of this class.
    """

    label: Label
    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Count
    name: str = ""  # not in 0.1.0


@dataclass(frozen=True)
class Reliability(JsonRecord):
    """The agreement of probabilities with the labels of images.

    Attributes:
        loss: the mean cross-entropy in nats.
        calibration_error: the expected calibration error, in [0, 1].
    """

    loss: Number
    calibration_error: Share


@dataclass(frozen=True)
class CalibratedFigures(Reliability):
    """The figures of calibrated probabilities, those that `dnn predict` shows.

    Attributes:
        calibration: the bins of their reliability diagram, from probability 0 to 1.
        temperature: the logits were divided by it.
    """

    calibration: tuple[CalibrationBin, ...]
    temperature: Number


@dataclass(frozen=True, kw_only=True)
class Score(JsonRecord):
    """The figures of predicted probabilities and true labels.

    Attributes:
        images: number of images.
        loss: the mean cross-entropy in nats.
        accuracy: the share that is classified correctly.
        accuracy_interval: its 95 % interval.
        errors: number of images that are classified wrongly.
        calibration_error: the expected calibration error, in [0, 1].
        calibration: the bins of a reliability diagram, from probability 0 to 1.
        calibrated: the figures of the calibrated probabilities; None if the network is not calibrated.
        balanced_accuracy: the mean recall of the classes that have images.
        macro_f1: the mean F1 score of the classes that have images or predictions.
        weighted_f1: the mean F1 score, each class weighted by its number of images.
        top_5_accuracy: the share whose class is among the five most probable; None for ten classes or fewer.
        classes: the figures of each class, in the order of labels.
        confusion: (classes, classes) counts; rows are true labels, columns are predictions.
    """

    images: Ordinal
    loss: Number
    accuracy: Share
    accuracy_interval: Interval
    errors: Count
    calibration_error: Number
    calibration: tuple[CalibrationBin, ...] = ()  # not in 0.1.0
    calibrated: CalibratedFigures | None = None  # not in 0.1.0
    balanced_accuracy: Share | None = None  # not in 0.1.0
    macro_f1: Share | None = None  # not in 0.1.0
    weighted_f1: Share | None = None  # not in 0.1.0
    top_5_accuracy: Share | None = None  # not in 0.1.0
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[Count, ...], ...]

    def __post_init__(self) -> None:
        """Raise `ValueError` unless the confusion matrix is square."""
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValueError("the confusion matrix is not square")


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Score):
    """The score of a network on a split, and what was evaluated.

    Attributes:
        run: the run's path; None for a single file.
        checkpoint: the `.keras` file.
        epoch: the epoch of the checkpoint; None if the file is not a checkpoint of the run.
        split: ``test``, ``validation`` or ``train``.
        dataset: the name of the data.
        note: a warning about the data; empty if there is none.
        selected_classes: the labels that the images were restricted to; None for all.
        fingerprint: the digest of the images and labels.
    """

    run: FileName | None
    checkpoint: FileName
    epoch: Ordinal | None
    split: str
    dataset: FileName
    note: FileName
    selected_classes: Labels | None = None  # not in 0.1.0
    fingerprint: str

    def __repr__(self) -> str:
        model, (low, high) = self.run or self.checkpoint, self.accuracy_interval
        images = f"{self.dataset}, {self.split} split, {self.images:,} images"
        accuracy = f"accuracy {self.accuracy:.4f}, 95 % interval {low:.4f} to {high:.4f}"
        return f"<Evaluation of {model}: {images}; {accuracy}; loss {self.loss:.4f}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values: first what was evaluated, then the figures."""
        values = super().to_dict()
        return {key: value for key, value in values.items() if key not in Score.__dataclass_fields__} | values
