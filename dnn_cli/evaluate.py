"""A trained network × a split → what it gets right, how sure that is, and how honest its probabilities are."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dnn_cli import backend, data
from dnn_cli.data import Dataset, Split
from dnn_cli.errors import DataError, RunError, UsageError, reason
from dnn_cli.intervals import wilson
from dnn_cli.run import Run

Array = np.ndarray[Any, np.dtype[Any]]

SPLITS = ("test", "validation", "train")
CALIBRATION_BINS = 15
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)  # what a probability of nothing counts as in the loss


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a model file, the run it belongs to if it belongs to one, and what can do that."""

    file: Path
    run: Run | None = None
    epoch: int | None = None
    engine: Literal["keras", "numpy"] = "keras"

    @property
    def selected_classes(self) -> tuple[int, ...] | None:
        """The labels that are scored: those the run was trained on; None is all."""
        return self.run.config().data.classes if self.run else None


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
    subject = _subject(target, checkpoint)
    source = _dataset(subject, dataset, split)
    images = _split(subject, source, split)
    note = _note(subject, source)
    if note:
        say(f"warning: {note}")
    probabilities = _predict(subject, images, say, verbose=verbose)
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


def score(probabilities: Array, labels: Array) -> dict[str, Any]:
    """Every figure that predicted probabilities and true labels give.

    Args:
        probabilities: (n, classes) float, each row summing to one.
        labels: (n,) integers in [0, classes).

    Returns:
        ``images``, ``loss`` (mean cross-entropy in nats), ``accuracy``, ``accuracy_interval`` (95 %), ``errors``,
        ``calibration_error``, ``classes`` (precision, recall, f1 and support of each; None where undefined) and
        ``confusion`` (rows are true labels, columns predictions).
    """
    count, classes = probabilities.shape
    guesses = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + guesses, minlength=classes * classes).reshape(classes, classes)
    correct = int(confusion.trace())
    of_truth = probabilities[np.arange(count), labels].astype(np.float64)
    return {
        "images": count,
        "loss": float(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1.0)).mean()),
        "accuracy": correct / count,
        "accuracy_interval": wilson(correct, count),
        "errors": count - correct,
        "calibration_error": calibration_error(probabilities.max(axis=1), guesses == labels),
        "classes": [_class_figures(confusion, label) for label in range(classes)],
        "confusion": confusion.tolist(),
    }


def calibration_error(confidence: Array, correct: Array) -> float:
    """The expected calibration error (Naeini et al. 2015) over bins of equal width.

    Args:
        confidence: (n,) the highest probability of each image.
        correct: (n,) bool, whether that class was right.

    Returns:
        The mean over images of |accuracy - mean confidence| of the image's bin, in [0, 1].
    """
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, correct.astype(np.float64) - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


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


def _subject(target: Path | None, checkpoint: str) -> Subject:
    if target is not None and target.is_file():
        if checkpoint != "best":
            raise UsageError(f"--checkpoint chooses one of a run's; {target} is a single file")
        return Subject(target)
    if target is not None and not target.exists():
        raise UsageError(f"there is no run or .keras file {target}")
    run = Run.open(target) if target is not None else Run.newest()
    if checkpoint not in ("best", "last"):
        return Subject(Path(checkpoint), run)
    file, epoch = run.checkpoint(checkpoint)
    return Subject(file, run, epoch, run.config().engine)


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


def _predict(subject: Subject, split: Split, say: Callable[[str], None], *, verbose: bool) -> Array:
    """The probabilities that the network gives the images of `split`: (n, classes) float."""
    file = subject.file
    outputs = _by_numpy(file, split) if subject.engine == "numpy" else _by_keras(file, split, verbose=verbose)
    if not np.isfinite(outputs).all():
        raise RunError(f"{file} gives outputs that are no finite numbers")
    if is_distribution(outputs):
        return outputs
    if outputs.min() >= 0 and outputs.max() <= 1:
        raise RunError(f"{file} gives no probabilities: its outputs do not sum to one")
    say(f"note: {file} ends without a softmax; its outputs are taken for logits")
    return softmax(outputs)


def _by_numpy(file: Path, split: Split) -> Array:
    from dnn_cli import numpy_file, numpy_model

    loaded = numpy_file.load(file)
    _check_fit(file, split, loaded.image_shape, loaded.classes)
    return numpy_model.predict(loaded.network, split.images, loaded.batch)


def _by_keras(file: Path, split: Split, *, verbose: bool) -> Array:
    from dnn_cli import model as models

    models.check_file(file)
    backend.start(verbose=verbose)
    network = models.load(file, compiled=False)
    shape, classes = network.input_shape[1:], network.output_shape[1]
    _check_fit(file, split, shape, classes)
    return models.predict(network, split.images.reshape(-1, *shape))


def _check_fit(file: Path, split: Split, shape: tuple[int, ...], classes: int) -> None:
    """Raise `DataError` unless a network for `shape` and `classes` can be given the images of `split`."""
    if shape not in _equal_shapes(split.images.shape[1:]):
        found, wanted = "×".join(map(str, split.images.shape[1:])), "×".join(map(str, shape))
        raise DataError(f"the images are {found}, but {file} takes {wanted}")
    if split.classes > classes:
        raise DataError(f"the labels go up to {split.classes - 1}, but {file} knows {classes} classes, from 0")


def _equal_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes in which a network may take an image of `shape`: as it is, with one channel, or as a row."""
    plain = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape
    return [plain, (*plain, 1), (prod(plain),)]


def is_distribution(outputs: Array) -> bool:
    """Whether each row of (n, classes) finite numbers is one of probabilities, as precisely as float16 has them."""
    return bool(outputs.min() >= 0 and (np.abs(outputs.sum(axis=1, dtype=np.float64) - 1) < 0.01).all())


def softmax(logits: Array) -> Array:
    """Rows of finite logits (n, classes) as probabilities, float64."""
    powers: Array = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
