"""The diagnosis of a run: what its figures show, in plain words, each with a setting that should help.

Every threshold was tested on trainings that have the problem and on trainings that do not. A figure that chance alone
explains is not a finding: counts are compared by their 95 % intervals, other figures as explained where they are used.
"""

from collections.abc import Callable, Iterator, Sequence
from math import log, sqrt
from statistics import median

from dnn_cli.data import class_names
from dnn_cli.reporting import remedies
from dnn_cli.reporting.evidence import TREND_EPOCHS, Evidence, Finding
from dnn_cli.stats import binomial_deviation, wilson

# Losses. The guessing loss is that of equal probabilities for all classes, log(classes).
TREND_IMPROVEMENT = 0.03  # A loss is still falling if it fell by this share within TREND_EPOCHS, 1 % per epoch.
LEAST_IMPROVEMENT = 0.01  # A smaller improvement of a loss, as a share, is no improvement; noise is below it.
# A loss above this many times the guessing loss is worse than guessing. Below it, the gradient may just be too small.
USELESS_LOSS_RATIO = 1.01
JUMP_RATIO = 0.02  # A rise of a loss by less than this share of the guessing loss does no harm.
PLATEAU_EPOCHS = 5  # This many epochs without improvement are a plateau, as for early stopping by default.
OVERFIT_LOSS_RATIO = 1.1  # A validation loss above this many times its minimum seldom falls again.

# Accuracy
UNDERFIT_ACCURACY = 0.9  # A few dozen units reach this on every dataset that dnn knows by name.
OVERFIT_ERROR_RATIO = 2.0  # Overfitting is reported from this ratio of the validation and training error rates on,
OVERFIT_ACCURACY_GAP = 0.01  # unless the accuracies differ by less than this.
RARE_SHARE = 0.5  # A class is rare if it has less than this share of the images of an average class.
MAIN_CONFUSION_SHARE = 0.5  # Two classes are confused if most errors of one are predictions of the other.

# Units and probabilities
DEAD_SHARE = 0.12  # A larger share of a layer's units is too many; up to 0.1 are dead without a problem.
SATURATED_SHARE = 0.75  # A larger share of a layer's outputs is too many; tanh has up to 0.5 without a problem.
LEAST_CALIBRATION_ERROR = 0.01  # A smaller calibration error does not matter.
Z_95_ONE_SIDED = 1.645  # The 95 % quantile of the normal distribution.

# At most one of these kinds of findings is reported.
TRAINING_KINDS = {"learning_rate", "underfitting", "overfitting", "plateau", "unfinished"}
# After a finding of the first kinds, the network has learned too little, and the second kinds add nothing new.
UNTRAINED_KINDS = {"learning_rate", "underfitting"}
OUTCOME_KINDS = {"confused_class", "miscalibration"}
# A class that is never found is also often classified as another one.
HIDING_KIND, HIDDEN_KIND = "hidden_class", "confused_class"


def diagnose(run: Evidence) -> list[Finding]:
    """Return the findings about a run, the most important first; none contradicts another."""
    found: list[Finding] = []
    for check in CHECKS:
        finding = check(run)
        if finding and not _is_ruled_out(finding.kind, {other.kind for other in found}):
            found.append(finding)
    return found


def _is_ruled_out(kind: str, others: set[str]) -> bool:
    """Return whether a finding contradicts or repeats one of the more important findings."""
    return bool(
        (kind in TRAINING_KINDS and others & TRAINING_KINDS)
        or (kind in OUTCOME_KINDS and others & UNTRAINED_KINDS)
        or (kind == HIDDEN_KIND and HIDING_KIND in others)
    )


