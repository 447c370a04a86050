"""Compute accuracy, loss, calibration and the figures of each class from predicted probabilities."""

from typing import Any

import numpy as np

from dnn_cli.stats import wilson
from dnn_cli.typing import Array

CALIBRATION_BINS = 15
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)  # what a probability of nothing counts as in the loss


def score(probabilities: Array, labels: Array) -> dict[str, Any]:
    """Every figure that predicted probabilities and true labels give.

    Args:
        probabilities: (n, classes) float, each row summing to one.
        labels: (n,) integers in [0, classes).

    Returns:
        ``images``, ``loss`` (mean cross-entropy in nats), ``accuracy``, ``accuracy_interval`` (95 %), ``errors``,
        ``calibration_error``, ``calibration`` (as `calibration` gives it), ``classes`` (precision, recall, f1 and
        support of each; None where undefined) and ``confusion`` (rows are true labels, columns predictions).
    """
    count, classes = probabilities.shape
    guesses = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + guesses, minlength=classes * classes).reshape(classes, classes)
    correct = int(confusion.trace())
    of_truth = probabilities[np.arange(count), labels].astype(np.float64)
    confidence, right = probabilities.max(axis=1), guesses == labels
    return {
        "images": count,
        "loss": float(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1.0)).mean()),
        "accuracy": correct / count,
        "accuracy_interval": wilson(correct, count),
        "errors": count - correct,
        "calibration_error": calibration_error(confidence, right),
        "calibration": calibration(confidence, right),
        "classes": [_class_figures(confusion, label) for label in range(classes)],
        "confusion": confusion.tolist(),
    }


def calibration(confidence: Array, correct: Array) -> list[dict[str, Any]]:
    """How often a network that is so sure is right: what a reliability diagram shows.

    Args:
        confidence: (n,) the highest probability of each image.
        correct: (n,) bool, whether that class was right.

    Returns:
        For each of `CALIBRATION_BINS` bins of equal width, from 0 to 1: ``images``, their mean ``confidence`` and
        their ``accuracy``, both None where there are none.
    """
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts, sure, right = (
        np.bincount(bins, weights, CALIBRATION_BINS) for weights in (None, confidence.astype(np.float64), correct)
    )
    return [
        {"images": int(n), "confidence": float(c) / n if n else None, "accuracy": float(r) / n if n else None}
        for n, c, r in zip(counts.tolist(), sure, right, strict=True)
    ]


def calibration_error(confidence: Array, correct: Array) -> float:
    """The expected calibration error (Naeini et al. 2015) over bins of equal width.

    Args:
        confidence: (n,) the highest probability of each image.
        correct: (n,) bool, whether that class was right.

    Returns:
        The mean over images of |accuracy - mean confidence| of the image's bin, in [0, 1].
    """
    bins = [each for each in calibration(confidence, correct) if each["images"]]
    return float(sum(each["images"] * abs(each["accuracy"] - each["confidence"]) for each in bins) / len(confidence))


def _class_figures(confusion: Array, label: int) -> dict[str, Any]:
    hits = int(confusion[label, label])
    support, guessed = int(confusion[label].sum()), int(confusion[:, label].sum())
    return {
        "label": label,
        "precision": hits / guessed if guessed else None,
        "recall": hits / support if support else None,
        "f1": 2 * hits / (support + guessed) if support + guessed else None,
        "support": support,
    }
