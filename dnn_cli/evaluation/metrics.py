"""Compute accuracy, loss, calibration and the figures of each class from predicted probabilities."""

from collections.abc import Sequence

import numpy as np

from dnn_cli import confusion_matrix
from dnn_cli.data.class_names import show
from dnn_cli.runs.records import CalibrationBin, ClassFigures, Score
from dnn_cli.stats import wilson
from dnn_cli.typing import Array

CALIBRATION_BINS = 15
TOP, TOP_CLASSES = 5, 10  # The accuracy of the five most probable classes says something if there are more than ten.
MIN_PROBABILITY = float(np.finfo(np.float32).tiny)  # a smaller probability counts as this much in the loss


def score(probabilities: Array, labels: Array, names: Sequence[str] | None = None) -> Score:
    """Compute every figure of predicted probabilities and true labels.

    Args:
        probabilities: (n, classes) float, each row summing to one.
        labels: (n,) integers in [0, classes).
        names: the names of the classes; None if they have none.
    """
    count, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix.matrix(labels, predicted, classes)
    hits = int(confusion.trace())
    bins = calibration(probabilities.max(axis=1), predicted == labels)
    return Score(
        images=count,
        loss=float(cross_entropies(probabilities, labels).mean()),
        accuracy=hits / count,
        accuracy_interval=wilson(hits, count),
        errors=count - hits,
        calibration_error=calibration_error(bins),
        calibration=tuple(bins),
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


def cross_entropies(probabilities: Array, labels: Array) -> Array:
    """Return the loss of each image in nats, (n,) float64; the arguments are those of `score`."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: Array = -np.log(np.clip(of_label, MIN_PROBABILITY, 1.0))
    return losses


def calibration(confidence: Array, correct: Array) -> list[CalibrationBin]:
    """Return the bins of a reliability diagram: mean confidence and accuracy of images of similar confidence.

    Args:
        confidence: (n,) the highest probability of each image.
        correct: (n,) bool, whether the most probable class is the true one.

    Returns:
        `CALIBRATION_BINS` bins of equal width, from confidence 0 to 1.
    """
    places = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts, confidences, hits = (
        np.bincount(places, weights, CALIBRATION_BINS) for weights in (None, confidence.astype(np.float64), correct)
    )
    return [
        CalibrationBin(n, float(c) / n if n else None, float(r) / n if n else None)
        for n, c, r in zip(counts.tolist(), confidences, hits, strict=True)
    ]


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Return the expected calibration error (Naeini et al. 2015), in [0, 1].

    It is the mean over all images of |accuracy - mean confidence| of the image's bin.

    Args:
        bins: the result of `calibration`, with one image at least.
    """
    images = sum(each.images for each in bins)
    return (
        sum(
            each.images * abs(each.accuracy - each.confidence)
            for each in bins
            if each.accuracy is not None and each.confidence is not None
        )
        / images
    )


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