def learning_rate(run: Evidence) -> Finding | None:
    """Find a learning rate that is too high: the loss is worse than that of guessing, or it jumps up."""
    title, lower = "The learning rate is too high", remedies.lower_rate(run.config)
    loss, guessing = run.last["loss"], log(run.classes)
    is_stuck = run.improvement("loss") < LEAST_IMPROVEMENT
    if is_stuck and loss > USELESS_LOSS_RATIO * guessing and run.last["accuracy"] < 2 / run.classes:
        text = (
            f"After epoch {run.last['epoch']} the training loss is {loss:.4f} and no longer falls. That is worse than "
            f"guessing: with the same probability for each of the {run.classes} classes it would be {guessing:.4f}."
        )
        return run.finding("learning_rate", title, text, lower)
    if jump := max(_jumps(run), default=None, key=lambda jump: jump[2] - jump[1]):
        column, before, after, epoch = jump
        text = (
            f"The {_words(column)} rose from {before:.4f} to {after:.4f} between epochs {epoch} and {epoch + 1}, more "
            "than chance explains: the steps are so large that they overshoot the minimum."
        )
        return run.finding("learning_rate", title, text, lower)
    return None


def _jumps(run: Evidence) -> Iterator[tuple[str, float, float, int]]:
    """Yield the rises of a loss that neither chance nor a rising learning rate explains.

    Both epochs are about the same images, so chance changes the difference less than it changes either of the losses. A
    validation loss also jumps if the network overfits; that is not the fault of the learning rate.

    Yields:
        The column of the history, the loss before and after, and the epoch before.
    """
    for column in ("loss", "val_loss"):
        if not run.images(column):
            continue
        for row, following in zip(run.history, run.history[1:], strict=False):
            before, after = row[column], following[column]
            is_warming_up = following.get("learning_rate", 0) > row.get("learning_rate", 0)
            overfits = OVERFIT_ERROR_RATIO * row["loss"] < before
            least = max(JUMP_RATIO * log(run.classes), run.noise(column, before))
            if not (is_warming_up or overfits) and after - before > least:
                yield column, before, after, row["epoch"]


def underfitting(run: Evidence) -> Finding | None:
    """Find a low accuracy on both training and validation images."""
    columns = [name for name in ("accuracy", "val_accuracy") if run.images(name)]
    if any(run.interval(name)[1] >= UNDERFIT_ACCURACY for name in columns):
        return None
    reached = " and ".join(f"the {_words(name)} is {run.last[name]:.4f}" for name in columns)
    text = (
        f"After epoch {run.last['epoch']}, {reached}; a network that fits the data is well above {UNDERFIT_ACCURACY}."
    )
    if lighter := remedies.lighter(run.config):
        text += " Strong dropout, l1 or l2 is meant to prevent overfitting; here it prevents learning."
        return run.finding("underfitting", "Underfitting: the regularization is too strong", text, lighter)
    if (fall := run.improvement("loss")) >= TREND_IMPROVEMENT:
        epochs = min(TREND_EPOCHS, len(run.history) - 1)
        text += f" The training loss {_fell(fall, epochs)}." if epochs else " One epoch is too few to say more."
        changes = [*remedies.raised_rate(run.config), *remedies.longer(run.config)]
        return run.finding("underfitting", "Underfitting: the training is too short", text, changes)
    text += f" The training loss no longer falls, at {run.last['loss']:.4f}: more epochs will hardly help this network."
    return run.finding(
        "underfitting", "Underfitting: the capacity of the network is too low", text, remedies.stronger(run.config)
    )


def overfitting(run: Evidence) -> Finding | None:
    """Find a training accuracy above what chance explains, with a rising validation loss or many validation errors."""
    if not run.images("val_loss"):
        return None
    last, best = run.last, run.best
    low, high = run.interval("val_accuracy")
    gap = last["accuracy"] - last["val_accuracy"]
    final = median(row["val_loss"] for row in run.history[-TREND_EPOCHS:])
    has_risen = final >= OVERFIT_LOSS_RATIO * best["val_loss"] and last["loss"] < best["loss"]
    error_ratio = OVERFIT_ERROR_RATIO * (1 - last["accuracy"])
    has_more_errors = gap >= OVERFIT_ACCURACY_GAP and 1 - last["val_accuracy"] >= error_ratio
    if last["accuracy"] <= high or not (has_risen or has_more_errors):
        return None
    text = (
        f"After epoch {last['epoch']} the training accuracy is {last['accuracy']:.4f}, the validation accuracy "
        f"{last['val_accuracy']:.4f}, with a 95 % interval of {low:.4f} to {high:.4f} ({run.images('val_loss'):,} "
        "images)."
    )
    if has_risen:
        text += (
            f" The validation loss was lowest after epoch {best['epoch']}, {best['val_loss']:.4f}, and has risen to "
            f"{final:.4f} since, while the training loss fell. The best checkpoint is from epoch {best['epoch']}."
        )
    title = "Overfitting: the accuracy is higher on training images than on others"
    return run.finding("overfitting", title, text, remedies.against_overfitting(run.config))


