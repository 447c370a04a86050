"""A trained network × a split → what it gets right, how sure that is, and how honest its probabilities are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli import data, trained
from dnn_cli.data import Dataset, Split
from dnn_cli.errors import DataError, RunError, UsageError, reason
from dnn_cli.intervals import wilson
from dnn_cli.trained import Subject

Array = np.ndarray[Any, np.dtype[Any]]

SPLITS = ("test", "validation", "train")
CALIBRATION_BINS = 15
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)  # what a probability of nothing counts as in the loss


def evaluate(
    target: Path | None,
    *,
    split: str = "test",
    dataset: str | None = None,
    checkpoint: str = "best",
    say: Callable[[str], None],
    verbose: bool = False,
) -> dict[str, Any]:
    """Score every image of a split; the result is also written to the run's ``evaluation/``.

    Args:
        target: a run or a ``.keras`` file; None is the newest run in ``runs/``.
        split: one of `SPLITS`; ``train`` is what was trained on, ``validation`` what was held out of it.
        dataset: other data than the run's: a known name or a path.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        say: takes warnings, a line each.
        verbose: let TensorFlow's own messages through.

    Returns:
        What `score` found, and of what.
    """
    subject = trained.choose(target, checkpoint)
    source, images, note = material(subject, split, dataset)
    if note:
        say(f"warning: {note}")
    file, engine = subject.file, subject.engine
    probabilities = trained.probabilities(file, images.images, engine=engine, say=say, verbose=verbose)
    check_labels(file, images, probabilities)
    result = {
        "run": str(subject.run) if subject.run else None,
        "checkpoint": str(subject.file),
        "epoch": subject.epoch,
        "split": split,
        "dataset": source.name,
        "note": note,
        "selected_classes": subject.selected_classes,
        "fingerprint": images.fingerprint(),
        **score(probabilities, images.labels),
    }
    if subject.run:
        name = split if dataset is None else f"{Path(source.name).stem}-{split}"
        try:
            subject.run.write_evaluation(name, result)
        except OSError as error:
            say(f"warning: the result is not kept: {subject.run} cannot be written: {reason(error)}")
    return result


def material(subject: Subject, split: str, dataset: str | None = None) -> tuple[Dataset, Split, str]:
    """The images by which a network is judged.

    Args:
        subject: the network.
        split: one of `SPLITS`.
        dataset: other data than its run's: a known name or a path.

    Returns:
        Where they come from, the images of the classes that count, and what is to be known about them, or nothing.
    """
    source = _dataset(subject, dataset, split)
    return source, _split(subject, source, split), _note(subject, source)


def check_labels(file: Path, split: Split, probabilities: Array) -> None:
    """Raise `DataError` unless the network in `file`, which gave (n, classes), knows all labels of `split`."""
    if split.classes > (classes := probabilities.shape[1]):
        raise DataError(f"the labels go up to {split.classes - 1}, but {file} knows {classes} classes, from 0")


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


def _dataset(subject: Subject, dataset: str | None, split: str) -> Dataset:
    if split == "validation" and (dataset is not None or subject.run is None):
        raise UsageError("--split validation is what a run held out of its own data; it goes with a RUN and no --data")
    if dataset is None and subject.run is not None:
        dataset = subject.run.environment()["dataset"]["name"]
    return data.find(dataset or "mnist", split="test" if split == "test" else "train")


def _split(subject: Subject, source: Dataset, split: str) -> Split:
    everything = source.load("test" if split == "test" else "train")
    recorded = subject.run.environment()["dataset"] if subject.run else None
    if split == "test" or subject.run is None or recorded is None or source.name != recorded["name"]:
        chosen = data.of_classes(everything, subject.selected_classes)
        if not len(chosen.labels):
            raise DataError(f"{source.path} has no image of the classes of {subject.run}, as data.classes has them")
        return chosen
    if everything.fingerprint() != recorded["fingerprint"]:
        raise RunError(f"{subject.run} was trained on other data than {source.path} holds now: its splits are lost")
    config = subject.run.config()
    selected = data.select(everything, config.data.classes, config.data.images_per_class, config.seed)
    training, held_out = data.hold_out(selected, config.data.validation, config.seed)
    if split == "train":
        return training
    if held_out is None:
        raise UsageError(f"{subject.run} held nothing out: data.validation is 0")
    return held_out


def _note(subject: Subject, source: Dataset) -> str:
    """What the run says of its data, where these are evaluated."""
    if subject.run is None:
        return source.note
    recorded = subject.run.environment()["dataset"]
    return str(recorded["note"]) if recorded["name"] == source.name else source.note
