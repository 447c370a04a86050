"""What the figures of a training mean, in plain words, each with the line of YAML that would answer it.

Every threshold was tried on trainings that show what it is for, and on sound ones. What chance alone may bring about
is no finding: counted shares are judged by their 95 % intervals, other figures by what is said where they are used.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from statistics import median

from dnn_cli.config.schema import Config
from dnn_cli.report import remedies
from dnn_cli.report.remedies import Change
from dnn_cli.report.unit_activity import LayerActivity
from dnn_cli.runs.records import DatasetRecord, Row, Score
from dnn_cli.stats import binomial_deviation, wilson

RECENT = 3  # epochs at the end by which it is told where a figure goes: one by itself is noise
FALLING = 0.03  # what a loss falls in them at least, as a share: 1 % an epoch
PATIENCE = 5  # epochs without improvement that make a plateau: what early stopping waits by default
STANDSTILL = 0.01  # the least improvement of a loss in so many epochs, as a share; noise is less than that
WORSE = 1.01  # times the loss of guessing: where a signal is lost on its way, it stays within 1 % of that
JUMP = 0.02  # of the loss of guessing: a smaller rise does no harm
NOISE = 4.0  # two standard errors, where the losses of single images deviate by twice the root of their mean
UNDERFIT_ACCURACY = 0.9  # accuracy that a few dozen units can reach on every dataset that dnn knows by name
OVERFIT_LOSS_RATIO = 1.1  # times the lowest: validation losses go up and down by a few per cent without overfitting
TWICE, GAP = 2.0, 0.01  # errors on what was held out over those in training, and the least difference that matters
DEAD = 0.12  # of a layer's units; sound trainings have up to 0.1
SATURATED = 0.75  # of a layer's outputs; tanh has up to 0.5 in sound trainings
CONFUSED = 0.5  # of a class's errors: most of them are one other class
MISCALIBRATED = 0.01  # a percentage point
RESTING = 0.1  # of the highest learning rate: a schedule that came down so far has done its work
Z_ONE_SIDED = 1.645  # the normal distribution's 95 % quantile

LEARNING = {"learning_rate", "underfitting", "overfitting", "plateau", "unfinished"}  # each rules out the others
NOT_LEARNED = {"learning_rate", "underfitting"}
OUTCOMES = {"confused_class", "miscalibration"}  # which say little of what has not learned


@dataclass(frozen=True)
class Finding:
    """One thing that the figures say.

    Attributes:
        kind: of finding, a word for machines: ``overfitting``.
        title: a few words without a full stop.
        text: plain sentences, with the figures that led to it.
        setting: the line of YAML that would answer it, ``training: {early_stopping: {patience: 5}}``; "" if none would.
        option: the same for the command line, ``--set 'training.early_stopping={patience: 5}'``; "" if none would.
    """

    kind: str
    title: str
    text: str
    setting: str = ""
    option: str = ""


@dataclass(frozen=True)
class Evidence:
    """What is known of a run: the arguments of `diagnose`."""

    config: Config
    history: Sequence[Row]
    score: Score | None
    activity: Sequence[LayerActivity]
    dataset: DatasetRecord
    split: str

    @property
    def classes(self) -> int:
        """How many there were images of."""
        return len(self.dataset.selected_classes or range(self.dataset.classes))

    @property
    def monitor(self) -> str:
        """The figure by which the best epoch is chosen."""
        return "val_loss" if self.count("val_loss") else "loss"

    @property
    def best(self) -> Row:
        """The row of the best epoch."""
        return min(self.history, key=lambda row: float(row[self.monitor]))

    @property
    def last(self) -> Row:
        """The last epoch's row."""
        return self.history[-1]

    def count(self, figure: str) -> int:
        """Of how many images a figure of the history is."""
        return (self.dataset.validation_images or 0) if figure.startswith("val_") else self.dataset.training_images

    def interval(self, accuracy: str) -> tuple[float, float]:
        """The 95 % interval of an accuracy in the last row."""
        count = self.count(accuracy)
        return wilson(round(self.last[accuracy] * count), count)

    def improvement(self, figure: str, epochs: int = RECENT) -> float:
        """By what share a loss was lower in the last epochs than ever before; infinite after one epoch."""
        values = [float(row[figure]) for row in self.history]
        epochs = min(epochs, len(values) - 1)
        if not epochs:
            return inf
        before = min(values[:-epochs])
        return 1 - min(values[-epochs:]) / before if before else 0.0

    def finding(self, kind: str, title: str, text: str, answers: Iterable[Change] = ()) -> Finding:
        """A finding with the first of `answers` that makes sense for the config."""
        return Finding(kind, title, text, *remedies.first(self.config, answers))