def nothing_held_out(run: Evidence) -> Finding | None:
    """Report that there are no validation images; test images may hint at overfitting, but must not choose settings."""
    if run.images("val_loss"):
        return None
    text = "Without validation images, overfitting can't be measured and settings can't be compared."
    if run.score and run.split == "test" and run.best["accuracy"] > run.score.accuracy_interval[1]:
        text += (
            f" The training accuracy, {run.best['accuracy']:.4f}, is higher than the test accuracy, "
            f"{run.score.accuracy:.4f}; that is a hint. But settings that are chosen by the test images can no "
            "longer be tested by them."
        )
    title = "Overfitting can't be measured: no images were held out"
    return run.finding("nothing_held_out", title, text, [("data.validation", 0.1)])


def dead_units(run: Evidence) -> Finding | None:
    """Find layers with many units whose output is zero for every image, often because of a high learning rate."""
    layers = {index: layer for index, layer in enumerate(run.activity) if layer.dead >= DEAD_SHARE}
    if not layers:
        return None
    counts = [f"{round(layer.dead * layer.units)} of {layer.units} in {layer.name}" for layer in layers.values()]
    text = f"Units that are zero for every image: {', '.join(counts)}. They get no gradient, so they will not recover."
    if is_fast := remedies.is_fast(run.config):
        text += f" The learning rate of {run.config.optimizer.learning_rate:g} may be the cause."
    change = remedies.activation(run.config, layers, "leaky_relu")
    changes = remedies.lower_rate(run.config) if is_fast else [change]
    return run.finding("dead_units", "Many units are dead", text, changes)


def saturation(run: Evidence) -> Finding | None:
    """Find layers with many outputs near a bound of their activation, where the gradient almost vanishes."""
    layers = [layer for layer in run.activity if layer.saturated >= SATURATED_SHARE]
    if not layers:
        return None
    shares = [f"{100 * layer.saturated:.0f} % in {layer.name} ({layer.activation})" for layer in layers]
    text = f"Outputs close to a bound of the activation: {', '.join(shares)}. There, the gradient almost vanishes."
    if is_fast := remedies.is_fast(run.config):
        text += f" The learning rate of {run.config.optimizer.learning_rate:g} may be the cause."
    changes = remedies.lower_rate(run.config) if is_fast else remedies.normalizing(run.config)
    return run.finding("saturation", "Activations are saturated", text, changes)


def hidden_class(run: Evidence) -> Finding | None:
    """Find a rare class that is never predicted correctly, which a high accuracy hides.

    The recall of a class with few images varies by chance, so the 95 % interval of none of them must be below that of
    the others together.
    """
    rows = run.score.confusion if run.score else ()
    total, present = sum(map(sum, rows)), sum(any(row) for row in rows)
    hidden = [label for label, row in enumerate(rows) if 0 < sum(row) < RARE_SHARE * total / present and not row[label]]
    found = [label for label in hidden if wilson(0, sum(rows[label]))[1] < wilson(*_others(rows, label))[0]]
    if not found or run.score is None:
        return None
    names = [class_names.show(label, run.dataset.class_names) for label in found]
    counts = [f"{sum(rows[label]):,} {run.split} images of {name}" for label, name in zip(found, names, strict=True)]
    balanced = "–" if run.score.balanced_accuracy is None else f"{run.score.balanced_accuracy:.4f}"
    text = (
        f"None of the {' and none of the '.join(counts)} is classified correctly. The accuracy of "
        f"{run.score.accuracy:.4f} hides that, because the class is rare; the balanced accuracy, the mean recall of "
        f"all classes, is {balanced}.{_caution(run)}"
    )
    return run.finding(
        "hidden_class", f"Never found: {', '.join(names)}", text, [("training.class_weight", "balanced")]
    )


