"""Compare the probabilities that a network states with the share that is right, and find the temperature."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from dnn_cli.runs.records import CalibrationBin
from dnn_cli.typing import Array

CALIBRATION_BINS = 15
MIN_PROBABILITY = float(np.finfo(np.float32).tiny)  # a smaller probability counts as this much: it has a logarithm
LARGEST_INVERSE = 100.0  # the inverse of a temperature is sought below it
MAX_STEPS = 100  # of the search, which takes about six
PRECISION = 1e-10  # the search ends when the inverse changes by less than this share
MAX_STANDARD_ERROR = 0.25  # A temperature that may be wrong by a larger share is none: too few images tell of it.


def softmax(logits: Array) -> Array:
    """Return the probabilities, float64, of finite logits (n, classes)."""
    powers: Array = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def cross_entropies(probabilities: Array, labels: Array) -> Array:
    """Return the loss of each image in nats, (n,) float64.

    Args:
        probabilities: (n, classes) float, each row summing to one.
        labels: (n,) integers in [0, classes).
    """
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: Array = -np.log(np.clip(of_label, MIN_PROBABILITY, 1.0))
    return losses


def calibration_bins(probabilities: Array, labels: Array) -> list[CalibrationBin]:
    """Return the bins of a reliability diagram: mean confidence and accuracy of images of similar confidence.

    The confidence of an image is its highest probability. The arguments are those of `cross_entropies`.

    Returns:
        `CALIBRATION_BINS` bins of equal width, from confidence 0 to 1.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
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
        bins: the result of `calibration_bins`, with one image at least.
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


def fit_temperature(probabilities: Array, labels: Array) -> float | None:
    """Return the temperature that gives the lowest mean cross-entropy when the logits are divided by it.

    The loss is convex in the inverse of the temperature b. Its slope is the mean of E[z] - z of the label, and its
    curvature the mean of Var[z], with logits z and expectations over the classes with probabilities softmax(b z).
    Newton's method finds the root of the slope; where it leaves the interval that is known to hold the root, the
    interval is halved instead. 1 / (b sqrt(n Var)) is the relative standard error of the result.

    Args:
        probabilities: (n, classes) float of images that were not trained on, each row summing to one.
        labels: (n,) integers in [0, classes).

    Returns:
        The temperature with six digits; None if the images do not tell it: too few of them are classified wrongly, or
        nearly all.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), MIN_PROBABILITY))
    logits -= logits.max(axis=1, keepdims=True)
    of_label = logits[np.arange(len(labels)), labels].sum()
    low, high, inverse, information = 0.0, LARGEST_INVERSE, 1.0, 0.0
    for _ in range(MAX_STEPS):
        powers = np.exp(inverse * logits)
        powers /= powers.sum(axis=1, keepdims=True)
        means = (powers * logits).sum(axis=1)
        slope = float(means.sum() - of_label)
        curvature = float((powers * (logits - means[:, None]) ** 2).sum())
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature else high
        before, inverse = inverse, step if low < step < high else (low + high) / 2
        information = before**2 * curvature
        if abs(inverse - before) <= PRECISION * before:
            break
    is_known = information > 0 and 1 / sqrt(information) <= MAX_STANDARD_ERROR
    return float(f"{1 / inverse:.6g}") if is_known else None
