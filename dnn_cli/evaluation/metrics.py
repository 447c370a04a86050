"""Compute accuracy, loss, calibration and the figures of each class from predicted probabilities."""

from collections.abc import Sequence

import numpy as np

from dnn_cli import confusion_matrix
from dnn_cli.data.class_names import show
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.records import CalibratedFigures, ClassFigures, Score
from dnn_cli.runs.reliability import calibration_bins, calibration_error, cross_entropies
from dnn_cli.stats import wilson
from dnn_cli.typing import Array

TOP, TOP_CLASSES = 5, 10  # The accuracy of the five most probable classes says something if there are more than ten.


def score(
    probabilities: Array, labels: Array, names: Sequence[str] | None = None, calibration: Calibration | None = None
) -> Score:
    """Compute every figure of predicted probabilities and true labels.

    Args:
        probabilities: (n, classes) float, each row summing to one.
        labels: (n,) integers in [0, classes).
        names: the names of the classes; None if they have none.
        calibration: of the network; None if it is not calibrated.
    """
    count, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix.matrix(labels, predicted, classes)
    hits = int(confusion.trace())
    bins = calibration_bins(probabilities, labels)
    return Score(
        images=count,
        loss=float(cross_entropies(probabilities, labels).mean()),
        accuracy=hits / count,
        accuracy_interval=wilson(hits, count),
        errors=count - hits,
        calibration_error=calibration_error(bins),
        calibration=tuple(bins),
        calibrated=_calibrated(probabilities, labels, calibration) if calibration else None,
        balanced_accuracy=confusion_matrix.balanced_accuracy(confusion),
        macro_f1=confusion_matrix.macro_f1(confusion),
        weighted_f1=confusion_matrix.weighted_f1(confusion),
        top_5_accuracy=top_accuracy(probabilities, labels, TOP) if classes > TOP_CLASSES else None,
        classes=tuple(_class_figures(confusion, label, show(label, names)) for label in range(classes)),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def top_accuracy(probabilities: Array, labels: Array, count: int) -> float:
    """Return the share of images whose class is among the `count` most probable; of equal ones, lower labels win."""
    first = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return float((first == labels[:, None]).any(axis=1).mean())


def _calibrated(probabilities: Array, labels: Array, calibration: Calibration) -> CalibratedFigures:
    calibrated = calibration.apply(probabilities)
    bins, loss = calibration_bins(calibrated, labels), float(cross_entropies(calibrated, labels).mean())
    return CalibratedFigures(loss, calibration_error(bins), tuple(bins), calibration.temperature)


def two_most_probable(probabilities: Array, classes: Sequence[int] | None) -> tuple[int, int]:
    """Return the most probable class of an image and the second; of equal ones, the lower label is first.

    Args:
        probabilities: (n,) of every class; two at least.
        classes: the labels to choose among, two at least; None for all.
    """
    candidates = np.arange(len(probabilities)) if classes is None else np.array(classes)
    first, second = candidates[np.argsort(-probabilities[candidates], kind="stable")[:2]].tolist()
    return first, second


def _class_figures(confusion: Array, label: int, name: str) -> ClassFigures:
    hits = int(confusion[label, label])
    support, predicted = int(confusion[label].sum()), int(confusion[:, label].sum())
    return ClassFigures(
        label,
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predicted) if support + predicted else None,
        support=support,
        name=name,
    )
