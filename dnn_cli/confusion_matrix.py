"""Compute figures of confusion matrices."""

import numpy as np

from dnn_cli.typing import Array


def matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Return (classes, classes) counts for n labels and predicted labels; rows are labels, columns are predictions."""
    counts: Array = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def recalls(confusion: Array) -> Array:
    """Return the recall of each class, NaN for a class without images."""
    support = confusion.sum(axis=1)
    return np.where(support > 0, confusion.diagonal() / np.maximum(support, 1), np.nan)


def f1_scores(confusion: Array) -> Array:
    """Return the F1 score of each class, NaN for a class without images and predictions."""
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return np.where(total > 0, 2 * confusion.diagonal() / np.maximum(total, 1), np.nan)


def balanced_accuracy(confusion: Array) -> float:
    """Return the mean recall of the classes that have images."""
    return float(np.nanmean(recalls(confusion)))


def macro_f1(confusion: Array) -> float:
    """Return the mean F1 score of the classes that have images or predictions."""
    return float(np.nanmean(f1_scores(confusion)))


def weighted_f1(confusion: Array) -> float:
    """Return the mean F1 score, each class weighted by its number of images."""
    support = confusion.sum(axis=1)
    return float(np.nansum(f1_scores(confusion) * support) / support.sum())