def _others(rows: Sequence[Sequence[int]], label: int) -> tuple[int, int]:
    """Return how many images of all other classes are classified correctly, and their number."""
    images, hits = _other_classes(rows, label)
    return hits, max(images, 1)


def confused_class(run: Evidence) -> Finding | None:
    """Find the class with the lowest recall among those that are often confused with one other class."""
    rows = run.score.confusion if run.score else ()
    confused = [label for label in range(len(rows)) if _is_confused(rows, label)]
    if not confused:
        return None
    label = min(confused, key=lambda label: rows[label][label] / sum(rows[label]))
    support, hits = sum(rows[label]), rows[label][label]
    low, high = wilson(hits, support)
    other_images, other_hits = _other_classes(rows, label)
    count, predicted = _main_confusion(rows, label)
    name, other = (class_names.show(one, run.dataset.class_names) for one in (label, predicted))
    text = (
        f"The recall of class {name} on its {support:,} {run.split} images is {hits / support:.4f}, with a 95 % "
        f"interval of {low:.4f} to {high:.4f}; that of all other classes together is {other_hits / other_images:.4f}. "
        f"{count} of the {support - hits} errors are classified as {other}.{_caution(run)}"
    )
    # An error rate that is higher than that of others may still be low: the title says how many errors there are.
    title = f"{count / support:.1%}".replace("%", " %") + f" of class {name} are classified as {other}"
    return run.finding("confused_class", title, text, remedies.augmenting(run.config))


def _is_confused(rows: Sequence[Sequence[int]], label: int) -> bool:
    """Return whether a class has a lower recall than the others, and most of its errors are one other class.

    The 95 % interval of its recall is below that of the others together, which is above one half. For equal recalls,
    two such intervals are apart by chance in 1 of 180 cases: rare enough for ten classes. Most of its errors are one
    other class, and more of them than if all wrong classes were equally likely.
    """
    support, hits = sum(rows[label]), rows[label][label]
    other_images, other_hits = _other_classes(rows, label)
    if hits == support or not other_images or 2 * other_hits < other_images:
        return False
    if wilson(hits, support)[1] >= wilson(other_hits, other_images)[0]:
        return False
    count, errors, wrong_classes = _main_confusion(rows, label)[0], support - hits, sum(any(row) for row in rows) - 1
    return count >= MAIN_CONFUSION_SHARE * errors and wilson(count, errors)[0] > 1 / wrong_classes


def _other_classes(rows: Sequence[Sequence[int]], label: int) -> tuple[int, int]:
    """Return the number of images of all other classes, and how many of them are classified correctly."""
    rest = [(sum(row), row[index]) for index, row in enumerate(rows) if index != label]
    return sum(support for support, _ in rest), sum(hits for _, hits in rest)


def _main_confusion(rows: Sequence[Sequence[int]], label: int) -> tuple[int, int]:
    """Return the most frequent wrong prediction for a class: the number of images, and the predicted class."""
    return max((count, predicted) for predicted, count in enumerate(rows[label]) if predicted != label)


