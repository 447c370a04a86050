"""`dnn evaluate`: score a trained network on a split of its dataset, or on other images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import selected_classes
from dnn_cli.cli.tables import print_facts, print_json, print_lines, table, warn

if TYPE_CHECKING:
    from rich.table import Table

MATRIX_CLASSES = 12  # a confusion matrix of more classes is too wide for a terminal


@click.command
@click.argument("target", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    metavar="SPLIT",
    default="test",
    help="test, validation (what was held out) or train.  [default: test]",
)
@click.option("--data", metavar="PATH", help="Other images: a dataset's name, an .npz file or a folder of IDX files.")
@options.checkpoint
@click.option(
    "--min-accuracy",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit with code 3 if the accuracy, 0 to 1, is below.",
)
@options.as_json
@options.verbose
def evaluate(
    target: Path | None,
    split: str,
    data: str | None,
    checkpoint: str,
    min_accuracy: float | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Score a trained network on the test images, or on others.

    RUN is a run's folder or a .keras file; without it, the newest run in runs/ is scored. A .keras file is scored on
    MNIST unless --data says otherwise. What is found of a run is kept in its evaluation/ folder.

    \b
    Examples:
      dnn evaluate
      dnn evaluate runs/mnist-1
      dnn evaluate runs/mnist-1 --min-accuracy 0.97 --json
      dnn evaluate model.keras --data mine.npz
    """
    from dnn_cli.errors import GateError
    from dnn_cli.evaluation import evaluate as evaluation

    result = evaluation.evaluate(target, split=split, dataset=data, checkpoint=checkpoint, say=warn, verbose=verbose)
    print_evaluation(result, as_json=as_json)
    if min_accuracy is not None and not result["accuracy"] >= min_accuracy:
        raise GateError(f"accuracy {result['accuracy']:.6g} is below --min-accuracy {min_accuracy:g}")


def print_evaluation(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the metrics of each class, the confusion matrix and the metrics over all images."""
    if as_json:
        return print_json(result)
    low, high = result["accuracy_interval"]
    epoch = f" (epoch {result['epoch']})" if result["epoch"] else ""
    rows = {
        "checkpoint": f"{result['checkpoint']}{epoch}",
        "data": f"{result['dataset']}, {result['split']} split, {selected_classes(result)}{result['images']:,} images",
        "loss": f"{result['loss']:.4f}",
        f"{result['split']} accuracy": f"{result['accuracy']:.4f}, 95 % interval {low:.4f} to {high:.4f}",
        "errors": f"{result['errors']:,}",
        "calibration error": f"{result['calibration_error']:.4f}",
    }
    if result["note"]:
        rows["warning"] = result["note"]
    print_lines(_class_table(result["classes"]), "", _confusion_table(result["confusion"]), "")
    print_facts(rows)
    return None


def _class_table(classes: list[dict[str, Any]]) -> "Table":
    per_class = table("class", "precision", "recall", "F1", "images")
    for figures in classes:
        values = (figures["precision"], figures["recall"], figures["f1"])
        shown = ("–" if value is None else f"{value:.4f}" for value in values)
        per_class.add_row(str(figures["label"]), *shown, f"{figures['support']:,}")
    return per_class


def _confusion_table(confusion: list[list[int]]) -> "Table":
    """Return the confusion matrix, or of many classes the most frequent mistakes."""
    labels = range(len(confusion))
    if len(labels) <= MATRIX_CLASSES:
        matrix = table("true ╲ guess", *map(str, labels))
        for label, counts in zip(labels, confusion, strict=True):
            matrix.add_row(str(label), *(str(count) if count else "·" for count in counts))
        return matrix
    mistakes = [(confusion[true][guess], true, guess) for true in labels for guess in labels if true != guess]
    made = sorted((mistake for mistake in mistakes if mistake[0]), key=lambda mistake: -mistake[0])
    worst = table("most mistaken", "for", "images")
    for count, true, guess in made[:MATRIX_CLASSES]:
        worst.add_row(str(true), str(guess), f"{count:,}")
    return worst