def diagnose(
    config: Config,
    history: Sequence[Row],
    score: Score | None,
    activity: Sequence[LayerActivity] | None,
    *,
    dataset: DatasetRecord,
    split: str = "test",
) -> list[Finding]:
    """What there is to say of a run, the most important first, and nothing that contradicts another.

    Args:
        config: of the run.
        history: its rows, oldest first; one at least.
        score: what `evaluate.score` found of its best checkpoint; None if it was not evaluated.
        activity: what `activity.measure` found of the same; None where NumPy does not know the network.
        dataset: what the run's environment says of its dataset.
        split: whose images `score` is of, ``test`` or ``validation``.
    """
    run = Evidence(config, history, score, activity or (), dataset, split)
    found: list[Finding] = []
    for check in CHECKS:
        finding = check(run)
        if finding and not _ruled_out(finding.kind, {other.kind for other in found}):
            found.append(finding)
    return found


def _ruled_out(kind: str, others: set[str]) -> bool:
    """Whether a finding would contradict more important ones, or only repeat what they mean."""
    return bool((kind in LEARNING and others & LEARNING) or (kind in OUTCOMES and others & NOT_LEARNED))


def learning_rate(run: Evidence) -> Finding | None:
    """Too high: the loss is worse than that of guessing, or it jumps up."""
    title, lower = "The learning rate is too high", remedies.lower_rate(run.config)
    loss, guessing = run.last["loss"], log(run.classes)
    stands = run.improvement("loss") < STANDSTILL
    if stands and loss > WORSE * guessing and run.last["accuracy"] < 2 / run.classes:
        text = (
            f"After epoch {run.last['epoch']} the loss is {loss:.4f}. To give each of the {run.classes} classes the "
            f"same probability would cost {guessing:.4f}: steps of this length lead nowhere."
        )
        return run.finding("learning_rate", title, text, lower)
    if jump := max(_jumps(run), default=None, key=lambda jump: jump[2] - jump[1]):
        figure, before, after, epoch = jump
        text = (
            f"The {_words(figure)} rose from {before:.4f} to {after:.4f} between epochs {epoch} and {epoch + 1}, "
            "more than chance explains: steps of this length leap over what they look for."
        )
        return run.finding("learning_rate", title, text, lower)
    return None


def _jumps(run: Evidence) -> Iterator[tuple[str, float, float, int]]:
    """Rises of a loss from an epoch to the next that neither chance nor a rising rate explains.

    The images are the same ones in both epochs, so that chance changes the difference less than it would two means. A
    validation loss also jumps where the training images are known by heart; that is not the rate's fault.
    """
    for figure in ("loss", "val_loss"):
        if count := run.count(figure):
            for row, following in zip(run.history, run.history[1:], strict=False):
                before, after = row[figure], following[figure]
                noise = NOISE * sqrt(max(before, 0) / count)
                warming = following.get("learning_rate", 0) > row.get("learning_rate", 0)
                by_heart = TWICE * row["loss"] < before
                if not (warming or by_heart) and after - before > max(JUMP * log(run.classes), noise):
                    yield figure, before, after, row["epoch"]


