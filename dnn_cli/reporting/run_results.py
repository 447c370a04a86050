"""The results of a run, finished or not: its history, and the predictions of its best checkpoint on the test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dnn_cli.command import command
from dnn_cli.data.class_names import show
from dnn_cli.errors import DataError
from dnn_cli.evaluation import evaluate, metrics, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.runs import reliability
from dnn_cli.runs.records import Row, Score
from dnn_cli.runs.status import RunStatus
from dnn_cli.stats import Z_95
from dnn_cli.typing import Array


@dataclass(frozen=True)
class TestPredictions:
    """The predictions of a network for the test images.

    Attributes:
        dataset: the name of the dataset.
        note: a warning about the dataset; "" if there is none.
        images: (n, height, width[, channels]) the test images of the selected classes.
        labels: (n,) their actual classes.
        fingerprint: the fingerprint of images and labels.
        probabilities: (n, classes) the network's output.
        score: the metrics, as `metrics.score` returns them.
        class_names: the names of the classes in the order of the labels; None if they have none.
    """

    dataset: str
    note: str
    images: Array
    labels: Array
    fingerprint: str
    probabilities: Array
    score: Score
    class_names: Sequence[str] | None = None

    @cached_property
    def predicted(self) -> Array:
        """(n,) the predicted classes, which are the most probable ones."""
        predicted: Array = self.probabilities.argmax(axis=1)
        return predicted

    @cached_property
    def confidence(self) -> Array:
        """(n,) the probabilities of the predicted classes, in [0, 1]."""
        highest: Array = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def correct(self) -> Array:
        """(n,) bool, True where the predicted class is the actual one."""
        return np.asarray(self.predicted == self.labels)

    @property
    def loss_interval(self) -> tuple[float, float]:
        """The 95 % interval of the loss; the mean loss of many images is nearly normally distributed."""
        losses = reliability.cross_entropies(self.probabilities, self.labels)
        half = Z_95 * float(losses.std()) / len(losses) ** 0.5
        return max(0.0, self.score.loss - half), self.score.loss + half

    @property
    def present(self) -> list[int]:
        """The classes that occur as the actual or the predicted class of an image."""
        return sorted({*np.unique(self.labels).tolist(), *np.unique(self.predicted).tolist()})

    def worst(self, count: int) -> list[int]:
        """Return the indices of the mistakes with the highest confidence, in descending order."""
        return _first(~self.correct, -self.confidence, count)

    def least_certain(self, count: int) -> list[int]:
        """Return the indices of the correct predictions with the lowest confidence, in ascending order."""
        return _first(self.correct, self.confidence, count)

    def describe(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return index, actual class, predicted class and confidence of some images, as plain values for JSON."""
        return [
            {
                "index": index,
                "label": int(self.labels[index]),
                "name": show(int(self.labels[index]), self.class_names),
                "guess": int(self.predicted[index]),
                "guess_name": show(int(self.predicted[index]), self.class_names),
                "probability": float(self.confidence[index]),
            }
            for index in indices
        ]


def _first(mask: Array, key: Array, count: int) -> list[int]:
    """Return the first `count` indices where `mask` is True, sorted by `key`."""
    chosen = np.flatnonzero(mask)
    order: list[int] = chosen[np.argsort(key[chosen], kind="stable")].tolist()
    return order[:count]


@dataclass(frozen=True)
class RunResults:
    """A run, and the predictions of its best checkpoint.

    Attributes:
        status: the run with its config and its recorded figures.
        history: the rows of its history, oldest first.
        checkpoint: the best checkpoint.
        predictions: the checkpoint's predictions for the test images; None if these cannot be read.
        missing_data: the reason why they cannot be read; "" if they can.
    """

    status: RunStatus
    history: list[Row]
    checkpoint: ModelSource
    predictions: TestPredictions | None
    missing_data: str

    @property
    def name(self) -> str:
        """The run's path."""
        return str(self.status.run)

    @property
    def best(self) -> Row:
        """The history's row of the best epoch."""
        return self.history[(self.checkpoint.epoch or 1) - 1]

    @property
    def warnings(self) -> list[str]:
        """Everything that limits the meaning of the figures, one sentence each."""
        wanted, note = self.status.config.training.epochs, self.status.data.note
        progress = f"{len(self.history)} of {wanted} epochs"
        found = [note]
        if self.status.state == "running":
            found.append(f"{self.name} is still being trained; these are its results after {progress}.")
        if self.status.state == "interrupted":
            resume = command("train", "--resume", self.name)
            found.append(f"{self.name} is unfinished: it has {progress}; to resume: `{resume}`")
        if self.missing_data:
            found.append(
                f"The test images of {self.name} cannot be read, so there is no evaluation: {self.missing_data}"
            )
        if self.predictions and self.predictions.note != note:
            found.append(self.predictions.note)
        return [text for text in found if text]

    def figures(self) -> dict[str, Any]:
        """Return the numbers as plain values for JSON."""
        found, test = self.predictions, None
        if found:
            about = {"dataset": found.dataset, "note": found.note, "fingerprint": found.fingerprint}
            test = {**about, **found.score.to_dict(), "loss_interval": found.loss_interval}
        return {
            "run": self.name,
            "state": self.status.state,
            "epochs": len(self.history),
            "parameters": self.status.parameters,
            "seconds": self.status.seconds,
            "best": self.best,
            "warnings": self.warnings,
            "test": test,
        }


def run_results(status: RunStatus) -> RunResults:
    """Read a run, and predict the test images with its best checkpoint.

    Raises:
        RunError: the run has no finished epoch, or is damaged.
    """
    checkpoint = model_source.find_model(status.run.path)
    history = status.run.history(max(status.epochs, checkpoint.epoch or 0))
    try:
        predictions, missing_data = _predict(checkpoint), ""
    except DataError as error:
        predictions, missing_data = None, str(error)
    return RunResults(status, history, checkpoint, predictions, missing_data)


def _predict(checkpoint: ModelSource) -> TestPredictions:
    dataset, split, note = evaluate.material(checkpoint, "test")
    probabilities = model_source.probabilities(checkpoint.file, split.images)
    evaluate.check_labels(checkpoint.file, split, probabilities)
    names = checkpoint.class_names or dataset.class_names
    score = metrics.score(probabilities, split.labels, names, checkpoint.calibration)
    return TestPredictions(
        dataset.name, note, split.images, split.labels, split.fingerprint(), probabilities, score, names
    )
