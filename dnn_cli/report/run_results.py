"""A run as far as it is, and what its best checkpoint says of the test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dnn_cli.command import command
from dnn_cli.errors import DataError
from dnn_cli.evaluation import evaluate, metrics, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.runs.records import Row, Score
from dnn_cli.runs.status import RunStatus, State
from dnn_cli.stats import Z_95
from dnn_cli.typing import Array


@dataclass(frozen=True)
class TestPredictions:
    """What a network says of the test images.

    Attributes:
        dataset: their name.
        note: what is to be known about them; empty if nothing is.
        images: of the classes that count: (n, height, width[, channels]).
        labels: (n,) what they show.
        fingerprint: of both.
        probabilities: (n, classes).
        score: what `evaluate.score` found.
    """

    dataset: str
    note: str
    images: Array
    labels: Array
    fingerprint: str
    probabilities: Array
    score: Score

    @cached_property
    def guesses(self) -> Array:
        """(n,) the most probable class."""
        guesses: Array = self.probabilities.argmax(axis=1)
        return guesses

    @cached_property
    def confidence(self) -> Array:
        """(n,) its probability."""
        highest: Array = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def right(self) -> Array:
        """(n,) bool, whether it is the label."""
        return np.asarray(self.guesses == self.labels)

    @property
    def loss_interval(self) -> tuple[float, float]:
        """The 95 % interval of the loss: the losses of so many images have a mean that is normally distributed."""
        losses = metrics.cross_entropies(self.probabilities, self.labels)
        half = Z_95 * float(losses.std()) / len(losses) ** 0.5
        return max(0.0, self.score.loss - half), self.score.loss + half

    @property
    def present(self) -> list[int]:
        """The classes that there are images of, or that were guessed."""
        return sorted({*np.unique(self.labels).tolist(), *np.unique(self.guesses).tolist()})

    def worst(self, count: int) -> list[int]:
        """The mistakes of which it was surest, that one first."""
        return _first(~self.right, -self.confidence, count)

    def least_certain(self, count: int) -> list[int]:
        """The hits of which it was least sure, that one first."""
        return _first(self.right, self.confidence, count)

    def describe(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Some images: each one's index, label, guess, and the guess's probability."""
        return [
            {
                "index": index,
                "label": int(self.labels[index]),
                "guess": int(self.guesses[index]),
                "probability": float(self.confidence[index]),
            }
            for index in indices
        ]


def _first(mask: Array, key: Array, count: int) -> list[int]:
    chosen = np.flatnonzero(mask)
    order: list[int] = chosen[np.argsort(key[chosen], kind="stable")].tolist()
    return order[:count]


@dataclass(frozen=True)
class RunResults:
    """A run, and what its best checkpoint does.

    Attributes:
        candidate: the run, and what it reached.
        state: being trained, done with all that it was to do, or neither.
        history: its rows, oldest first.
        subject: the best checkpoint.
        judged: what that says of the test images; None where they are not to be had.
        absence: why, then.
    """

    candidate: RunStatus
    state: State
    history: list[Row]
    subject: ModelSource
    judged: TestPredictions | None
    absence: str

    @property
    def name(self) -> str:
        """The run's path."""
        return str(self.candidate.run)

    @property
    def best(self) -> Row:
        """The figures of the best epoch."""
        return self.history[(self.subject.epoch or 1) - 1]

    @property
    def warnings(self) -> list[str]:
        """What has to be known before the figures are believed."""
        wanted, note = self.candidate.config.training.epochs, self.candidate.data.note
        progress = f"{len(self.history)} of {wanted} epochs"
        found = [note]
        if self.state == "running":
            found.append(f"{self.name} is still being trained; this is how it is after {progress}.")
        if self.state == "interrupted":
            resume = command("train", "--resume", self.name)
            found.append(f"{self.name} is unfinished: it has {progress}; `{resume}` goes on with it.")
        if self.absence:
            found.append(
                f"The test images of {self.name} cannot be had, and what needs them is left out: {self.absence}"
            )
        if self.judged and self.judged.note != note:
            found.append(self.judged.note)
        return [text for text in found if text]

    def figures(self) -> dict[str, Any]:
        """The numbers, for machines."""
        judged, candidate = self.judged, self.candidate
        about = judged and {"dataset": judged.dataset, "note": judged.note, "fingerprint": judged.fingerprint}
        return {
            "run": self.name,
            "state": self.state,
            "epochs": len(self.history),
            "parameters": candidate.parameters,
            "seconds": candidate.seconds,
            "best": self.best,
            "warnings": self.warnings,
            "test": judged and {**(about or {}), **judged.score.to_dict(), "loss_interval": judged.loss_interval},
        }


def run_results(candidate: RunStatus) -> RunResults:
    """Look at a run, and ask its best checkpoint about the test images.

    Raises:
        RunError: it has no finished epoch, or is damaged.
    """
    subject = model_source.find_model(candidate.run.path)
    history = candidate.run.history(max(candidate.epochs, subject.epoch or 0))
    try:
        judged, absence = _judge(subject), ""
    except DataError as error:
        judged, absence = None, str(error)
    return RunResults(candidate, candidate.state, history, subject, judged, absence)


def _judge(subject: ModelSource) -> TestPredictions:
    source, split, note = evaluate.material(subject, "test")
    probabilities = model_source.probabilities(subject.file, split.images)
    evaluate.check_labels(subject.file, split, probabilities)
    score = metrics.score(probabilities, split.labels)
    return TestPredictions(source.name, note, split.images, split.labels, split.fingerprint(), probabilities, score)