def underfitting(run: Evidence) -> Finding | None:
    """Neither the training images nor those held out are learned."""
    figures = [name for name in ("accuracy", "val_accuracy") if run.count(name)]
    if any(run.interval(name)[1] >= UNDERFIT_ACCURACY for name in figures):
        return None
    reached = " and ".join(f"the {_words(name)} is {run.last[name]:.4f}" for name in figures)
    text = f"After epoch {run.last['epoch']}, {reached}; a network that fits is well above {UNDERFIT_ACCURACY}."
    if lighter := remedies.lighter(run.config):
        text += " Strong dropout, l1 and l2 keep a network from learning by heart; here they keep it from learning."
        return run.finding("underfitting", "Underfitting: what is to prevent overfitting is too strong", text, lighter)
    if (fall := run.improvement("loss")) >= FALLING:
        epochs = min(RECENT, len(run.history) - 1)
        text += f" The loss fell by {100 * fall:.1f} % in the last {epochs}." if epochs else " One epoch is little."
        answers = [*remedies.raised_rate(run.config), *remedies.longer(run.config)]
        return run.finding("underfitting", "Underfitting: it has not learned for long enough", text, answers)
    text += f" The loss has come to rest at {run.last['loss']:.4f}: this network will hardly do better."
    return run.finding("underfitting", "Underfitting: the network cannot do more", text, remedies.stronger(run.config))


def overfitting(run: Evidence) -> Finding | None:
    """Learned by heart: better on the training images than chance explains, with a loss that rises on others."""
    if not run.count("val_loss"):
        return None
    last, best = run.last, run.best
    low, high = run.interval("val_accuracy")
    gap = last["accuracy"] - last["val_accuracy"]
    final = median(row["val_loss"] for row in run.history[-RECENT:])
    risen = final >= OVERFIT_LOSS_RATIO * best["val_loss"] and last["loss"] < best["loss"]
    doubled = gap >= GAP and 1 - last["val_accuracy"] >= TWICE * (1 - last["accuracy"])
    if last["accuracy"] <= high or not (risen or doubled):
        return None
    text = (
        f"After epoch {last['epoch']} the training accuracy is {last['accuracy']:.4f}, the validation accuracy "
        f"{last['val_accuracy']:.4f}; the 95 % interval of that, on {run.count('val_loss'):,} images, is {low:.4f} to "
        f"{high:.4f}."
    )
    if risen:
        text += (
            f" The validation loss was lowest after epoch {best['epoch']}, {best['val_loss']:.4f}, and has risen to "
            f"{final:.4f} while the training loss fell. The best checkpoint is of that epoch."
        )
    answers = remedies.against_overfitting(run.config)
    return run.finding("overfitting", "Overfitting: it knows its training images better than others", text, answers)


def nothing_held_out(run: Evidence) -> Finding | None:
    """Without a hold-out nobody can tell; the test images may hint at it, but not choose settings."""
    if run.count("val_loss"):
        return None
    text = "No images were held out, so that overfitting cannot be told and settings cannot be compared."
    if run.score and run.split == "test" and run.best["accuracy"] > run.score.accuracy_interval[1]:
        text += (
            f" The training accuracy of {run.best['accuracy']:.4f} beside {run.score.accuracy:.4f} on the test "
            "images is a hint, but what is chosen by these is no longer tested by them."
        )
    answer = ("data.validation", 0.1)
    return run.finding("nothing_held_out", "Overfitting cannot be told", text, [answer])


