"""The evidence that a diagnosis is based on, and the findings it leads to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from dnn_cli.config.schema import Config
from dnn_cli.reporting import remedies
from dnn_cli.reporting.remedies import Change
from dnn_cli.reporting.unit_activity import LayerActivity
from dnn_cli.runs.records import DatasetRecord, Row, Score
from dnn_cli.stats import wilson

TREND_EPOCHS = 3  # A trend is measured over this many epochs; one epoch alone is too noisy.
# Two standard errors of a mean loss are this many times sqrt(loss / images): the standard deviation of the losses of
# single images is about twice the root of their mean.
LOSS_NOISE = 4.0
# A schedule is finished when the learning rate has fallen to this share of its maximum.
FINAL_RATE_RATIO = 0.1


@dataclass(frozen=True)
class Finding:
    """A problem that the figures of a run show.

    Attributes:
        kind: the kind of finding, a word for programs: ``overfitting``.
        title: a few words without a full stop.
        text: complete sentences, with the figures that led to the finding.
        setting: a setting that should help, as a line of YAML: ``training: {early_stopping: {patience: 5}}``; "" if
            none is known.
        option: the same setting for the command line: ``--set 'training.early_stopping={patience: 5}'``.
    """

    kind: str
    title: str
    text: str
    setting: str = ""
    option: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about a run.

    Attributes:
        config: the config of the run.
        history: the rows of its history, oldest first, one at least.
        score: the metrics of the best checkpoint, as `metrics.score` returns them; None if it was not evaluated.
        activity: the activity of its hidden layers, as `unit_activity.measure` returns it; empty if unknown.
        dataset: the record of the dataset in the run's environment.
        split: the split that `score` is about, ``test`` or ``validation``.
    """

    config: Config
    history: Sequence[Row]
    score: Score | None
    activity: Sequence[LayerActivity]
    dataset: DatasetRecord
    split: str = "test"

    @property
    def classes(self) -> int:
        """The number of classes with training images."""
        return len(self.dataset.selected_classes or range(self.dataset.classes))

    @property
    def monitor(self) -> str:
        """The column of the history that decides which epoch is the best."""
        return "val_loss" if self.images("val_loss") else "loss"

    @property
    def best(self) -> Row:
        """The history's row of the best epoch."""
        return min(self.history, key=lambda row: float(row[self.monitor]))

    @property
    def last(self) -> Row:
        """The history's row of the last epoch."""
        return self.history[-1]

    @property
    def is_schedule_finished(self) -> bool:
        """True if a schedule has lowered the learning rate so far that the network hardly changes."""
        rates = [row.get("learning_rate", 0.0) for row in self.history]
        return bool(rates[-1] < FINAL_RATE_RATIO * max(rates))

    def images(self, column: str) -> int:
        """Return the number of images that a column of the history is about."""
        return (self.dataset.validation_images or 0) if column.startswith("val_") else self.dataset.training_images

    def interval(self, accuracy: str) -> tuple[float, float]:
        """Return the 95 % interval of an accuracy in the last row."""
        count = self.images(accuracy)
        return wilson(round(self.last[accuracy] * count), count)

    def noise(self, column: str, loss: float) -> float:
        """Return the change of a loss that chance alone explains."""
        return LOSS_NOISE * sqrt(max(loss, 0) / self.images(column))

    def improvement(self, column: str, epochs: int = TREND_EPOCHS) -> float:
        """Return by which share the minimum of a loss fell in the last epochs; infinite after a single epoch."""
        values = [float(row[column]) for row in self.history]
        epochs = min(epochs, len(values) - 1)
        if not epochs:
            return inf
        before = min(values[:-epochs])
        return 1 - min(values[-epochs:]) / before if before else 0.0

    def finding(self, kind: str, title: str, text: str, changes: Iterable[Change] = ()) -> Finding:
        """Return a finding with the first of `changes` that is possible in the config."""
        return Finding(kind, title, text, *remedies.first(self.config, changes))
