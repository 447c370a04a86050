"""The command `dnn evaluate`: measure a trained network on a split of its dataset or on other images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import selected_classes
from dnn_cli.cli.tables import NOTHING, matrix, print_facts, print_json, print_lines, table, warn

if TYPE_CHECKING:
    from rich.table import Table

    from dnn_cli.runs.records import ClassFigures, Evaluation

MATRIX_CLASSES = 12  # the confusion matrix of more classes is too wide for a terminal


@click.command
@click.argument("target", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@options.split(help="Images to use: test, validation (those held out of training) or train.  [default: test]")
@click.option("--data", metavar="PATH", help="Use another dataset: its name, an .npz file or a folder of IDX files.")
@options.checkpoint
@click.option(
    "--min-accuracy",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit with code 3 if the accuracy, as a fraction, is below X.",
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="FIGURE=X",
    help="Exit with code 3 if a figure is worse than X, for example macro_f1=0.9. May be repeated.",
)
@options.as_json
@options.verbose
def evaluate(
    target: Path | None,
    split: str,
    data: str | None,
    checkpoint: str,
    min_accuracy: float | None,
    gates: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Evaluate a trained network on the test images or on others.

    RUN is a run directory or a .keras file, by default the newest run in runs/. A run is evaluated on its own dataset
    and a .keras file on MNIST, unless --data names another. The result for a run is also saved in its evaluation/
    directory.

    \b
    Examples:
      dnn evaluate
      dnn evaluate runs/mnist-1
      dnn evaluate runs/mnist-1 --min-accuracy 0.97 --json
      dnn evaluate runs/photos-1 --gate macro_f1=0.9 --gate loss=0.3
      dnn evaluate model.keras --data mine.npz
    """
    from dnn_cli.errors import GateError
    from dnn_cli.evaluation import evaluate as evaluation
    from dnn_cli.evaluation import gates as quality

    wanted = quality.parse(gates)
    result = evaluation.evaluate(target, split=split, dataset=data, checkpoint=checkpoint, notify=warn, verbose=verbose)
    print_evaluation(result, as_json=as_json)
    if min_accuracy is not None and not result.accuracy >= min_accuracy:
        raise GateError(f"accuracy {result.accuracy:.6g} is below --min-accuracy {min_accuracy:g}")
    quality.check(result, wanted)


def print_evaluation(result: "Evaluation", *, as_json: bool) -> None:
    """Print the metrics of each class, the confusion matrix and the overall metrics."""
    if as_json:
        print_json(result.to_dict())
        return
    low, high = result.accuracy_interval
    epoch = f" (epoch {result.epoch})" if result.epoch else ""
    classes = selected_classes(result.selected_classes, [figures.name for figures in result.classes])
    rows = {
        "checkpoint": f"{result.checkpoint}{epoch}",
        "data": f"{result.dataset}, {result.split} split, {classes}{result.images:,} images",
        "loss": f"{result.loss:.4f}",
        f"{result.split} accuracy": f"{result.accuracy:.4f}, 95 % interval {low:.4f} to {high:.4f}",
        "errors": f"{result.errors:,}",
        **{name.replace("_", " ").replace("f1", "F1"): f"{value:.4f}" for name, value in _averages(result).items()},
        "calibration error": _calibration_error(result),
    }
    if result.note:
        rows["warning"] = result.note
    shown = [figures for figures in result.classes if _is_shown(figures.label, result)]
    print_lines(_class_table(shown), "", *_confusion(result), "")
    print_facts(rows)


def _calibration_error(result: "Evaluation") -> str:
    error = f"{result.calibration_error:.4f}"
    if after := result.calibrated:
        error += f", calibrated {after.calibration_error:.4f} (temperature {after.temperature:.4g})"
    return error


def _averages(result: "Evaluation") -> dict[str, float]:
    """Return the averages over classes, and the accuracy of the most probable ones, as far as they are defined."""
    names = ("balanced_accuracy", "macro_f1", "weighted_f1", "top_5_accuracy")
    return {name: value for name in names if (value := getattr(result, name)) is not None}


def _is_shown(label: int, result: "Evaluation") -> bool:
    """Return whether a class is one of those that the run was trained on."""
    return result.selected_classes is None or label in result.selected_classes


def _class_table(classes: "Sequence[ClassFigures]") -> "Table":
    per_class = table("class", "precision", "recall", "F1", "images")
    for figures in classes:
        values = (figures.precision, figures.recall, figures.f1)
        shown = (NOTHING if value is None else f"{value:.4f}" for value in values)
        per_class.add_row(figures.name or str(figures.label), *shown, f"{figures.support:,}")
    return per_class


def _confusion(result: "Evaluation") -> "list[Table | str]":
    """Return the confusion matrix, or for many classes the most frequent errors below a title."""
    confusion, names = result.confusion, [figures.name or str(figures.label) for figures in result.classes]
    rows = [label for label in range(len(confusion)) if _is_shown(label, result)]
    columns = [label for label in range(len(confusion)) if label in rows or any(row[label] for row in confusion)]
    if len(columns) <= MATRIX_CLASSES:
        counts = matrix("actual ╲ predicted", *(names[label] for label in columns))
        for label in rows:
            counts.add_row(names[label], *(str(confusion[label][other] or "·") for other in columns))
        return [counts]
    errors = [
        (count, actual, predicted)
        for actual, counts in enumerate(confusion)
        for predicted, count in enumerate(counts)
        if count and predicted != actual
    ]
    most_frequent = table("actual", "predicted", "images")
    for count, actual, predicted in sorted(errors, key=lambda error: -error[0])[:MATRIX_CLASSES]:
        most_frequent.add_row(names[actual], names[predicted], f"{count:,}")
    return ["most frequent errors:", most_frequent]