def dead_units(run: Evidence) -> Finding | None:
    """Units that are silent whatever they see; long steps often leave them so."""
    layers = {index: layer for index, layer in enumerate(run.activity) if layer.dead >= DEAD}
    if not layers:
        return None
    told = ", ".join(f"{round(layer.dead * layer.units)} of {layer.units} in {layer.name}" for layer in layers.values())
    text = f"Units that give zero for every image: {told}. No gradient reaches them, so they will not come back."
    if fast := remedies.is_fast(run.config):
        text += f" A learning rate of {run.config.optimizer.learning_rate:g} may have killed them."
    answer = remedies.activation(run.config, layers, "leaky_relu")
    return run.finding("dead_units", "Many units are dead", text, remedies.lower_rate(run.config) if fast else [answer])


def saturation(run: Evidence) -> Finding | None:
    """Outputs at the bounds of their activation, where its slope is next to nothing."""
    layers = [layer for layer in run.activity if layer.saturated >= SATURATED]
    if not layers:
        return None
    told = ", ".join(f"{100 * layer.saturated:.0f} % of those of {layer.name}, {layer.activation}" for layer in layers)
    text = f"Outputs close to a bound of the activation: {told}. There it is flat, and hardly any gradient passes."
    if fast := remedies.is_fast(run.config):
        text += f" A learning rate of {run.config.optimizer.learning_rate:g} may have driven them there."
    answers = remedies.lower_rate(run.config) if fast else remedies.normalizing(run.config)
    return run.finding("saturation", "Activations are saturated", text, answers)


def confused_class(run: Evidence) -> Finding | None:
    """A class that is often taken for another one; the worst is told."""
    rows = run.score.confusion if run.score else ()
    confused = [label for label in range(len(rows)) if _is_confused(rows, label)]
    if not confused:
        return None
    label = min(confused, key=lambda label: rows[label][label] / sum(rows[label]))
    support, hits = sum(rows[label]), rows[label][label]
    low, high = wilson(hits, support)
    others, right = _others(rows, label)
    taken, guess = _mistaken(rows, label)
    text = (
        f"Of the {support:,} {run.split} images of class {label}, {hits / support:.4f} are recognised, with a 95 % "
        f"interval from {low:.4f} to {high:.4f}; of all others {right / others:.4f}. {taken} of the {support - hits} "
        f"errors are taken for {guess}.{_caution(run)}"
    )
    answers = remedies.augmenting(run.config)
    return run.finding("confused_class", f"Class {label} is often taken for {guess}", text, answers)


def _is_confused(rows: Sequence[Sequence[int]], label: int) -> bool:
    """Whether a class is recognised less often than the others, which mostly are, and taken for one of them.

    The 95 % interval of its recall lies below that of the others together. Two that do not touch are what chance makes
    of equal shares in 1 of 180 cases: rare enough for ten classes. Most of its errors are one other class, and more of
    them than if all wrong classes were as likely.
    """
    support, hits = sum(rows[label]), rows[label][label]
    others, right = _others(rows, label)
    if hits == support or not others or 2 * right < others or wilson(hits, support)[1] >= wilson(right, others)[0]:
        return False
    taken, errors, wrong = _mistaken(rows, label)[0], support - hits, sum(any(row) for row in rows) - 1
    return taken >= CONFUSED * errors and wilson(taken, errors)[0] > 1 / wrong


def _others(rows: Sequence[Sequence[int]], label: int) -> tuple[int, int]:
    """How many images all other classes have, and how many of them are recognised."""
    rest = [(sum(row), row[index]) for index, row in enumerate(rows) if index != label]
    return sum(support for support, _ in rest), sum(hits for _, hits in rest)


def _mistaken(rows: Sequence[Sequence[int]], label: int) -> tuple[int, int]:
    """How many images of a class are taken for the class that most of the wrong ones are taken for, and that class."""
    return max((count, guess) for guess, count in enumerate(rows[label]) if guess != label)