def miscalibration(run: Evidence) -> Finding | None:
    """Find a calibration error above what chance explains.

    A perfectly calibrated network has a calibration error too, because its correct answers in each bin are binomially
    distributed. The expected error is then the sum of `binomial_deviation` over the bins; this sum is nearly normally
    distributed.
    """
    if not run.score:
        return None
    bins = [(each.images, each.confidence) for each in run.score.calibration if each.confidence is not None]
    images, error, accuracy = run.score.images, run.score.calibration_error, run.score.accuracy
    means, variances = zip(*(binomial_deviation(count, confidence) for count, confidence in bins), strict=True)
    expected = sum(means) / images
    highest = expected + Z_95_ONE_SIDED * sqrt(sum(variances)) / images
    if error <= max(highest, LEAST_CALIBRATION_ERROR):
        return None
    confidence = sum(count * mean for count, mean in bins) / images
    excess = confidence - accuracy
    text = (
        f"On the {images:,} {run.split} images the mean confidence is {confidence:.4f}, the accuracy {accuracy:.4f}. "
        f"The calibration error is {error:.4f}; chance alone explains {expected:.4f}, rarely more than {highest:.4f}."
        f"{_calibrated(run)}{_caution(run)}"
    )
    if abs(excess) < error / 2:
        return run.finding("miscalibration", "Poor calibration: some probabilities are too high, others too low", text)
    title = (
        "Overconfident: its probabilities are too high"
        if excess > 0
        else "Underconfident: its probabilities are too low"
    )
    changes = [*remedies.smoothing(run.config, excess), *(remedies.lighter(run.config) * (excess < 0))]
    return run.finding("miscalibration", title, text, changes)


def _calibrated(run: Evidence) -> str:
    """Return a sentence about the calibrated probabilities."""
    if run.score and run.score.calibrated:
        error = run.score.calibrated.calibration_error
        return f" `dnn predict` shows calibrated probabilities, with an error of {error:.4f}."
    if run.images("val_loss"):
        return ""
    return " No images were held out (data.validation) on which `dnn train` could calibrate them for predictions."


def plateau(run: Evidence) -> Finding | None:
    """Find a loss without improvement for some epochs, if neither a schedule nor early stopping deals with it."""
    gain = run.improvement(run.monitor, PLATEAU_EPOCHS)
    is_dealt_with = run.config.training.early_stopping or run.is_schedule_finished
    if len(run.history) <= PLATEAU_EPOCHS or gain >= LEAST_IMPROVEMENT or is_dealt_with:
        return None
    best = min(run.history[:-PLATEAU_EPOCHS], key=lambda row: float(row[run.monitor]))
    lowest = min(row[run.monitor] for row in run.history[-PLATEAU_EPOCHS:])
    if lowest <= run.noise(run.monitor, lowest):  # too few images to say anything
        return None
    text = (
        f"The {_words(run.monitor)} was {best[run.monitor]:.4f} after epoch {best['epoch']}; in the last "
        f"{PLATEAU_EPOCHS} epochs its lowest value was {lowest:.4f}."
    )
    changes = [*remedies.falling_rate(run.config), *remedies.stopping(run.config)]
    return run.finding("plateau", "The loss no longer improves", text, changes)


def unfinished(run: Evidence) -> Finding | None:
    """Find a validation loss that was lowest after the last epoch, and was still falling by more than noise."""
    gain = run.improvement("val_loss") if run.images("val_loss") else 0.0
    if gain < TREND_IMPROVEMENT or run.best is not run.last or run.is_schedule_finished:
        return None
    epochs = min(TREND_EPOCHS, len(run.history) - 1)
    text = (
        f"The validation loss was lowest after the last epoch, {run.last['val_loss']:.4f}"
        f"{f', and {_fell(gain, epochs)}' if epochs else ''}: more epochs may lower it further."
    )
    return run.finding("unfinished", "The last epoch was the best", text, remedies.longer(run.config))


def _fell(share: float, epochs: int) -> str:
    return f"fell by {100 * share:.1f} % in the last {'epoch' if epochs == 1 else f'{epochs} epochs'}"


def _caution(run: Evidence) -> str:
    """Return a warning for findings that may tempt a reader to choose settings by the test images."""
    return " To decide whether a setting helps, use validation images, not these." if run.split == "test" else ""


def _words(column: str) -> str:
    return f"{'validation' if column.startswith('val_') else 'training'} {column.removeprefix('val_')}"


CHECKS: tuple[Callable[[Evidence], Finding | None], ...] = (  # the most important first
    learning_rate,
    underfitting,
    dead_units,
    saturation,
    overfitting,
    nothing_held_out,
    hidden_class,
    confused_class,
    miscalibration,
    plateau,
    unfinished,
)