def miscalibration(run: Evidence) -> Finding | None:
    """Probabilities that are further from the truth than chance makes them.

    A network whose probabilities are right has a calibration error too. Each bin's correct answers are then binomial,
    the expected error is the sum of `binomial_deviation` over the bins, and the sum is nearly normal.
    """
    if not run.score:
        return None
    bins = [(each.images, each.confidence) for each in run.score.calibration if each.confidence is not None]
    images, error = run.score.images, run.score.calibration_error
    means, variances = zip(*(binomial_deviation(count, confidence) for count, confidence in bins), strict=True)
    expected = sum(means) / images
    highest = expected + Z_ONE_SIDED * sqrt(sum(variances)) / images
    if error <= max(highest, MISCALIBRATED):
        return None
    sure = sum(count * confidence for count, confidence in bins) / images
    excess = sure - run.score.accuracy
    text = (
        f"On the {images:,} {run.split} images the highest probability is {sure:.4f} on average, but "
        f"{run.score.accuracy:.4f} of the answers are right. The calibration error is {error:.4f}; chance alone "
        f"would make it {expected:.4f}, and rarely more than {highest:.4f}.{_caution(run)}"
    )
    if abs(excess) < error / 2:
        return run.finding("miscalibration", "Its probabilities are off, some too high and others too low", text)
    title = "It is too sure of itself" if excess > 0 else "It is less sure of itself than it could be"
    answers = [*remedies.smoothing(run.config, excess), *(remedies.lighter(run.config) * (excess < 0))]
    return run.finding("miscalibration", title, text, answers)


def plateau(run: Evidence) -> Finding | None:
    """No improvement for some time, and neither a schedule nor early stopping that would see to it."""
    gain = run.improvement(run.monitor, PATIENCE)
    answered = run.config.training.early_stopping or _is_resting(run)
    if len(run.history) <= PATIENCE or gain >= STANDSTILL or answered:
        return None
    best = min(run.history[:-PATIENCE], key=lambda row: float(row[run.monitor]))
    lowest = min(row[run.monitor] for row in run.history[-PATIENCE:])
    if lowest <= NOISE * sqrt(max(lowest, 0) / run.count(run.monitor)):  # too few images to tell anything
        return None
    text = (
        f"The {_words(run.monitor)} was {best[run.monitor]:.4f} after epoch {best['epoch']}; in the last {PATIENCE} "
        f"epochs it was {lowest:.4f} at best."
    )
    answers = [*remedies.falling_rate(run.config), *remedies.stopping(run.config)]
    return run.finding("plateau", "It has stopped improving", text, answers)


def unfinished(run: Evidence) -> Finding | None:
    """The last epoch was the best on what was held out, and better by more than noise."""
    gain = run.improvement("val_loss") if run.count("val_loss") else 0.0
    if gain < FALLING or run.best is not run.last or _is_resting(run):
        return None
    epochs = min(RECENT, len(run.history) - 1)
    fell = f", and fell by {100 * gain:.1f} % in the last {epochs}" if epochs else ""
    text = (
        f"The validation loss was lowest after the last epoch, {run.last['val_loss']:.4f}{fell}: "
        "more epochs may lower it further."
    )
    return run.finding("unfinished", "The last epoch was the best", text, remedies.longer(run.config))


def _is_resting(run: Evidence) -> bool:
    """Whether a schedule has brought the learning rate down to where little changes any more."""
    rates = [row.get("learning_rate", 0.0) for row in run.history]
    return bool(rates[-1] < RESTING * max(rates))


def _caution(run: Evidence) -> str:
    """What has to be said where a setting seems to follow from the test images."""
    return " Whether a setting helps is for images held out to say, not for these." if run.split == "test" else ""


def _words(figure: str) -> str:
    return f"{'validation' if figure.startswith('val_') else 'training'} {figure.removeprefix('val_')}"


CHECKS: tuple[Callable[[Evidence], Finding | None], ...] = (  # the most important first
    learning_rate,
    underfitting,
    dead_units,
    saturation,
    overfitting,
    nothing_held_out,
    confused_class,
    miscalibration,
    plateau,
    unfinished,
)
